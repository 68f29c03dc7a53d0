//! The log's chain: the hash of a link, the key of a keyed log, the trusted head.

mod hash;

use core::fmt;

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

pub use hash::ChainHash;

/// The fewest bytes a [`ChainKey`] may have: the output size of the hash (RFC 2104 §3).
pub const MIN_KEY_BYTES: usize = 32;

/// The schema of a [`WalAnchor`].
pub const WAL_ANCHOR_SCHEMA: &str = "calybris.wal-anchor.v1";

/// What a link, a key or an anchor can get wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// The key is too short to be one.
    #[error("chain key has {found} bytes, at least {MIN_KEY_BYTES} are needed")]
    KeyTooShort {
        /// Bytes given.
        found: usize,
    },
    /// A text is neither `genesis` nor a digest.
    #[error("chain hash is neither \"genesis\" nor a digest: {0}")]
    Hash(calybris_kernel::digest::DigestDecodeError),
    /// An anchor at sequence 0 with a hash, or at a later one without.
    #[error("anchor at sequence {sequence} cannot have last_hash {last_hash}")]
    AnchorPosition {
        /// The anchor's sequence.
        sequence: u64,
        /// The anchor's hash.
        last_hash: ChainHash,
    },
}

/// The secret of a keyed log, with its key schedule computed once.
///
/// ```
/// use calybris_proof::chain::{ChainError, ChainKey};
///
/// let key = ChainKey::new(&[7; 32])?;
/// assert_eq!(format!("{key:?}"), "ChainKey(redacted)");
/// assert_eq!(ChainKey::new(b"short").unwrap_err(), ChainError::KeyTooShort { found: 5 });
/// # Ok::<(), ChainError>(())
/// ```
#[derive(Clone)]
pub struct ChainKey(Hmac<Sha256>);

impl ChainKey {
    /// Prepares a key of at least [`MIN_KEY_BYTES`] secret bytes.
    ///
    /// # Errors
    /// [`ChainError::KeyTooShort`].
    pub fn new(secret: &[u8]) -> Result<Self, ChainError> {
        let too_short = ChainError::KeyTooShort { found: secret.len() };
        if secret.len() < MIN_KEY_BYTES {
            return Err(too_short);
        }
        // HMAC itself takes a key of any length.
        Hmac::new_from_slice(secret).map(Self).map_err(|_| too_short)
    }
}

impl fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainKey(redacted)")
    }
}

/// The hash of the entry that follows `previous` and carries `payload`, exactly as written.
///
/// SHA-256 over the previous hash as text and the payload; with a key, HMAC-SHA-256 (RFC 2104) over the
/// same bytes.
///
/// ```
/// use calybris_proof::chain::{ChainHash, link_hash};
///
/// let first = link_hash(&ChainHash::GENESIS, br#"{"k":1,"v":"alpha"}"#, None);
/// assert_eq!(first, "a7acef39aa56cd6e769a5ebae74a7c9dcd30d9d8c15e391773d55334848117f4");
/// // One changed byte, another hash.
/// assert_ne!(first, link_hash(&ChainHash::GENESIS, br#"{"k":2,"v":"alpha"}"#, None));
/// ```
#[must_use]
pub fn link_hash(previous: &ChainHash, payload: &[u8], key: Option<&ChainKey>) -> ChainHash {
    let previous = previous.as_bytes();
    let digest: [u8; 32] = match key {
        None => Sha256::new_with_prefix(previous).chain_update(payload).finalize().into(),
        Some(key) => {
            let mac = key.0.clone().chain_update(previous).chain_update(payload);
            mac.finalize().into_bytes().into()
        }
    };
    ChainHash::from(digest)
}

/// A trusted head, kept where the log's owner cannot reach: it shows a suffix that was cut off.
///
/// ```
/// use calybris_proof::chain::{ChainHash, WalAnchor};
///
/// let empty = WalAnchor::new(0, ChainHash::GENESIS, false)?;
/// assert_eq!(empty, WalAnchor::EMPTY);
/// assert!(WalAnchor::new(3, ChainHash::GENESIS, false).is_err());
/// # Ok::<(), calybris_proof::chain::ChainError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, try_from = "AnchorText")]
pub struct WalAnchor {
    /// [`WAL_ANCHOR_SCHEMA`].
    pub schema_version: AnchorSchema,
    /// Entries in the log.
    pub sequence: u64,
    /// The hash of the last one, `genesis` for an empty log.
    pub last_hash: ChainHash,
    /// Whether the log is keyed.
    pub keyed: bool,
}

impl WalAnchor {
    /// The head of an empty, unkeyed log.
    pub const EMPTY: Self = Self {
        schema_version: AnchorSchema,
        sequence: 0,
        last_hash: ChainHash::GENESIS,
        keyed: false,
    };

    /// A head at `sequence`.
    ///
    /// # Errors
    /// [`ChainError::AnchorPosition`] unless sequence 0 and `genesis` go together.
    pub fn new(sequence: u64, last_hash: ChainHash, keyed: bool) -> Result<Self, ChainError> {
        if (sequence == 0) != last_hash.is_genesis() {
            return Err(ChainError::AnchorPosition { sequence, last_hash });
        }
        Ok(Self { schema_version: AnchorSchema, sequence, last_hash, keyed })
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorText {
    #[serde(rename = "schema_version")]
    _schema_version: AnchorSchema,
    sequence: u64,
    last_hash: ChainHash,
    keyed: bool,
}

impl TryFrom<AnchorText> for WalAnchor {
    type Error = ChainError;

    fn try_from(text: AnchorText) -> Result<Self, ChainError> {
        Self::new(text.sequence, text.last_hash, text.keyed)
    }
}

crate::json::text_constant! {
    /// The one schema an anchor may name.
    AnchorSchema = WAL_ANCHOR_SCHEMA
}

#[cfg(test)]
mod tests;
