//! `calybris key`: the public side of a signing key.

use std::path::PathBuf;

use calybris_core::proof::note::{KeyKind, VerifierKey};
use calybris_core::proof::signature::{TrustedKey, TrustedKeys};
use serde_json::json;

use crate::exit::{Exit, Failure, Result};
use crate::files;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Action {
    /// Print the public key as a log's key, as a witness's key and as a file of trusted keys
    Show {
        /// The name it signs under
        #[arg(long, value_name = "NAME")]
        name: String,
        /// File with the seed of the signing key, in hexadecimal; else `CALYBRIS_SIGNING_KEY`
        #[arg(long, value_name = "FILE")]
        signing_key: Option<PathBuf>,
    },
}

pub(crate) fn run(action: &Action, json: bool) -> Result<Exit> {
    let Action::Show { name, signing_key } = action;
    let signer = files::signer(name, signing_key.as_deref())?;
    let trusted = TrustedKeys::new([TrustedKey::new(name.as_str(), signer.public_key())]);
    if json {
        let key = |kind| VerifierKey::of(&signer, kind).ok().map(|key| key.to_string());
        files::print_json(&json!({
            "public_key_hex": signer.public_key(),
            "trusted_keys": trusted,
            "log_key": key(KeyKind::Ed25519),
            "witness_key": key(KeyKind::Cosignature),
        }))?;
        return Ok(Exit::Verified);
    }
    let trusted =
        serde_json::to_string(&trusted).map_err(|error| Failure::new(Exit::CannotTell, error))?;
    let mut text = format!("public key   {}\ntrusted keys {trusted}\n", signer.public_key());
    for (label, kind) in
        [("log key     ", KeyKind::Ed25519), ("witness key ", KeyKind::Cosignature)]
    {
        // A name that a note cannot carry is still a signer of policies and receipts.
        if let Ok(key) = VerifierKey::of(&signer, kind) {
            text.push_str(&format!("{label} {key}\n"));
        }
    }
    files::print(&text)?;
    Ok(Exit::Verified)
}
