//! What is said is what was decided.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::*;
use crate::builder::{InputBuilder, ModelBuilder, PolicyBuilder};
use crate::config::EngineConfig;

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

/// Collects events as `name=value` lines.
struct Collector(Lines);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().target()));
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn collected(work: impl FnOnce(&PolicySnapshot)) -> Vec<(Level, String)> {
    let models = [ModelBuilder::new(1, 0).build(), ModelBuilder::new(2, 0).enabled(false).build()];
    let policy = PolicyBuilder::new(EngineConfig::new()).models(models).build().unwrap();
    let lines = Lines::default();
    tracing::subscriber::with_default(Collector(Arc::clone(&lines)), || work(&policy));
    lines.lock().unwrap().clone()
}

#[test]
fn a_decision_is_told_with_its_gates() {
    let input = InputBuilder::new(77, 1).business_value(50_000).build();
    let lines = collected(|policy| assert!(prescribe_traced(policy, input).is_executable()));
    let [(Level::INFO, line)] = lines.as_slice() else { panic!("{lines:?}") };
    for expected in [
        "calybris::decision",
        "request_sequence=77",
        "action=\"execute_requested\"",
        "disabled=1",
        "eligible_models=1",
    ] {
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn a_decision_that_does_not_replay_is_an_error() {
    let input = InputBuilder::new(77, 1).business_value(50_000).build();
    let lines = collected(|policy| {
        let mut decision = policy.prescribe(input);
        assert!(verify_traced(policy, input, &decision).is_valid());
        decision.selected_model_id = 2;
        assert!(!verify_traced(policy, input, &decision).is_valid());
    });
    let levels: Vec<_> = lines.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [Level::INFO, Level::ERROR]);
}
