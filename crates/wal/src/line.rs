//! One line of a log, taken apart strictly and without copying.

use calybris_proof::audit::AuditedRecord;
use memchr::memchr;

use crate::error::{EntryFault, Fault};
use crate::json::{self, Expected, whitespace};

/// The longest line, in bytes without its newline: 16 MiB.
pub const MAX_ENTRY_BYTES: u64 = 16 << 20;

/// The four members as they stand in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) sequence: u64,
    /// Text between the quotes; not yet known to be a hash.
    pub(crate) previous_hash: &'a str,
    /// Likewise.
    pub(crate) entry_hash: &'a str,
    /// The payload bytes the hash covers; UTF-8 and one JSON value.
    pub(crate) data: &'a [u8],
    /// What `data` says, where it is an audited record in its canonical form.
    pub(crate) record: Option<AuditedRecord<&'a [u8]>>,
}

/// Whether a reader skips the line.
pub(crate) fn is_blank(line: &[u8]) -> bool {
    whitespace(line).is_empty()
}

/// Takes a line apart.
///
/// # Errors
/// [`EntryFault::Malformed`] says what was expected where.
pub(crate) fn parse(line: &[u8]) -> Result<Line<'_>, Fault> {
    let fault = |expected: &'static str, rest: &[u8]| {
        let at = line.len().saturating_sub(rest.len()) as u64;
        Fault::from(EntryFault::Malformed { expected, at })
    };
    if let Some(line) = canonical(line) {
        return Ok(line);
    }
    let text = std::str::from_utf8(line).map_err(|error| {
        fault("UTF-8 text", line.get(error.valid_up_to()..).unwrap_or_default())
    })?;
    any_order(text).map_err(|Expected(expected, rest)| fault(expected, rest))
}

/// The layout every writer uses. None says only that the line is not in it.
fn canonical(line: &[u8]) -> Option<Line<'_>> {
    let (sequence, rest) = number(line.strip_prefix(b"{\"sequence\":")?).ok()?;
    let (previous_hash, rest) = to_quote(rest.strip_prefix(b",\"previous_hash\":\"")?)?;
    let (entry_hash, rest) = to_quote(rest.strip_prefix(b",\"entry_hash\":\"")?)?;
    let data = rest.strip_prefix(b",\"data\":")?.strip_suffix(b"}")?;
    // The members of an audited record are ASCII and JSON by being read; what is left of it to look at is the metadata.
    let record = AuditedRecord::from_canonical(data);
    let unread = record.as_ref().map_or(data, |record| record.metadata);
    std::str::from_utf8(unread).ok()?;
    let starts_and_ends_there = matches!(json::value(unread), Ok([]))
        && matches!(data, [first, ..] if !first.is_ascii_whitespace());
    starts_and_ends_there.then_some(Line { sequence, previous_hash, entry_hash, data, record })
}

/// The text before a quote, and what follows the quote.
fn to_quote(input: &[u8]) -> Option<(&str, &[u8])> {
    let (text, rest) = input.split_at_checked(memchr(b'"', input)?)?;
    Some((std::str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

/// The members in any order and with JSON whitespace: each once, no other.
fn any_order(text: &str) -> Result<Line<'_>, Expected<'_>> {
    let (mut sequence, mut previous_hash, mut entry_hash, mut data) = (None, None, None, None);
    let mut rest = after(b'{', "'{'", whitespace(text.as_bytes()))?;
    loop {
        let at = whitespace(rest);
        let (name, tail) = plain_string(at, "a member name")?;
        let value = whitespace(after(b':', "':'", whitespace(tail))?);
        let once = |repeated: bool| {
            if repeated { Err(Expected("each member once", at)) } else { Ok(()) }
        };
        let tail = match name {
            "sequence" => {
                once(sequence.is_some())?;
                let (number, tail) = number(value)?;
                sequence = Some(number);
                tail
            }
            "previous_hash" | "entry_hash" => {
                let slot = if name == "entry_hash" { &mut entry_hash } else { &mut previous_hash };
                once(slot.is_some())?;
                let (hash, tail) = plain_string(value, "a hash")?;
                *slot = Some(hash);
                tail
            }
            "data" => {
                once(data.is_some())?;
                let tail = json::value(value)?;
                data = value.get(..value.len() - tail.len());
                tail
            }
            _ => return Err(Expected("sequence, previous_hash, entry_hash or data", at)),
        };
        rest = match whitespace(tail) {
            [b',', tail @ ..] => tail,
            other => {
                let end = whitespace(after(b'}', "',' or '}'", other)?);
                let (Some(sequence), Some(previous_hash), Some(entry_hash), Some(data), []) =
                    (sequence, previous_hash, entry_hash, data, end)
                else {
                    let expected = if end.is_empty() { "all four members" } else { "the end" };
                    return Err(Expected(expected, end));
                };
                return Ok(Line { sequence, previous_hash, entry_hash, data, record: None });
            }
        };
    }
}

fn after<'a>(byte: u8, name: &'static str, input: &'a [u8]) -> Result<&'a [u8], Expected<'a>> {
    match input {
        [first, tail @ ..] if *first == byte => Ok(tail),
        _ => Err(Expected(name, input)),
    }
}

/// A string without escapes: no member name or hash needs one.
fn plain_string<'a>(
    input: &'a [u8],
    name: &'static str,
) -> Result<(&'a str, &'a [u8]), Expected<'a>> {
    let body = after(b'"', name, input)?;
    let tail = json::string(body)?;
    let inside = body.get(..body.len() - tail.len() - 1).unwrap_or_default();
    match std::str::from_utf8(inside) {
        Ok(text) if !text.contains('\\') => Ok((text, tail)),
        _ => Err(Expected(name, input)),
    }
}

/// A whole number without sign, fraction, exponent or leading zero.
fn number(input: &[u8]) -> Result<(u64, &[u8]), Expected<'_>> {
    let fault = Err(Expected("a whole number up to 18446744073709551615", input));
    let (mut value, mut rest) = match input {
        [b'0', tail @ ..] => (0, tail),
        [digit @ b'1'..=b'9', tail @ ..] => (u64::from(digit - b'0'), tail),
        _ => return fault,
    };
    while let [digit @ b'0'..=b'9', tail @ ..] = rest {
        let next = u64::from(digit - b'0');
        match value.checked_mul(10).and_then(|value| value.checked_add(next)) {
            Some(more) if value > 0 => (value, rest) = (more, tail),
            _ => return fault,
        }
    }
    Ok((value, rest))
}

/// Appends the canonical line of an entry, newline included.
pub(crate) fn write(out: &mut Vec<u8>, sequence: u64, previous: &str, hash: &str, data: &[u8]) {
    let mut digits = itoa::Buffer::new();
    for part in [
        "{\"sequence\":",
        digits.format(sequence),
        ",\"previous_hash\":\"",
        previous,
        "\",\"entry_hash\":\"",
        hash,
        "\",\"data\":",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(data);
    out.extend_from_slice(b"}\n");
}

/// The bytes of a canonical line without its newline, from the lengths of its parts.
pub(crate) fn length(sequence: u64, previous: &str, data: &[u8]) -> u64 {
    // The members' names, quotes and punctuation, and the 64 characters of the entry's own hash.
    const AROUND: usize = r#"{"sequence":,"previous_hash":"","entry_hash":"","data":}"#.len() + 64;
    let digits = sequence.checked_ilog10().map_or(1, |log| log as usize + 1);
    (AROUND + digits + previous.len() + data.len()) as u64
}

#[cfg(test)]
mod tests;
