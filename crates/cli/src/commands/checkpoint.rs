//! `calybris checkpoint`: a log's tree head, signed by its log and co-signed by witnesses.

use std::path::{Path, PathBuf};

use calybris_proof::checkpoint::{Checkpoint, Witnesses, cosign, verify_checkpoint};
use calybris_proof::merkle::MerkleTree;
use calybris_proof::note::{SignedNote, VerifierKey};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::LogArgs;
use crate::show::count;

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

/// A checkpoint whose signatures were checked as far as the keys given allow.
pub(crate) struct TrustedHead {
    pub(crate) checkpoint: Checkpoint,
    /// Why nothing is known about who signed it.
    pub(crate) unsigned_because: Option<&'static str>,
    cosigned_by: Vec<String>,
}

impl TrustedHead {
    /// What it establishes about the log.
    pub(crate) fn what(&self) -> String {
        let head = self.checkpoint.head();
        let mut what =
            format!("the log contains {} at {}", self.checkpoint.origin(), count(head.size));
        if !self.cosigned_by.is_empty() {
            what.push_str(&format!(", co-signed by {}", self.cosigned_by.join(", ")));
        }
        what
    }
}

impl CheckpointArgs {
    pub(crate) fn load(&self) -> Result<Option<TrustedHead>> {
        let Some(path) = &self.checkpoint else { return Ok(None) };
        let note = read_note(path)?;
        self.keys.check(&note).map(Some)
    }
}

impl CheckpointKeys {
    /// Checks a checkpoint's signatures: the log's, whose name is its origin, and the witnesses'.
    pub(crate) fn check(&self, note: &SignedNote) -> Result<TrustedHead> {
        let Some(log_key) = &self.log_key else {
            if !self.witness.is_empty() || self.quorum > 0 {
                return Err(Failure::usage("--witness and --quorum need --log-key"));
            }
            let unsigned_because =
                Some("it agrees, but nobody's signature was checked: give --log-key");
            let checkpoint = note.text().parse()?;
            return Ok(TrustedHead { checkpoint, unsigned_because, cosigned_by: Vec::new() });
        };
        let witnesses = Witnesses { keys: self.witness.clone(), quorum: self.quorum };
        let verified = verify_checkpoint(note, log_key.name(), log_key, &witnesses)?;
        let cosigned_by = verified.cosigned_by.into_iter().map(|(name, _)| name).collect();
        Ok(TrustedHead { checkpoint: verified.checkpoint, unsigned_because: None, cosigned_by })
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let log = arguments.log.open()?;
    let mut tree = MerkleTree::new();
    log.visit(|entry| tree.append(&entry.entry_hash.digest().unwrap_or_default()))?;
    let note = match &arguments.cosign {
        None => {
            let signer = files::signer(&arguments.origin, arguments.signing_key.as_deref())?;
            Checkpoint::new(&arguments.origin, tree.head())?.sign(&signer)?
        }
        Some(path) => witness(arguments, path, &tree)?,
    };
    files::write(arguments.output.as_deref(), &note.to_string())?;
    Ok(Exit::Verified)
}

/// A witness signs only what it has seen to be true: the log's signature, and the log itself.
fn witness(arguments: &Arguments, path: &Path, tree: &MerkleTree) -> Result<SignedNote> {
    let (Some(name), Some(log_key), Some(time)) =
        (&arguments.witness_name, &arguments.log_key, arguments.time)
    else {
        return Err(Failure::usage("--cosign needs --witness-name, --log-key and --time"));
    };
    let mut note = read_note(path)?;
    let verified = verify_checkpoint(&note, &arguments.origin, log_key, &Witnesses::default())?;
    let head = *verified.checkpoint.head();
    let own = tree.head_at(head.size).map_err(|error| {
        Failure::new(Exit::Incomplete, error)
            .meaning("The log at hand ends before the checkpoint; nothing was signed.")
    })?;
    if own != head {
        return Err(Failure::new(Exit::Tampered, "the log's tree is not the checkpoint's")
            .meaning(
                "The log was rewritten, or shows others another history; nothing was signed.",
            ));
    }
    let signer = files::signer(name, arguments.signing_key.as_deref())?;
    cosign(&mut note, &signer, time)?;
    Ok(note)
}

pub(crate) fn read_note(path: &Path) -> Result<SignedNote> {
    SignedNote::parse(&files::text(path)?).map_err(|error| Failure::file(path, error))
}
