//! Every command of `docs/auditor.md` and of the README's tour is run, and prints what they say it prints.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "helpers of the tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn run(folder: &Path, command: &str) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_calybris")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let shell = format!("exec 2>&1\n{command}");
    let output = Command::new("sh")
        .args(["-c", &shell])
        .current_dir(folder)
        .env("PATH", path)
        .env_remove("CALYBRIS_KEY")
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The guide with what its commands print here under each of them.
fn rerun(guide: &str, folder: &Path, has_python: bool) -> String {
    let mut fresh = String::new();
    let (mut in_block, mut keep_output) = (false, true);
    for line in guide.lines() {
        let opens = line == "```console";
        let command = line.strip_prefix("$ ").filter(|_| in_block);
        in_block = opens || (in_block && line != "```");
        match command {
            Some(command) => {
                fresh.push_str(&format!("{line}\n"));
                // Without Python its part of the guide stays as it is.
                keep_output = command.starts_with("python3") && !has_python;
                if !keep_output {
                    let printed = run(folder, command);
                    printed
                        .lines()
                        .for_each(|line| fresh.push_str(&format!("{}\n", line.trim_end())));
                }
            }
            None if in_block && !opens && !keep_output => {}
            None => fresh.push_str(&format!("{line}\n")),
        }
        keep_output |= !in_block;
    }
    fresh
}

/// Runs a document's commands in a folder with the test data and compares. With `UPDATE_GUIDE` set the document
/// is written anew instead: read the difference before committing it.
fn check(document: &str, at_least: usize) {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, name: &str| {
        fs::copy(format!("{REPOSITORY}/{from}/{name}"), folder.path().join(name)).unwrap();
    };
    for name in ["policy.json", "policy-new.json", "requests.jsonl"] {
        copy("crates/cli/tests/data", name);
    }
    copy("docs/verifier", "calybris_verifier.py");
    fs::write(folder.path().join("log.key"), "09".repeat(32)).unwrap();
    let has_python = Command::new("python3").arg("--version").output().is_ok();

    let path = format!("{REPOSITORY}/{document}");
    let guide = fs::read_to_string(&path).unwrap();
    assert!(guide.matches("\n$ calybris ").count() >= at_least);
    let fresh = rerun(&guide, folder.path(), has_python);
    if std::env::var_os("UPDATE_GUIDE").is_some() {
        return fs::write(path, fresh).unwrap();
    }
    for (shown, printed) in guide.lines().zip(fresh.lines()) {
        assert_eq!(shown, printed);
    }
    assert_eq!(guide, fresh);
}

#[test]
fn the_guide_shows_what_the_command_prints() {
    check("docs/auditor.md", 13);
}

#[test]
fn the_tour_of_the_readme_shows_what_the_command_prints() {
    check("crates/cli/README.md", 14);
}
