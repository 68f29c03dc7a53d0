//! The kernel against the published crate, on the same inputs:
//! `cargo bench --manifest-path compare/Cargo.toml --bench kernel`; `-- quick` takes a tenth of the rounds,
//! `-- chart` prints sizes and times for the chart in the documentation.

use std::hint::black_box;
use std::time::Duration;

use calybris_compare::families::{Family, PARAMS};
use calybris_compare::{medians, report, timed};
use calybris_kernel::PolicySnapshot;
use calybris_kernel::digest::decision_digest;
use published::kernel as other;

const SIZES: [usize; 6] = [1, 4, 22, 256, 1_024, 65_535];

fn main() {
    let asked = |wanted: &str| std::env::args().any(|word| word == wanted);
    if asked("chart") {
        return chart();
    }
    let rounds = if asked("quick") { 21 } else { 201 };
    for (name, eligible) in
        [("friendly", None), ("random, 4 %", Some(0.04)), ("random, 60 %", Some(0.6))]
    {
        println!("\n{name} eligible");
        for size in SIZES {
            decide(name, size, eligible, rounds);
        }
    }
    println!("\nother calls; the first two sides of a pair of ours are both ours");
    refusals(rounds);
    for size in [22, 1_024, 65_535] {
        trace_and_batch(size, rounds);
    }
    for size in [22, 16_384] {
        evidence(size, rounds);
    }
    for size in [22, 1_024, 65_535] {
        construction(size, rounds.min(31));
    }
}

fn family(size: usize, eligible: Option<f64>) -> Family {
    let requests = (200_000 / size).clamp(64, 2_000);
    match eligible {
        None => Family::friendly(size, requests),
        Some(share) => Family::random(size, requests, share, size as u64),
    }
}

fn decide(name: &str, size: usize, eligible: Option<f64>, rounds: usize) {
    let family = family(size, eligible);
    let (ours, theirs) = (family.ours(), family.theirs());
    let (inputs, peer_inputs) = (&family.inputs, family.peer_inputs());
    let mut passed = 0_usize;
    for (input, peer_input) in inputs.iter().zip(&peer_inputs) {
        let decision = ours.prescribe(*input);
        passed += usize::from(decision.eligible_models);
        let peer_digest = published::digest::decision_digest(&theirs.prescribe(*peer_input));
        assert_eq!(decision_digest(&decision), peer_digest, "{name}, {size} models");
    }
    let share = passed as f64 * 100.0 / (inputs.len() * size) as f64;
    let times = alternate(
        rounds,
        || peer_inputs.iter().for_each(|q| _ = black_box(theirs.prescribe(black_box(*q)))),
        || inputs.iter().for_each(|q| _ = black_box(ours.prescribe(black_box(*q)))),
    );
    print_row(&format!("prescribe, {size} models ({share:.0} % pass)"), inputs.len(), times);
}

fn refusals(rounds: usize) {
    let mut family = Family::random(1_024, 1_000, 0.6, 5);
    family.inputs.iter_mut().for_each(|input| input.risk_bps = 9_900);
    let (ours, theirs) = (family.ours(), family.theirs());
    let (inputs, peer_inputs) = (&family.inputs, family.peer_inputs());
    let times = alternate(
        rounds,
        || peer_inputs.iter().for_each(|q| _ = black_box(theirs.prescribe(black_box(*q)))),
        || inputs.iter().for_each(|q| _ = black_box(ours.prescribe(black_box(*q)))),
    );
    print_row("request-level refusal", inputs.len(), times);
}

/// Both sides are ours here: what tracing costs and batching saves.
fn trace_and_batch(size: usize, rounds: usize) {
    let family = family(size, Some(0.6));
    let (ours, inputs) = (family.ours(), &family.inputs);
    let mut decisions = ours.prescribe_batch(inputs);
    let single = || inputs.iter().for_each(|q| _ = black_box(ours.prescribe(black_box(*q))));
    let times = alternate(rounds, single, || {
        inputs.iter().for_each(|q| _ = black_box(ours.prescribe_with_trace(black_box(*q))));
    });
    print_row(&format!("our prescribe → our trace, {size} models"), inputs.len(), times);
    let times = alternate(rounds, single, || {
        black_box(ours.prescribe_batch_into(black_box(inputs), &mut decisions));
    });
    print_row(&format!("our prescribe → our batch, {size} models"), inputs.len(), times);
}

fn evidence(size: usize, rounds: usize) {
    let family = family(size, Some(0.6));
    let (ours, theirs) = (family.ours(), family.theirs());
    let pairs: Vec<_> = family.inputs.iter().map(|q| (*q, ours.prescribe(*q))).collect();
    let peer_pairs: Vec<_> =
        family.peer_inputs().into_iter().map(|q| (q, theirs.prescribe(q))).collect();
    let times = alternate(
        rounds.min(51),
        || {
            for (input, decision) in &peer_pairs {
                drop(black_box(published::verify::verified_audit_bundle(
                    &theirs, *input, decision,
                )));
            }
        },
        || {
            for (input, decision) in &pairs {
                drop(black_box(calybris_proof::verify::verified_audit_bundle(
                    &ours, *input, decision,
                )));
            }
        },
    );
    print_row(&format!("verified_audit_bundle, {size} models"), pairs.len(), times);
}

fn construction(size: usize, rounds: usize) {
    let family = family(size, Some(0.6));
    let (a, b, c, d, e, f) = PARAMS;
    let (models, peer_models) = (&family.models, family.peer_models());
    let times = alternate(
        rounds,
        || drop(black_box(other::PolicySnapshot::try_new(a, b, c, d, e, f, peer_models.clone()))),
        || drop(black_box(PolicySnapshot::try_new(a, b, c, d, e, f, models.clone()))),
    );
    print_row(&format!("try_new, {size} models"), 1, times);
}

/// Median times of both sides, the published crate first.
fn alternate(
    rounds: usize,
    mut theirs: impl FnMut(),
    mut ours: impl FnMut(),
) -> (Duration, Duration) {
    (theirs(), ours());
    medians(rounds, || timed(&mut theirs), || timed(&mut ours))
}

fn print_row(what: &str, operations: usize, (theirs, ours): (Duration, Duration)) {
    report(what, operations as u64, ours, theirs);
}

/// Nanoseconds per decision against catalog size, about 60 % eligible.
fn chart() {
    println!("models,published_ns,ours_ns");
    for power in 0..=16 {
        let size = (1_usize << power).min(65_535);
        let family = family(size, Some(0.6));
        let (ours, theirs) = (family.ours(), family.theirs());
        let (inputs, peer_inputs) = (&family.inputs, family.peer_inputs());
        let (theirs, ours) = alternate(
            41,
            || peer_inputs.iter().for_each(|q| _ = black_box(theirs.prescribe(black_box(*q)))),
            || inputs.iter().for_each(|q| _ = black_box(ours.prescribe(black_box(*q)))),
        );
        let per = |time: Duration| time.as_nanos() as f64 / inputs.len() as f64;
        println!("{size},{:.1},{:.1}", per(theirs), per(ours));
    }
}
