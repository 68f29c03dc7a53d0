//! The worked decision the evidence tests share.

use std::string::String;
use std::vec::Vec;

use calybris_kernel::{KernelDecision, KernelInput, KernelModel, PolicyParams, PolicySnapshot};
use serde::Deserialize;

/// Bytes from hexadecimal text.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::try_from(digit(pair[0]) << 4 | digit(pair[1])).unwrap()).collect()
}

/// A policy as the vectors write it.
#[derive(Clone, Deserialize)]
pub(crate) struct PolicyVector {
    #[serde(flatten)]
    params: PolicyParams,
    models: Vec<KernelModel>,
}

impl PolicyVector {
    pub(crate) fn snapshot(self) -> PolicySnapshot {
        PolicySnapshot::try_from_params(self.params, self.models).unwrap()
    }
}

#[derive(Deserialize)]
pub(crate) struct Expect {
    pub(crate) decision: KernelDecision,
    pub(crate) policy_digest: String,
    pub(crate) input_digest: String,
    pub(crate) decision_digest: String,
}

#[derive(Deserialize)]
struct CaseVector {
    policy: PolicyVector,
    input: KernelInput,
    expect: Expect,
}

/// The decision the evidence vectors are about.
pub(crate) struct Case {
    pub(crate) snapshot: PolicySnapshot,
    pub(crate) input: KernelInput,
    pub(crate) decision: KernelDecision,
    pub(crate) expect: Expect,
}

pub(crate) fn case() -> Case {
    let vector: CaseVector = serde_json::from_str(include_str!("../tests/data/case.json")).unwrap();
    let decision = vector.expect.decision;
    Case {
        snapshot: vector.policy.snapshot(),
        input: vector.input,
        decision,
        expect: vector.expect,
    }
}
