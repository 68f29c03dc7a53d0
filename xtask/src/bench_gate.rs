//! The kernel's speed as instruction counts, which a busy machine does not change.
//!
//! Callgrind counts a vector instruction as one, whatever its width, and knows AVX2: what is counted is the code
//! for processors without AVX-512, which it does not know. Nor does it know the hardware's SHA instructions, so
//! digests are not measured here, and it knows nothing of caches: times are in `compare/`.

use std::collections::BTreeMap;

use crate::{Result, shell};

/// How far a count may rise, or fall unrecorded, in percent.
const TOLERANCE_PERCENT: u64 = 3;
const FIGURES: &str = "crates/kernel/benches/instructions.txt";

/// `cargo xtask bench-gate [--write]`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let write = match arguments {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => return Err("usage: cargo xtask bench-gate [--write]".into()),
    };
    shell::run(&mut shell::cargo([
        "build",
        "--quiet",
        "--release",
        "--package",
        "calybris-kernel",
        "--example",
        "instructions",
    ])?)?;
    let program = "target/release/examples/instructions";
    let names = shell::output(shell::command(program)?.arg("list"))?;
    let counted: BTreeMap<String, u64> = names
        .lines()
        .map(|name| Ok((name.to_owned(), count(program, name)?)))
        .collect::<Result<_>>()?;
    let path = shell::root()?.join(FIGURES);
    if write {
        let lines: String =
            counted.iter().map(|(name, count)| format!("{name} {count}\n")).collect();
        std::fs::write(path, lines)?;
        return Ok(());
    }
    let committed = parse(&std::fs::read_to_string(path)?)?;
    compare(&committed, &counted)
}

/// Instructions of the function that is measured, once warm.
fn count(program: &str, name: &str) -> Result<u64> {
    let mut valgrind = shell::command("sh")?;
    // Callgrind reports on the error stream.
    valgrind.args([
        "-c",
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null \
         --toggle-collect='*measured*' \"$0\" \"$1\" 2>&1",
        program,
        name,
    ]);
    let report = shell::output(&mut valgrind)?;
    let collected = report.lines().find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, count)| count.trim().parse().ok()) {
        Some(count) if count > 0 => Ok(count),
        _ => Err(format!("callgrind counted nothing for {name}: {report}").into()),
    }
}

fn parse(figures: &str) -> Result<BTreeMap<String, u64>> {
    let parse = |line: &str| -> Result<(String, u64)> {
        let (name, count) = line.rsplit_once(' ').ok_or("a figure is a name and a count")?;
        Ok((name.to_owned(), count.parse()?))
    };
    figures.lines().map(parse).collect()
}

fn compare(committed: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Result<()> {
    let mut findings = Vec::new();
    for (name, now) in counted {
        let Some(before) = committed.get(name) else {
            findings.push(format!("{name}: {now} instructions, no committed figure"));
            continue;
        };
        println!("{name:<28} {before:>10} → {now:>10}");
        if now.abs_diff(*before) * 100 > before * TOLERANCE_PERCENT {
            findings.push(format!("{name}: {before} instructions committed, {now} counted"));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    findings.push("accept new figures with `cargo xtask bench-gate --write`".to_owned());
    Err(findings.join("\n").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_percent_are_noise_and_more_is_not() {
        let figures = |count| BTreeMap::from([("decide".to_owned(), count)]);
        assert!(compare(&figures(1_000), &figures(1_030)).is_ok());
        for (before, now) in [(1_000, 1_031), (1_000, 969)] {
            let error = compare(&figures(before), &figures(now)).unwrap_err().to_string();
            let expected = format!("decide: {before} instructions committed, {now} counted");
            assert!(error.starts_with(&expected), "{error}");
        }
        assert!(compare(&BTreeMap::new(), &figures(1)).is_err());
    }

    #[test]
    fn figures_are_names_and_counts() {
        assert_eq!(parse("a b 12\n").unwrap(), BTreeMap::from([("a b".to_owned(), 12)]));
        assert!(parse("a").is_err());
    }
}
