//! Checkpoints (C2SP tlog-checkpoint): a log's tree head as a signed note, and the witnesses'
//! co-signatures (C2SP tlog-cosignature) that show everyone is given the same one.

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding as _};

use crate::error::EvidenceError;
use crate::merkle::TreeHead;
use crate::note::{self, KeyKind, NoteSignature, SignedNote, VerifierKey};
use crate::signature::Signer;

/// A log's name, its size and its root.
///
/// ```
/// use calybris_proof::checkpoint::Checkpoint;
/// use calybris_proof::merkle::MerkleFrontier;
///
/// let checkpoint = Checkpoint::new("example.com/decisions", MerkleFrontier::new().head())?;
/// let text = checkpoint.to_string();
/// assert_eq!(text, "example.com/decisions\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
/// assert_eq!(text.parse::<Checkpoint>()?, checkpoint);
/// assert!(text.replace("\n0\n", "\n00\n").parse::<Checkpoint>().is_err());
/// # Ok::<(), calybris_proof::EvidenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    head: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// A checkpoint of the log named `origin`: a schema-less URL, one line.
    ///
    /// # Errors
    /// [`EvidenceError::Format`] for an origin that is empty or has a control character.
    pub fn new(origin: impl Into<String>, head: TreeHead) -> Result<Self, EvidenceError> {
        let origin = origin.into();
        if origin.is_empty() || origin.contains(char::is_control) {
            return Err(malformed("the origin is empty or has a control character"));
        }
        Ok(Self { origin, head, extensions: Vec::new() })
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> &TreeHead {
        &self.head
    }

    /// The note of this checkpoint, signed by its log.
    ///
    /// # Errors
    /// [`EvidenceError::SignerName`] for a name that a note's key cannot have.
    pub fn sign(&self, log: &Signer) -> Result<SignedNote, EvidenceError> {
        let mut note = SignedNote::new(self.to_string())?;
        note.sign(log)?;
        Ok(note)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = Base64::encode_string(&self.head.root);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.head.size)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = EvidenceError;

    fn from_str(text: &str) -> Result<Self, EvidenceError> {
        note::check_text(text).map_err(malformed)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let mut lines = text.split('\n');
        let mut line = |what| lines.next().ok_or_else(|| malformed(what));
        let origin = line("there is no origin line")?;
        let size_text = line("there is no size line")?;
        let root = line("there is no root line")?;
        let size: u64 = size_text.parse().map_err(|_| malformed("the size is not a number"))?;
        // One spelling of a number: no sign, no leading zero.
        if size.to_string() != size_text {
            return Err(malformed("the size has a sign or a leading zero"));
        }
        let root = Base64::decode_vec(root).ok().and_then(|root| root.try_into().ok());
        let root = root.ok_or_else(|| malformed("the root is not 32 bytes of base64"))?;
        let mut checkpoint = Self::new(origin, TreeHead { size, root })?;
        checkpoint.extensions = lines.map(String::from).collect();
        if checkpoint.extensions.iter().any(String::is_empty) {
            return Err(malformed("an extension line is empty"));
        }
        Ok(checkpoint)
    }
}

/// Appends the co-signature of a witness at a time in seconds of the Unix epoch.
///
/// A witness co-signs only what it has checked to extend every checkpoint it co-signed before: verify a
/// [`crate::merkle::ConsistencyProof`] first.
///
/// # Errors
/// [`EvidenceError::SignerName`], a text that is no checkpoint, or a note that is full.
pub fn cosign(
    note: &mut SignedNote,
    witness: &Signer,
    unix_seconds: u64,
) -> Result<(), EvidenceError> {
    note.text().parse::<Checkpoint>()?;
    let key = VerifierKey::of(witness, KeyKind::Cosignature)?;
    let signed = witness.sign_bytes(cosigned_message(note.text(), unix_seconds).as_bytes());
    // A timestamped_signature: the time big-endian, then the signature.
    let signature = [&unix_seconds.to_be_bytes()[..], &signed].concat();
    note.push(NoteSignature { name: key.name().into(), key_id: key.id(), signature })
}

fn cosigned_message(text: &str, unix_seconds: u64) -> String {
    format!("cosignature/v1\ntime {unix_seconds}\n{text}")
}

/// The witnesses a verifier knows, and how many of them must have co-signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// Their keys, of kind [`KeyKind::Cosignature`]. Keys that share a name, as after a rotation, or a
    /// public key are one witness; a key that shares either with the log's is none.
    pub keys: Vec<VerifierKey>,
    /// Distinct witnesses needed; 0 asks for none.
    pub quorum: usize,
}

/// A checkpoint whose signatures hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Known witnesses that co-signed, with the latest time each says it did, in Unix seconds.
    pub cosigned_by: Vec<(String, u64)>,
}

/// Checks that a log signed this checkpoint of `origin` and that a quorum of witnesses co-signed it.
///
/// # Errors
/// A text that is no checkpoint or another log's, the log's signature, a known witness's signature that
/// does not verify, or [`EvidenceError::Quorum`].
pub fn verify_checkpoint(
    note: &SignedNote,
    origin: &str,
    log: &VerifierKey,
    witnesses: &Witnesses,
) -> Result<VerifiedCheckpoint, EvidenceError> {
    let checkpoint: Checkpoint = note.text().parse()?;
    if checkpoint.origin != origin {
        let why = format!("it is of the log {:?}, not of {origin:?}", checkpoint.origin);
        return Err(malformed(why));
    }
    note.verify(log)?;
    let mut voices: Vec<(&VerifierKey, u64)> = Vec::new();
    let cosigners = witnesses.keys.iter().filter(|key| key.kind() == KeyKind::Cosignature);
    // The log vouches for itself already.
    for key in cosigners.filter(|key| !key.same_signer(log)) {
        let Some(time) = latest_cosignature(note, key)? else { continue };
        match voices.iter_mut().find(|(earlier, _)| earlier.same_signer(key)) {
            Some((_, latest)) => *latest = time.max(*latest),
            None => voices.push((key, time)),
        }
    }
    let (found, needed) = (voices.len(), witnesses.quorum);
    if found < needed {
        return Err(EvidenceError::Quorum { found, needed });
    }
    let cosigned_by = voices.into_iter().map(|(key, time)| (key.name().into(), time)).collect();
    Ok(VerifiedCheckpoint { checkpoint, cosigned_by })
}

fn latest_cosignature(note: &SignedNote, key: &VerifierKey) -> Result<Option<u64>, EvidenceError> {
    let mut latest = None;
    for line in note.signatures().iter().filter(|line| key.made(line)) {
        let Some((time, signature)) = line.signature.split_first_chunk() else {
            return Err(EvidenceError::BadSignature { signer_id: key.name().into() });
        };
        let time = u64::from_be_bytes(*time);
        key.verify(cosigned_message(note.text(), time).as_bytes(), signature)?;
        latest = latest.max(Some(time));
    }
    Ok(latest)
}

fn malformed(why: impl fmt::Display) -> EvidenceError {
    EvidenceError::Format { what: "checkpoint", why: why.to_string() }
}

#[cfg(test)]
mod tests;
