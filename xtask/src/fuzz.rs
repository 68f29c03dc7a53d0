//! Fuzzing: coverage-guided with cargo-fuzz where it is installed, else random edits on stable.

use std::time::{Duration, Instant};

use crate::{Result, shell};

/// Where the targets live: a workspace of their own, which shares what the root has built.
pub(crate) const MANIFEST: [&str; 4] =
    ["--manifest-path", "fuzz/Cargo.toml", "--target-dir", "target"];

/// How long one target is fuzzed when nobody says.
const DEFAULT_SECONDS: u64 = 30;

/// `cargo xtask fuzz [TARGET] [--seconds N]`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let (target, seconds) = parse(arguments)?;
    let all = targets()?;
    let chosen: Vec<&String> =
        all.iter().filter(|name| target.as_ref().is_none_or(|wanted| wanted == *name)).collect();
    if chosen.is_empty() {
        let target = target.unwrap_or_default();
        return Err(format!("no fuzz target `{target}`; there are: {}", all.join(", ")).into());
    }
    let guided = shell::succeeds(shell::command("rustup")?.args(CARGO_FUZZ).arg("--version"));
    if !guided {
        println!(
            "cargo-fuzz or a nightly toolchain is missing, so nothing guides the search: random \
             edits of the seeds instead.\nFor the real thing: `rustup toolchain install nightly` \
             and `cargo install --locked cargo-fuzz`."
        );
    }
    for name in chosen {
        if guided { guided_run(name, seconds)? } else { random_run(name, seconds)? }
    }
    Ok(())
}

/// Every target over its seeds and a fixed number of random edits of them, on stable.
pub(crate) fn replay() -> Result<()> {
    shell::run(&mut replay_command()?)
}

const CARGO_FUZZ: [&str; 4] = ["run", "nightly", "cargo", "fuzz"];

fn guided_run(target: &str, seconds: u64) -> Result<()> {
    let mut command = shell::command("rustup")?;
    // The code under test has no unsafe block, so a sanitizer would only make it slower.
    command.args(CARGO_FUZZ).args(["run", "--features", "libfuzzer", "--sanitizer", "none"]);
    shell::run(command.args([target, "--", &format!("-max_total_time={seconds}")]))
}

fn random_run(target: &str, seconds: u64) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        let mut command = replay_command()?;
        // More is tried in the time, for once at the price of building it.
        command.env("PROPTEST_CASES", "20000").env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
        shell::run(command.args(["--", "--exact", target]))?;
    }
    Ok(())
}

fn replay_command() -> Result<std::process::Command> {
    let mut command = shell::cargo(["test", "--locked", "--test", "replay"])?;
    command.args(MANIFEST);
    Ok(command)
}

/// The names of the targets: the files in `fuzz/fuzz_targets`.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(shell::root()?.join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn parse(arguments: &[String]) -> Result<(Option<String>, u64)> {
    let (mut target, mut seconds) = (None, DEFAULT_SECONDS);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let value = rest.next().ok_or("--seconds needs a number")?;
            seconds = value.parse().map_err(|_| format!("--seconds {value} is not a number"))?;
        } else if argument.starts_with('-') || target.is_some() {
            return Err(format!("cannot use `{argument}`: fuzz [TARGET] [--seconds N]").into());
        } else {
            target = Some(argument.clone());
        }
    }
    Ok((target, seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> std::result::Result<(Option<String>, u64), String> {
        let owned: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
        parse(&owned).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_come_in_any_order() {
        assert_eq!(parsed(&[]), Ok((None, DEFAULT_SECONDS)));
        assert_eq!(parsed(&["kernel", "--seconds", "5"]), Ok((Some("kernel".into()), 5)));
        assert_eq!(parsed(&["--seconds", "5", "kernel"]), Ok((Some("kernel".into()), 5)));
    }

    #[test]
    fn wrong_arguments_are_named() {
        assert_eq!(parsed(&["--seconds"]), Err("--seconds needs a number".into()));
        assert_eq!(parsed(&["--seconds", "x"]), Err("--seconds x is not a number".into()));
        assert!(parsed(&["a", "b"]).unwrap_err().contains("`b`"));
        assert!(parsed(&["--fast"]).unwrap_err().contains("`--fast`"));
    }
}
