//! `verify`: each verdict from a log that deserves it, and no verified from one that does not.

use calybris_core::proof::AuditedRecord;
use calybris_core::wal::WalWriter;
use serde_json::Value;

use crate::support::{CANNOT_TELL, Folder, INCOMPLETE, KEY, TAMPERED, USAGE};

const VERIFY: [&str; 4] = ["verify", "log", "--policy", "policy.json"];

#[test]
fn a_whole_log_is_verified_and_the_verdict_says_what_it_covers() {
    let folder = Folder::with_log();
    folder
        .run(&VERIFY)
        .ok()
        .says("8 entries, each following the one before")
        .says("8 decisions follow from their policy")
        .says("VERIFIED: chain, audit, replay. Not checked: anchor, checkpoint");
    folder.run(&["verify", "log"]).ok().says("Not checked: replay, anchor, checkpoint");
}

#[test]
fn the_json_form_is_stable() {
    let folder = Folder::with_log();
    let verdict = folder.run(&[&VERIFY[..], &["--json"]].concat()).ok().json();
    assert_eq!(verdict["verdict"], "verified");
    assert_eq!(verdict["entries"], 8);
    assert_eq!(verdict["head"]["schema_version"], "calybris.wal-anchor.v1");
    assert_eq!(verdict["established"], serde_json::json!(["chain", "audit", "replay"]));
    assert_eq!(verdict["not_checked"], serde_json::json!(["anchor", "checkpoint"]));
    assert_eq!(verdict["items"]["replay"]["status"], "established");

    folder.replace("log", r#""tenant":"corvid""#, r#""tenant":"raven""#);
    let verdict = folder.run(&[&VERIFY[..], &["--json"]].concat()).ends(TAMPERED).json();
    let chain = &verdict["items"]["chain"];
    assert_eq!((&verdict["verdict"], &chain["status"]), (&"tampered".into(), &"refuted".into()));
    assert_eq!((&chain["line"], &chain["sequence"]), (&6.into(), &6.into()));
    assert_eq!(chain["file"], "log");
    for member in ["problem", "expected", "found", "meaning"] {
        assert!(chain[member].is_string(), "{member}: {chain}");
    }
    // What was read before the break is no verdict on the whole.
    assert_eq!(verdict["head"], Value::Null);

    let failure = folder.run(&["--json", "verify", "log", "--policy", "none"]).ends(USAGE).json();
    assert_eq!(failure["verdict"], "usage");
    assert!(failure["error"]["problem"].as_str().unwrap().contains("none"));
}

#[test]
fn every_changed_byte_of_a_payload_or_a_hash_is_tampering() {
    let folder = Folder::with_log();
    let log = folder.read("log");
    // A step that is coprime to the line's regular parts, so that every kind of member is hit.
    for at in (0..log.len() - 1).step_by(397) {
        let mut bytes = log.clone().into_bytes();
        bytes[at] = if bytes[at] == b'7' { b'6' } else { b'7' };
        folder.write("log", &bytes);
        let ran = folder.run(&VERIFY);
        assert_ne!(ran.code, 0, "byte {at}: {ran:?}");
        assert_eq!(ran.code, TAMPERED, "byte {at}: {ran:?}");
    }
}

#[test]
fn removed_repeated_swapped_and_spliced_entries_are_tampering() {
    let folder = Folder::with_log();
    let log = folder.read("log");
    let lines: Vec<&str> = log.lines().collect();
    folder.remove("log.head");
    let write = |lines: &[&str]| folder.write("log", lines.join("\n") + "\n");
    let mut swapped = lines.clone();
    swapped.swap(3, 4);
    for broken in
        [[&lines[..2], &lines[3..]].concat(), [&lines[..3], &lines[2..]].concat(), swapped]
    {
        write(&broken);
        folder.run(&VERIFY).ends(TAMPERED).says("the sequence does not follow").says("sequence ");
    }
    let other = Folder::new();
    other.replace("requests.jsonl", "acme", "else");
    other.run(&["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"]).ok();
    let other = other.read("log");
    let other: Vec<&str> = other.lines().collect();
    write(&[&lines[..4], &other[4..]].concat());
    folder.run(&VERIFY).ends(TAMPERED).says("the entry does not follow the one before it");
}

#[test]
fn a_half_written_last_line_is_incomplete_and_in_the_middle_it_is_tampering() {
    let folder = Folder::with_log();
    let log = folder.read("log");
    let torn = &log[..log.len() - 40];
    folder.write("log", torn);
    folder.run(&VERIFY).ends(INCOMPLETE).says("more than a crash takes").says("sequence 8");
    folder.remove("log.head");
    folder.run(&VERIFY).ends(INCOMPLETE).says("half written").says("sequence 8");
    folder.write("log", format!("{torn}\n{log}"));
    folder.run(&VERIFY).ends(TAMPERED);
}

#[test]
fn an_anchor_shows_a_suffix_that_was_cut_off_and_a_rewritten_history() {
    let folder = Folder::with_log();
    folder.run(&["head", "log", "-o", "anchor"]).ok();
    assert_eq!(folder.run(&["anchor", "log"]).ok().out, folder.read("anchor"));
    let anchored = [&VERIFY[..], &["--anchor", "anchor"]].concat();
    folder.run(&anchored).ok().says("the log contains the trusted head at 8");

    let log = folder.read("log");
    let shorter: String = log.split_inclusive('\n').take(6).collect();
    folder.write("log", shorter);
    folder.run(&VERIFY).ends(INCOMPLETE).says("the head file beside it");
    folder.remove("log.head");
    folder.run(&VERIFY).ok();
    folder.run(&anchored).ends(INCOMPLETE).says("at least 8 entries").says("cut off");

    // The whole log again, chained and replaying, but with another tenant.
    let other = Folder::new();
    other.replace("requests.jsonl", "acme", "else");
    other.run(&["decide", "--policy", "policy.json", "requests.jsonl", "--log", "log"]).ok();
    folder.write("log", other.read("log"));
    folder.run(&VERIFY).ok();
    folder.run(&anchored).ends(TAMPERED).says("the entry is not the trusted head");

    folder.write("anchor", r#"{"schema_version":"calybris.wal-anchor.v2","sequence":8}"#);
    folder.run(&anchored).ends(USAGE).says("anchor");
}

#[test]
fn a_keyed_log_needs_its_key() {
    let folder = Folder::with_keyed_log();
    let keyed = [&VERIFY[..], &["--key-file", "key"]].concat();
    folder.run(&keyed).ok();
    folder.run(&VERIFY).ends(CANNOT_TELL).says("The log is keyed");
    folder.write("other", KEY.replace("00", "ff"));
    let wrong = [&VERIFY[..], &["--key-file", "other"]].concat();
    folder.run(&wrong).ends(CANNOT_TELL).says("this is not the log's key");
    // Tampering is still told from a wrong key, first entry included, and the right hash is not given away.
    folder.run(&["head", "log", "--key-file", "key", "-o", "anchor"]).ok();
    folder.replace("log", r#""tenant":"acme""#, r#""tenant":"acne""#);
    let ran = folder.run(&keyed).ends(TAMPERED).says("sequence 1");
    // Nothing is said of what lies after the break.
    let ran = ran.says("there is no audited record to replay before the break");
    assert!(!ran.out.contains("expected"), "{ran:?}");
    folder.run(&[&VERIFY[..], &["--anchor", "anchor"]].concat()).ends(USAGE).says("keyed log");
}

#[test]
fn a_key_on_an_unkeyed_log_is_not_a_verified_log() {
    let folder = Folder::with_log();
    folder.write("key", KEY);
    let keyed = [&VERIFY[..], &["--key-file", "key"]].concat();
    folder.run(&keyed).ends(CANNOT_TELL).says("or the log has none");
}

/// Chains these payloads into a log, as someone does who rewrites history.
fn chain(folder: &Folder, payloads: &[String]) {
    folder.remove("log");
    folder.remove("log.head");
    let log = WalWriter::<Box<serde_json::value::RawValue>>::open(&folder.path("log")).unwrap();
    for payload in payloads {
        log.append(serde_json::value::RawValue::from_string(payload.clone()).unwrap()).unwrap();
    }
    log.flush_and_sync().unwrap();
}

fn payloads(folder: &Folder) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        data: Box<serde_json::value::RawValue>,
    }
    let data = |line: &str| serde_json::from_str::<Line>(line).unwrap().data.get().to_owned();
    folder.read("log").lines().map(data).collect()
}

#[test]
fn a_rebuilt_chain_does_not_hide_a_forged_decision() {
    let folder = Folder::with_log();
    let honest = payloads(&folder);
    let forge = |from: &str, to: &str| {
        let mut forged = honest.clone();
        assert!(forged[1].contains(from), "{from}: {}", forged[1]);
        forged[1] = forged[1].replacen(from, to, 1);
        chain(&folder, &forged);
    };
    chain(&folder, &honest);
    folder.run(&VERIFY).ok();
    // Whoever changes the content must forge its digest too.
    forge(r#""input_tokens":1200"#, r#""input_tokens":1300"#);
    folder.run(&["verify", "log"]).ends(TAMPERED).says("input_digest_hex").says("sequence 2");
    forge(r#""eligible_models":3"#, r#""eligible_models":2"#);
    folder.run(&["verify", "log"]).ends(TAMPERED).says("decision_digest_hex");
    forge(r#""replay_valid":true"#, r#""replay_valid":false"#);
    folder.run(&["verify", "log"]).ends(TAMPERED).says("did not replay");
    forge(
        r#""policy_epoch":1,"catalog_epoch":1,"created"#,
        r#""policy_epoch":1,"catalog_epoch":2,"created"#,
    );
    folder.run(&VERIFY).ends(TAMPERED).says("other epochs");

    // And with its digest forged, only the replay shows it.
    let mut record: AuditedRecord<Value> = serde_json::from_str(&honest[1]).unwrap();
    record.decision.estimated_cost_microunits += 1;
    let digest = calybris_core::digest::decision_digest(&record.decision);
    record.audit.decision_digest_hex = digest.into();
    let mut forged = honest.clone();
    forged[1] = serde_json::to_string(&record).unwrap();
    chain(&folder, &forged);
    folder.run(&["verify", "log"]).ok().says("Not checked: replay");
    folder.run(&["verify", "log", "--require", "replay"]).ends(CANNOT_TELL);
    let ran = folder.run(&VERIFY).ends(TAMPERED).says("the decision does not replay");
    ran.says("sequence 2").says("expected").says("found");
}

#[test]
fn entries_that_are_no_audited_records_are_never_passed_over() {
    let folder = Folder::with_log();
    let honest = payloads(&folder);
    for odd in [r#"{"note":"a remark"}"#.to_owned(), honest[2].replacen("{", r#"{"extra":1,"#, 1)] {
        let mut mixed = honest.clone();
        mixed[2] = odd;
        chain(&folder, &mixed);
        folder.run(&VERIFY).ends(CANNOT_TELL).says("not an audited record").says("sequence 3");
        folder.run(&["verify", "log"]).ends(CANNOT_TELL);
    }
    // A log used for something else altogether has a chain, and no more; a policy asks for more.
    chain(&folder, &[r#"{"note":1}"#.into()]);
    folder.run(&["verify", "log"]).ok().says("VERIFIED: chain. Not checked: audit");
    folder.run(&VERIFY).ends(CANNOT_TELL).says("no audited record to replay");
}

#[test]
fn a_policy_that_was_not_given_leaves_the_question_open_unless_something_is_forged() {
    let folder = Folder::with_log();
    folder
        .write("other.json", folder.read("policy.json").replace(r#"_epoch": 1"#, r#"_epoch": 2"#));
    let other = ["verify", "log", "--policy", "other.json"];
    folder
        .run(&other)
        .ends(CANNOT_TELL)
        .says("no policy given has the digest the record names (8 entries fail this)");
    // Two policies in one log, both given.
    folder.run(&["decide", "--policy", "other.json", "requests.jsonl", "--log", "log"]).ok();
    folder.run(&VERIFY).ends(CANNOT_TELL).says("sequence 9");
    folder.run(&[&VERIFY[..], &["--policy", "other.json"]].concat()).ok().says("16 decisions");
}

#[test]
fn an_empty_log_is_verified_only_where_its_anchor_says_so() {
    let folder = Folder::new();
    folder.write("log", "");
    folder.run(&["verify", "log"]).ends(CANNOT_TELL).says("the log is empty");
    folder.write("log", "\n \n");
    folder.run(&["verify", "log"]).ends(CANNOT_TELL);
    folder.run(&["head", "log", "-o", "anchor"]).ok();
    folder.run(&["verify", "log", "--anchor", "anchor"]).ok().says("as its anchor says");
}

#[test]
fn what_cannot_be_read_is_neither_verified_nor_tampered() {
    let folder = Folder::new();
    folder.run(&["verify", "log"]).ends(CANNOT_TELL).says("nothing is known about it");
    folder.run(&["verify"]).ends(USAGE);
    folder.run(&["verify", "log", "--require", "everything"]).ends(USAGE);
    folder.run(&["unheard-of"]).ends(USAGE);
}

#[test]
fn required_items_fail_when_nobody_checked_them() {
    let folder = Folder::with_log();
    let required = [&VERIFY[..], &["--require", "replay,anchor"]].concat();
    folder.run(&required).ends(CANNOT_TELL).says("anchor is required and was not checked");
    folder.run(&["head", "log", "-o", "anchor"]).ok();
    folder.run(&[&required[..], &["--anchor", "anchor"]].concat()).ok();
}

#[test]
fn a_wrong_command_line_is_json_too_when_that_is_asked_for() {
    let failure = Folder::new().run(&["verify", "--json"]).ends(USAGE).json();
    assert_eq!(failure["verdict"], "usage");
    assert!(failure["error"]["problem"].as_str().unwrap().contains("<LOG>"), "{failure}");
}

#[test]
fn nothing_learnt_from_a_log_is_written_over_it() {
    let folder = Folder::with_log();
    let before = folder.read("log");
    for command in [&["head", "log", "-o", "log"][..], &["report", "log", "-o", "./log"]] {
        folder.run(command).ends(USAGE).says("this is the log");
    }
    assert_eq!(folder.read("log"), before);
}

#[test]
fn a_comparison_of_nothing_passes_no_limit() {
    let folder = Folder::new();
    folder.write("log", "");
    let diff = ["diff", "--old", "policy.json", "--new", "policy.json", "log"];
    folder.run(&diff).ends(CANNOT_TELL).says("no decision to replay");
    folder.run(&["stats", "nowhere"]).ends(CANNOT_TELL).says("cannot open nowhere");
}
