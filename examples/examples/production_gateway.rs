//! A gateway in front of LLM providers, with everything on: published prices, verified decisions, budgets, a
//! tamper-evident log, checkpoints, a crash, recovery, and an audit of the log on its own.
//!
//! `cargo run --release --example production_gateway [-- --trace FILE.csv] [--requests N]`

use std::process::ExitCode;
use std::time::Instant;

use calybris_core::budget::BudgetEngine;
use calybris_core::finance::prove_conservation;
use calybris_core::verify::snapshot_fingerprint;
use calybris_core::wal::replay_audited_wal;
use calybris_examples::catalog::{self, Catalog};
use calybris_examples::gateway::{Charge, Crash, Files, Gateway, Recovered, recover};
use calybris_examples::money::{thousands, usd};
use calybris_examples::report::{heading, per_second};
use calybris_examples::requests::Row;
use calybris_examples::{Outcome, cli, requests};

fn main() -> ExitCode {
    calybris_examples::run(operate)
}

fn operate() -> Outcome {
    let arguments = cli::arguments("Runs a gateway through a day with a crash in it.")?;
    let catalog = catalog::load()?;
    let workload = requests::workload(&arguments)?;
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

    // The morning: a checkpoint after a third, and the plug is pulled after two thirds.
    let (morning, rest) = workload.rows.split_at(workload.rows.len() / 3);
    let (noon, afternoon) = rest.split_at(rest.len() / 2);
    let start = Instant::now();
    let mut gateway = Gateway::open(&catalog, &files)?;
    serve(&mut gateway, morning)?;
    gateway.checkpoint(&files)?;
    serve(&mut gateway, noon)?;
    let crash = gateway.crash();

    // The afternoon: recover, and go on.
    let recovered = recover(&catalog, &files)?;
    compare(&crash, &recovered)?;
    let mut gateway = Gateway::resume(&catalog, &files, recovered.ledger, crash.counts)?;
    serve(&mut gateway, afternoon)?;
    gateway.finish()?;
    let elapsed = start.elapsed();

    gateway.report();
    audit(&catalog, &files, gateway.ledger())?;
    println!(
        "\n{}: decided, verified, held, logged, settled, crash and recovery included",
        per_second(workload.rows.len() as u64, elapsed)
    );
    Ok(())
}

fn serve(gateway: &mut Gateway<'_>, rows: &[Row]) -> Outcome {
    rows.iter().try_for_each(|row| gateway.request(row))
}

fn compare(crash: &Crash, recovered: &Recovered) -> Outcome {
    let Recovered { plan, spent_microcents, .. } = recovered;
    heading("The plug was pulled. Recovery:");
    println!("  checkpoint           log position {}", thousands(plan.wal_high_watermark));
    println!("  log                  {} entries, chain whole", thousands(plan.total_wal_entries));
    println!("  entries replayed     {}", thousands(plan.entries_to_replay));
    let held = usd(crash.held_microcents, 6);
    println!("  in flight, lost      {} requests, {held} on hold", crash.in_flight);
    let [before, after] = [crash.spent_microcents, *spent_microcents].map(|spent| usd(spent, 6));
    println!("  spent before, after  {before} and {after}");
    if crash.spent_microcents != *spent_microcents {
        return Err("recovery lost or invented spend".into());
    }
    Ok(())
}

/// What somebody else can check: the ledger adds up, the log replays, and the two agree.
fn audit(catalog: &Catalog, files: &Files, ledger: &BudgetEngine) -> Outcome {
    let proof = prove_conservation(ledger)?;
    heading("Proof of conservation: remaining + reserved + committed = granted, for every tenant");
    println!("  granted              {}", usd(proof.total_initial_microcents, 2));
    println!("  spent                {}", usd(proof.total_committed_microcents, 6));
    println!("  open holds           {}", proof.active_reservations);
    println!("  ledger digest        {}", proof.ledger_digest_hex);

    heading("Audit: the log and the policy alone, as somebody else would");
    let replayed = replay_audited_wal(&files.log, &catalog.policy)?;
    let charged = Charge::total(&files.log)?;
    println!("  decisions replayed   {}, all as logged", thousands(replayed.len() as u64));
    println!("  charges in the log   {}", usd(charged, 6));
    println!("  policy digest        {}", snapshot_fingerprint(&catalog.policy));
    if charged != proof.total_committed_microcents {
        return Err("the log and the ledger disagree".into());
    }
    println!("  log and ledger agree to the microcent");
    Ok(())
}
