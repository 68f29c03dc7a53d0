//! Everything once: decide, verify, hold and settle budget, log, prove.
//!
//! `cargo run --example quickstart`

use std::process::ExitCode;

use calybris_core::budget::BudgetEngine;
use calybris_core::builder::{InputBuilder, ModelBuilder, PolicyBuilder};
use calybris_core::config::EngineConfig;
use calybris_core::finance::{ledger_digest, prove_conservation};
use calybris_core::proof::ProofEnvelopeBuilder;
use calybris_core::verify::verify_decision;
use calybris_core::wal::{AuditedRecord, replay_audited_wal};
use calybris_examples::money::{MICROCENTS_PER_DOLLAR, microcents, usd, usd_from_microdollars};
use calybris_examples::{Outcome, catalog};

fn main() -> ExitCode {
    calybris_examples::run(quickstart)
}

fn quickstart() -> Outcome {
    // A policy: two models, prices in microdollars per million tokens ($2.50 is 2,500,000).
    let config = EngineConfig::new().wal_sync_on_append(true);
    let large = ModelBuilder::new(1, 0).quality(9_300).latency(2_400).cost(2_500_000, 10_000_000);
    let small = ModelBuilder::new(2, 0).quality(8_300).latency(900).cost(150_000, 600_000);
    let policy = PolicyBuilder::new(config).models([large.build(), small.build()]).build()?;
    let name = |id| if id == 1 { "large" } else { "small" };

    // A request: 1,200 tokens in, at most 400 out, a perfect answer is worth 2 cents.
    let input = InputBuilder::new(1, 1).tokens(1_200, 400).business_value(20_000).build();
    let decided = policy.decide_checked(input)?;
    let decision = decided.decision();
    println!("decision     {} -> {}", decision.action, name(decision.selected_model_id));
    println!("because      {}", decision.reason);
    println!("cost         {}", usd_from_microdollars(decision.estimated_cost_microunits, 6));
    let runner_up = decision.counterfactual_model_id;
    let less = decision.expected_utility_microunits - decision.counterfactual_utility_microunits;
    let less = usd_from_microdollars(less.unsigned_abs(), 6);
    println!("instead of   {}, worth {less} less", name(runner_up));

    // Anyone can repeat it.
    println!("verified     {}", verify_decision(&policy, input, decision).is_valid());

    // Hold the cost while the model runs, then settle what it really took.
    let ledger = BudgetEngine::new();
    config.ensure_tenant(&ledger, "team-a", MICROCENTS_PER_DOLLAR)?;
    let cost = microcents(decision.estimated_cost_microunits)?;
    let hold = ledger.hold("team-a", cost).map_err(|refused| format!("{refused:?}"))?;
    // The answer was shorter than it could have been.
    let settled = hold.commit(cost / 2).map_err(|(_hold, refused)| format!("{refused:?}"))?;
    println!("settled      {settled:?}");
    println!("remaining    {}", usd(ledger.remaining_microcents("team-a").unwrap_or(0), 6));

    // Log the decision. One that comes from elsewhere is decided again, and refused if it does not replay.
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("decisions.jsonl");
    let log = config.open_wal::<AuditedRecord<&str>>(&path)?;
    let entry = log.append_decided(&decided, "team-a")?;
    let mut forged = *decision;
    forged.estimated_cost_microunits = 0;
    if let Err(refused) = log.append_verified_audited(&policy, input, forged, "team-a") {
        println!("forged       {refused}");
    }

    // One envelope ties decision, log entry and ledger together.
    let proof = prove_conservation(&ledger)?;
    let snapshot = ledger.snapshot();
    let envelope = ProofEnvelopeBuilder::new(&policy, input, decision)
        .wal(entry.sequence, entry.entry_hash)
        .budget(snapshot.version, ledger_digest(&snapshot))
        .build();
    println!(
        "envelope     complete: {}, ledger {}",
        envelope.is_complete(),
        proof.ledger_digest_hex
    );

    // Offline, from the file alone.
    let replayed = replay_audited_wal(&path, &policy)?;
    println!("replayed     {} of {} log entries", replayed.len(), log.sequence());
    println!(
        "\nnext: cargo run --release --example production_gateway ({} real prices)",
        catalog::load()?.policy.models().len()
    );
    Ok(())
}
