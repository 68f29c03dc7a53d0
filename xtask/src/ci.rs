//! The gate: every promise the repository makes of itself, in the order of what fails fastest.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::workspace::Workspace;
use crate::{Result, cross, fuzz, msrv, powerset, shell, tidy};

/// A step of the gate.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<Outcome>,
}

/// How a step that did not fail ended.
enum Outcome {
    Passed,
    /// A tool that a person's machine may lack; under `CI` its absence fails the step.
    Skipped(String),
}

const STEPS: &[Step] = &[
    Step { name: "tidy", about: "layers, sizes, words, links", run: || passed(tidy::check()) },
    Step { name: "fmt", about: "rustfmt", run: fmt },
    Step { name: "toml", about: "taplo on every TOML file", run: toml },
    Step { name: "typos", about: "spelling", run: typos },
    Step { name: "deny", about: "bans, licenses, sources", run: deny },
    Step { name: "clippy", about: "all targets, all features", run: clippy },
    Step { name: "features", about: "every set of features", run: || passed(powerset::main()) },
    Step { name: "no-alloc", about: "the kernel without std and alloc", run: no_alloc },
    Step { name: "test", about: "the workspace, all features", run: test },
    Step { name: "release", about: "the kernel, optimized", run: test_release },
    Step { name: "loom", about: "interleavings", run: loom },
    Step { name: "shuttle", about: "schedules of whole histories", run: shuttle },
    Step { name: "fuzz", about: "seeds and random edits of them", run: || passed(fuzz::replay()) },
    Step { name: "docs", about: "rustdoc, every link", run: docs },
    Step { name: "examples", about: "each runs to its end", run: examples },
    Step { name: "msrv", about: "the oldest supported compiler", run: oldest_compiler },
    Step { name: "cross", about: "the known decisions, on 32 bits", run: other_words },
];

/// `cargo xtask ci [--only STEP]... [--keep-going] [--list]`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (mut only, mut keep_going) = (Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--only" => {
                let name = rest.next().ok_or("--only needs the name of a step")?;
                only.push(find(name)?.name);
            }
            "--keep-going" => keep_going = true,
            "--list" => {
                STEPS.iter().for_each(|step| println!("{:<10} {}", step.name, step.about));
                return Ok(());
            }
            other => return Err(format!("ci does not know `{other}`").into()),
        }
    }
    let steps = STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.name));
    run_all(&steps.collect::<Vec<_>>(), keep_going)
}

fn find(name: &str) -> Result<&'static Step> {
    let names = || STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    let step = STEPS.iter().find(|step| step.name == name);
    step.ok_or_else(|| format!("no step `{name}`; there are: {}", names()).into())
}

/// Runs the steps, up to the first failure unless told otherwise, and closes with a table.
fn run_all(steps: &[&Step], keep_going: bool) -> Result<()> {
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for step in steps {
        println!("\n=== {}: {}", step.name, step.about);
        let start = Instant::now();
        let result = (step.run)();
        let verdict = match &result {
            Ok(Outcome::Passed) => "passed".to_owned(),
            Ok(Outcome::Skipped(why)) => format!("SKIPPED: {why}"),
            Err(error) => format!("FAILED: {error}"),
        };
        println!("=== {}: {verdict} ({})", step.name, seconds(start.elapsed()));
        rows.push((step.name, start.elapsed(), verdict));
        if result.is_err() {
            failed.push(step.name);
            if !keep_going {
                break;
            }
        }
    }
    println!("\n{:<10} {:>9}  verdict", "step", "wall");
    for (name, wall, verdict) in &rows {
        println!("{name:<10} {:>9}  {verdict}", seconds(*wall));
    }
    for step in steps.iter().skip(rows.len()) {
        println!("{:<10} {:>9}  not run", step.name, "-");
    }
    println!("{:<10} {:>9}", "total", seconds(start.elapsed()));
    if failed.is_empty() {
        return Ok(());
    }
    let again = failed.iter().map(|name| format!(" --only {name}")).collect::<String>();
    Err(format!("the gate is shut; to try again: cargo xtask ci{again}").into())
}

fn seconds(wall: Duration) -> String {
    format!("{}.{} s", wall.as_secs(), wall.subsec_millis() / 100)
}

fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed)
}

fn cargo<const N: usize>(arguments: [&str; N]) -> Result<Outcome> {
    passed(shell::run(&mut shell::cargo(arguments)?))
}

/// Runs a tool that is no part of the toolchain, if the probe shows that it is there.
fn tool(probe: &mut Command, command: &mut Command, install: &str) -> Result<Outcome> {
    if shell::succeeds(probe) {
        return passed(shell::run(command));
    }
    missing(format!("not installed; `{install}`"))
}

/// Skips a step for want of a tool; under `CI` that fails it.
fn missing(what: String) -> Result<Outcome> {
    if std::env::var_os("CI").is_some() { Err(what.into()) } else { Ok(Outcome::Skipped(what)) }
}

fn other_words() -> Result<Outcome> {
    if cross::in_the_gate()? { Ok(Outcome::Passed) } else { missing(cross::HOW_TO_GET.into()) }
}

fn fmt() -> Result<Outcome> {
    cargo(["fmt", "--all", "--check"])?;
    cargo(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])?;
    cargo(["fmt", "--manifest-path", NO_ALLOC, "--check"])
}

fn toml() -> Result<Outcome> {
    let taplo = || shell::command("taplo");
    tool(taplo()?.arg("--version"), taplo()?.args(["fmt", "--check"]), "pip install taplo")
}

fn typos() -> Result<Outcome> {
    let typos = || shell::command("typos");
    tool(typos()?.arg("--version"), &mut typos()?, "pip install typos")
}

/// The advisory database is on the network, so it is asked by a job of its own.
fn deny() -> Result<Outcome> {
    cargo(["fetch", "--locked"])?;
    let deny = || shell::cargo(["deny", "--offline"]);
    let mut check = deny()?;
    check.args(["--all-features", "check", "bans", "licenses", "sources"]);
    tool(deny()?.arg("--version"), &mut check, "cargo install --locked cargo-deny")
}

fn clippy() -> Result<Outcome> {
    let lint = ["clippy", "--locked", "--workspace", "--all-targets", "--all-features"];
    shell::run(shell::cargo(lint)?.args(["--", "-D", "warnings"]))?;
    let mut lint = shell::cargo(["clippy", "--locked", "--all-targets", "--features", "entries"])?;
    lint.args(fuzz::MANIFEST);
    passed(shell::run(lint.args(["--", "-D", "warnings"])))
}

/// The manifest of the library that proves what the kernel does without.
const NO_ALLOC: &str = "xtask/no-alloc/Cargo.toml";

/// A library for a machine without an operating system: it has its own panic handler and no
/// allocator, so it builds only if nothing below it brings std or alloc along.
fn no_alloc() -> Result<Outcome> {
    let mut tree = shell::cargo(["tree", "--locked", "--package", "calybris-kernel"])?;
    tree.args(["--no-default-features", "--edges", "normal", "--depth", "1", "--prefix", "none"]);
    let tree = shell::output(&mut tree)?;
    let names = tree.lines().filter_map(|line| line.split_once(' ')).map(|(name, _)| name);
    if !names.eq(["calybris-kernel", "sha2"]) {
        return Err(format!("the kernel needs more than sha2: {}", tree.replace('\n', ", ")).into());
    }
    cargo(["build", "--locked", "--manifest-path", NO_ALLOC, "--target-dir", "target/no-alloc"])
}

fn test() -> Result<Outcome> {
    cargo(["test", "--locked", "--workspace", "--all-features"])
}

fn test_release() -> Result<Outcome> {
    let mut command = optimized("target")?;
    command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    passed(shell::run(command.args(["--all-features", "--package", "calybris-kernel"])))
}

/// Every test whose name ends in `_loom`.
fn loom() -> Result<Outcome> {
    let workspace = Workspace::load()?;
    let targets = workspace.targets("test").filter(|(_, name)| name.ends_with("_loom"));
    let tests: Vec<_> = targets.map(|(package, name)| (package.name.as_str(), name)).collect();
    if tests.is_empty() { Err("no test is named *_loom".into()) } else { scheduled("loom", &tests) }
}

/// The ledger's concurrent histories, each compared with the serial ones, and operations beside a snapshot
/// that is stopped.
fn shuttle() -> Result<Outcome> {
    scheduled("shuttle", &["histories", "stopped_shuttle"].map(|test| ("calybris-budget", test)))
}

/// Tests, by package, with their locks and threads taken over by a checker, whose name is the compiler flag.
fn scheduled(checker: &str, tests: &[(&str, &str)]) -> Result<Outcome> {
    let mut command = optimized(&format!("target/{checker}"))?;
    for (package, test) in tests {
        command.args(["--package", package, "--test", test]);
    }
    passed(shell::run(command.env("RUSTFLAGS", format!("--cfg {checker}"))))
}

/// Tests of what is optimized. To do so across crates would take minutes and changes no result.
fn optimized(folder: &str) -> Result<Command> {
    let mut command = shell::cargo(["test", "--locked", "--release", "--target-dir", folder])?;
    command.env("CARGO_PROFILE_RELEASE_LTO", "off");
    Ok(command)
}

fn docs() -> Result<Outcome> {
    let arguments = ["doc", "--locked", "--workspace", "--no-deps", "--all-features"];
    passed(shell::run(shell::cargo(arguments)?.env("RUSTDOCFLAGS", "-D warnings")))
}

/// With the features that the tests were built with, so that nothing is built again.
fn examples() -> Result<Outcome> {
    for (_, name) in Workspace::load()?.targets("example") {
        let arguments = ["run", "--quiet", "--locked", "--all-features", "--example", name];
        shell::run(&mut shell::cargo(arguments)?)?;
    }
    Ok(Outcome::Passed)
}

fn oldest_compiler() -> Result<Outcome> {
    let compiler = msrv::compiler()?;
    if compiler.installed {
        passed(msrv::check(&compiler))
    } else {
        Ok(Outcome::Skipped(compiler.how_to_get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_step_is_refused_with_the_known_ones() {
        let error = find("clipy").map(|step| step.name).unwrap_err().to_string();
        assert!(error.contains("`clipy`") && error.contains("clippy, features"), "{error}");
    }

    #[test]
    fn the_first_failure_stops_the_gate_unless_told_otherwise() {
        use std::sync::atomic::{AtomicU32, Ordering};
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let bad = Step { name: "bad", about: "", run: || Err("broken".into()) };
        let run = || {
            RUNS.fetch_add(1, Ordering::Relaxed);
            Ok(Outcome::Passed)
        };
        let good = Step { name: "good", about: "", run };
        assert!(run_all(&[&good, &good], false).is_ok());
        assert!(run_all(&[&bad, &good], false).unwrap_err().to_string().contains("--only bad"));
        assert_eq!(RUNS.load(Ordering::Relaxed), 2);
        assert!(run_all(&[&bad, &good], true).is_err());
        assert_eq!(RUNS.load(Ordering::Relaxed), 3);
    }
}
