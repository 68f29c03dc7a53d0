//! The worked outcomes, every rule, and the binding to one decision.

use std::string::String;
use std::vec::Vec;

use super::*;
use crate::tests::case;

#[derive(serde::Deserialize)]
struct Vectors {
    identity_digest: String,
    cases: Vec<Vector>,
}

#[derive(serde::Deserialize)]
struct Vector {
    strategy: u8,
    acted_model_id: u32,
    propensity_bps: Option<u16>,
    observed_at_micros: u64,
    revision: u32,
    disposition: u8,
    realized_cost_microunits: Option<u64>,
    realized_latency_ms: Option<u32>,
    succeeded: Option<bool>,
    selection_digest: String,
    outcome_digest: String,
}

impl Vector {
    fn observation(&self) -> Observation {
        let strategies = [Strategy::MaximizeUtility, Strategy::Explore, Strategy::Human];
        let dispositions = [Disposition::Applied, Disposition::Abandoned, Disposition::InFlight];
        Observation {
            observed_at_micros: self.observed_at_micros,
            revision: self.revision,
            strategy: strategies[usize::from(self.strategy)],
            acted_model_id: self.acted_model_id,
            propensity_bps: self.propensity_bps,
            disposition: dispositions[usize::from(self.disposition)],
            realized_cost_microunits: self.realized_cost_microunits,
            realized_latency_ms: self.realized_latency_ms,
            succeeded: self.succeeded,
        }
    }
}

fn evidence() -> Evidence {
    let case = case();
    Evidence::of(&case.snapshot, case.input, &case.decision)
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../tests/data/outcome.json")).unwrap()
}

#[test]
fn worked_outcomes_are_reproduced() {
    let (evidence, vectors) = (evidence(), vectors());
    assert_eq!(identity_digest(&evidence), vectors.identity_digest);
    for vector in &vectors.cases {
        let observation = vector.observation();
        let outcome = Outcome::bind(&evidence, observation).unwrap();
        assert_eq!(observation.selection_digest(), vector.selection_digest);
        assert_eq!(outcome.digest(), vector.outcome_digest);
        let json = serde_json::to_string(&outcome).unwrap();
        let read: Outcome = serde_json::from_str(&json).unwrap();
        assert_eq!(read, outcome);
        read.verify(&evidence).unwrap();
    }
    assert_eq!(vectors.cases.len(), 5);
}

#[test]
fn every_rule_refuses_what_breaks_it() {
    let evidence = evidence();
    let good = vectors().cases[0].observation();
    let refused = |change: fn(&mut Observation)| {
        let mut changed = good;
        change(&mut changed);
        Outcome::bind(&evidence, changed).unwrap_err()
    };
    let rule = |error: EvidenceError, part: &str| match error {
        EvidenceError::Outcome { rule } => assert!(rule.contains(part), "{rule}"),
        other => panic!("{other}"),
    };
    rule(refused(|o| o.propensity_bps = None), "propensity");
    rule(refused(|o| o.propensity_bps = Some(9_999)), "propensity");
    rule(refused(|o| o.strategy = Strategy::Human), "propensity");
    let explore = |propensity| {
        let mut changed = good;
        changed.strategy = Strategy::Explore;
        changed.propensity_bps = propensity;
        Outcome::bind(&evidence, changed)
    };
    for propensity in [None, Some(0), Some(10_001)] {
        rule(explore(propensity).unwrap_err(), "propensity");
    }
    for propensity in [1, 10_000] {
        assert!(explore(Some(propensity)).is_ok());
    }
    rule(
        refused(|o| {
            (o.realized_cost_microunits, o.realized_latency_ms, o.succeeded) = (None, None, None);
        }),
        "needs a measurement",
    );
    rule(refused(|o| o.disposition = Disposition::Abandoned), "no measurement");
    rule(refused(|o| o.disposition = Disposition::InFlight), "in flight");
}

fn rejection() -> Evidence {
    let case = case();
    let mut input = case.input;
    input.budget_limit_microunits = 0;
    let decision = case.snapshot.prescribe(input);
    assert!(decision.is_rejected());
    Evidence::of(&case.snapshot, input, &decision)
}

/// The rules as the format's table has them, over every combination of what they look at.
#[test]
fn every_combination_is_bound_or_refused_as_the_format_says() {
    let decisions = [(evidence(), false), (rejection(), true)];
    let base = vectors().cases[0].observation();
    let propensities = [None, Some(0), Some(1), Some(9_999), Some(10_000), Some(10_001)];
    let mut bound = 0;
    for strategy in [Strategy::MaximizeUtility, Strategy::Explore, Strategy::Human] {
        let admitted: &[Option<u16>] = match strategy {
            Strategy::MaximizeUtility => &[Some(10_000)],
            Strategy::Explore => &[Some(1), Some(9_999), Some(10_000)],
            Strategy::Human => &[None],
        };
        for (propensity_bps, present) in
            propensities.into_iter().flat_map(|p| (0..8_u8).map(move |present| (p, present)))
        {
            let (cost, latency, success) = (present & 1 != 0, present & 2 != 0, present & 4 != 0);
            for (disposition, measured) in [
                (Disposition::Applied, present != 0),
                (Disposition::Abandoned, present == 0),
                (Disposition::InFlight, !success),
            ] {
                let observation = Observation {
                    strategy,
                    propensity_bps,
                    disposition,
                    realized_cost_microunits: cost.then_some(0),
                    realized_latency_ms: latency.then_some(0),
                    succeeded: success.then_some(false),
                    ..base
                };
                for (evidence, rejected) in &decisions {
                    let allowed = !rejected || disposition == Disposition::Abandoned;
                    let expected = admitted.contains(&propensity_bps) && measured && allowed;
                    let found = Outcome::bind(evidence, observation).is_ok();
                    assert_eq!(found, expected, "{observation:?} rejected {rejected}");
                    bound += u32::from(found);
                }
            }
        }
    }
    assert_eq!(bound, 5 * (7 + 1 + 4) + 5);
}

#[test]
fn an_outcome_belongs_to_one_decision_and_cannot_be_changed() {
    let case = case();
    let evidence = evidence();
    let outcome = Outcome::bind(&evidence, vectors().cases[0].observation()).unwrap();
    let mut input = case.input;
    input.request_sequence += 1;
    let other = Evidence::of(&case.snapshot, input, &case.snapshot.prescribe(input));
    assert!(matches!(outcome.verify(&other), Err(EvidenceError::Digest { .. })));
    let changes: [fn(&mut Outcome); 8] = [
        |o| o.observation.observed_at_micros += 1,
        |o| o.observation.revision += 1,
        |o| o.observation.acted_model_id += 1,
        |o| o.observation.realized_cost_microunits = Some(1),
        |o| o.observation.realized_latency_ms = None,
        |o| o.observation.succeeded = Some(false),
        |o| o.identity_digest_hex = HexDigest::new(&[0; 32]),
        |o| o.outcome_digest_hex = HexDigest::new(&[0; 32]),
    ];
    for change in changes {
        let mut changed = outcome;
        change(&mut changed);
        assert!(matches!(changed.verify(&evidence), Err(EvidenceError::Digest { .. })));
    }
    let mut forged = case.decision;
    forged.eligible_models += 1;
    let forged = Evidence::of(&case.snapshot, case.input, &forged);
    assert!(matches!(outcome.verify(&forged), Err(EvidenceError::Refused(_))));
}
