//! The command on real files: what it prints, and how it ends when something is wrong.
#![expect(clippy::unwrap_used, reason = "helpers of the tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const VERIFIED: i32 = 0;
const TAMPERED: i32 = 1;
const USAGE: i32 = 2;
const INCOMPLETE: i32 = 3;
const CANNOT_TELL: i32 = 4;
const THRESHOLD: i32 = 5;

/// A folder with a log of sixty decisions.
struct Folder {
    folder: TempDir,
}

struct Done {
    code: i32,
    out: String,
    err: String,
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

impl Folder {
    fn empty() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn with_log() -> Self {
        let folder = Self::empty();
        let (policy, requests) = (data("policy.json"), data("requests.jsonl"));
        folder.ok(&["decide", "--policy", &policy, &requests, "--log", "log"]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_calybris"));
        command.current_dir(self.folder.path()).args(arguments);
        command.env_remove("CALYBRIS_KEY").env_remove("CALYBRIS_SIGNING_KEY");
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        done(self.command(arguments).output().unwrap())
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, VERIFIED, "{arguments:?}: {}{}", done.out, done.err);
        done.out
    }

    /// Writes `to` as the log with one change.
    fn change(&self, to: &str, change: impl FnOnce(&mut Vec<String>)) {
        let text = fs::read_to_string(self.path("log")).unwrap();
        let mut lines: Vec<_> = text.lines().map(|line| format!("{line}\n")).collect();
        change(&mut lines);
        fs::write(self.path(to), lines.concat()).unwrap();
    }

    fn secret(&self, name: &str, byte: &str) {
        fs::write(self.path(name), byte.repeat(32) + "\n").unwrap();
    }

    fn key(&self, name: &str, file: &str, label: &str) -> String {
        let out = self.ok(&["key", "show", "--name", name, "--signing-key", file]);
        let line = out.lines().find(|line| line.starts_with(label)).unwrap();
        line[label.len()..].trim().to_owned()
    }
}

fn done(output: Output) -> Done {
    Done {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn from_two_files_to_a_verified_log() {
    let folder = Folder::with_log();
    let out = folder.ok(&["verify", "log", "--policy", &data("policy.json")]);
    assert!(out.contains("ok         chain       60 entries"), "{out}");
    assert!(out.contains("ok         replay      60 decisions follow"), "{out}");
    assert!(out.contains("unchecked  anchor"), "{out}");
    assert!(out.contains("VERIFIED: chain, audit, replay. Not checked: anchor"), "{out}");
    // Deciding again continues the same log.
    let (policy, requests) = (data("policy.json"), data("requests.jsonl"));
    folder.ok(&["decide", "--policy", &policy, &requests, "--log", "log"]);
    assert!(folder.ok(&["verify", "log"]).contains("120 entries"));
}

#[test]
fn decisions_come_out_as_json_or_as_a_table() {
    let folder = Folder::empty();
    let (policy, requests) = (data("policy.json"), data("requests.jsonl"));
    let out = folder.ok(&["decide", "--policy", &policy, &requests]);
    let decisions: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(decisions.len(), 60);
    assert_eq!(decisions[0]["reason"], "BudgetConstraint");
    let out = folder.ok(&["decide", "--policy", &policy, &requests, "--table", "--explain"]);
    assert!(out.contains("gemini-flash") && out.contains("refused by"), "{out}");
    fs::write(folder.path("bad"), "\n{\"request_sequence\":1}\n").unwrap();
    let bad = folder.run(&["decide", "--policy", &policy, "bad"]);
    assert_eq!(bad.code, USAGE);
    assert!(bad.err.contains("bad line 2: missing field"), "{}", bad.err);
}

#[test]
fn every_tampering_is_told_with_its_place() {
    let folder = Folder::with_log();
    type Change = fn(&mut Vec<String>);
    let changes: [(&str, &str, Change); 6] = [
        ("sequence 7", "hash is not that of its payload", |lines| {
            lines[6] = lines[6].replacen("\"tenant\":\"", "\"tenant\":\"x", 1);
        }),
        ("sequence 1", "hash is not that of its payload", |lines| {
            lines[0] = lines[0].replacen("\"request_sequence\":1", "\"request_sequence\":2", 1);
        }),
        ("sequence 9", "sequence does not follow", |lines| drop(lines.remove(8))),
        ("sequence 10", "sequence does not follow", |lines| lines.insert(9, lines[8].clone())),
        ("sequence 4", "sequence does not follow", |lines| lines.swap(3, 4)),
        ("sequence 60", "expected at byte", |lines| lines[59] = "{}\n".into()),
    ];
    for (place, problem, change) in changes {
        folder.change("changed", change);
        let verdict = folder.run(&["verify", "changed"]);
        assert_eq!(verdict.code, TAMPERED, "{place}: {}", verdict.out);
        assert!(verdict.out.contains(place) && verdict.out.contains(problem), "{}", verdict.out);
        assert!(verdict.out.contains("meaning"), "{}", verdict.out);
        let json = folder.run(&["verify", "changed", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(json["verdict"], "tampered");
        assert_eq!(
            json["items"]["chain"]["sequence"],
            place["sequence ".len()..].parse::<u64>().unwrap()
        );
    }
}

#[test]
fn a_rebuilt_chain_over_a_forged_decision_does_not_replay() {
    let folder = Folder::with_log();
    // The forger knows the format: a cheaper decision, its own digest, and every hash recomputed.
    let forged = folder.path("forged");
    rebuild(&folder.path("log"), &forged, |payload| {
        let mut record: calybris_core::proof::AuditedRecord<serde_json::Value> =
            serde_json::from_str(payload).unwrap();
        if record.input.request_sequence == 3 {
            record.decision.estimated_cost_microunits -= 1;
            let digest = calybris_core::kernel::digest::decision_digest(&record.decision);
            record.audit.decision_digest_hex = digest.into();
        }
        serde_json::to_string(&record).unwrap()
    });
    assert_eq!(folder.run(&["verify", "forged"]).code, VERIFIED);
    let verdict = folder.run(&["verify", "forged", "--policy", &data("policy.json")]);
    assert_eq!(verdict.code, TAMPERED);
    assert!(verdict.out.contains("the decision does not replay"), "{}", verdict.out);
    assert!(verdict.out.contains("forged, line 3, byte "), "{}", verdict.out);
    // Against the head that was kept, the chain itself is another one.
    folder.ok(&["head", "log", "-o", "anchor"]);
    let verdict = folder.run(&["verify", "forged", "--anchor", "anchor"]);
    assert_eq!(verdict.code, TAMPERED);
    assert!(verdict.out.contains("not the trusted head"), "{}", verdict.out);
}

fn rebuild(from: &Path, to: &Path, change: impl Fn(&str) -> String) {
    use calybris_core::proof::chain::{ChainHash, link_hash};
    let mut previous = ChainHash::GENESIS;
    let mut log = String::new();
    for (index, line) in fs::read_to_string(from).unwrap().lines().enumerate() {
        let (_, payload) = line.split_once("\"data\":").unwrap();
        let payload = change(payload.strip_suffix('}').unwrap());
        let hash = link_hash(&previous, payload.as_bytes(), None);
        let sequence = index + 1;
        log.push_str(&format!(
            "{{\"sequence\":{sequence},\"previous_hash\":\"{previous}\",\"entry_hash\":\"{hash}\",\"data\":{payload}}}\n"
        ));
        previous = hash;
    }
    fs::write(to, log).unwrap();
}

#[test]
fn what_is_missing_is_incomplete_and_what_is_unknown_cannot_be_told() {
    let folder = Folder::with_log();
    folder.ok(&["head", "log", "-o", "anchor"]);
    folder.ok(&["verify", "log", "--anchor", "anchor"]);
    folder.change("short", |lines| lines.truncate(50));
    assert_eq!(folder.run(&["verify", "short"]).code, VERIFIED);
    let short = folder.run(&["verify", "short", "--anchor", "anchor"]);
    assert_eq!(short.code, INCOMPLETE);
    assert!(short.out.contains("the end of the log was cut off"), "{}", short.out);
    folder.change("torn", |lines| lines[59].truncate(400));
    assert_eq!(folder.run(&["verify", "torn"]).code, INCOMPLETE);
    assert_eq!(folder.run(&["verify", "absent"]).code, CANNOT_TELL);
    let other = folder.run(&["verify", "log", "--policy", &data("policy-new.json")]);
    assert_eq!(other.code, CANNOT_TELL);
    assert!(other.out.contains("no policy given has the digest"), "{}", other.out);
    assert_eq!(folder.run(&["verify"]).code, USAGE);
    assert_eq!(folder.run(&["verify", "log", "--policy", "absent.json"]).code, USAGE);
}

#[test]
fn a_keyed_log_needs_its_key_from_a_file_or_the_environment() {
    let folder = Folder::empty();
    folder.secret("key", "5a");
    let (policy, requests) = (data("policy.json"), data("requests.jsonl"));
    folder.ok(&["decide", "--policy", &policy, &requests, "--log", "log", "--key-file", "key"]);
    folder.ok(&["verify", "log", "--key-file", "key", "--policy", &policy]);
    let mut with_variable = folder.command(&["verify", "log"]);
    let output = with_variable.env("CALYBRIS_KEY", "5a".repeat(32)).output().unwrap();
    assert_eq!(done(output).code, VERIFIED);
    assert_eq!(folder.run(&["verify", "log"]).code, CANNOT_TELL);
    folder.secret("other", "5b");
    assert_eq!(folder.run(&["verify", "log", "--key-file", "other"]).code, CANNOT_TELL);
    fs::write(folder.path("weak"), "5a5a").unwrap();
    let weak = folder.run(&["verify", "log", "--key-file", "weak"]);
    assert_eq!(weak.code, USAGE);
    assert!(weak.err.contains("weak: at least 64 hexadecimal digits"), "{}", weak.err);
    assert!(!weak.err.contains("5a5a"), "a secret is never printed");
}

#[test]
fn explain_names_candidates_gates_and_the_nearest_change() {
    let folder = Folder::with_log();
    let policy = data("policy.json");
    let out = folder.ok(&["explain", "log", "3", "--policy", &policy]);
    for part in [
        "decided  substitute gemini-flash",
        "next     gpt-4o-mini, 0.000846 USD behind",
        "p95 latency 900 ms, at most 600 is allowed",
        "gpt-4o-mini: quality_bps",
    ] {
        assert!(out.contains(part), "{part}: {out}");
    }
    // Each nearest change wins when it is made, and one step less does not: the policy decides again.
    let json = folder.ok(&["--json", "explain", "log", "3", "--policy", &policy]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let change = &json["nearest_changes"][0];
    assert_eq!(change["what"], "gpt-4o-mini: quality_bps");
    let document = fs::read_to_string(&policy).unwrap();
    let with = |quality: u64| {
        let mut document: serde_json::Value = serde_json::from_str(&document).unwrap();
        let models = document["models"].as_array_mut().unwrap();
        let model = models.iter_mut().find(|model| model["name"] == "gpt-4o-mini").unwrap();
        model["quality_bps"] = quality.into();
        fs::write(folder.path("changed.json"), document.to_string()).unwrap();
        fs::write(folder.path("request"), json["input"].to_string()).unwrap();
        let out = folder.ok(&["decide", "--policy", "changed.json", "request"]);
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["selected_model_id"].clone()
    };
    let to = change["to"].as_u64().unwrap();
    assert_eq!(with(to), change["winner"]);
    assert_ne!(with(to - 1), change["winner"]);
    let refused = folder.ok(&["explain", "log", "2", "--policy", &policy]);
    assert!(refused.contains("No model was looked at: confidence_hard_limit"), "{refused}");
    let beyond = folder.run(&["explain", "log", "61", "--policy", &policy]);
    assert_eq!(beyond.code, USAGE);
    assert!(beyond.err.contains("the log ends at 60"), "{}", beyond.err);
    let other = data("policy-new.json");
    assert_eq!(folder.run(&["explain", "log", "3", "--policy", &other]).code, CANNOT_TELL);
}

#[test]
fn diff_counts_what_moves_and_stops_at_thresholds() {
    let folder = Folder::with_log();
    let (old, new) = (data("policy.json"), data("policy-new.json"));
    let out = folder.ok(&["diff", "--old", &old, "--new", &new, "log"]);
    assert!(out.contains("another model    10 (16.66 %)"), "{out}");
    assert!(out.contains("not a forecast"), "{out}");
    let same = folder.ok(&["diff", "--old", &old, "--new", &old, "log", "--fail-if", "changed>0"]);
    assert!(same.contains("another model    0 (0.00 %)"), "{same}");
    for (limit, code) in
        [("changed>10", VERIFIED), ("changed>9", THRESHOLD), ("refused>9.99%", THRESHOLD)]
    {
        let diff = folder.run(&["diff", "--old", &old, "--new", &new, "log", "--fail-if", limit]);
        assert_eq!(diff.code, code, "{limit}");
    }
    let limit = "unreplayable>0";
    let wrong = folder.run(&["diff", "--old", &new, "--new", &old, "log", "--fail-if", limit]);
    assert_eq!(wrong.code, THRESHOLD);
    assert!(wrong.out.contains("not replayed     60"), "{}", wrong.out);
    // Nothing replayed is nothing compared, whatever the limit.
    let blind = ["diff", "--old", &new, "--new", &old, "log"];
    assert_eq!(folder.run(&blind).code, CANNOT_TELL);
    assert_eq!(folder.run(&[&blind[..], &["--fail-if", "changed>0"]].concat()).code, CANNOT_TELL);
    let bounded = [&blind[..], &["--fail-if", "unreplayable>60"]].concat();
    assert_eq!(folder.run(&bounded).code, CANNOT_TELL);
    let json = folder.ok(&["--json", "diff", "--old", &old, "--new", &new, "log"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["total"]["changed"], 10);
    assert_eq!(json["kind"], "replay, not a forecast");
    let bad = ["diff", "--old", &old, "--new", &new, "log", "--fail-if", "size>1"];
    assert_eq!(folder.run(&bad).code, USAGE);
}

#[test]
fn a_checkpoint_is_signed_witnessed_and_checked() {
    let folder = Folder::with_log();
    folder.secret("log.key", "09");
    folder.secret("witness.key", "0a");
    let origin = "example.com/decisions";
    let log_key = folder.key(origin, "log.key", "log key");
    let witness = folder.key("witness.example", "witness.key", "witness key");
    folder.ok(&["checkpoint", "log", "--origin", origin, "--signing-key", "log.key", "-o", "cp"]);
    // Signed, but nobody said by whom it should be.
    assert_eq!(folder.run(&["verify", "log", "--checkpoint", "cp"]).code, CANNOT_TELL);
    let check = ["verify", "log", "--checkpoint", "cp", "--log-key", &log_key];
    folder.ok(&check);
    let quorum = ["--witness", witness.as_str(), "--quorum", "1"];
    assert_eq!(folder.run(&[&check[..], &quorum].concat()).code, INCOMPLETE);
    let cosign = |log, checkpoint| {
        let mut arguments = vec!["checkpoint", log, "--origin", origin, "--cosign", checkpoint];
        arguments.extend(["--witness-name", "witness.example", "--log-key", &log_key]);
        arguments.extend(["--time", "1767225600", "--signing-key", "witness.key", "-o", "cp"]);
        folder.run(&arguments).code
    };
    folder.change("short", |lines| lines.truncate(50));
    assert_eq!(cosign("short", "cp"), INCOMPLETE);
    assert_eq!(cosign("log", "cp"), VERIFIED);
    assert!(folder.ok(&[&check[..], &quorum].concat()).contains("co-signed by witness.example"));
    let short = ["verify", "short", "--checkpoint", "cp", "--log-key", &log_key];
    assert_eq!(folder.run(&short).code, INCOMPLETE);
    let stranger = folder.key(origin, "witness.key", "log key");
    let wrong = ["verify", "log", "--checkpoint", "cp", "--log-key", &stranger];
    assert_ne!(folder.run(&wrong).code, VERIFIED);
}

#[test]
fn one_decision_is_proved_by_a_file_and_a_key() {
    let folder = Folder::with_log();
    folder.secret("log.key", "09");
    let (origin, policy) = ("example.com/decisions", data("policy.json"));
    let log_key = folder.key(origin, "log.key", "log key");
    let digest = folder.ok(&["policy", "digest", &policy]);
    let mut prove = vec!["prove", "log", "6", "--policy", &policy, "--origin", origin];
    prove.extend(["--signing-key", "log.key", "-o", "bundle"]);
    folder.ok(&prove);
    fs::remove_file(folder.path("log")).unwrap();
    assert_eq!(folder.run(&["verify-bundle", "bundle"]).code, CANNOT_TELL);
    let keys = ["--log-key", log_key.as_str(), "--policy-digest", digest.trim()];
    let check = |bundle| folder.run(&[&["verify-bundle", bundle][..], &keys].concat());
    let all = "VERIFIED: entry, inclusion, checkpoint, replay, policy\n";
    assert!(check("bundle").out.ends_with(all), "{}", check("bundle").out);
    let bundle = fs::read_to_string(folder.path("bundle")).unwrap();
    for (from, to) in [
        ("\\\"eligible_models\\\":", "\\\"eligible_models\\\":1"),
        ("\"sequence\": 6", "\"sequence\": 7"),
        ("\"leaf_index\": 5", "\"leaf_index\": 4"),
        ("\"quality_bps\": 8800", "\"quality_bps\": 8801"),
        ("\\n60\\n", "\\n61\\n"),
    ] {
        let changed = bundle.replacen(from, to, 1);
        assert_ne!(changed, bundle, "{from}");
        fs::write(folder.path("changed"), changed).unwrap();
        assert_eq!(check("changed").code, TAMPERED, "{from}: {}", check("changed").out);
    }
}

#[test]
fn repair_shows_first_and_cuts_only_a_torn_line() {
    let folder = Folder::with_log();
    assert!(folder.ok(&["repair", "log", "--apply"]).contains("open, nothing to do"));
    folder.ok(&["head", "log", "-o", "anchor"]);
    folder.change("torn", |lines| lines[59].truncate(400));
    let before = fs::read(folder.path("torn")).unwrap();
    assert_eq!(folder.run(&["repair", "torn"]).code, INCOMPLETE);
    assert_eq!(fs::read(folder.path("torn")).unwrap(), before);
    // The head that was kept covers what would be cut.
    let covered = folder.run(&["repair", "torn", "--apply", "--anchor", "anchor"]);
    assert_eq!(covered.code, INCOMPLETE);
    assert_eq!(fs::read(folder.path("torn")).unwrap(), before);
    assert!(folder.ok(&["repair", "torn", "--apply"]).contains("moved to torn"));
    assert!(folder.ok(&["verify", "torn"]).contains("59 entries"));
    folder
        .change("tampered", |lines| lines[20] = lines[20].replacen("USD", "", 1).replace('1', "2"));
    let before = fs::read(folder.path("tampered")).unwrap();
    assert_eq!(folder.run(&["repair", "tampered", "--apply"]).code, TAMPERED);
    assert_eq!(fs::read(folder.path("tampered")).unwrap(), before);
}

#[test]
fn a_policy_is_checked_formatted_signed_and_never_older() {
    let folder = Folder::empty();
    folder.secret("key", "09");
    let (old, new) = (data("policy.json"), data("policy-new.json"));
    assert!(folder.ok(&["policy", "check", &old]).starts_with("valid: 7 models, 6 enabled"));
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&folder.ok(arguments)).unwrap()
    };
    let checked = json(&["policy", "check", &old, "--json"]);
    assert_eq!((&checked["models"], &checked["enabled"]), (&7.into(), &6.into()));
    assert_eq!(checked["digest"], json(&["policy", "digest", &old, "--json"])["digest"]);
    folder.secret("seed", "07");
    let name = "example.com/log";
    let shown = json(&["key", "show", "--name", name, "--signing-key", "seed", "--json"]);
    assert_eq!(shown["log_key"], folder.key(name, "seed", "log key"));
    let trusted = shown["trusted_keys"].to_string();
    fs::write(folder.path("trusted"), trusted).unwrap();
    folder.ok(&["policy", "sign", &old, "--signer", name, "--signing-key", "seed", "-o", "signed"]);
    let verify = ["policy", "verify", &old, "--signature", "signed", "--trusted-keys", "trusted"];
    let verified = json(&[&verify[..], &["--json"]].concat());
    assert_eq!(verified["policy_digest_hex"], checked["digest"]);
    let formatted = folder.ok(&["policy", "fmt", &old]);
    fs::write(folder.path("formatted.json"), &formatted).unwrap();
    assert_eq!(folder.ok(&["policy", "fmt", "formatted.json"]), formatted);
    folder.ok(&["policy", "fmt", "--check", "formatted.json"]);
    fs::write(folder.path("loose.json"), formatted.replacen("  ", "", 1)).unwrap();
    assert_eq!(folder.run(&["policy", "fmt", "--check", "loose.json"]).code, USAGE);
    folder.ok(&["policy", "fmt", "--write", "loose.json"]);
    assert_eq!(fs::read_to_string(folder.path("loose.json")).unwrap(), formatted);
    assert_eq!(
        folder.ok(&["policy", "digest", "formatted.json"]),
        folder.ok(&["policy", "digest", &old])
    );
    let trusted = folder.key("desk", "key", "trusted keys");
    fs::write(folder.path("trusted"), trusted).unwrap();
    let verify = |policy: &str, signature: &str| {
        let mut arguments = vec!["policy", "verify", policy, "--signature", signature];
        arguments.extend(["--trusted-keys", "trusted", "--last-seen", "seen"]);
        folder.run(&arguments).code
    };
    for (policy, signature) in [(&old, "old.sig"), (&new, "new.sig")] {
        let sign = ["policy", "sign", policy, "--signer", "desk", "--signing-key", "key"];
        folder.ok(&[&sign[..], &["--time", "1767225600000", "-o", signature]].concat());
        assert_eq!(verify(policy, signature), VERIFIED);
    }
    assert_eq!(verify(&old, "old.sig"), TAMPERED);
    assert_eq!(verify(&new, "old.sig"), TAMPERED);
    let broken = fs::read_to_string(&old).unwrap().replacen("8800", "18800", 1);
    fs::write(folder.path("broken.json"), broken).unwrap();
    let broken = folder.run(&["policy", "check", "broken.json"]);
    assert_eq!(broken.code, USAGE);
    assert!(broken.err.contains("gpt-4o: model 1: quality_bps is 18800"), "{}", broken.err);
}

#[test]
fn stats_and_export_agree_with_the_log() {
    let folder = Folder::with_log();
    let policy = data("policy.json");
    let stats = folder.ok(&["stats", "log", "--policy", &policy]);
    assert!(stats.contains("60 decisions: 3 executed as requested, 16 substituted, 41 rejected"));
    folder.ok(&["export", "log", "--csv", "out.csv", "--policy", &policy]);
    let table = fs::read_to_string(folder.path("out.csv")).unwrap();
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let reject = |row: csv::StringRecord| &row[17] == "reject";
    assert_eq!(rows.records().filter(|row| reject(row.as_ref().unwrap().clone())).count(), 41);
    assert_eq!(table.lines().count(), 61);
    let json = folder.ok(&["stats", "log", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["tally"]["total"]["rejected"], 41);
    // No analysis of a log that does not hold.
    folder.change("changed", |lines| {
        lines[6] = lines[6].replacen("\"tenant\":\"", "\"tenant\":\"x", 1);
    });
    for command in
        [&["stats", "changed"][..], &["export", "changed", "--csv", "-"], &["head", "changed"]]
    {
        assert_eq!(folder.run(command).code, TAMPERED, "{command:?}");
    }
    assert_eq!(folder.run(&["stats", "."]).code, USAGE);
}

#[test]
fn completions_and_manual_pages_are_made() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(folder.ok(&["completions", shell]).contains("verify-bundle"));
    }
    assert!(folder.ok(&["man"]).contains(".TH calybris 1"));
    folder.ok(&["man", "--output", "pages"]);
    assert!(folder.path("pages/calybris-verify.1").exists());
}

#[test]
fn what_a_log_holds_cannot_steer_the_terminal() {
    let folder = Folder::empty();
    let requests = fs::read_to_string(data("requests.jsonl")).unwrap();
    let requests = requests.replace("\"acme\"", "\"\\u001b[2Jacme\"");
    fs::write(folder.path("requests"), requests).unwrap();
    folder.ok(&["decide", "--policy", &data("policy.json"), "requests", "--log", "log"]);
    let out = folder.ok(&["stats", "log"]);
    assert!(out.contains("\u{fffd}[2Jacme"), "{out}");
    assert!(!out.contains('\u{1b}'));
}
