//! The columns of the table: their names, types and values. Amounts are microunits, as in the log.

use std::borrow::Cow;

use calybris_core::kernel::{KernelDecision, KernelInput};
use calybris_core::proof::AuditBundle;
use calybris_core::proof::chain::ChainHash;

use crate::policies::Policies;
use crate::record::Record;

/// A decision in the log, as one row.
pub(super) struct Row<'a> {
    pub(super) sequence: u64,
    pub(super) hash: ChainHash,
    pub(super) record: Record<'a>,
    pub(super) policies: &'a Policies,
}

/// The type of a column, and where its value is in a row.
pub(super) enum Value {
    U16(fn(&Row<'_>) -> u16),
    U32(fn(&Row<'_>) -> u32),
    U64(fn(&Row<'_>) -> u64),
    I64(fn(&Row<'_>) -> i64),
    Bool(fn(&Row<'_>) -> bool),
    Text(for<'r> fn(&'r Row<'_>) -> Cow<'r, str>),
}

use Value::{Bool, I64, Text, U16, U32, U64};

/// The columns, in order.
pub(super) const COLUMNS: [(&str, Value); 29] = [
    ("sequence", U64(|row| row.sequence)),
    ("entry_hash", Text(|row| row.hash.as_str().into())),
    ("tenant", Text(|row| (&*row.record.tenant).into())),
    ("policy_digest", Text(|row| row.audit().policy_digest_hex.to_string().into())),
    ("policy_epoch", U64(|row| row.decision().policy_epoch)),
    ("catalog_epoch", U64(|row| row.decision().catalog_epoch)),
    ("request_sequence", U64(|row| row.input().request_sequence)),
    ("requested_model_id", U32(|row| row.input().requested_model_id)),
    ("requested_model", Text(|row| row.policies.model(row.input().requested_model_id).into())),
    ("input_tokens", U32(|row| row.input().input_tokens)),
    ("output_tokens", U32(|row| row.input().output_tokens)),
    ("business_value_microunits", I64(|row| row.input().business_value_microunits)),
    ("budget_limit_microunits", U64(|row| row.input().budget_limit_microunits)),
    ("risk_bps", U16(|row| row.input().risk_bps)),
    ("confidence_bps", U16(|row| row.input().confidence_bps)),
    ("minimum_quality_bps", U16(|row| row.input().minimum_quality_bps)),
    ("max_p95_latency_ms", U32(|row| row.input().max_p95_latency_ms)),
    ("action", Text(|row| row.decision().action.as_str().into())),
    ("reason", Text(|row| row.decision().reason.as_str().into())),
    ("selected_model_id", U32(|row| row.decision().selected_model_id)),
    ("selected_model", Text(|row| row.policies.model(row.decision().selected_model_id).into())),
    ("estimated_cost_microunits", U64(|row| row.decision().estimated_cost_microunits)),
    ("expected_utility_microunits", I64(|row| row.decision().expected_utility_microunits)),
    ("counterfactual_model_id", U32(|row| row.decision().counterfactual_model_id)),
    (
        "counterfactual_utility_microunits",
        I64(|row| row.decision().counterfactual_utility_microunits),
    ),
    ("evaluated_models", U16(|row| row.decision().evaluated_models)),
    ("eligible_models", U16(|row| row.decision().eligible_models)),
    ("replay_valid", Bool(|row| row.audit().replay_valid)),
    ("metadata", Text(|row| row.record.audited.metadata.into())),
];

impl Row<'_> {
    fn audit(&self) -> &AuditBundle {
        &self.record.audited.audit
    }

    fn input(&self) -> &KernelInput {
        &self.record.audited.input
    }

    fn decision(&self) -> &KernelDecision {
        &self.record.audited.decision
    }
}
