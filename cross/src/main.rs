//! Prints what the cases found on a target with an operating system.

fn main() {
    let outcome = calybris_cross::run();
    println!("{} cases, {} wrong", outcome.cases, outcome.wrong);
    std::process::exit(i32::from(outcome.wrong > 0));
}
