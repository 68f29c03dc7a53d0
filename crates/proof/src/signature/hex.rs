//! A 64-byte signature as 128 lowercase hexadecimal characters.

use alloc::string::String;
use core::fmt;

use calybris_kernel::digest::{DigestDecodeError, HexDigest};

/// An Ed25519 signature in its printed form: two digests' worth of characters, and no other spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignatureHex([HexDigest; 2]);

impl SignatureHex {
    /// Encodes a signature.
    #[must_use]
    pub fn new(signature: &[u8; 64]) -> Self {
        let mut halves = [[0; 32]; 2];
        for (half, bytes) in halves.iter_mut().zip(signature.chunks_exact(32)) {
            half.copy_from_slice(bytes);
        }
        Self(halves.map(HexDigest::from))
    }

    /// Parses 128 lowercase hexadecimal characters.
    ///
    /// # Errors
    /// [`DigestDecodeError`]; a position counts from the start of its half.
    pub fn parse(text: &str) -> Result<Self, DigestDecodeError> {
        match text.split_at_checked(64) {
            Some((left, right)) if right.len() == 64 => {
                Ok(Self([HexDigest::parse(left)?, HexDigest::parse(right)?]))
            }
            _ => Err(DigestDecodeError::Length { found: text.len() }),
        }
    }

    /// The 64 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (chunk, half) in bytes.chunks_exact_mut(32).zip(self.0) {
            chunk.copy_from_slice(&half.to_bytes());
        }
        bytes
    }
}

impl fmt::Display for SignatureHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [left, right] = &self.0;
        write!(f, "{left}{right}")
    }
}

impl fmt::Debug for SignatureHex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for SignatureHex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SignatureHex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|_| {
            serde::de::Error::custom("a signature has 128 lowercase hexadecimal characters")
        })
    }
}
