//! How the command ends: exit codes that a script can tell apart, and failures that say what they mean.

use std::fmt;
use std::path::Path;

use calybris_core::digest::HexDigest;
use calybris_core::proof::EvidenceError;
use calybris_core::wal::{EntryFault, Place, VerifiedEntry, WalError};
use serde::Serialize;

use crate::files;
use crate::log::broken::line_at;

/// The exit code, and the verdict it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done; where something was verified, it holds.
    Verified = 0,
    /// Something contradicts the evidence.
    Tampered = 1,
    /// The command line or a file given with it cannot be used.
    Usage = 2,
    /// Something that should be there is not: a suffix, an entry, a signature.
    Incomplete = 3,
    /// It could not be found out: a file that cannot be read, a policy that was not given.
    CannotTell = 4,
    /// A threshold of `--fail-if` was passed.
    Threshold = 5,
}

impl Exit {
    /// Tampered beats incomplete beats everything that leaves the question open.
    pub(crate) const fn severity(self) -> u8 {
        match self {
            Self::Tampered => 3,
            Self::Incomplete => 2,
            Self::CannotTell | Self::Usage | Self::Threshold => 1,
            Self::Verified => 0,
        }
    }
}

/// What went wrong, where, and what it means.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Failure {
    pub(crate) verdict: Exit,
    #[serde(flatten)]
    pub(crate) place: Option<FailurePlace>,
    pub(crate) problem: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) meaning: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct FailurePlace {
    pub(crate) file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) byte: Option<u64>,
    pub(crate) sequence: u64,
}

pub(crate) type Result<T> = std::result::Result<T, Box<Failure>>;

impl Failure {
    pub(crate) fn new(verdict: Exit, problem: impl fmt::Display) -> Box<Self> {
        Box::new(Self {
            verdict,
            place: None,
            problem: problem.to_string(),
            expected: None,
            found: None,
            meaning: "",
        })
    }

    pub(crate) fn usage(problem: impl fmt::Display) -> Box<Self> {
        Self::new(Exit::Usage, problem)
    }

    pub(crate) fn meaning(mut self: Box<Self>, meaning: &'static str) -> Box<Self> {
        self.meaning = meaning;
        self
    }

    pub(crate) fn between(
        mut self: Box<Self>,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Box<Self> {
        (self.expected, self.found) = (Some(expected.to_string()), Some(found.to_string()));
        self
    }

    /// At an entry of a log.
    pub(crate) fn at(mut self: Box<Self>, file: &Path, sequence: u64) -> Box<Self> {
        let file = file.display().to_string();
        self.place = Some(FailurePlace { file, line: None, byte: None, sequence });
        self
    }

    /// At an entry of a log that is being read.
    pub(crate) fn at_entry(mut self: Box<Self>, entry: &VerifiedEntry<'_>) -> Box<Self> {
        self = self.at(entry.path, entry.sequence);
        if let Some(place) = &mut self.place {
            place.byte = Some(entry.offset);
        }
        self
    }

    /// At a place of a log.
    pub(crate) fn placed(mut self: Box<Self>, place: &Place) -> Box<Self> {
        self.place = Some(FailurePlace {
            file: place.path.display().to_string(),
            line: Some(place.line),
            byte: Some(place.offset),
            sequence: place.sequence,
        });
        self
    }

    /// With the line of its place, where only the byte is known; it is looked for in the file.
    pub(crate) fn with_line(mut self: Box<Self>) -> Box<Self> {
        if let Some(place @ FailurePlace { line: None, byte: Some(_), .. }) = &mut self.place {
            let byte = place.byte.unwrap_or_default();
            place.line = line_at(Path::new(&place.file), byte).ok();
        }
        self
    }

    /// Says what went wrong: to people on standard error, to machines on standard output.
    pub(crate) fn report(&self, json: bool) {
        let text = self.to_string();
        if json {
            let body = serde_json::json!({ "verdict": self.verdict, "error": self });
            // A closed standard output leaves the exit code to tell.
            let _ = files::print(&format!("{body}\n"));
        } else {
            files::note(&text);
        }
    }

    /// A file that is given with the command and cannot be read or written.
    pub(crate) fn file(path: &Path, error: impl fmt::Display) -> Box<Self> {
        Self::usage(format_args!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.problem)?;
        if let Some(FailurePlace { file, line, byte, sequence }) = &self.place {
            write!(f, "\n  where     {file}")?;
            if let (Some(line), Some(byte)) = (line, byte) {
                write!(f, ", line {line}, byte {byte}")?;
            }
            write!(f, ", sequence {sequence}")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected  {expected}")?;
        }
        if let Some(found) = &self.found {
            write!(f, "\n  found     {found}")?;
        }
        if !self.meaning.is_empty() {
            write!(f, "\n  meaning   {}", self.meaning)?;
        }
        Ok(())
    }
}

impl From<WalError> for Box<Failure> {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Entry { place, fault } => entry_failure(&place, &fault),
            WalError::BelowAnchor { path, found, expected } => {
                Failure::new(Exit::Incomplete, "the log ends before the trusted head")
                    .at(&path, found)
                    .between(format_args!("at least {expected} entries"), format_args!("{found}"))
                    .meaning(
                        "Entries that existed when the head was taken are missing: the end of the log was cut off, or this is an older copy.",
                    )
            }
            WalError::AcknowledgedMissing { ref place, .. } => {
                let problem = error.to_string();
                entry(Exit::Incomplete, place, problem).meaning(
                    "Entries that were acknowledged as durable are missing; nothing was touched.",
                )
            }
            WalError::AnchorKey { .. } | WalError::Key(_) | WalError::NotADirectory { .. } => {
                Failure::usage(error)
            }
            WalError::RetirementRecord { .. } => Failure::new(Exit::Tampered, error)
                .meaning("What the log says was retired from it cannot be believed."),
            WalError::Retired { .. } => Failure::new(Exit::CannotTell, error)
                .meaning("The log's owner retired a segment meanwhile; try again."),
            WalError::Io { .. } => Failure::new(Exit::CannotTell, error)
                .meaning("The log could not be read; nothing is known about it."),
            WalError::Unverified(_) => Failure::new(Exit::Tampered, error),
            other => Failure::new(Exit::CannotTell, other),
        }
    }
}

fn entry_failure(place: &Place, fault: &EntryFault) -> Box<Failure> {
    let (problem, sides, meaning): (_, Option<(String, String)>, _) = match fault {
        EntryFault::Sequence { found, expected } => (
            "the sequence does not follow".into(),
            Some((expected.to_string(), found.to_string())),
            "An entry was removed, repeated or put in another place.",
        ),
        EntryFault::PreviousHash { found, expected } => (
            "the entry does not follow the one before it".into(),
            Some((expected.to_string(), found.to_string())),
            "The entry before this one was changed, or this one was moved here from another log.",
        ),
        EntryFault::EntryHash { found, expected } => (
            "the entry's hash is not that of its payload".into(),
            expected.map(|expected| (expected.to_string(), found.to_string())),
            "The payload or the hash was changed after it was written.",
        ),
        EntryFault::Anchor { found, expected } => (
            "the entry is not the trusted head".into(),
            Some((expected.to_string(), found.to_string())),
            "History before the trusted head was rewritten, or this is another log.",
        ),
        EntryFault::PolicyMissing { policy_digest } => {
            return entry(Exit::CannotTell, place, fault.to_string())
                .between(policy_digest, "no such policy")
                .meaning("The decision cannot be replayed without the policy it names.");
        }
        EntryFault::SegmentName { found, expected } => (
            "the segment is not the one that is due".into(),
            Some((format!("a segment that begins with entry {expected}"), found.to_string())),
            "A segment is missing, was cut short or renamed.",
        ),
        EntryFault::Unsealed => (
            fault.to_string(),
            None,
            "The segment was cut short: it was whole when the next one was begun.",
        ),
        _ => (
            fault.to_string(),
            None,
            "The line was changed or damaged, or an entry was only half written.",
        ),
    };
    let failure = entry(Exit::Tampered, place, problem).meaning(meaning);
    match sides {
        Some((expected, found)) => failure.between(expected, found),
        None => failure,
    }
}

fn entry(verdict: Exit, place: &Place, problem: String) -> Box<Failure> {
    Failure::new(verdict, problem).placed(place)
}

impl From<EvidenceError> for Box<Failure> {
    fn from(error: EvidenceError) -> Self {
        let verdict = match &error {
            EvidenceError::Format { .. } | EvidenceError::SignerName { .. } => Exit::Usage,
            EvidenceError::Quorum { .. } => Exit::Incomplete,
            EvidenceError::UntrustedKey { .. } | EvidenceError::KeyNotValid { .. } => {
                Exit::CannotTell
            }
            _ => Exit::Tampered,
        };
        let failure = Failure::new(verdict, &error);
        match &error {
            EvidenceError::Digest { found, expected, .. } => {
                failure.between(HexDigest::new(expected), HexDigest::new(found))
            }
            EvidenceError::Number { found, expected, .. } => failure.between(expected, found),
            _ => failure,
        }
    }
}
