//! The nearest change of one number that makes another model win, found with the kernel itself.

use calybris_core::kernel::{CandidateVerdict, KernelInput, KernelModel, MAX_BPS, PolicySnapshot};

use crate::policies::NamedPolicy;

/// One number, changed alone, and the model that wins then.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Change {
    pub(crate) what: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) winner: u32,
}

/// The most changes that are listed.
const LISTED: usize = 8;

impl Change {
    /// How far the number moves, in millionths of what it was; a mask or a switch moves by all of it.
    fn distance_ppm(&self) -> u128 {
        if self.is_switch() {
            return 1_000_000;
        }
        let distance = u128::from(self.from.abs_diff(self.to));
        distance.saturating_mul(1_000_000) / u128::from(self.from.max(1))
    }

    fn is_switch(&self) -> bool {
        ["enabled", "capabilities", "region_mask"].iter().any(|field| self.what.ends_with(field))
    }

    /// The change against the old value, in percent.
    pub(crate) fn relative(&self) -> String {
        let sign = if self.to < self.from { "-" } else { "+" };
        if self.is_switch() {
            return "switched on".into();
        }
        if self.from == 0 {
            return "from 0".into();
        }
        let tenths = self.distance_ppm().div_ceil(1_000);
        format!("{sign}{}.{} %", tenths / 10, tenths % 10)
    }
}

/// The nearest change of each number of the request, and of each number of every other model, with which
/// another model than now is selected; smallest relative change first.
pub(crate) fn nearest_changes(policy: &NamedPolicy, input: &KernelInput) -> Vec<Change> {
    let snapshot = &policy.snapshot;
    let now = snapshot.prescribe(*input).selected_model_id;
    let mut changes = request_changes(snapshot, input, now);
    for (index, model) in snapshot.models().iter().enumerate() {
        if model.model_id != now {
            let name = policy.model(model.model_id);
            changes.extend(model_changes(snapshot, input, now, index, &name));
        }
    }
    changes.sort_by_key(|change| (change.distance_ppm(), change.winner));
    changes.truncate(LISTED);
    changes
}

fn request_changes(snapshot: &PolicySnapshot, input: &KernelInput, now: u32) -> Vec<Change> {
    let other = |changed: KernelInput| {
        let decision = snapshot.prescribe(changed);
        let id = decision.selected_model_id;
        (decision.is_executable() && id != now).then_some(id)
    };
    let models = || snapshot.models().iter();
    let value = u64::try_from(input.business_value_microunits).unwrap_or(0);
    let mut changes = Vec::new();
    let mut consider = |what: &str,
                        from: u64,
                        thresholds: Vec<u64>,
                        set: &dyn Fn(u64) -> KernelInput| {
        let nearest = nearest_of(from, thresholds, &|to| other(set(to)));
        changes.extend(nearest.map(|(to, winner)| Change { what: what.into(), from, to, winner }));
    };
    // Gates turn only at the models' own numbers.
    consider(
        "request budget_limit_microunits",
        input.budget_limit_microunits,
        costs(snapshot, input)
            .into_iter()
            .flat_map(|cost| [cost, cost.saturating_sub(1)])
            .collect(),
        &|to| KernelInput { budget_limit_microunits: to, ..*input },
    );
    consider(
        "request minimum_quality_bps",
        input.minimum_quality_bps.into(),
        models().flat_map(|m| [u64::from(m.quality_bps), u64::from(m.quality_bps) + 1]).collect(),
        &|to| KernelInput { minimum_quality_bps: bps(to), ..*input },
    );
    if input.max_p95_latency_ms > 0 {
        consider(
            "request max_p95_latency_ms",
            input.max_p95_latency_ms.into(),
            models()
                .flat_map(|m| [m.p95_latency_ms.max(1), m.p95_latency_ms.saturating_sub(1).max(1)])
                .map(u64::from)
                .collect(),
            &|to| KernelInput { max_p95_latency_ms: narrow(to), ..*input },
        );
    }
    // Utility moves in one direction with these, so that the turn is found by halving.
    let by_halving = |from, max, set: &dyn Fn(u64) -> KernelInput| {
        turns(from, max, &|to| other(set(to)).is_some())
    };
    let set = |to: u64| KernelInput { risk_bps: bps(to), ..*input };
    let from = input.risk_bps.into();
    let ceilings = models().map(|model| u64::from(model.risk_ceiling_bps));
    let thresholds = ceilings
        .flat_map(|ceiling| [ceiling, ceiling + 1])
        .chain([u64::from(snapshot.hard_risk_limit_bps()).saturating_sub(1)])
        .chain(by_halving(from, MAX_BPS.into(), &set));
    consider("request risk_bps", from, thresholds.collect(), &set);
    let set = |to: u64| KernelInput { confidence_bps: bps(to), ..*input };
    let from = input.confidence_bps.into();
    consider("request confidence_bps", from, by_halving(from, MAX_BPS.into(), &set), &set);
    let set = |to: u64| KernelInput {
        business_value_microunits: i64::try_from(to).unwrap_or(i64::MAX),
        ..*input
    };
    let most = value.saturating_mul(1_000).max(1_000_000_000);
    consider("request business_value_microunits", value, by_halving(value, most, &set), &set);
    changes
}

fn model_changes(
    snapshot: &PolicySnapshot,
    input: &KernelInput,
    now: u32,
    index: usize,
    name: &str,
) -> Vec<Change> {
    let Some(model) = snapshot.models().get(index).copied() else { return Vec::new() };
    let wins = |changed: KernelModel| {
        let mut models = snapshot.models().to_vec();
        if let Some(slot) = models.get_mut(index) {
            *slot = changed;
        }
        let params = *snapshot.params();
        let policy = calybris_core::kernel::Policy::new_unchecked(params, &models);
        let winner = policy.prescribe(*input).selected_model_id;
        winner == model.model_id && winner != now
    };
    type Set = fn(KernelModel, u64) -> KernelModel;
    let fields: [(&str, u64, u64, Set); 5] = [
        (
            "input price per million tokens",
            model.input_cost_microunits_per_million_tokens,
            0,
            |m, to| KernelModel { input_cost_microunits_per_million_tokens: to, ..m },
        ),
        (
            "output price per million tokens",
            model.output_cost_microunits_per_million_tokens,
            0,
            |m, to| KernelModel { output_cost_microunits_per_million_tokens: to, ..m },
        ),
        ("p95_latency_ms", model.p95_latency_ms.into(), 0, |m, to| KernelModel {
            p95_latency_ms: narrow(to),
            ..m
        }),
        ("quality_bps", model.quality_bps.into(), MAX_BPS.into(), |m, to| KernelModel {
            quality_bps: bps(to),
            ..m
        }),
        ("risk_ceiling_bps", model.risk_ceiling_bps.into(), MAX_BPS.into(), |m, to| KernelModel {
            risk_ceiling_bps: bps(to),
            ..m
        }),
    ];
    let mut changes = switches(&model, input)
        .into_iter()
        .filter(|(_, _, changed)| wins(*changed))
        .map(|(field, (from, to), _)| Change {
            what: format!("{name}: {field}"),
            from,
            to,
            winner: model.model_id,
        })
        .collect::<Vec<_>>();
    for (field, from, best, set) in fields {
        // The best value first: where even that does not win, no value does.
        let test = |to: u64| wins(set(model, to));
        if from != best && !test(from) && test(best) {
            let (to, winner) = (halve(from, best, &test), model.model_id);
            changes.push(Change { what: format!("{name}: {field}"), from, to, winner });
        }
    }
    changes
}

/// What can only be switched on: the model itself, and the bits the request asks for.
fn switches(
    model: &KernelModel,
    input: &KernelInput,
) -> [(&'static str, (u64, u64), KernelModel); 3] {
    let capabilities = model.capabilities | input.required_capabilities;
    // One region is enough.
    let region = input.required_region_mask & input.required_region_mask.wrapping_neg();
    let regions = model.region_mask | region;
    [
        ("enabled", (model.enabled.into(), 1), KernelModel { enabled: 1, ..*model }),
        (
            "capabilities",
            (model.capabilities, capabilities),
            KernelModel { capabilities, ..*model },
        ),
        (
            "region_mask",
            (model.region_mask, regions),
            KernelModel { region_mask: regions, ..*model },
        ),
    ]
}

/// What every model that is looked at at all would cost.
fn costs(snapshot: &PolicySnapshot, input: &KernelInput) -> Vec<u64> {
    let unlimited = KernelInput { budget_limit_microunits: u64::MAX, ..*input };
    let candidates = snapshot.explain(unlimited).candidates;
    let scored = candidates.into_iter().filter_map(|candidate| match candidate.verdict {
        CandidateVerdict::Scored { terms, .. } => Some(terms.cost_microunits),
        _ => None,
    });
    scored.collect()
}

/// The candidate value nearest to `from` with which another model wins.
fn nearest_of(
    from: u64,
    mut candidates: Vec<u64>,
    winner: &dyn Fn(u64) -> Option<u32>,
) -> Option<(u64, u32)> {
    candidates.retain(|to| *to != from);
    candidates.sort_by_key(|to| to.abs_diff(from));
    candidates.into_iter().find_map(|to| Some((to, winner(to)?)))
}

/// Where a test that fails at `from` first holds, on either side; checked at the ends of doubling steps.
fn turns(from: u64, max: u64, holds: &dyn Fn(u64) -> bool) -> Vec<u64> {
    let mut found = Vec::new();
    let (mut last, mut step) = (from, 1_u64);
    while last < max {
        let next = from.saturating_add(step).min(max);
        if holds(next) {
            found.push(halve(last, next, holds));
            break;
        }
        (last, step) = (next, step.saturating_mul(2));
    }
    let (mut last, mut step) = (from, 1_u64);
    while last > 0 {
        let next = from.saturating_sub(step);
        if holds(next) {
            found.push(halve(last, next, holds));
            break;
        }
        (last, step) = (next, step.saturating_mul(2));
    }
    found
}

/// Between a value where the test fails and one where it holds, the nearest to the first that holds.
fn halve(mut fails: u64, mut held: u64, holds: &dyn Fn(u64) -> bool) -> u64 {
    while fails.abs_diff(held) > 1 {
        let middle = fails.min(held) + fails.abs_diff(held) / 2;
        if holds(middle) { held = middle } else { fails = middle }
    }
    held
}

/// Values out of a field's range change nothing more: they stand at its end.
fn bps(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(MAX_BPS).min(MAX_BPS)
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
