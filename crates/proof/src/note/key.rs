//! The keys of notes: a name, a kind, a public key, and the short id that stands for all three.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};

use super::{NoteSignature, SignedNote, malformed};
use crate::error::EvidenceError;
use crate::signature::{Signer, verify_bytes};

/// What a key's signatures cover. Discriminants are the signature types of C2SP signed-note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// Ed25519 over the note's text.
    Ed25519 = 0x01,
    /// Ed25519 over a time and the text (C2SP tlog-cosignature, `cosignature/v1`).
    Cosignature = 0x04,
}

/// A key to check notes with, printed and read as `name+id+base64(kind ‖ public key)`.
///
/// ```
/// use calybris_proof::note::VerifierKey;
///
/// let key: VerifierKey =
///     "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse()?;
/// assert_eq!(key.name(), "PeterNeumann");
/// // The id is a hash of the rest: a mistyped name is found.
/// assert!("PeterNewmann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
///     .parse::<VerifierKey>()
///     .is_err());
/// # Ok::<(), calybris_proof::EvidenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: KeyKind,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The key that checks what `signer` signs.
    ///
    /// # Errors
    /// [`EvidenceError::SignerName`]: the name of a note's key has no space and no plus sign.
    pub fn of(signer: &Signer, kind: KeyKind) -> Result<Self, EvidenceError> {
        check_name(signer.id())?;
        Ok(Self { name: signer.id().into(), kind, public_key: signer.public_key().to_bytes() })
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// `SHA-256(name ‖ "\n" ‖ kind ‖ public key)`, its first four bytes.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        let hash: [u8; 32] = Sha256::new_with_prefix(&self.name)
            .chain_update([b'\n', self.kind as u8])
            .chain_update(self.public_key)
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        [a, b, c, d]
    }

    pub(crate) fn made(&self, line: &NoteSignature) -> bool {
        line.name == self.name && line.key_id == self.id()
    }

    /// Whether a name or a public key ties both keys to one signer.
    pub(crate) fn same_signer(&self, other: &Self) -> bool {
        self.name == other.name || self.public_key == other.public_key
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), EvidenceError> {
        let bad = || EvidenceError::BadSignature { signer_id: self.name.clone() };
        let signature = signature.try_into().map_err(|_| bad())?;
        verify_bytes(&self.name, &self.public_key, message, signature)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u32::from_be_bytes(self.id());
        let key = [&[self.kind as u8][..], &self.public_key].concat();
        write!(f, "{}+{id:08x}+{}", self.name, Base64::encode_string(&key))
    }
}

impl FromStr for VerifierKey {
    type Err = EvidenceError;

    fn from_str(text: &str) -> Result<Self, EvidenceError> {
        let wrong = |why: &str| EvidenceError::Format { what: "verifier key", why: why.into() };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("it is not of the form name+id+key"));
        };
        check_name(name)?;
        let key = Base64::decode_vec(key).map_err(|_| wrong("its key is not base64"))?;
        let (kind, public_key) = match key.split_first() {
            Some((1, key)) => (KeyKind::Ed25519, key),
            Some((4, key)) => (KeyKind::Cosignature, key),
            _ => return Err(wrong("its key is neither Ed25519 nor a cosigner's")),
        };
        let public_key = public_key.try_into().map_err(|_| wrong("its key is not 32 bytes"))?;
        let key = Self { name: name.into(), kind, public_key };
        if id == format!("{:08x}", u32::from_be_bytes(key.id())) {
            Ok(key)
        } else {
            Err(wrong("its id is not the hash of its name and key"))
        }
    }
}

pub(super) fn check_name(name: &str) -> Result<(), EvidenceError> {
    let why = if name.is_empty() {
        "it is empty"
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+') {
        "the name of a note's key has no space, control character or plus sign"
    } else {
        return Ok(());
    };
    Err(EvidenceError::SignerName { name: name.into(), why })
}

impl SignedNote {
    /// Appends the signature of `signer` over the text.
    ///
    /// # Errors
    /// As [`VerifierKey::of`], and a note that is full.
    pub fn sign(&mut self, signer: &Signer) -> Result<(), EvidenceError> {
        let key = VerifierKey::of(signer, KeyKind::Ed25519)?;
        let signature = signer.sign_bytes(self.text().as_bytes()).to_vec();
        self.push(NoteSignature { name: key.name.clone(), key_id: key.id(), signature })
    }

    /// Checks that `key` signed the text. Signatures of other keys are ignored, as the format says.
    ///
    /// # Errors
    /// [`EvidenceError::BadSignature`], or [`EvidenceError::Format`] when the key has not signed at all or is
    /// of [`KeyKind::Cosignature`], whose signatures cover a time besides.
    pub fn verify(&self, key: &VerifierKey) -> Result<(), EvidenceError> {
        if key.kind != KeyKind::Ed25519 {
            return Err(malformed(format!("{key} is a witness's key: it signs no plain note")));
        }
        let mut found = false;
        for line in self.signatures().iter().filter(|line| key.made(line)) {
            key.verify(self.text().as_bytes(), &line.signature)?;
            found = true;
        }
        if found { Ok(()) } else { Err(malformed(format!("it is not signed by {}", key.name))) }
    }
}
