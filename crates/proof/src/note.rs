//! Signed notes (C2SP signed-note): a text, a blank line, and one line for every signature.

mod key;

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding as _};

use crate::error::EvidenceError;

pub use key::{KeyKind, VerifierKey};

/// The longest note that is read, in bytes.
pub const MAX_NOTE_BYTES: usize = 1_000_000;
/// The most signatures a note may carry; more are refused before any is checked.
pub const MAX_NOTE_SIGNATURES: usize = 100;

const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// One signature line: who, under which key, and the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The first four bytes of the key's hash.
    pub key_id: [u8; 4],
    /// The signature, whose form the key's kind decides.
    pub signature: Vec<u8>,
}

/// A note as read or as being signed. Its signatures are not yet checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// A note without signatures. The text ends with a newline.
    ///
    /// # Errors
    /// [`EvidenceError::Format`].
    pub fn new(text: impl Into<String>) -> Result<Self, EvidenceError> {
        let text = text.into();
        check_text(&text).map_err(malformed)?;
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note.
    ///
    /// # Errors
    /// [`EvidenceError::Format`] says what is wrong, with the line.
    pub fn parse(note: &str) -> Result<Self, EvidenceError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(malformed(format!("it is longer than {MAX_NOTE_BYTES} bytes")));
        }
        // The last blank line: the text itself may have some.
        let Some((text, lines)) = note.rsplit_once("\n\n") else {
            return Err(malformed("no blank line separates text and signatures"));
        };
        let mut read = Self::new(format!("{text}\n"))?;
        let Some(lines) = lines.strip_suffix('\n') else {
            return Err(malformed("it does not end with a newline"));
        };
        let text_lines = text.split('\n').count() + 1;
        for (index, line) in lines.split('\n').enumerate() {
            let signature = parse_signature(line).ok_or_else(|| {
                malformed(format!("line {} is not a signature", text_lines + index + 1))
            })?;
            read.push(signature)?;
        }
        Ok(read)
    }

    /// What is signed, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, unchecked.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    pub(crate) fn push(&mut self, signature: NoteSignature) -> Result<(), EvidenceError> {
        if self.signatures.len() == MAX_NOTE_SIGNATURES {
            return Err(malformed(format!("it has more than {MAX_NOTE_SIGNATURES} signatures")));
        }
        self.signatures.push(signature);
        Ok(())
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let payload = [&line.key_id[..], &line.signature].concat();
            writeln!(f, "{SIGNATURE_PREFIX}{} {}", line.name, Base64::encode_string(&payload))?;
        }
        Ok(())
    }
}

/// A text is whole lines without other control characters, so that what is shown is what is signed.
pub(crate) fn check_text(text: &str) -> Result<(), &'static str> {
    if !text.ends_with('\n') || text.starts_with('\n') {
        Err("the text is empty or does not end with a newline")
    } else if text.contains(|c: char| c.is_control() && c != '\n') {
        Err("the text has a control character")
    } else {
        Ok(())
    }
}

fn parse_signature(line: &str) -> Option<NoteSignature> {
    let (name, payload) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    key::check_name(name).ok()?;
    let payload = Base64::decode_vec(payload).ok()?;
    let (key_id, signature) = payload.split_first_chunk()?;
    if signature.is_empty() {
        return None;
    }
    Some(NoteSignature { name: name.into(), key_id: *key_id, signature: signature.to_vec() })
}

pub(crate) fn malformed(why: impl fmt::Display) -> EvidenceError {
    EvidenceError::Format { what: "signed note", why: why.to_string() }
}

#[cfg(test)]
mod tests;
