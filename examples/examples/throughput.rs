//! How fast each step is on this machine, and what it costs in decisions.
//!
//! Every line is measured in the same run over the same requests; the last column compares it with deciding alone.
//!
//! `cargo run --release --example throughput [-- --trace FILE.csv] [--requests N]`

use std::hint::black_box;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use calybris_core::budget::BudgetEngine;
use calybris_core::kernel::KernelInput;
use calybris_core::proof::{AuditBundle, Evidence};
use calybris_core::verify::verify_decision;
use calybris_core::wal::{AuditedRecord, WalWriter, replay_audited_wal};
use calybris_examples::catalog::{self, Catalog};
use calybris_examples::money::thousands;
use calybris_examples::report::{heading, per_second, table};
use calybris_examples::{Outcome, cli, requests, tenants};

/// Syncs are slow: they are measured over fewer requests.
const SYNCED: usize = 400;
const CALLERS: usize = 64;

fn main() -> ExitCode {
    calybris_examples::run(measure)
}

/// A step, how often it ran, and how long that took.
type Line = (String, u64, Duration);

fn measure() -> Outcome {
    let arguments = cli::arguments("Measures decisions, verification, ledger and log.")?;
    let catalog = catalog::load()?;
    let workload = requests::workload(&arguments)?;
    let inputs: Result<Vec<_>, _> = workload
        .rows
        .iter()
        .map(|row| tenants::request(&catalog, row).map(|(_, input)| input))
        .collect();
    let inputs = inputs?;
    if cfg!(debug_assertions) {
        println!("(unoptimized build: add --release for figures that mean something)");
    }
    let mut lines = decisions(&catalog, &inputs);
    lines.push(ledger(&inputs));
    lines.extend(logging(&catalog, &inputs)?);

    let base = lines.first().map_or(1, |(_, count, elapsed)| nanoseconds_each(*count, *elapsed));
    heading(&format!(
        "{} models, {} requests ({})",
        catalog.policy.models().len(),
        thousands(inputs.len() as u64),
        workload.source
    ));
    let row = |(step, count, elapsed): &Line| {
        let each = nanoseconds_each(*count, *elapsed);
        let tenths = u64::try_from(u128::from(each) * 10 / u128::from(base.max(1))).unwrap_or(0);
        let ratio = format!("{}.{}x", thousands(tenths / 10), tenths % 10);
        vec![step.clone(), per_second(*count, *elapsed), format!("{} ns", thousands(each)), ratio]
    };
    table(&["step", "rate", "each", "of a decision"], 1, lines.iter().map(row));
    Ok(())
}

fn nanoseconds_each(count: u64, elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() / u128::from(count.max(1))).unwrap_or(u64::MAX)
}

/// Computed, and not optimized away.
fn ignore<T>(value: T) {
    let _ = black_box(value);
}

fn timed(step: &str, count: usize, work: impl FnOnce()) -> Line {
    let start = Instant::now();
    work();
    (step.to_owned(), count as u64, start.elapsed())
}

fn decisions(catalog: &Catalog, inputs: &[KernelInput]) -> Vec<Line> {
    let policy = &catalog.policy;
    let count = inputs.len();
    let each = |step, work: &dyn Fn(KernelInput)| {
        timed(step, count, || inputs.iter().for_each(|input| work(*input)))
    };
    vec![
        each("decide", &|input| ignore(policy.prescribe(input))),
        each("decide, with the count of every gate", &|input| {
            ignore(policy.prescribe_with_trace(input));
        }),
        each("explain every model", &|input| ignore(policy.explain(input))),
        each("decide and verify", &|input| {
            let decision = policy.prescribe(input);
            ignore(verify_decision(policy, input, &decision));
        }),
        each("decide and bundle the digests", &|input| {
            ignore(AuditBundle::from(&Evidence::from(&policy.decide(input))));
        }),
    ]
}

fn ledger(inputs: &[KernelInput]) -> Line {
    let ledger = BudgetEngine::new();
    ledger.ensure_tenant("desk", i64::MAX);
    timed("reserve and commit", inputs.len(), || {
        for _ in inputs {
            if let (_, Some(hold)) = ledger.try_reserve("desk", 1_000) {
                ignore(ledger.commit(hold, 900));
            }
        }
    })
}

fn logging(
    catalog: &Catalog,
    inputs: &[KernelInput],
) -> Result<Vec<Line>, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("buffered.jsonl");
    let policy = &catalog.policy;
    let log = WalWriter::<AuditedRecord<()>>::open(&path)?;
    let mut lines = Vec::new();

    let start = Instant::now();
    for input in inputs {
        log.append_decided(&policy.decide(*input), ())?;
    }
    log.flush_and_sync()?;
    lines.push((
        "decide, append; one sync at the end".into(),
        inputs.len() as u64,
        start.elapsed(),
    ));

    let start = Instant::now();
    let replayed = replay_audited_wal(&path, policy)?;
    lines.push((
        "read back, check the chain, replay".into(),
        replayed.len() as u64,
        start.elapsed(),
    ));

    let synced = inputs.get(..SYNCED.min(inputs.len())).unwrap_or_default();
    let path = folder.path().join("synced.jsonl");
    let log = WalWriter::<AuditedRecord<()>>::open_with_sync(&path, true)?;
    let start = Instant::now();
    for input in synced {
        log.append_decided(&policy.decide(*input), ())?;
    }
    lines.push((
        "the same, durable before the answer".into(),
        synced.len() as u64,
        start.elapsed(),
    ));

    let start = Instant::now();
    let appended: Result<(), _> = thread::scope(|scope| {
        let log = &log;
        let caller = || {
            scope.spawn(move || {
                synced
                    .iter()
                    .try_for_each(|input| log.append_decided(&policy.decide(*input), ()).map(drop))
            })
        };
        let callers: Vec<_> = (0..CALLERS).map(|_| caller()).collect();
        callers.into_iter().try_for_each(|caller| match caller.join() {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("a caller panicked".to_owned()),
        })
    });
    appended?;
    let count = (synced.len() * CALLERS) as u64;
    lines.push((format!("the same, {CALLERS} callers sharing syncs"), count, start.elapsed()));
    Ok(lines)
}
