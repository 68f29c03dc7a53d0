//! Decides over one catalog again and again, for a profiler: `spin MODELS ELIGIBLE ROUNDS`.

use std::hint::black_box;

use calybris_compare::families::Family;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [models, eligible, rounds] = words.as_slice() else {
        eprintln!("usage: spin MODELS ELIGIBLE ROUNDS, such as: spin 1024 0.6 10000");
        std::process::exit(2);
    };
    let models: usize = models.parse().expect("a number of models");
    let eligible: f64 = eligible.parse().expect("a share, 0 to 1");
    let rounds: usize = rounds.parse().expect("a number of rounds");
    let family = Family::random(models, 256, eligible, models as u64);
    let policy = family.ours();
    let start = std::time::Instant::now();
    for _ in 0..rounds {
        for input in &family.inputs {
            black_box(policy.prescribe(black_box(*input)));
        }
    }
    let ns = start.elapsed().as_secs_f64() * 1e9 / (rounds * family.inputs.len()) as f64;
    println!("{ns:.1} ns a decision");
}
