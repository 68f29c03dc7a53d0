//! The kernel against the published crate, on the same inputs:
//! `cargo bench --manifest-path compare/Cargo.toml --bench kernel [-- PART... SIZE...]` with the parts `decide`, `calls`,
//! `evidence` and `construction`, of catalogs of all sizes or of those named; `quick` takes a tenth of the rounds, `chart`
//! prints the chart of the documentation, an SVG.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;

use calybris_compare::families::{Family, PARAMS};
use calybris_compare::{medians, report, timed};
use calybris_kernel::PolicySnapshot;
use calybris_kernel::digest::decision_digest;
use calybris_proof::verify::verified_audit_bundle;
use calybris_proof::{AuditBundle, Evidence};
use published::kernel as other;

/// Requests to a batch.
const BATCH: usize = 256;
const SIZES: [usize; 6] = [1, 4, 22, 256, 1_024, 65_535];

/// Measures in so many rounds.
type Part = fn(usize);

fn main() {
    let asked = |wanted: &str| std::env::args().any(|word| word == wanted);
    if asked("chart") {
        return chart();
    }
    let rounds = if asked("quick") { 21 } else { 201 };
    let parts: [(&str, Part); 4] = [
        ("decide", decisions),
        ("calls", calls),
        ("evidence", |rounds| wanted([22, 16_384]).for_each(|size| evidence(size, rounds))),
        ("construction", |rounds| {
            wanted([22, 1_024, 65_535]).for_each(|size| construction(size, rounds.min(31)));
        }),
    ];
    let all = !parts.iter().any(|(name, _)| asked(name));
    parts.iter().filter(|(name, _)| all || asked(name)).for_each(|(_, part)| part(rounds));
}

/// Those of `sizes` that the command names, or all where it names none.
fn wanted<const N: usize>(sizes: [usize; N]) -> impl Iterator<Item = usize> {
    let named: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    sizes.into_iter().filter(move |size| named.is_empty() || named.contains(size))
}

fn decisions(rounds: usize) {
    for (name, eligible) in
        [("friendly", None), ("random, 4 %", Some(0.04)), ("random, 60 %", Some(0.6))]
    {
        println!("\n{name} eligible");
        for size in wanted(SIZES) {
            decide(name, size, eligible, rounds);
        }
    }
}

fn calls(rounds: usize) {
    println!("\nother calls; the first two sides of a pair of ours are both ours");
    refusals(rounds);
    for size in wanted([22, 1_024, 65_535]) {
        trace_and_batch(size, rounds);
    }
}

/// A million models and more are met in a round, so that no predictor remembers the gates of the round before.
fn family(size: usize, eligible: Option<f64>) -> Family {
    let requests = ((1 << 20) / size).clamp(64, 1 << 16);
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
    let single = || inputs.iter().for_each(|q| _ = black_box(ours.prescribe(black_box(*q))));
    let times = alternate(rounds, single, || {
        inputs.iter().for_each(|q| _ = black_box(ours.prescribe_with_trace(black_box(*q))));
    });
    print_row(&format!("our prescribe → our trace, {size} models"), inputs.len(), times);
    // Both sides keep their decisions, in places that stay in the cache.
    let places = RefCell::new(ours.prescribe_batch(&inputs[..inputs.len().min(BATCH)]));
    let one_by_one = || {
        for inputs in inputs.chunks(BATCH) {
            let mut places = places.borrow_mut();
            for (input, place) in inputs.iter().zip(places.iter_mut()) {
                *place = ours.prescribe(black_box(*input));
            }
            black_box(&mut *places);
        }
    };
    let times = alternate(rounds, one_by_one, || {
        for inputs in inputs.chunks(BATCH) {
            black_box(ours.prescribe_batch_into(black_box(inputs), &mut places.borrow_mut()));
        }
    });
    print_row(&format!("our prescribe, kept → our batch, {size} models"), inputs.len(), times);
}

fn evidence(size: usize, rounds: usize) {
    let family = family(size, Some(0.6));
    let (ours, theirs) = (family.ours(), family.theirs());
    let decided: Vec<_> = family.inputs.iter().map(|q| ours.decide(*q)).collect();
    let peers: Vec<_> =
        family.peer_inputs().into_iter().map(|q| (q, theirs.prescribe(q))).collect();
    let times = alternate(
        rounds.min(51),
        || {
            for (input, decision) in &peers {
                drop(black_box(published::verify::verified_audit_bundle(
                    &theirs, *input, decision,
                )));
            }
        },
        || {
            for it in &decided {
                let (input, decision) = (*it.input(), it.decision());
                drop(black_box(verified_audit_bundle(&ours, input, decision)));
            }
        },
    );
    print_row(&format!("verified_audit_bundle, {size} models"), decided.len(), times);
    let times = alternate(
        rounds.min(51),
        || {
            for (input, decision) in &peers {
                black_box(published::verify::audit_bundle(&theirs, *input, decision));
            }
        },
        || {
            for it in &decided {
                black_box(AuditBundle::from(&Evidence::from(it)));
            }
        },
    );
    print_row(&format!("audit bundle of a decision, {size} models"), decided.len(), times);
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
    theirs();
    ours();
    medians(rounds, || timed(&mut theirs), || timed(&mut ours))
}

fn print_row(what: &str, operations: usize, (theirs, ours): (Duration, Duration)) {
    report(what, operations as u64, ours, theirs);
}

/// Prints the chart of the documentation: nanoseconds per decision against catalog size, 60 % eligible.
fn chart() {
    let rows: Vec<(f64, f64, f64)> =
        (0..=16).map(|power| point((1 << power).min(65_535))).collect();
    let x = |models: f64| 80.0 + models.log2() * 40.0;
    let y = |ns: f64| 400.0 - (ns.log10() - 1.0) * 72.0;
    println!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 450\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"800\" height=\"450\" fill=\"white\"/>\n\
         <text x=\"80\" y=\"24\">Nanoseconds per decision against models in the catalog \
         (random requests, about 60 % eligible)</text>"
    );
    for decade in 1..=6 {
        let (line, label) = (y(10_f64.powi(decade)), 10_u64.pow(decade as u32));
        println!("<path d=\"M80 {line:.0}H740\" stroke=\"#ddd\"/>");
        println!("<text x=\"70\" y=\"{:.0}\" text-anchor=\"end\">{label}</text>", line + 4.0);
    }
    for (models, _, _) in rows.iter().step_by(2) {
        let at = x(*models);
        println!("<text x=\"{at:.0}\" y=\"424\" text-anchor=\"middle\">{models}</text>");
    }
    for (name, colour, ns) in [
        ("calybris-core 1.3.0", "#b44", rows.iter().map(|r| (r.0, r.1)).collect::<Vec<_>>()),
        ("this project", "#27a", rows.iter().map(|r| (r.0, r.2)).collect()),
    ] {
        let points: Vec<_> =
            ns.iter().map(|(models, ns)| format!("{:.1},{:.1}", x(*models), y(*ns))).collect();
        let points = points.join(" ");
        println!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        let (models, last) = ns[ns.len() - 4];
        let (at, above) = (x(models), y(last) - 12.0);
        println!(
            "<text x=\"{at:.0}\" y=\"{above:.0}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>"
        );
    }
    println!("</svg>");
}

/// A size, and the median nanoseconds per decision: the published crate's and ours.
fn point(size: usize) -> (f64, f64, f64) {
    let family = family(size, Some(0.6));
    let (ours, theirs) = (family.ours(), family.theirs());
    let (inputs, peer_inputs) = (&family.inputs, family.peer_inputs());
    let (theirs, ours) = alternate(
        41,
        || peer_inputs.iter().for_each(|q| _ = black_box(theirs.prescribe(black_box(*q)))),
        || inputs.iter().for_each(|q| _ = black_box(ours.prescribe(black_box(*q)))),
    );
    let per = |time: Duration| time.as_nanos() as f64 / inputs.len() as f64;
    (size as f64, per(theirs), per(ours))
}
