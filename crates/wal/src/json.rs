//! Where a JSON value ends (RFC 8259), without building it: no allocation up to 64 levels, no recursion.

/// What was expected, and the bytes from where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected<'a>(pub(crate) &'static str, pub(crate) &'a [u8]);

type Rest<'a> = Result<&'a [u8], Expected<'a>>;

/// What follows JSON whitespace.
pub(crate) fn whitespace(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', tail @ ..] = rest {
        rest = tail;
    }
    rest
}

/// What follows the value that starts here, leading whitespace allowed.
pub(crate) fn value(input: &[u8]) -> Rest<'_> {
    let mut rest = input;
    let mut open = Nesting::default();
    loop {
        rest = match whitespace(rest) {
            [b'"', tail @ ..] => string(tail)?,
            [b'{', tail @ ..] => match whitespace(tail) {
                [b'}', tail @ ..] => tail,
                tail => {
                    open.push(true);
                    rest = member_name(tail)?;
                    continue;
                }
            },
            [b'[', tail @ ..] => match whitespace(tail) {
                [b']', tail @ ..] => tail,
                tail => {
                    open.push(false);
                    rest = tail;
                    continue;
                }
            },
            [b't', b'r', b'u', b'e', tail @ ..]
            | [b'f', b'a', b'l', b's', b'e', tail @ ..]
            | [b'n', b'u', b'l', b'l', tail @ ..] => tail,
            other => number(other)?,
        };
        loop {
            let Some(in_object) = open.innermost() else { return Ok(rest) };
            rest = match (in_object, whitespace(rest)) {
                (true, [b',', tail @ ..]) => {
                    rest = member_name(whitespace(tail))?;
                    break;
                }
                (false, [b',', tail @ ..]) => {
                    rest = tail;
                    break;
                }
                (true, [b'}', tail @ ..]) | (false, [b']', tail @ ..]) => {
                    open.pop();
                    tail
                }
                (true, other) => return Err(Expected("',' or '}'", other)),
                (false, other) => return Err(Expected("',' or ']'", other)),
            };
        }
    }
}

/// What follows a member's name and its colon.
fn member_name(input: &[u8]) -> Rest<'_> {
    let [b'"', tail @ ..] = input else { return Err(Expected("a member name", input)) };
    match whitespace(string(tail)?) {
        [b':', tail @ ..] => Ok(tail),
        other => Err(Expected("':'", other)),
    }
}

/// What follows a string, from after its opening quote.
pub(crate) fn string(input: &[u8]) -> Rest<'_> {
    let mut rest = input;
    loop {
        while let Some((word, tail)) = rest.split_first_chunk::<8>() {
            let found = special(u64::from_le_bytes(*word));
            if found != 0 {
                rest = rest.get(found.trailing_zeros() as usize / 8..).unwrap_or_default();
                break;
            }
            rest = tail;
        }
        rest = match rest {
            [b'"', tail @ ..] => return Ok(tail),
            [b'\\', tail @ ..] => escape(tail)?,
            [0..=0x1F, ..] | [] => return Err(Expected("a closing quote", rest)),
            [_, tail @ ..] => tail,
        };
    }
}

/// The first of eight bytes that is a quote, a backslash or a control character has the lowest bit that is set.
///
/// The classic test for a zero byte, `(x - 1) & !x & 0x80` in every lane, on the word xored with the byte
/// looked for. A borrow may also mark lanes above a match, never below one.
const fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5C);
    let found = (quote.wrapping_sub(ONES) & !quote)
        | (backslash.wrapping_sub(ONES) & !backslash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    found & HIGH
}

fn escape(input: &[u8]) -> Rest<'_> {
    match input {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', tail @ ..] => Ok(tail),
        [b'u', a, b, c, d, tail @ ..] if [a, b, c, d].into_iter().all(u8::is_ascii_hexdigit) => {
            Ok(tail)
        }
        _ => Err(Expected("an escape", input)),
    }
}

fn number(input: &[u8]) -> Rest<'_> {
    let unsigned = if let [b'-', tail @ ..] = input { tail } else { input };
    let mut rest = match unsigned {
        [b'0', tail @ ..] => tail,
        [b'1'..=b'9', tail @ ..] => digits(tail),
        _ => return Err(Expected("a value", input)),
    };
    if let [b'.', tail @ ..] = rest {
        rest = some_digits(tail)?;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        rest = some_digits(if let [b'+' | b'-', tail @ ..] = tail { tail } else { tail })?;
    }
    Ok(rest)
}

fn digits(mut rest: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', tail @ ..] = rest {
        rest = tail;
    }
    rest
}

fn some_digits(input: &[u8]) -> Rest<'_> {
    match input {
        [b'0'..=b'9', tail @ ..] => Ok(digits(tail)),
        _ => Err(Expected("a digit", input)),
    }
}

/// The brackets that are open: a bit for each, 1 for an object.
#[derive(Default)]
struct Nesting {
    innermost_64: u64,
    depth: u32,
    outer: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.innermost_64);
        }
        self.innermost_64 = self.innermost_64 << 1 | u64::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.innermost_64 >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.innermost_64 = self.outer.pop().unwrap_or_default();
        }
    }

    fn innermost(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.innermost_64 & 1 == 1)
    }
}

#[cfg(test)]
mod tests;
