//! Following a chain: each line against its predecessor.

use calybris_proof::chain::{ChainHash, ChainKey, WalAnchor, link_hash};

use subtle::ConstantTimeEq as _;

use crate::error::{EntryFault, Fault};
use crate::line::Line;

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) hash: ChainHash,
}

impl Head {
    /// Of an empty log.
    pub(crate) const EMPTY: Self = Self { sequence: 0, hash: ChainHash::GENESIS };

    pub(crate) fn of(anchor: &WalAnchor) -> Self {
        Self { sequence: anchor.sequence, hash: anchor.last_hash }
    }

    /// The sequence due next. Saturating: no log is that long.
    pub(crate) fn next(&self) -> u64 {
        self.sequence.saturating_add(1)
    }

    /// The head after `line`, which must follow this one and hash to what it says.
    pub(crate) fn follow(&self, line: &Line<'_>, key: Option<&ChainKey>) -> Result<Self, Fault> {
        self.is_followed_by(line.sequence, line.previous_hash)?;
        Ok(Self { sequence: line.sequence, hash: verified_hash(&self.hash, line, key)? })
    }

    /// Whether it is every trusted one that has its sequence: the caller's may be that of the head file.
    pub(crate) fn check(&self, trusted: &[Self]) -> Result<(), Fault> {
        let mut due = trusted.iter().filter(|trusted| trusted.sequence == self.sequence);
        match due.find(|trusted| !trusted.hash.ct_eq(&self.hash)) {
            Some(trusted) => {
                Err(EntryFault::Anchor { found: self.hash, expected: trusted.hash }.into())
            }
            None => Ok(()),
        }
    }

    /// Whether an entry with this sequence and previous hash follows.
    pub(crate) fn is_followed_by(&self, sequence: u64, previous: &str) -> Result<(), Fault> {
        if sequence != self.next() {
            return Err(EntryFault::Sequence { found: sequence, expected: self.next() }.into());
        }
        if previous.as_bytes() != self.hash.as_bytes() {
            let found = hash_of(previous, "a previous_hash")?;
            return Err(EntryFault::PreviousHash { found, expected: self.hash }.into());
        }
        Ok(())
    }
}

/// The hash of `line` after `previous`, if it is the one it claims. The comparison takes constant time.
pub(crate) fn verified_hash(
    previous: &ChainHash,
    line: &Line<'_>,
    key: Option<&ChainKey>,
) -> Result<ChainHash, Fault> {
    let computed = link_hash(previous, line.data, key);
    if same_text(computed.as_bytes(), line.entry_hash.as_bytes()) {
        return Ok(computed);
    }
    let found = hash_of(line.entry_hash, "an entry_hash")?;
    Err(EntryFault::EntryHash { found, expected: key.is_none().then_some(computed) }.into())
}

/// Equality in time that does not depend on where two texts of one length differ.
///
/// Differences are gathered over all bytes, and only their union is looked at.
fn same_text(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0_u8, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && bool::from(difference.ct_eq(&0))
}

/// Text from a line as a hash.
pub(crate) fn hash_of(text: &str, expected: &'static str) -> Result<ChainHash, Fault> {
    text.parse().map_err(|_| EntryFault::Malformed { expected, at: 0 }.into())
}
