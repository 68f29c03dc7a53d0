//! `calybris checkpoint`: a log's tree head, signed by its log and co-signed by witnesses.

use std::path::{Path, PathBuf};

use calybris_core::proof::EvidenceError;
use calybris_core::proof::checkpoint::{Checkpoint, Witnesses, cosign, verify_checkpoint};
use calybris_core::proof::merkle::TreeHead;
use calybris_core::proof::note::{KeyKind, SignedNote, VerifierKey};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::{Log, LogArgs};
use crate::show::count;
use crate::verdict::Item;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// The log's public name: a URL without its scheme; the signing key's name too
    #[arg(long, value_name = "NAME")]
    origin: String,
    /// File with the seed of the signing key, in hexadecimal; else `CALYBRIS_SIGNING_KEY`
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// Co-sign this checkpoint as a witness, after checking that the log contains it
    #[arg(long, value_name = "FILE", requires_all = ["witness_name", "log_key", "time"])]
    cosign: Option<PathBuf>,
    /// The witness's name
    #[arg(long, value_name = "NAME")]
    witness_name: Option<String>,
    /// The log's public key, `name+id+key`
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// When the witness co-signs, in seconds of the Unix epoch
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Where to write the checkpoint; standard output when left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A checkpoint to check a log or a bundle against.
#[derive(clap::Args, Debug)]
pub(crate) struct CheckpointArgs {
    /// Signed checkpoint of the log
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    keys: CheckpointKeys,
}

/// Whose signatures on a checkpoint count.
#[derive(clap::Args, Debug)]
pub(crate) struct CheckpointKeys {
    /// The log's public key, `name+id+key`, from a place you trust
    #[arg(long, value_name = "KEY")]
    log_key: Option<VerifierKey>,
    /// A witness's public key; repeat it for each
    #[arg(long, value_name = "KEY")]
    witness: Vec<VerifierKey>,
    /// How many of the witnesses must have co-signed
    #[arg(long, value_name = "N", default_value_t = 0)]
    quorum: usize,
}

/// A checkpoint, and what is known about who signed it.
#[derive(Debug)]
pub(crate) struct GivenCheckpoint {
    pub(crate) checkpoint: Checkpoint,
    signatures: Signatures,
}

#[derive(Debug)]
enum Signatures {
    /// The log's own, and these witnesses'.
    Hold { cosigned_by: Vec<String> },
    /// They do not, or too few do.
    Fail(Box<Failure>),
    /// No key was given to check them with.
    Unchecked,
}

impl GivenCheckpoint {
    pub(crate) fn head(&self) -> &TreeHead {
        self.checkpoint.head()
    }

    /// What it establishes about a log whose tree has this head.
    pub(crate) fn into_item(self) -> Item {
        let (origin, size) = (self.checkpoint.origin(), count(self.head().size));
        match self.signatures {
            Signatures::Fail(failure) => Item::Refuted(failure),
            Signatures::Unchecked => Item::not_checked(format!(
                "the log agrees with {origin} at {size}, but nobody's signature was checked: give --log-key"
            )),
            Signatures::Hold { cosigned_by } => {
                let mut what = format!("the log contains the signed head of {origin} at {size}");
                if !cosigned_by.is_empty() {
                    what.push_str(&format!(", co-signed by {}", cosigned_by.join(", ")));
                }
                Item::established(what)
            }
        }
    }
}

impl CheckpointArgs {
    pub(crate) fn is_given(&self) -> bool {
        self.checkpoint.is_some()
    }

    pub(crate) fn load(&self) -> Result<Option<GivenCheckpoint>> {
        let Some(path) = &self.checkpoint else {
            self.keys.unused()?;
            return Ok(None);
        };
        self.keys.check(&read_note(path)?).map(Some)
    }
}

impl CheckpointKeys {
    /// Keys without anything to check them on are a mistake, not a check that passed.
    fn unused(&self) -> Result<()> {
        if self.log_key.is_some() || !self.witness.is_empty() || self.quorum > 0 {
            return Err(Failure::usage("--log-key, --witness and --quorum need --checkpoint"));
        }
        Ok(())
    }

    /// Checks a checkpoint's signatures: the log's, whose name is its origin, and the witnesses'.
    pub(crate) fn check(&self, note: &SignedNote) -> Result<GivenCheckpoint> {
        let checkpoint: Checkpoint = note.text().parse()?;
        let Some(log_key) = &self.log_key else {
            if !self.witness.is_empty() || self.quorum > 0 {
                return Err(Failure::usage("--witness and --quorum need --log-key"));
            }
            return Ok(GivenCheckpoint { checkpoint, signatures: Signatures::Unchecked });
        };
        if self.quorum > self.witness.len() {
            let (quorum, known) = (self.quorum, self.witness.len());
            return Err(Failure::usage(format_args!(
                "--quorum is {quorum}, and {known} witnesses are given with --witness"
            )));
        }
        if let Some(key) = self.witness.iter().find(|key| key.kind() != KeyKind::Cosignature) {
            return Err(Failure::usage(format_args!("--witness {key} is not a witness's key")));
        }
        let witnesses = Witnesses { keys: self.witness.clone(), quorum: self.quorum };
        let signatures = match verify_checkpoint(note, log_key.name(), log_key, &witnesses) {
            Ok(verified) => Signatures::Hold {
                cosigned_by: verified.cosigned_by.into_iter().map(|(name, _)| name).collect(),
            },
            Err(error) => Signatures::Fail(signature_failure(&error)),
        };
        Ok(GivenCheckpoint { checkpoint, signatures })
    }
}

fn signature_failure(error: &EvidenceError) -> Box<Failure> {
    let (verdict, meaning) = match error {
        EvidenceError::BadSignature { .. } | EvidenceError::PublicKey { .. } => {
            (Exit::Tampered, "The checkpoint was changed after it was signed, or forged.")
        }
        EvidenceError::Quorum { .. } => {
            (Exit::Incomplete, "Too few of the witnesses you know have seen this checkpoint.")
        }
        _ => (Exit::CannotTell, "The checkpoint is not one that this key signed for this log."),
    };
    Failure::new(verdict, error).meaning(meaning)
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let log = arguments.log.open()?;
    let note = match &arguments.cosign {
        None => {
            let signer = files::signer(&arguments.origin, arguments.signing_key.as_deref())?;
            let (_, tree) = log.tree_at(None)?;
            Checkpoint::new(&arguments.origin, tree)?.sign(&signer)?
        }
        Some(path) => witness(arguments, &log, path)?,
    };
    log.write(arguments.output.as_deref(), &note.to_string())?;
    Ok(Exit::Verified)
}

/// A witness signs only what it has seen to be true: the log's signature, and the log itself.
fn witness(arguments: &Arguments, log: &Log, path: &Path) -> Result<SignedNote> {
    let (Some(name), Some(log_key), Some(time)) =
        (&arguments.witness_name, &arguments.log_key, arguments.time)
    else {
        return Err(Failure::usage("--cosign needs --witness-name, --log-key and --time"));
    };
    let mut note = read_note(path)?;
    let verified = verify_checkpoint(&note, &arguments.origin, log_key, &Witnesses::default())
        .map_err(|error| signature_failure(&error))?;
    log.require_checkpoint(verified.checkpoint.head())?;
    let signer = files::signer(name, arguments.signing_key.as_deref())?;
    cosign(&mut note, &signer, time)?;
    Ok(note)
}

pub(crate) fn read_note(path: &Path) -> Result<SignedNote> {
    SignedNote::parse(&files::text(path)?).map_err(|error| Failure::file(path, error))
}
