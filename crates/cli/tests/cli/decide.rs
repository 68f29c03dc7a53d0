//! `decide`, and where secrets come from.

use crate::support::{CANNOT_TELL, Folder, KEY, USAGE};

#[test]
fn decisions_are_json_lines_in_the_order_of_the_requests() {
    let folder = Folder::new();
    let ran = folder.run(&["decide", "--policy", "policy.json", "requests.jsonl"]).ok();
    let decisions: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |member: &str| decisions.iter().map(|d| d[member].clone()).collect::<Vec<_>>();
    assert_eq!(of("request_sequence"), [1, 2, 3, 4, 5, 6, 7, 8]);
    let reasons = [
        "RequestedModelMaximizesUtility",
        "AlternativeMaximizesUtility",
        "AlternativeMaximizesUtility",
        "LatencyConstraint",
        "BudgetConstraint",
        "RiskHardLimit",
        "ConfidenceHardLimit",
        "AlternativeMaximizesUtility",
    ];
    assert_eq!(of("reason"), reasons);
    ran.says("decided: 1 execute_requested, 4 reject, 3 substitute");
}

#[test]
fn a_table_and_explanations_name_the_models() {
    let folder = Folder::new();
    let ran = folder.run(&["decide", "--policy", "policy.json", "requests.jsonl", "--table"]).ok();
    ran.says("grand").says("confidence_hard_limit");
    let decide = ["decide", "--policy", "policy.json", "requests.jsonl", "--explain"];
    folder
        .run(&decide)
        .ok()
        .says("quality 7000 bps, at least 9000 is asked for")
        .says("p95 latency 1800 ms, at most 1000 is allowed")
        .says("No model was looked at: risk_hard_limit");
    // A machine gets JSON alone, whatever else is asked for.
    for more in ["--explain", "--table"] {
        let ran = folder.run(&[&decide[..4], &["--json", more]].concat()).ok();
        let lines: Vec<serde_json::Value> =
            ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 8, "{more}");
        let explained = |line: &serde_json::Value| {
            line["candidates"].is_array() && line["decision"]["action"].is_string()
        };
        assert_eq!(lines.iter().all(explained), more == "--explain", "{more}: {}", ran.out);
    }
}

#[test]
fn requests_come_from_standard_input_too_and_without_metadata() {
    let folder = Folder::new();
    let line = folder.read("requests.jsonl").lines().next().unwrap().to_owned();
    let input = serde_json::from_str::<serde_json::Value>(&line).unwrap()["input"].to_string();
    let decide = ["decide", "--policy", "policy.json", "-", "--log", "log"];
    folder.run_on(&decide, &format!("{input}\n\n{line}\n")).ok().says("log: 2 entries");
    assert!(folder.read("log").contains(r#""metadata":null}}"#));
    folder.run(&["verify", "log", "--policy", "policy.json"]).ok();
}

#[test]
fn a_bad_request_is_named_by_file_and_line_and_what_came_before_is_kept() {
    let folder = Folder::new();
    let decide = ["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"];
    let good = folder.read("requests.jsonl");
    for (from, to, why) in [
        (r#""risk_bps":9700"#, r#""risk_bps":10001"#, "risk_bps is 10001"),
        (r#""risk_bps":9700"#, r#""risk_bps":-1"#, "invalid value"),
        (r#""risk_bps":9700"#, r#""risk":9700"#, "unknown field `risk`"),
        (r#""risk_bps":9700"#, r#""risk_bps":1,"risk_bps":2"#, "duplicate field `risk_bps`"),
        (r#""tenant":"corvid"}}"#, r#""tenant":"corvid"},"more":1}"#, "unknown field `more`"),
    ] {
        folder.write("requests.jsonl", &good);
        folder.replace("requests.jsonl", from, to);
        folder.run(&decide).ends(USAGE).says("requests.jsonl line 6: ").says(why);
    }
    // Five runs of five good requests each.
    folder.run(&["verify", "log", "--policy", "policy.json"]).ok().says("25 entries");
}

#[test]
fn a_bad_policy_is_refused_before_a_log_is_made() {
    let folder = Folder::new();
    folder.replace("policy.json", r#""quality_bps": 7000"#, r#""quality_bps": 70000"#);
    let decide = ["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"];
    folder.run(&decide).ends(USAGE).says("policy.json").says("quality_bps");
    assert!(!folder.path("log").exists());
    folder.run(&["decide", "--policy", "nothing.json", "requests.jsonl"]).ends(USAGE);
}

#[test]
fn a_damaged_log_is_not_appended_to() {
    let folder = Folder::with_log();
    folder.replace("log", r#""tenant":"acme""#, r#""tenant":"acne""#);
    let before = folder.read("log");
    let decide = ["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"];
    folder.run(&decide).ends(crate::support::TAMPERED);
    assert_eq!(folder.read("log"), before);
}

#[test]
fn secrets_come_from_files_or_the_environment_and_never_from_arguments() {
    let folder = Folder::with_keyed_log();
    let verify = ["verify", "log", "--policy", "policy.json"];
    folder.run_with(&verify, &[("CALYBRIS_KEY", KEY)]).ok();
    folder.run(&[&verify[..], &["--key-file", "key"]].concat()).ok();
    folder.run(&[&verify[..], &["--key", KEY]].concat()).ends(USAGE);
    // A path that is a key by mistake is not taken as one.
    folder.run(&[&verify[..], &["--key-file", KEY]].concat()).ends(USAGE);
    folder.run(&verify).ends(CANNOT_TELL).says("The log is keyed");
}

#[test]
fn what_a_bad_secret_was_is_never_printed() {
    let folder = Folder::with_keyed_log();
    for bad in ["deadbeefcafe", "not hexadecimal, much too secret", "abc"] {
        folder.write("key", bad);
        let ran = folder.run(&["verify", "log", "--key-file", "key"]).ends(USAGE);
        assert!(!ran.err.contains(bad) && !ran.out.contains(bad), "{ran:?}");
        ran.says("hexadecimal digits are needed");
        let ran = folder.run_with(&["verify", "log"], &[("CALYBRIS_KEY", bad)]).ends(USAGE);
        assert!(!ran.err.contains(bad) && !ran.out.contains(bad), "{ran:?}");
    }
}

#[test]
fn a_tail_that_opening_moves_away_is_said_and_a_wrong_key_is_no_tampering() {
    let folder = Folder::with_log();
    let decide = ["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"];
    let log = folder.read("log");
    folder.write("log", format!("{log}{{\"sequence\":9,\"prev"));
    folder.run(&decide).ok().says("only half written, as by a crash; it was moved to log.torn-");
    folder.write("key", KEY);
    let keyed = folder.run(&[&decide[..], &["--key-file", "key"]].concat()).ends(CANNOT_TELL);
    keyed.says("this is not the log's key");
}
