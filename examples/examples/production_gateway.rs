//! A gateway in front of LLM providers, with everything on: published prices, verified decisions, a durable ledger, a
//! tamper-evident log, a kill in the middle of its work, recovery, and an audit of what is left on the disk.
//!
//! `cargo run --release --example production_gateway [-- --trace FILE.csv] [--requests N]`

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use calybris_core::verify::snapshot_fingerprint;
use calybris_core::wal::{AuditedRecord, replay_audited_wal, visit_verified_wal};
use calybris_examples::catalog::{self, Catalog};
use calybris_examples::gateway::{Counts, Ending, Files, Gateway, Note};
use calybris_examples::money::{thousands, usd};
use calybris_examples::report::{heading, per_second};
use calybris_examples::requests::Row;
use calybris_examples::{Outcome, cli, requests};

/// Tells the process that is to be killed where to work.
const FOLDER: &str = "CALYBRIS_GATEWAY_FOLDER";
/// How long it goes on after the checkpoint.
const GRACE: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    calybris_examples::run(operate)
}

fn operate() -> Outcome {
    let arguments = cli::arguments("Runs a gateway that is killed at its work, and goes on.")?;
    let catalog = catalog::load()?;
    let workload = requests::workload(&arguments)?;
    if let Some(folder) = std::env::var_os(FOLDER) {
        return serve_until_killed(&catalog, &Files::new(Path::new(&folder)), &workload.rows);
    }
    let folder = tempfile::tempdir()?;
    let files = Files::new(folder.path());
    heading(&format!(
        "A gateway over {} models at published prices (as of {}), {} requests ({})",
        catalog.policy.models().len(),
        catalog::PRICES_AS_OF,
        thousands(workload.rows.len() as u64),
        workload.source
    ));
    println!(
        "tenants, values and risks are made up; quality and latency of the models are assumed"
    );
    start_and_kill(folder.path())?;

    // Another process opens what is left, and goes on.
    let (mut gateway, found) = Gateway::open(&catalog, &files)?;
    heading("The gateway was killed (kill -9). Opening its ledger again:");
    println!("{}", gateway.ledger().report());
    let rest: Vec<Row> =
        workload.rows.iter().filter(|row| !found.ended.contains(&row.number)).copied().collect();
    println!("\n  requests that had ended    {}", thousands(found.ended.len() as u64));
    println!("  returned, charged now      {}", found.charged);
    println!("  no answer, asked (again)   {}", thousands(rest.len() as u64));
    let start = Instant::now();
    gateway.serve(&rest)?;
    gateway.finish()?;
    let elapsed = start.elapsed();

    Counts::read(&files.log)?.print(&catalog, gateway.ledger())?;
    audit(&catalog, &files, &gateway, &workload.rows)?;
    println!(
        "\n{}: decided, held, logged and charged, each durable",
        per_second(rest.len() as u64, elapsed)
    );
    Ok(())
}

/// The child: a checkpoint after a third of the requests, while calls are under way, and on until it is killed.
fn serve_until_killed(catalog: &Catalog, files: &Files, rows: &[Row]) -> Outcome {
    let (mut gateway, _) = Gateway::open(catalog, files)?;
    let (morning, rest) = rows.split_at(rows.len() / 3);
    gateway.serve(morning)?;
    println!("{}", gateway.ledger().checkpoint()?);
    gateway.serve(rest)?;
    gateway.finish()
}

/// Runs the child until it has a checkpoint and is at work again, and kills it.
fn start_and_kill(folder: &Path) -> Outcome {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().ok_or("the child has no output")?;
    let saved = BufReader::new(output).lines().next().ok_or("the child ended too early")??;
    thread::sleep(GRACE);
    child.kill()?;
    child.wait()?;
    println!("\ncheckpoint {saved}");
    Ok(())
}

/// What somebody else can check: the ledger adds up, the log replays, and the two agree.
fn audit(catalog: &Catalog, files: &Files, gateway: &Gateway<'_>, rows: &[Row]) -> Outcome {
    let proof = gateway.ledger().prove_conservation()?;
    heading("Proof of conservation: remaining + reserved + committed = granted, for every tenant");
    println!("  granted              {}", usd(proof.total_initial_microcents, 2));
    println!("  spent                {}", usd(proof.total_committed_microcents, 6));
    println!("  open holds           {}", proof.active_reservations);
    println!("  ledger digest        {}", proof.ledger_digest_hex);

    heading("Audit: the log and the policy alone, as somebody else would");
    let replayed = replay_audited_wal(&files.log, &catalog.policy)?;
    let (mut ended, mut charged) = (BTreeSet::new(), 0_i64);
    visit_verified_wal::<AuditedRecord<Note>, _>(&files.log, |entry| {
        ended.insert(entry.data.input.request_sequence);
        if let Ending::Charged { microcents, .. } = entry.data.metadata.ending {
            charged = charged.saturating_add(microcents);
        }
    })?;
    println!("  decisions replayed   {}, all as logged", thousands(replayed.len() as u64));
    println!("  charges in the log   {}", usd(charged, 6));
    println!("  policy digest        {}", snapshot_fingerprint(&catalog.policy));
    if replayed.len() != rows.len() || ended.len() != rows.len() {
        return Err("a request ended twice, or never".into());
    }
    if charged != proof.total_committed_microcents || proof.active_reservations > 0 {
        return Err("the log and the ledger disagree".into());
    }
    println!("  every request ended once; log and ledger agree to the microcent");
    Ok(())
}
