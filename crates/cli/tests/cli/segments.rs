//! A folder of segments: every command says of it what it says of one file with the same entries.

use calybris_core::wal::{WalOptions, WalWriter};

use crate::support::{CANNOT_TELL, Folder, INCOMPLETE, Ran, TAMPERED, USAGE};

const DECIDE: [&str; 4] = ["decide", "--policy", "policy.json", "requests.jsonl"];
const VERIFY: [&str; 4] = ["verify", "segments", "--policy", "policy.json"];

/// A log as one file, `log`, and as three segments, `segments`; a signing key in `seed`.
fn folder() -> Folder {
    let folder = Folder::with_log();
    let log = ["--log", "segments", "--segment-bytes", "4000"];
    folder.run(&[&DECIDE[..], &log].concat()).ok();
    folder.write("policy-new.json", include_str!("data/policy-new.json"));
    folder.write("seed", "09".repeat(32));
    folder
}

/// The segments' names, in order.
fn segments(folder: &Folder) -> Vec<String> {
    let files = std::fs::read_dir(folder.path("segments")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".log")).collect();
    names.sort();
    names.iter().map(|name| format!("segments/{name}")).collect()
}

/// Retires the entries before this sequence, as far as they fill segments; returns the last one retired.
fn retire(folder: &Folder, before: u64) -> u64 {
    type Payload = Box<serde_json::value::RawValue>;
    let options = WalOptions::new().segment_bytes(4_000);
    let log = WalWriter::<Payload>::open_with(&folder.path("segments"), &options).unwrap();
    log.retire_before(before).unwrap().unwrap().sequence
}

#[test]
fn every_command_reads_it_as_it_reads_one_file() {
    let folder = folder();
    assert_eq!(segments(&folder).len(), 3);
    folder.run(&VERIFY).ok().says("8 entries, each following the one before, in 3 segments");
    let same = |command: &[&str]| {
        let of = |log: &'static str| {
            let on = |argument: &&str| if *argument == "LOG" { log } else { *argument }.to_owned();
            let arguments: Vec<String> = command.iter().map(on).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            folder.run(&arguments).ok().out
        };
        assert_eq!(of("segments"), of("log"), "{command:?}");
    };
    for command in [
        &["head", "LOG"][..],
        &["stats", "LOG", "--policy", "policy.json"],
        &["diff", "--old", "policy.json", "--new", "policy-new.json", "LOG"],
        &["explain", "LOG", "5", "--policy", "policy.json"],
        &["export", "LOG", "--csv", "-"],
        &["checkpoint", "LOG", "--origin", "example.com/log", "--signing-key", "seed"],
        &["prove", "LOG", "5", "--origin", "example.com/log", "--signing-key", "seed"],
    ] {
        same(command);
    }
    folder.run(&["repair", "segments"]).ok().says("open, nothing to do");
    folder.run(&["report", "segments", "--policy", "policy.json", "-o", "r.html"]).ok();
    assert!(folder.read("r.html").contains("in 3 segments"));
    // More decisions go to the same folder.
    folder.run(&[&DECIDE[..], &["--log", "segments"]].concat()).ok().says("log: 16 entries");
    folder.run(&VERIFY).ok().says("16 entries");
}

#[test]
fn a_failure_names_the_segment_and_its_line() {
    let folder = folder();
    let names = segments(&folder);
    folder.replace(&names[1], r#""tenant":""#, r#""tenant":"x"#);
    let ran =
        folder.run(&VERIFY).ends(TAMPERED).says("the entry's hash is not that of its payload");
    ran.says(&format!("{}, line 1, byte 0, sequence ", names[1]));
}

#[test]
fn a_segment_that_is_missing_cut_or_torn_is_told_apart() {
    let folder = folder();
    let names = segments(&folder);
    let whole = |name: &str| (name.to_owned(), folder.read(name));
    let (middle, last) = (whole(&names[1]), whole(&names[2]));
    folder.remove(&middle.0);
    folder.run(&VERIFY).ends(TAMPERED).says("A segment is missing, was cut short or renamed");
    folder.write(&middle.0, &middle.1[..middle.1.len() - 1]);
    folder.run(&VERIFY).ends(TAMPERED).says("The segment was cut short");
    folder.write(&middle.0, &middle.1);
    folder.run(&VERIFY).ok();

    folder.write(
        &last.0,
        format!("{}{}", last.1, &last.1[..40].replace(":7", ":9").replace(":8", ":9")),
    );
    let torn = folder.run(&VERIFY);
    assert_ne!(torn.code, 0, "{torn:?}");
    // A crash tears a line that nobody was told of; a cut takes one that the head file names.
    folder.write(&last.0, format!("{}{}", last.1, r#"{"sequence":9,"#));
    folder.run(&VERIFY).ends(INCOMPLETE).says("only half written, as by a crash");
    folder.write(&last.0, &last.1[..last.1.len() - 40]);
    folder.run(&VERIFY).ends(INCOMPLETE).says("more than a crash takes");
    folder.remove(&last.0);
    folder.run(&VERIFY).ends(INCOMPLETE).says("acknowledged as durable are missing");
    folder.run(&["head", "segments"]).ends(INCOMPLETE);
}

#[test]
fn what_was_retired_is_said_and_what_needs_it_is_refused() {
    let folder = folder();
    folder.run(&["head", "segments", "-o", "anchor"]).ok();
    folder.run(&["explain", "segments", "1", "--policy", "policy.json"]).ok();
    let checkpoint = ["checkpoint", "segments", "--origin", "example.com/log"];
    let sign = [&checkpoint[..], &["--signing-key", "seed"]].concat();
    folder.run(&[&sign[..], &["-o", "cp"]].concat()).ok();
    let after = retire(&folder, 5);
    assert!((1..5).contains(&after), "{after}");

    let says = format!("{} entries, each following the one before", 8 - after);
    let retired = format!("entries up to {after} were retired and not looked at");
    folder.run(&VERIFY).ok().says(&says).says(&retired);
    let verdict = folder.run(&[&VERIFY[..], &["--json"]].concat()).ok().json();
    assert_eq!((&verdict["entries"], &verdict["retired"]), (&(8 - after).into(), &after.into()));
    folder.run(&[&VERIFY[..], &["--anchor", "anchor"]].concat()).ok().says("trusted head at 8");
    folder.run(&["stats", "segments"]).ok().says(&format!("entries up to {after} were retired"));
    folder.run(&["report", "segments", "-o", "r.html"]).ok();
    assert!(folder.read("r.html").contains(&retired));
    folder.run(&["explain", "segments", "8", "--policy", "policy.json"]).ok();
    let gone = folder.run(&["explain", "segments", "1", "--policy", "policy.json"]);
    gone.ends(CANNOT_TELL).says("entry 1 was retired");

    // An anchor of an entry that was retired, and the tree over all entries.
    let first = calybris_core::wal::read_wal::<serde_json::Value>(&folder.path("log")).unwrap();
    let old = calybris_core::wal::WalAnchor::new(1, first[0].entry_hash, false).unwrap();
    folder.write("old", serde_json::to_string(&old).unwrap());
    let ran: Ran = folder.run(&[&VERIFY[..], &["--anchor", "old"]].concat());
    if after > 1 {
        ran.ends(CANNOT_TELL).says("the trusted head is entry 1");
    }
    let edge = first.iter().find(|entry| entry.sequence == after).unwrap();
    let edge = calybris_core::wal::WalAnchor::new(after, edge.entry_hash, false).unwrap();
    folder.write("edge", serde_json::to_string(&edge).unwrap());
    folder.run(&[&VERIFY[..], &["--anchor", "edge"]].concat()).ok().says("trusted head at");
    folder.run(&sign).ends(CANNOT_TELL).says("the log's tree is over all of them");
    let needs = [&VERIFY[..], &["--checkpoint", "cp"]].concat();
    folder.run(&needs).ends(CANNOT_TELL).says("the log's tree is over all of them");
    folder.replace("segments/retired", "\"last_hash\":\"", "\"last_hash\":\"0");
    folder.run(&VERIFY).ends(TAMPERED).says("retired");
}

#[test]
fn a_folder_that_is_no_log_is_refused() {
    let folder = Folder::with_log();
    std::fs::create_dir(folder.path("empty")).unwrap();
    folder.run(&["verify", "empty"]).ends(USAGE).says("a folder without a segment of a log");
    let decide = [&DECIDE[..], &["--log", "log", "--segment-bytes", "4000"]].concat();
    folder.run(&decide).ends(USAGE).says("is a file");
}
