//! The decision the evidence vectors are about, and the files they are in.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "helpers of the tests")]

use calybris_kernel::{KernelDecision, KernelInput, KernelModel, PolicySnapshot};
use calybris_proof::Evidence;
use serde_json::Value;

/// A file of `tests/data`.
pub fn data(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A policy, a request and its decision.
pub struct Case {
    pub snapshot: PolicySnapshot,
    pub input: KernelInput,
    pub decision: KernelDecision,
}

impl Case {
    pub fn evidence(&self) -> Evidence {
        Evidence::of(&self.snapshot, self.input, &self.decision)
    }
}

/// The case of `case.json`.
pub fn case() -> Case {
    let case = data("case.json");
    let read = |value: &Value| value.as_u64().unwrap();
    let policy = &case["policy"];
    let bps = |name: &str| u16::try_from(read(&policy[name])).unwrap();
    let models: Vec<KernelModel> = serde_json::from_value(policy["models"].clone()).unwrap();
    let snapshot = PolicySnapshot::try_new(
        read(&policy["policy_epoch"]),
        read(&policy["catalog_epoch"]),
        bps("hard_risk_limit_bps"),
        bps("minimum_confidence_bps"),
        bps("risk_penalty_multiplier_bps"),
        read(&policy["latency_penalty_microunits_per_ms"]),
        models,
    )
    .unwrap();
    let input = serde_json::from_value(case["input"].clone()).unwrap();
    let decision = serde_json::from_value(case["expect"]["decision"].clone()).unwrap();
    Case { snapshot, input, decision }
}
