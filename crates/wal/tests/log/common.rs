//! What several test files need.

use std::path::{Path, PathBuf};

use calybris_kernel::{KernelInput, KernelModel, PolicyParams, PolicySnapshot};
use calybris_wal::{EntryFault, WalError, WalWriter};
use serde::Deserialize;

pub(crate) const KEY: [u8; 32] = [0x42; 32];

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub log: LogVectors,
    pub audited_log: AuditedVectors,
}

#[derive(Deserialize)]
pub(crate) struct LogVectors {
    pub payloads: Vec<String>,
    pub lines: Vec<String>,
    pub key_hex: String,
    pub keyed_lines: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct AuditedVectors {
    pub policy: PolicyText,
    pub lines: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct PolicyText {
    #[serde(flatten)]
    params: PolicyParams,
    models: Vec<KernelModel>,
}

impl PolicyText {
    pub(crate) fn snapshot(self) -> PolicySnapshot {
        PolicySnapshot::try_from_params(self.params, self.models).unwrap()
    }
}

pub(crate) fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../data/vectors.json")).unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// A closed log of `entries` numbers in a directory of its own.
pub(crate) fn log_of(entries: u64) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let log = WalWriter::<u64>::open(&path).unwrap();
    for number in 1..=entries {
        log.append(number * 1_000).unwrap();
    }
    (directory, path)
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(Into::into).collect()
}

/// The sequence due and the fault of a refusal that is about an entry.
pub(crate) fn fault(error: WalError) -> (u64, EntryFault) {
    match error {
        WalError::Entry { place, fault } => (place.sequence, *fault),
        other => std::panic::panic_any(other.to_string()),
    }
}

/// A request without constraints.
pub(crate) fn request() -> KernelInput {
    KernelInput {
        request_sequence: 7,
        requested_model_id: 1,
        input_tokens: 1_000,
        output_tokens: 500,
        business_value_microunits: 5_000_000,
        budget_limit_microunits: u64::MAX,
        risk_bps: 500,
        confidence_bps: 9_000,
        minimum_quality_bps: 0,
        max_p95_latency_ms: 0,
        required_capabilities: 0,
        allowed_provider_mask: u64::MAX,
        required_region_mask: 0,
    }
}
