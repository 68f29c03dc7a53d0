//! The verifier in Python under `docs/verifier/`, written from the specification, and this command agree on
//! the golden and the hostile values and on logs, sound and tampered. Needs `python3`; required where `CI` is set.
#![expect(clippy::unwrap_used, reason = "helpers of the tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn has_python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "python3 is required under CI");
    found
}

/// A script of `docs/verifier`.
fn script(name: &str) -> String {
    format!("{}/../../docs/verifier/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn python(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let script = script("calybris_verifier.py");
    run(Command::new("python3").arg(script).args(arguments).current_dir(folder))
}

fn calybris(folder: &Path, arguments: &[&str]) -> (i32, String) {
    run(Command::new(env!("CARGO_BIN_EXE_calybris")).args(arguments).current_dir(folder))
}

fn run(command: &mut Command) -> (i32, String) {
    let output = command.env_remove("CALYBRIS_KEY").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// A folder with a log, a key, an anchor, a checkpoint and a bundle.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let (at, policy) = (folder.path(), data("policy.json"));
    fs::write(at.join("key"), "09".repeat(32)).unwrap();
    let ok = |arguments: &[&str]| {
        let (code, text) = calybris(at, arguments);
        assert_eq!(code, 0, "{arguments:?}: {text}");
        text
    };
    ok(&["decide", "--policy", &policy, &data("requests.jsonl"), "--log", "log"]);
    ok(&["head", "log", "-o", "anchor"]);
    let sign = ["--origin", "example.com/log", "--signing-key", "key", "-o"];
    ok(&[&["checkpoint", "log"], &sign[..], &["checkpoint"]].concat());
    ok(&[&["prove", "log", "6", "--policy", &policy], &sign[..], &["bundle"]].concat());
    let keys = ok(&["key", "show", "--name", "example.com/log", "--signing-key", "key"]);
    let log_key = keys.lines().find_map(|line| line.strip_prefix("log key ")).unwrap();
    fs::write(at.join("log-key"), log_key.trim()).unwrap();
    folder
}

#[test]
fn both_reproduce_the_golden_values_and_refuse_the_hostile_ones() {
    if has_python() {
        let vectors = ["proof", "budget"]
            .map(|name| format!("{}/../{name}/tests/data", env!("CARGO_MANIFEST_DIR")));
        // -B: no compiled copy beside the script.
        let script = ["-B".into(), script("check_vectors.py")];
        let (code, text) = run(Command::new("python3").args(script).args(vectors));
        assert_eq!((code, text.as_str()), (0, "271 values agree\n"));
    }
}

#[test]
fn both_give_the_same_verdict_on_every_log() {
    if !has_python() {
        return;
    }
    let folder = folder();
    let at = folder.path();
    let log = fs::read_to_string(at.join("log")).unwrap();
    let lines: Vec<_> = log.split_inclusive('\n').collect();
    let without = |index| [&lines[..index], &lines[index + 1..]].concat().concat();
    let variants = [
        ("sound", log.clone(), 0),
        ("spaced payload", log.replacen("\",\"", "\" ,\t\"", 6).replacen('{', " {", 1), 1),
        ("blank lines", log.replace("}\n", "}\n\n \n"), 0),
        ("reordered", reorder(&log), 0),
        ("flipped", log.replacen("\"tenant\":\"globex\"", "\"tenant\":\"globey\"", 1), 1),
        ("removed", without(9), 1),
        ("cut", lines[..50].concat(), 3),
        ("torn", log[..log.len() - 300].to_owned(), 3),
        ("unknown member", log.replacen("{\"sequence\"", "{\"x\":1,\"sequence\"", 1), 1),
        (
            "repeated member",
            log.replacen("{\"sequence\":1", "{\"sequence\":1,\"sequence\":1", 1),
            1,
        ),
        ("trailing text", log.replacen("}\n", "} x\n", 1), 1),
        ("upper case hash", log.replacen("\"entry_hash\":\"a", "\"entry_hash\":\"A", 1), 1),
        ("empty", String::new(), 3),
    ];
    let policy = data("policy.json");
    for (name, text, expected) in variants {
        fs::write(at.join("variant"), text).unwrap();
        let arguments = ["variant", "--policy", &policy, "--anchor", "anchor"];
        let (ours, said) = calybris(at, &[&["verify"], &arguments[..]].concat());
        let (theirs, answered) = python(at, &[&["log"], &arguments[..]].concat());
        assert_eq!(ours, expected, "{name}: {said}");
        assert_eq!(theirs, expected, "{name}: {answered}");
    }
    let other = ["log", "--policy", &data("policy-new.json")];
    assert_eq!(calybris(at, &[&["verify"], &other[..]].concat()).0, 4);
    assert_eq!(python(at, &[&["log"], &other[..]].concat()).0, 4);
}

/// The members of every line in another order: legal, and the payload's bytes are the same.
fn reorder(log: &str) -> String {
    log.lines()
        .map(|line| {
            let (head, payload) = line.split_once(",\"data\":").unwrap();
            let payload = payload.strip_suffix('}').unwrap();
            format!("{{ \"data\" : {payload} ,{}}}\n", head.strip_prefix('{').unwrap())
        })
        .collect()
}

#[test]
fn both_check_checkpoints_and_bundles_alike() {
    if !has_python() {
        return;
    }
    let folder = folder();
    let at = folder.path();
    let log_key = fs::read_to_string(at.join("log-key")).unwrap();
    let digest = calybris(at, &["policy", "digest", &data("policy.json")]).1;
    let check = |ours: &[&str], theirs: &[&str], keys: &[&str], expected: i32| {
        let (code, text) = calybris(at, &[ours, keys].concat());
        assert_eq!(code, expected, "{text}");
        let (code, text) = python(at, &[theirs, keys].concat());
        assert_eq!(code, expected, "{text}");
    };
    let log = |checkpoint: &str, keys: &[&str], expected: i32| {
        let ours = ["verify", "log", "--checkpoint", checkpoint];
        check(&ours, &["log", "log", "--checkpoint", checkpoint], keys, expected);
    };
    let key = ["--log-key", log_key.as_str()];
    log("checkpoint", &key[..], 0);
    log("checkpoint", &[], 4);
    let note = fs::read_to_string(at.join("checkpoint")).unwrap();
    fs::write(at.join("changed"), note.replacen("\n60\n", "\n59\n", 1)).unwrap();
    log("changed", &key, 1);

    // A witness's word counts once, and the log's own word, under a witness's key, not at all.
    fs::write(at.join("other-key"), "0a".repeat(32)).unwrap();
    let cosign = ["checkpoint", "log", "--cosign", "checkpoint", "--origin", "example.com/log"];
    let time = ["--time", "1767225600", "--witness-name"];
    for (name, secret, output) in
        [("w.example", "other-key", "cosigned"), ("x.example", "key", "own")]
    {
        let by = [name, "--signing-key", secret, "-o", output];
        let (code, text) = calybris(at, &[&cosign[..], &key, &time, &by].concat());
        assert_eq!(code, 0, "{text}");
        let shown = calybris(at, &["key", "show", "--name", name, "--signing-key", secret]).1;
        let witness = shown.lines().find_map(|line| line.strip_prefix("witness key ")).unwrap();
        let quorum = ["--witness", witness.trim(), "--quorum", "1"];
        let keys = [&key[..], &quorum].concat();
        log(output, &keys, if output == "own" { 3 } else { 0 });
        log("checkpoint", &keys, 3);
    }

    let known = [&key[..], &["--policy-digest", digest.trim()]].concat();
    let bundle = |file, keys: &[&str], expected| {
        check(&["verify-bundle", file], &["bundle", file], keys, expected);
    };
    bundle("bundle", &known, 0);
    bundle("bundle", &key, 4);
    let text = fs::read_to_string(at.join("bundle")).unwrap();
    let forged = text.replacen("\\\"eligible_models\\\":", "\\\"eligible_models\\\":1", 1);
    fs::write(at.join("forged"), forged).unwrap();
    bundle("forged", &known, 1);
}
