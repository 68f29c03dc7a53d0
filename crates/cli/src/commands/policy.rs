//! `calybris policy`: what is done with a policy document before and after it decides.

use std::path::PathBuf;

use calybris_core::kernel::digest::HexDigest;
use calybris_core::proof::signature::{PolicyWatermark, SignedPolicy, TrustedKeys};
use serde_json::json;

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::policies::NamedPolicy;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Action {
    /// Check every bound and print what the policy holds
    Check {
        /// Policy document
        policy: PathBuf,
    },
    /// Print the policy's canonical digest
    Digest {
        /// Policy document
        policy: PathBuf,
    },
    /// Print the document in its one layout
    Fmt {
        /// Policy document
        policy: PathBuf,
        /// Write the file instead of printing it
        #[arg(long, conflicts_with = "check")]
        write: bool,
        /// Only say whether the file is in that layout already
        #[arg(long)]
        check: bool,
    },
    /// Sign the policy's digest
    Sign {
        /// Policy document
        policy: PathBuf,
        /// The signer's name
        #[arg(long, value_name = "NAME")]
        signer: String,
        /// File with the seed of the signing key, in hexadecimal; else `CALYBRIS_SIGNING_KEY`
        #[arg(long, value_name = "FILE")]
        signing_key: Option<PathBuf>,
        /// When it is signed, in milliseconds of the Unix epoch; now when left out
        #[arg(long, value_name = "MILLISECONDS")]
        time: Option<u64>,
        /// Where to write the signature; standard output when left out
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check a policy's signature, and that it is not older than the last policy seen
    Verify {
        /// Policy document
        policy: PathBuf,
        /// Its signature
        #[arg(long, value_name = "FILE")]
        signature: PathBuf,
        /// The keys you trust
        #[arg(long, value_name = "FILE")]
        trusted_keys: PathBuf,
        /// File that remembers the last policy seen; made when there is none, updated when all holds
        #[arg(long, value_name = "FILE")]
        last_seen: Option<PathBuf>,
    },
}

pub(crate) fn run(action: &Action, json: bool) -> Result<Exit> {
    match action {
        Action::Check { policy } => check(&NamedPolicy::load(policy)?, json),
        Action::Digest { policy } => {
            let digest = HexDigest::new(&NamedPolicy::load(policy)?.snapshot.digest());
            if json {
                return files::print_json(&json!({ "digest": digest.to_string() }))
                    .map(|()| Exit::Verified);
            }
            files::print(&format!("{digest}\n"))
        }
        Action::Fmt { policy: path, write, check } => {
            let mut document = NamedPolicy::load(path)?.document;
            document.models.sort_by_key(|named| named.model.model_id);
            let text = document.to_json()?;
            if *check && files::text(path)? != text {
                return Err(Failure::file(
                    path,
                    "not in the layout that `policy fmt --write` gives it",
                ));
            }
            if *check { Ok(()) } else { files::write(write.then_some(path.as_path()), &text) }
        }
        Action::Sign { policy, signer, signing_key, time, output } => {
            let policy = NamedPolicy::load(policy)?;
            let signer = files::signer(signer, signing_key.as_deref())?;
            let time = time.map_or_else(now_ms, Ok)?;
            let signed = SignedPolicy::sign(&policy.snapshot, &signer, time);
            files::write(output.as_deref(), &pretty(&signed)?)
        }
        Action::Verify { policy, signature, trusted_keys, last_seen } => {
            let policy = NamedPolicy::load(policy)?;
            let signed: SignedPolicy = files::json(signature)?;
            let trusted: TrustedKeys = files::json(trusted_keys)?;
            let known = last_seen.as_ref().filter(|path| path.exists());
            let known: Option<PolicyWatermark> = known.map(|path| files::json(path)).transpose()?;
            let seen = signed.admit(&policy.snapshot, &trusted, known.as_ref())?;
            if let Some(path) = last_seen {
                files::write(Some(path), &pretty(&seen)?)?;
            }
            if json {
                return files::print_json(&json!({
                    "signer_id": signed.signer_id,
                    "public_key_hex": signed.public_key_hex,
                    "policy_digest_hex": signed.policy_digest_hex,
                }))
                .map(|()| Exit::Verified);
            }
            files::print(&format!(
                "signed by {} with {}\npolicy {}\n",
                signed.signer_id, signed.public_key_hex, signed.policy_digest_hex
            ))
        }
    }
    .map(|()| Exit::Verified)
}

fn check(policy: &NamedPolicy, json: bool) -> Result<()> {
    let snapshot = &policy.snapshot;
    let models = snapshot.models().len();
    let enabled = snapshot.models().iter().filter(|model| model.enabled == 1).count();
    let (policy_epoch, catalog_epoch) = (snapshot.policy_epoch(), snapshot.catalog_epoch());
    let digest = HexDigest::new(&snapshot.digest()).to_string();
    if json {
        return files::print_json(&json!({
            "models": models,
            "enabled": enabled,
            "policy_epoch": policy_epoch,
            "catalog_epoch": catalog_epoch,
            "digest": digest,
        }));
    }
    files::print(&format!(
        "valid: {models} models, {enabled} enabled; policy epoch {policy_epoch}, catalog epoch {catalog_epoch}\ndigest {digest}\n",
    ))
}

fn now_ms() -> Result<u64> {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let milliseconds = elapsed.ok().and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok());
    milliseconds.ok_or_else(|| Failure::usage("the clock is before 1970: give --time"))
}

fn pretty(value: &impl serde::Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(value);
    json.map(|json| json + "\n").map_err(|error| Failure::new(Exit::CannotTell, error))
}
