//! A chain hash as the log writes it.

use alloc::string::String;
use core::fmt;
use core::ops::Deref;
use core::str::FromStr;

use calybris_kernel::digest::HexDigest;
use subtle::ConstantTimeEq as _;

use super::ChainError;

const GENESIS_TEXT: &str = "genesis";

/// `genesis`, or 64 lowercase hexadecimal characters. Compares with, slices and prints like a `str`.
///
/// ```
/// use calybris_proof::chain::ChainHash;
///
/// let genesis: ChainHash = "genesis".parse()?;
/// assert_eq!(genesis.len(), 7);
/// assert!("GENESIS".parse::<ChainHash>().is_err());
/// # Ok::<(), calybris_proof::chain::ChainError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainHash(Option<HexDigest>);

impl ChainHash {
    /// What the first entry follows.
    pub const GENESIS: Self = Self(None);

    /// The text in the log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref().map_or(GENESIS_TEXT, HexDigest::as_str)
    }

    /// The text in the log as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(GENESIS_TEXT.as_bytes(), HexDigest::as_bytes)
    }

    /// Whether this is the head of an empty log.
    #[must_use]
    pub const fn is_genesis(&self) -> bool {
        self.0.is_none()
    }

    /// The 32 bytes, none for `genesis`.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.0.map(HexDigest::to_bytes)
    }

    /// Equality in time that does not depend on where the texts differ.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl From<[u8; 32]> for ChainHash {
    fn from(digest: [u8; 32]) -> Self {
        Self(Some(HexDigest::new(&digest)))
    }
}

impl From<HexDigest> for ChainHash {
    fn from(digest: HexDigest) -> Self {
        Self(Some(digest))
    }
}

impl From<ChainHash> for String {
    fn from(hash: ChainHash) -> Self {
        hash.as_str().into()
    }
}

impl FromStr for ChainHash {
    type Err = ChainError;

    fn from_str(text: &str) -> Result<Self, ChainError> {
        if text == GENESIS_TEXT {
            return Ok(Self::GENESIS);
        }
        HexDigest::parse(text).map(Self::from).map_err(ChainError::Hash)
    }
}

impl Deref for ChainHash {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ChainHash {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for ChainHash {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ChainHash {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for ChainHash {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<ChainHash> for str {
    fn eq(&self, other: &ChainHash) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<ChainHash> for &str {
    fn eq(&self, other: &ChainHash) -> bool {
        *self == other.as_str()
    }
}

impl PartialEq<ChainHash> for String {
    fn eq(&self, other: &ChainHash) -> bool {
        self == other.as_str()
    }
}

impl serde::Serialize for ChainHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ChainHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = ChainHash;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"genesis\" or 64 lowercase hexadecimal characters")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ChainHash, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Visitor)
    }
}
