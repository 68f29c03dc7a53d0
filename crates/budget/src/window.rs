//! Limits in windows of caller time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A rolling window is counted in this many slices.
const SLICES: u64 = 60;
/// The most windows of one tenant.
pub(crate) const MAX_WINDOWS: usize = 4;

/// A span of caller time that a limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Window {
    /// Multiples of `length`, counted from time 0: a day, if time 0 was a midnight.
    Fixed {
        /// In units of caller time.
        length: u64,
    },
    /// The last `length` up to now, counted in slices of a sixtieth of it, rounded up: an amount counts for
    /// at least `length` and for less than two slices more.
    Rolling {
        /// In units of caller time.
        length: u64,
    },
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed { length } => write!(f, "a fixed window of {length}"),
            Self::Rolling { length } => write!(f, "a rolling window of {length}"),
        }
    }
}

impl Window {
    pub(crate) fn length(self) -> u64 {
        let (Self::Fixed { length } | Self::Rolling { length }) = self;
        length
    }

    fn slot_length(self) -> u64 {
        let slot_length = match self {
            Self::Fixed { length } => length,
            Self::Rolling { length } => length.div_ceil(SLICES),
        };
        slot_length.max(1)
    }

    fn slot(self, time: u64) -> u64 {
        time / self.slot_length()
    }

    /// The earliest slot that still counts at `now`.
    fn oldest(self, now: u64) -> u64 {
        match self {
            Self::Fixed { .. } => self.slot(now),
            // As few slices as cover `length`, wherever in its slice `now` is.
            Self::Rolling { length } => {
                let covered = length.saturating_sub(1).div_ceil(self.slot_length());
                self.slot(now).saturating_sub(covered)
            }
        }
    }
}

/// A limit and what counts towards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meter {
    pub(crate) window: Window,
    pub(crate) limit: i64,
    /// Microcents by slot; no zeros.
    pub(crate) charges: BTreeMap<u64, i64>,
}

impl Meter {
    /// Counts what is set aside already as if it had been just now.
    pub(crate) fn starting(window: Window, limit: i64, now: u64, reserved: i64) -> Self {
        let mut meter = Self { window, limit, charges: BTreeMap::new() };
        meter.charge(now, reserved);
        meter
    }

    pub(crate) fn used(&self, now: u64) -> i64 {
        let counted = self.charges.range(self.window.oldest(now)..);
        counted.fold(0, |sum: i64, (_, amount)| sum.saturating_add(*amount))
    }

    /// What may still be set aside.
    pub(crate) fn available(&self, now: u64) -> i64 {
        self.limit.saturating_sub(self.used(now)).max(0)
    }

    pub(crate) fn charge(&mut self, now: u64, amount: i64) {
        self.charges = self.charges.split_off(&self.window.oldest(now));
        if amount > 0 {
            let slot = self.charges.entry(self.window.slot(now)).or_insert(0);
            *slot = slot.saturating_add(amount);
        }
    }

    /// Takes back what was charged at `then`, as far as that still counts.
    pub(crate) fn refund(&mut self, then: u64, amount: i64) {
        let slot = self.window.slot(then);
        if let Some(charged) = self.charges.get_mut(&slot) {
            *charged = charged.saturating_sub(amount).max(0);
            if *charged == 0 {
                self.charges.remove(&slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the list of all charges: a rolling window never counts less than its length,
        /// and less than its length and two slices.
        #[test]
        fn rolling_counts_are_bounded_by_exact_ones(
            length in 1_u64..5_000,
            steps in proptest::collection::vec((0_u64..400, 0_i64..100), 1..80),
        ) {
            let window = Window::Rolling { length };
            let mut meter = Meter::starting(window, 0, 0, 0);
            let (mut now, mut all) = (0, Vec::new());
            for (pause, amount) in steps {
                now += pause;
                meter.charge(now, amount);
                all.push((now, amount));
                let within = |span: u64| -> i64 {
                    all.iter().filter(|(then, _)| now - then < span).map(|(_, amount)| amount).sum()
                };
                let slice = length.div_ceil(SLICES);
                prop_assert!(meter.used(now) >= within(length));
                prop_assert!(meter.used(now) <= within(length + 2 * slice - 1));
                prop_assert!(meter.charges.len() as u64 <= SLICES + 1);
            }
        }

        #[test]
        fn fixed_counts_are_exact(
            length in 1_u64..1_000,
            steps in proptest::collection::vec((0_u64..400, 0_i64..100), 1..80),
        ) {
            let mut meter = Meter::starting(Window::Fixed { length }, 0, 0, 0);
            let (mut now, mut all) = (0, Vec::new());
            for (pause, amount) in steps {
                now += pause;
                meter.charge(now, amount);
                all.push((now, amount));
                let same = all.iter().filter(|(then, _)| then / length == now / length);
                prop_assert_eq!(meter.used(now), same.map(|(_, amount)| amount).sum::<i64>());
            }
        }
    }
}
