//! `calybris verify-bundle`: everything a bundle shows, checked with nothing but the bundle and the keys.

use std::path::PathBuf;

use calybris_core::kernel::digest::HexDigest;
use calybris_core::policy_document::PolicyDocument;
use calybris_core::proof::chain::ChainKey;
use calybris_core::proof::note::SignedNote;

use crate::commands::checkpoint::CheckpointKeys;
use crate::decision_bundle::{BUNDLE_SCHEMA, DecisionBundle};
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::record::Record;
use crate::verdict::{Item, Verdict};

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The bundle
    bundle: PathBuf,
    /// File with the key of a keyed log, in hexadecimal; else the environment's `CALYBRIS_KEY`
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The policy's digest as you know it; the bundle's policy must have it
    #[arg(long, value_name = "DIGEST")]
    policy_digest: Option<HexDigest>,
    #[command(flatten)]
    keys: CheckpointKeys,
}

pub(crate) fn run(arguments: &Arguments, json: bool) -> Result<Exit> {
    let bundle: DecisionBundle = files::json(&arguments.bundle)?;
    if bundle.schema_version != BUNDLE_SCHEMA {
        let problem =
            format!("schema_version is {:?}, not {BUNDLE_SCHEMA:?}", bundle.schema_version);
        return Err(Failure::file(&arguments.bundle, problem));
    }
    let note = SignedNote::parse(&bundle.checkpoint)
        .map_err(|error| Failure::file(&arguments.bundle, error))?;
    let given = arguments.keys.check(&note)?;
    let inclusion = Item::from_check(bundle.check_inclusion(given.head()).map(|()| {
        let head = given.head();
        format!("it is entry {} of the {} under the checkpoint", bundle.entry.sequence, head.size)
    }));
    let (replay, policy) = decision_items(&bundle, arguments.policy_digest);
    let items = vec![
        ("entry", entry_item(&bundle, arguments)?),
        ("inclusion", inclusion),
        ("checkpoint", given.into_item()),
        ("replay", replay),
        ("policy", policy),
    ];
    // A bundle shows nothing with a part left out: anybody can make up an entry, a tree around it and a policy.
    let required: Vec<_> = items.iter().map(|(name, _)| (*name).to_owned()).collect();
    let verdict = Verdict::of(arguments.bundle.display().to_string(), items, &required);
    verdict.print(json)
}

fn entry_item(bundle: &DecisionBundle, arguments: &Arguments) -> Result<Item> {
    let secret = files::key(arguments.key_file.as_deref())?;
    let key = match secret.filter(|_| bundle.entry.keyed) {
        Some(secret) => Some(ChainKey::new(&secret).map_err(Failure::usage)?),
        None if bundle.entry.keyed => {
            return Ok(Item::not_checked(
                "the log is keyed: its key is needed to tie the payload to the hash",
            ));
        }
        None => None,
    };
    let what = format!("entry {} has the hash of its payload", bundle.entry.sequence);
    Ok(Item::from_check(bundle.check_hash(key.as_ref()).map(|()| what)))
}

/// Whether the decision replays under the bundle's policy, and whether that is a policy the checker knows.
fn decision_items(bundle: &DecisionBundle, known: Option<HexDigest>) -> (Item, Item) {
    let record = match Record::read(bundle.entry.payload.as_bytes()) {
        Ok(record) => record,
        Err(error) => {
            let why = format!("the entry is no audited record: {error}");
            return (Item::not_checked(why.as_str()), Item::not_checked(why));
        }
    };
    let replayed = match &bundle.policy {
        None => Item::not_checked("the bundle carries no policy"),
        Some(document) => Item::from_check(replay(&record, document)),
    };
    let found = record.audited.audit.policy_digest_hex;
    let policy = match known {
        None => Item::not_checked(format!(
            "the decision names policy {found}: compare it with the one you know, with --policy-digest"
        )),
        Some(expected) if expected == found => {
            Item::established("the decision names the policy you know")
        }
        Some(expected) => Item::Refuted(
            Failure::new(Exit::Tampered, "the decision names another policy than the one you know")
                .between(expected, found),
        ),
    };
    (replayed, policy)
}

fn replay(record: &Record<'_>, document: &PolicyDocument) -> Result<String> {
    let snapshot = document.snapshot()?;
    if !record.audited.replay(&snapshot).is_valid() {
        let problem = "the decision does not replay under the bundle's policy";
        return Err(Failure::new(Exit::Tampered, problem).meaning(
            "The policy or the record was changed, or the decision was never made by this policy.",
        ));
    }
    let decision = &record.audited.decision;
    Ok(format!(
        "request {} of tenant {}: {} {} ({}) follows from the policy",
        record.audited.input.request_sequence,
        record.tenant,
        decision.action,
        document.model_name(decision.selected_model_id).unwrap_or("no named model"),
        decision.reason,
    ))
}
