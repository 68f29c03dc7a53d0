//! A replay checks everything a record says: one test for each check, with the rest made to hold.
//!
//! | check | its test |
//! |---|---|
//! | the chain: sequence, previous hash, entry hash, anchor | `chain`, `scan::tests` |
//! | the record: its members and no others, each in its range; metadata of the wanted type | `a_record_that_is_none…` |
//! | the policy it names: found, the one found, its epochs | `a_policy_that_is_missing…`, `a_member_changed…` |
//! | the request's digest, the decision's digest | `a_member_changed…` |
//! | that the policy gives this decision, in every member | `a_forged_decision…` |
//! | that the record does not itself deny it | `a_member_changed…` |

use std::fs;
use std::path::PathBuf;

use calybris_kernel::PolicySnapshot;
use calybris_kernel::digest::decision_digest;
use calybris_wal::{
    AuditedRecord, EntryFault, WalWriter, replay_audited_wal, replay_audited_wal_keyed,
    replay_audited_wal_with_resolver, verify_wal,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::common::{fault, request, vectors};

/// A policy, a directory, and the JSON of a record that replays.
struct Case {
    policy: PolicySnapshot,
    directory: tempfile::TempDir,
    record: Value,
}

impl Case {
    fn new() -> Self {
        let policy = vectors().audited_log.policy.snapshot();
        let record = AuditedRecord::decided(&policy.decide(request()), "desk 1");
        assert_eq!(
            canonical(&serde_json::to_value(&record).unwrap()),
            serde_json::to_string(&record).unwrap()
        );
        let record = serde_json::to_value(record).unwrap();
        Self { policy, directory: tempfile::tempdir().unwrap(), record }
    }

    /// A log of one good record and `json`, whose chain holds: only a replay shows what is wrong.
    fn log_with(&self, json: &str) -> PathBuf {
        let path = self.directory.path().join("log");
        let _ = fs::remove_file(&path);
        let log = WalWriter::<Box<RawValue>>::open(&path).unwrap();
        for json in [&canonical(&self.record), json] {
            log.append(RawValue::from_string(json.into()).unwrap()).unwrap();
        }
        drop(log);
        verify_wal(&path).unwrap();
        path
    }

    /// What a replay says to a log that ends with `record`, in the layout of the writer and in another.
    fn faults(&self, record: &Value) -> [Option<EntryFault>; 2] {
        [canonical(record), canonical(record).replacen(":", " : ", 1)].map(|json| {
            let error = replay_audited_wal(&self.log_with(&json), &self.policy).err()?;
            let (sequence, fault) = fault(error);
            assert_eq!(sequence, 2, "{fault}");
            Some(fault)
        })
    }
}

/// The record with its members in the order of the format, which a map of values does not keep.
fn canonical(record: &Value) -> String {
    let order = include_str!("../data/vectors.json").replace('\\', "");
    let part = |part: &str| {
        let (_, order) = order.split_once(&format!("\"{part}\":{{")).unwrap();
        let mut members: Vec<_> = record[part].as_object().unwrap().iter().collect();
        members.sort_by_key(|(name, _)| order.find(&format!("\"{name}\":")));
        let members: Vec<_> = members.iter().map(|(name, it)| format!("\"{name}\":{it}")).collect();
        format!("\"{part}\":{{{}}}", members.join(","))
    };
    let [audit, input, decision] = ["audit", "input", "decision"].map(part);
    format!("{{{audit},{input},{decision},\"metadata\":{}}}", record["metadata"])
}

/// Every member below `audit`, `input` and `decision`, as pointers.
fn members(record: &Value) -> Vec<String> {
    let below = |part: &str| {
        let members = record[part].as_object().unwrap().keys();
        members.map(|name| format!("/{part}/{name}")).collect::<Vec<_>>()
    };
    ["audit", "input", "decision"].iter().flat_map(|part| below(part)).collect()
}

/// Values of the same kind that are not this one.
fn others(member: &str, value: &Value) -> Vec<Value> {
    let flip = |digit: &str| if digit == "0" { "1" } else { "0" };
    let others: Vec<Value> = match value {
        Value::Bool(flag) => vec![(!flag).into()],
        Value::Number(_) => {
            let number = value.as_i64().unwrap_or(0);
            vec![0.into(), 1.into(), (number + 1).into(), (number - 1).into()]
        }
        Value::String(text) if member.ends_with("_hex") => {
            let (first, last) = (flip(&text[..1]), flip(&text[63..]));
            vec![format!("{first}{}", &text[1..]).into(), format!("{}{last}", &text[..63]).into()]
        }
        _ if member.ends_with("/action") => vec!["Reject".into(), "Execute".into()],
        _ if member.ends_with("/reason") => {
            vec!["NonPositiveUtility".into(), "AlternativeMaximizesUtility".into()]
        }
        _ => vec!["another".into()],
    };
    others.into_iter().filter(|other| other != value).collect()
}

#[test]
fn a_member_changed_is_refused_in_either_layout() {
    let case = Case::new();
    assert_eq!(case.faults(&case.record), [None, None], "unchanged it replays");
    let members = members(&case.record);
    assert_eq!(members.len(), 10 + 13 + 13);
    for member in members {
        for other in others(&member, case.record.pointer(&member).unwrap()) {
            let mut forged = case.record.clone();
            *forged.pointer_mut(&member).unwrap() = other;
            for fault in case.faults(&forged) {
                let expected = match (&fault, member.as_str()) {
                    (Some(EntryFault::Replay { reason }), "/audit/policy_digest_hex") => {
                        reason.starts_with("it names another policy")
                    }
                    (Some(EntryFault::Replay { reason }), "/audit/policy_epoch")
                    | (Some(EntryFault::Replay { reason }), "/audit/catalog_epoch") => {
                        reason == "it names another policy"
                    }
                    (Some(EntryFault::Replay { reason }), "/audit/input_digest_hex") => {
                        reason == "its input digest is another request's"
                    }
                    (Some(EntryFault::Replay { reason }), "/audit/decision_digest_hex") => {
                        reason == "its decision digest is another decision's"
                    }
                    (Some(EntryFault::Replay { reason }), "/audit/replay_valid") => {
                        reason == "the policy decides otherwise, or it says so itself"
                    }
                    (Some(EntryFault::Replay { reason }), member) => {
                        let digest =
                            if member.starts_with("/input") { "input" } else { "decision" };
                        reason.contains(&format!("its {digest} digest is another"))
                    }
                    // Out of its range, or a constant of the format.
                    (Some(EntryFault::Payload { .. }), _) => true,
                    _ => false,
                };
                assert!(expected, "{member}: {fault:?} for {forged}");
            }
        }
    }
}

/// A bundle of four members names no epochs; that of the policy's digest stays.
#[test]
fn a_bundle_of_four_members_is_replayed_as_strictly() {
    let mut case = Case::new();
    let audit = case.record["audit"].as_object_mut().unwrap();
    audit.retain(|name, _| name.ends_with("_hex") || name == "replay_valid");
    assert_eq!(audit.len(), 4);
    assert_eq!(case.faults(&case.record), [None, None]);
    for member in members(&case.record) {
        let other = others(&member, case.record.pointer(&member).unwrap()).swap_remove(0);
        let mut forged = case.record.clone();
        *forged.pointer_mut(&member).unwrap() = other;
        assert!(case.faults(&forged).iter().all(Option::is_some), "{member}");
    }
}

/// With its digest made to fit, all that is left is that the policy decides otherwise.
#[test]
fn a_forged_decision_with_its_digest_is_refused_in_every_member() {
    let case = Case::new();
    for member in members(&case.record) {
        if !member.starts_with("/decision/") {
            continue;
        }
        for other in others(&member, case.record.pointer(&member).unwrap()) {
            let mut forged = case.record.clone();
            *forged.pointer_mut(&member).unwrap() = other;
            let Ok(mut typed) = serde_json::from_value::<AuditedRecord<Value>>(forged) else {
                continue;
            };
            typed.audit.decision_digest_hex = decision_digest(&typed.decision).into();
            for fault in case.faults(&serde_json::to_value(typed).unwrap()) {
                let Some(EntryFault::Replay { reason }) = fault else { panic!("{member}") };
                assert_eq!(reason, "the policy decides otherwise, or it says so itself");
            }
        }
    }
}

#[test]
fn a_record_that_is_none_or_has_other_metadata_is_refused() {
    let case = Case::new();
    let canonical = canonical(&case.record);
    let payload = |json: &str| {
        let path = case.log_with(json);
        replay_audited_wal_keyed::<String>(&path, &case.policy, None).err().map(fault)
    };
    assert_eq!(payload(&canonical), None);
    for (from, to) in [
        ("{\"audit\":", "{\"more\":1,\"audit\":"),
        ("\"desk 1\"", "7"),
        ("\"metadata\":\"desk 1\"", "\"metadata\":\"desk 1\",\"metadata\":\"desk 1\""),
        (",\"metadata\":\"desk 1\"", ""),
        ("\"risk_bps\":500", "\"risk_bps\":65536"),
        ("\"risk_bps\":500,", ""),
        ("\"replay_valid\":true", "\"replay_valid\":1"),
    ] {
        assert!(canonical.contains(from), "{from}");
        let refused = payload(&canonical.replacen(from, to, 1));
        assert!(matches!(refused, Some((2, EntryFault::Payload { .. }))), "{to}: {refused:?}");
    }
}

#[test]
fn a_policy_that_is_missing_or_another_is_refused() {
    let case = Case::new();
    let path = case.log_with(&canonical(&case.record));
    let other = {
        let params = *case.policy.params();
        let models = case.policy.models().iter().copied();
        let models = models
            .map(|model| calybris_kernel::KernelModel { model_id: model.model_id + 1, ..model });
        PolicySnapshot::try_from_params(params, models.collect::<Vec<_>>()).unwrap()
    };
    let replay = |found: Option<PolicySnapshot>| {
        replay_audited_wal_with_resolver::<Value, _>(&path, None, |_| found.clone())
    };
    assert_eq!(replay(Some(case.policy.clone())).unwrap().len(), 2);
    assert!(matches!(fault(replay(None).unwrap_err()), (1, EntryFault::PolicyMissing { .. })));
    let (1, EntryFault::Replay { reason }) = fault(replay(Some(other)).unwrap_err()) else {
        panic!("another policy is not the one named")
    };
    assert!(reason.contains("it names another policy"), "{reason}");
}
