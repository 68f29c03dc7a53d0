//! Digests as people read them: 64 lowercase hexadecimal characters, and no other spelling.

use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

/// A 32-byte digest in its printed form. Compares with, slices and prints like a `str`.
///
/// ```
/// use calybris_kernel::digest::{DigestDecodeError, HexDigest};
///
/// let printed = HexDigest::new(&[0xab; 32]);
/// assert_eq!(&printed[..4], "abab");
/// assert_eq!(HexDigest::parse(&printed)?.to_bytes(), [0xab; 32]);
/// assert!(HexDigest::parse("abab").is_err(), "64 characters are needed");
/// # Ok::<(), DigestDecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HexDigest([u8; 64]);

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DigestDecodeError {
    /// Not 64 bytes long.
    Length {
        /// Bytes found.
        found: usize,
    },
    /// A byte that is not a lowercase hexadecimal digit.
    Character {
        /// The byte.
        found: u8,
        /// Its position.
        position: usize,
    },
}

impl fmt::Display for DigestDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Length { found } => write!(f, "digest has {found} characters, 64 are needed"),
            Self::Character { found, position } => write!(
                f,
                "digest has '{}' at position {position}, only 0-9 and a-f are allowed",
                found.escape_ascii()
            ),
        }
    }
}

impl core::error::Error for DigestDecodeError {}

impl HexDigest {
    /// Encodes a digest.
    #[must_use]
    pub fn new(digest: &[u8; 32]) -> Self {
        // Arithmetic rather than a table: it is done for many digits at once.
        let digit = |nibble: u8| nibble + if nibble > 9 { b'a' - 10 } else { b'0' };
        let mut text = [b'0'; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Self(text)
    }

    /// Parses 64 lowercase hexadecimal characters.
    ///
    /// # Errors
    /// [`DigestDecodeError`] says what is wrong and where.
    pub fn parse(text: &str) -> Result<Self, DigestDecodeError> {
        Self::from_ascii(text.as_bytes())
    }

    /// As [`HexDigest::parse`], of bytes that need not be known to be text.
    ///
    /// # Errors
    /// As [`HexDigest::parse`].
    ///
    /// ```
    /// use calybris_kernel::digest::{DigestDecodeError, HexDigest};
    ///
    /// assert_eq!(HexDigest::from_ascii(&[b'0'; 64])?, HexDigest::new(&[0; 32]));
    /// let wrong = DigestDecodeError::Character { found: 0xFF, position: 0 };
    /// assert_eq!(HexDigest::from_ascii(&[0xFF; 64]), Err(wrong));
    /// # Ok::<(), DigestDecodeError>(())
    /// ```
    pub fn from_ascii(bytes: &[u8]) -> Result<Self, DigestDecodeError> {
        let Ok(digits) = <[u8; 64]>::try_from(bytes) else {
            return Err(DigestDecodeError::Length { found: bytes.len() });
        };
        // All at once first, which the compiler does for many digits in one step; the place only when one is wrong.
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.iter().fold(true, |all, byte| all & is_digit(byte)) {
            return Ok(Self(digits));
        }
        let position = digits.iter().position(|byte| !is_digit(byte)).unwrap_or_default();
        let found = digits.get(position).copied().unwrap_or_default();
        Err(DigestDecodeError::Character { found, position })
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let value = |digit: u8| if digit < b'a' { digit & 15 } else { (digit & 15) + 9 };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(self.0.chunks_exact(2)) {
            if let [high, low] = pair {
                *byte = value(*high) << 4 | value(*low);
            }
        }
        bytes
    }

    /// The 64 characters as bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The 64 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A digest as 64 lowercase hexadecimal characters.
#[cfg(feature = "alloc")]
#[must_use]
pub fn digest_to_hex(digest: &[u8; 32]) -> alloc::string::String {
    HexDigest::new(digest).as_str().into()
}

impl Deref for HexDigest {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for HexDigest {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for HexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HexDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl From<[u8; 32]> for HexDigest {
    fn from(digest: [u8; 32]) -> Self {
        Self::new(&digest)
    }
}

impl FromStr for HexDigest {
    type Err = DigestDecodeError;

    fn from_str(text: &str) -> Result<Self, DigestDecodeError> {
        Self::parse(text)
    }
}

impl PartialEq<str> for HexDigest {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for HexDigest {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

#[cfg(feature = "alloc")]
impl PartialEq<alloc::string::String> for HexDigest {
    fn eq(&self, other: &alloc::string::String) -> bool {
        self.as_str() == other
    }
}

#[cfg(feature = "alloc")]
impl PartialEq<HexDigest> for alloc::string::String {
    fn eq(&self, other: &HexDigest) -> bool {
        self == other.as_str()
    }
}

#[cfg(feature = "alloc")]
impl From<HexDigest> for alloc::string::String {
    fn from(digest: HexDigest) -> Self {
        digest.as_str().into()
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for HexDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for HexDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = HexDigest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 lowercase hexadecimal characters")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HexDigest, E> {
                HexDigest::parse(text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}
