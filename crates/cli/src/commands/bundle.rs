//! `calybris verify-bundle`: everything a bundle shows, checked with nothing but the bundle and the keys.

use std::path::PathBuf;

use calybris_kernel::PolicySnapshot;
use calybris_kernel::digest::HexDigest;
use calybris_proof::AuditedRecord;
use calybris_proof::chain::ChainKey;
use calybris_proof::note::SignedNote;
use serde_json::Value;

use crate::commands::checkpoint::CheckpointKeys;
use crate::decision_bundle::{BUNDLE_SCHEMA, DecisionBundle};
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::tenant;

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

/// Lines of the verdict, and the worst of them.
struct Findings {
    text: String,
    worst: Exit,
}

impl Findings {
    fn ok(&mut self, item: &str, what: &str) {
        self.text.push_str(&format!("  ok         {item:<11} {what}\n"));
    }

    /// Not known for want of something: the verdict is that nobody can tell.
    fn unchecked(&mut self, item: &str, why: &str) {
        self.text.push_str(&format!("  unchecked  {item:<11} {why}\n"));
        if self.worst == Exit::Verified {
            self.worst = Exit::CannotTell;
        }
    }

    fn check(&mut self, item: &str, result: Result<String>) {
        match result {
            Ok(what) => self.ok(item, &what),
            Err(failure) => {
                let shown = failure.to_string().replace('\n', "\n             ");
                self.text.push_str(&format!("  FAILED     {item:<11} {shown}\n"));
                if self.worst != Exit::Tampered {
                    self.worst = failure.verdict;
                }
            }
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let bundle: DecisionBundle = files::json(&arguments.bundle)?;
    if bundle.schema_version != BUNDLE_SCHEMA {
        let problem =
            format!("schema_version is {:?}, not {BUNDLE_SCHEMA:?}", bundle.schema_version);
        return Err(Failure::file(&arguments.bundle, problem));
    }
    let text = format!("{}\n", arguments.bundle.display());
    let mut findings = Findings { text, worst: Exit::Verified };
    check_entry(&mut findings, &bundle, arguments)?;
    check_checkpoint(&mut findings, &bundle, arguments)?;
    check_decision(&mut findings, &bundle, arguments);
    let verdict = match findings.worst {
        Exit::Verified => "VERIFIED",
        Exit::Tampered => "TAMPERED",
        Exit::Incomplete => "INCOMPLETE",
        _ => "CANNOT TELL: see what is unchecked",
    };
    files::print(&format!("{}{verdict}\n", findings.text))?;
    Ok(findings.worst)
}

fn check_entry(
    findings: &mut Findings,
    bundle: &DecisionBundle,
    arguments: &Arguments,
) -> Result<()> {
    let key = match files::key(arguments.key_file.as_deref())? {
        Some(secret) if bundle.entry.keyed => Some(ChainKey::new(&secret).map_err(Failure::usage)?),
        _ => None,
    };
    if bundle.entry.keyed && key.is_none() {
        findings.unchecked("entry", "the log is keyed: its key is needed to tie payload and hash");
        return Ok(());
    }
    let what = format!("entry {} has the hash of its payload", bundle.entry.sequence);
    findings.check("entry", bundle.check_hash(key.as_ref()).map(|()| what));
    Ok(())
}

fn check_checkpoint(
    findings: &mut Findings,
    bundle: &DecisionBundle,
    arguments: &Arguments,
) -> Result<()> {
    let note = SignedNote::parse(&bundle.checkpoint)
        .map_err(|error| Failure::file(&arguments.bundle, error))?;
    let trusted = match arguments.keys.check(&note) {
        Ok(trusted) => trusted,
        Err(failure) => {
            findings.check("checkpoint", Err(failure));
            return Ok(());
        }
    };
    let head = trusted.checkpoint.head();
    let origin = trusted.checkpoint.origin();
    let what = format!("it is in the log {origin} of {} entries", head.size);
    findings.check("inclusion", bundle.check_inclusion(head).map(|()| what));
    match trusted.unsigned_because {
        Some(why) => findings.unchecked("checkpoint", why),
        None => findings.ok("checkpoint", &trusted.what()),
    }
    Ok(())
}

fn check_decision(findings: &mut Findings, bundle: &DecisionBundle, arguments: &Arguments) {
    let record: AuditedRecord<Value> = match serde_json::from_str(&bundle.entry.payload) {
        Ok(record) => record,
        Err(_) => return findings.unchecked("replay", "the entry is no audited record"),
    };
    let decision = &record.decision;
    let Some(document) = &bundle.policy else {
        return findings.unchecked("replay", "the bundle carries no policy");
    };
    let replay = |snapshot: &PolicySnapshot| {
        if record.replay(snapshot).is_valid() {
            let name = document.model_name(decision.selected_model_id).unwrap_or("none");
            return Ok(format!(
                "request {} of tenant {}: {} {name} ({}) follows from the policy",
                record.input.request_sequence,
                tenant(&record.metadata),
                decision.action,
                decision.reason,
            ));
        }
        Err(Failure::new(Exit::Tampered, "the decision does not replay under the bundle's policy")
            .meaning("The policy or the record was changed, or the decision was never made by it."))
    };
    let snapshot = document.snapshot().map_err(Box::<Failure>::from);
    let replayed = snapshot.as_ref().map_err(Clone::clone).and_then(replay);
    findings.check("replay", replayed);
    let (Ok(snapshot), Some(expected)) = (snapshot, arguments.policy_digest) else {
        return findings.unchecked(
            "policy",
            "the bundle brings its own policy: compare its digest with --policy-digest",
        );
    };
    let found = HexDigest::new(snapshot.digest());
    let same = if found == expected {
        Ok("the policy is the one you know".into())
    } else {
        Err(Failure::new(Exit::Tampered, "the policy is not the one you know")
            .between(expected, found))
    };
    findings.check("policy", same);
}
