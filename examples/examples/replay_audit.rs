//! The auditor's side: a policy file, a keyed log and an anchor; no engine, no ledger, no trust in the operator.
//!
//! Then what somebody might try with the log, and what the auditor sees.
//!
//! `cargo run --example replay_audit`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use calybris_core::policy_document::PolicyDocument;
use calybris_core::wal::{
    AuditedRecord, WalAnchor, WalError, WalOptions, WalWriter, replay_audited_wal_keyed,
    verify_wal_keyed_against_anchor,
};
use calybris_examples::money::thousands;
use calybris_examples::report::heading;
use calybris_examples::{Outcome, catalog, requests, tenants};

const DECISIONS: usize = 400;
/// Known to operator and auditor. A real one comes from a key store.
const KEY: &[u8; 32] = b"an example key of 32 bytes......";

fn main() -> ExitCode {
    calybris_examples::run(audit)
}

fn audit() -> Outcome {
    let folder = tempfile::tempdir()?;
    let evidence = operate(folder.path())?;
    heading("What the operator hands over");
    for file in [&evidence.policy, &evidence.log] {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        println!("  {name:<16} {:>9} bytes", thousands(fs::metadata(file)?.len()));
    }
    println!(
        "  anchor           sequence {}, {}",
        evidence.anchor.sequence, evidence.anchor.last_hash
    );

    heading("What the auditor finds");
    println!("  {}", evidence.check().map_err(|found| found.to_string())?);

    heading("What somebody might try, and what the auditor sees");
    let log = fs::read_to_string(&evidence.log)?;
    for (attempt, forged) in attempts(&log) {
        fs::write(&evidence.log, forged)?;
        let found = match evidence.check() {
            Ok(found) => format!("NOTHING: {found}"),
            Err(found) => found.to_string().replace(&format!("{}/", folder.path().display()), ""),
        };
        println!("  {attempt}\n      {found}");
    }
    Ok(())
}

/// What an auditor needs, and nothing else.
struct Evidence {
    policy: PathBuf,
    log: PathBuf,
    anchor: WalAnchor,
}

impl Evidence {
    /// Reads the policy, verifies the chain up to the anchor, and decides every request again.
    fn check(&self) -> Result<String, Box<dyn std::error::Error>> {
        let (document, policy) = PolicyDocument::load(&self.policy)?;
        verify_wal_keyed_against_anchor(&self.log, KEY, &self.anchor)?;
        let verdicts = replay_audited_wal_keyed::<String>(&self.log, &policy, Some(KEY))?;
        Ok(format!(
            "{} entries, chain whole up to the anchor; every decision replays under \"{}\"",
            verdicts.len(),
            document.description.unwrap_or_default()
        ))
    }
}

/// The operator's side: decide and log.
fn operate(folder: &Path) -> Result<Evidence, Box<dyn std::error::Error>> {
    let catalog = catalog::load()?;
    let (policy, log) = (folder.join("policy.json"), folder.join("decisions.jsonl"));
    catalog.document.save(&policy)?;
    let writer = WalWriter::<AuditedRecord<&str>>::open_with(&log, &WalOptions::new().key(KEY))?;
    for row in requests::made_up(DECISIONS) {
        let (tenant, input) = tenants::request(&catalog, &row)?;
        writer.append_decided(&catalog.policy.decide(input), tenant.name)?;
    }
    writer.flush_and_sync()?;
    Ok(Evidence { policy, log, anchor: writer.anchor() })
}

/// Forgeries of a log.
fn attempts(log: &str) -> Vec<(&'static str, String)> {
    let lines: Vec<&str> = log.lines().collect();
    let without = |skip: usize| {
        let kept = lines.iter().enumerate().filter(|(at, _)| *at != skip);
        kept.flat_map(|(_, line)| [*line, "\n"]).collect::<String>()
    };
    let mut swapped = lines.clone();
    swapped.swap(41, 42);
    let last = lines.len() - 1;
    vec![
        (
            "change one cost",
            log.replacen("\"estimated_cost_microunits\":", "\"estimated_cost_microunits\":9", 1),
        ),
        (
            "turn one rejection around",
            log.replacen("\"action\":\"Reject\"", "\"action\":\"Substitute\"", 1),
        ),
        ("remove the 42nd entry", without(41)),
        ("swap two entries", swapped.join("\n") + "\n"),
        ("repeat the last entry", format!("{log}{}\n", lines.last().unwrap_or(&""))),
        ("cut the last entry off", without(last)),
        ("empty the log", String::new()),
    ]
}

// The error type the auditor sees is public, so that tools can match on it.
const _: fn(WalError) -> Option<u64> = |error| error.sequence();
