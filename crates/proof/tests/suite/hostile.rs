//! `tests/data/hostile.json`: what a reader of the formats must refuse, as changes of good evidence. The verifier in
//! Python reads the same file.

use calybris_proof::Evidence;
use calybris_proof::chain::WalAnchor;
use calybris_proof::checkpoint::{Witnesses, verify_checkpoint};
use calybris_proof::note::SignedNote;
use calybris_proof::outcome::Outcome;
use calybris_proof::receipt::{DecisionFacts, Item, Receipt, ReceiptContext, verify_receipt};
use calybris_proof::signature::{SignedPolicy, TrustedKeys};
use serde_json::from_str;

use crate::cases::{Case, case};

#[derive(serde::Deserialize)]
struct Change {
    why: String,
    from: String,
    to: String,
}

#[derive(serde::Deserialize)]
struct Artifact {
    name: String,
    good: String,
    still: Vec<Change>,
    refused: Vec<Change>,
}

#[derive(serde::Deserialize)]
struct Hostile {
    witnesses: Vec<String>,
    quorum: usize,
    artifacts: Vec<Artifact>,
}

impl Hostile {
    fn good(&self, name: &str) -> &str {
        &self.artifacts.iter().find(|artifact| artifact.name == name).unwrap().good
    }

    fn receipt(&self, case: &Case, receipt: &str, trusted: &str) -> bool {
        let (Ok(receipt), Ok(trusted)) =
            (from_str::<Receipt>(receipt), from_str::<TrustedKeys>(trusted))
        else {
            return false;
        };
        let context = ReceiptContext {
            decision: Some(DecisionFacts {
                policy: &case.snapshot,
                input: case.input,
                decision: &case.decision,
            }),
            trusted_keys: Some(&trusted),
            ..ReceiptContext::default()
        };
        verify_receipt(&receipt, &context).require(&[Item::Replay, Item::Signature]).is_ok()
    }

    fn checkpoint(&self, note: &str, log_key: &str) -> bool {
        let keys = self.witnesses.iter().map(|key| key.parse().unwrap()).collect();
        let witnesses = Witnesses { keys, quorum: self.quorum };
        let (Ok(note), Ok(key)) = (SignedNote::parse(note), log_key.parse()) else {
            return false;
        };
        verify_checkpoint(&note, "example.com/log", &key, &witnesses).is_ok()
    }

    /// Whether a reader accepts `text` as the artifact of that name.
    fn accepts(&self, case: &Case, name: &str, text: &str) -> bool {
        match name {
            "receipt" => self.receipt(case, text, self.good("trusted_keys")),
            "trusted_keys" => self.receipt(case, self.good("receipt"), text),
            "signed_policy" => {
                let trusted = from_str::<TrustedKeys>(self.good("trusted_keys")).unwrap();
                from_str::<SignedPolicy>(text)
                    .is_ok_and(|signed| signed.verify(&case.snapshot, &trusted).is_ok())
            }
            "outcome" => {
                let evidence = Evidence::of(&case.snapshot, case.input, &case.decision);
                from_str::<Outcome>(text).is_ok_and(|read| read.verify(&evidence).is_ok())
            }
            "anchor" => from_str::<WalAnchor>(text).is_ok(),
            "checkpoint" => self.checkpoint(text, self.good("log_key")),
            "log_key" => self.checkpoint(self.good("checkpoint"), text),
            other => panic!("no reader for {other}"),
        }
    }
}

#[test]
fn every_hostile_change_is_refused_and_every_harmless_one_is_not() {
    let hostile: Hostile = from_str(include_str!("../data/hostile.json")).unwrap();
    let case = case();
    let mut checked = 0;
    for Artifact { name, good, still, refused } in &hostile.artifacts {
        assert!(hostile.accepts(&case, name, good), "{name}");
        let changes = still.iter().map(|c| (c, true)).chain(refused.iter().map(|c| (c, false)));
        for (Change { why, from, to }, expected) in changes {
            let changed = good.replacen(from.as_str(), to, 1);
            assert_ne!(changed, *good, "{name}: {why}");
            assert_eq!(hostile.accepts(&case, name, &changed), expected, "{name}: {why}");
            checked += 1;
        }
    }
    assert_eq!((hostile.artifacts.len(), checked), (7, 186));
}
