//! One schedule: a writer at work, a fault somewhere, recovery (itself disturbed), and what must hold then.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::{
    Verdict, WalError, WalOptions, WalWriter, inspect, verify_wal_with, visit_wal_with,
};

use crate::disk::{Disk, Fault};
use crate::random::Random;

const ROUNDS: usize = 3;
const DISTURBED_RECOVERIES: usize = 3;

/// What happened in one schedule, for the closing statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) crashes: u64,
    pub(crate) errors: u64,
    pub(crate) tails_cut: u64,
    pub(crate) retirements: u64,
    pub(crate) entries_recovered: u64,
    pub(crate) entries_lost_unacknowledged: u64,
}

struct Run {
    disk: Disk,
    options: WalOptions,
    random: Random,
    /// Payloads in the order in which they were chained.
    attempted: Vec<String>,
    /// How many of them were acknowledged as durable.
    acknowledged: usize,
    /// How many of them are known to be retired, and how many may be.
    retired: (usize, usize),
    outcome: Outcome,
}

/// Runs the schedule of a seed.
///
/// # Panics
/// When something acknowledged is gone, something never written is there, or an honest disk's log is refused.
pub(crate) fn run(seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let disk = Disk::new(random.next());
    let mut options = WalOptions::new().storage(Arc::new(disk.clone()));
    if random.chance(2) {
        options = options.key(&[7; 32]);
    }
    if random.chance(3) {
        options = options.buffer_bytes(1 + random.below(3_000));
    }
    options = options.room_bytes(if random.chance(3) { 0 } else { 1 + random.next() % 4_000 });
    if random.chance(2) {
        options = options.segment_bytes(1 + random.next() % 4_000);
        #[cfg(feature = "archive")]
        if random.chance(3) {
            options = options.archive(Path::new("archive"));
        }
    }
    let (attempted, acknowledged, retired) = (Vec::new(), 0, (0, 0));
    let outcome = Outcome::default();
    let mut run = Run { disk, options, random, attempted, acknowledged, retired, outcome };
    for _ in 0..ROUNDS {
        run.round();
    }
    run.outcome
}

impl Run {
    fn round(&mut self) {
        let kinds = [Fault::Crash, Fault::Crash, Fault::Error, Fault::Full];
        let fault = kinds[self.random.below(kinds.len())];
        let at = self.disk.operations() + 1 + self.random.next() % 40;
        self.disk.plan(at, fault);
        let failed = self.work().is_err();
        self.outcome.errors += u64::from(failed && !self.disk.has_crashed());
        // The machine may also stop later, after the process dealt with an error or closed the log.
        if self.disk.has_crashed() || self.random.chance(2) {
            self.disk.restart();
            self.outcome.crashes += 1;
        }
        self.disk.forget_plan();
        for _ in 0..self.random.below(DISTURBED_RECOVERIES + 1) {
            let at = self.disk.operations() + 1 + self.random.next() % 12;
            self.disk.plan(at, kinds[self.random.below(kinds.len())]);
            let _ = self.open();
            if self.disk.has_crashed() || self.random.chance(2) {
                self.disk.restart();
                self.outcome.crashes += 1;
            }
            self.disk.forget_plan();
        }
        self.check();
    }

    fn open(&self) -> Result<WalWriter<String>, WalError> {
        WalWriter::open_with(Path::new("dir/log"), &self.options)
    }

    /// Appends in every way there is until something fails or it has been enough.
    fn work(&mut self) -> Result<(), WalError> {
        let log = self.open()?;
        // Opening makes what it finds durable.
        self.acknowledged = usize::try_from(log.sequence()).unwrap();
        for _ in 0..self.random.below(12) {
            match self.random.below(7) {
                0 | 1 => drop(log.append(self.payload())?),
                2 => {
                    let payload = self.payload();
                    self.acknowledge(log.append_durable(payload)?.sequence);
                }
                3 | 4 => {
                    let mut last = None;
                    for _ in 0..=self.random.below(6) {
                        last = Some(log.enqueue(&self.payload())?);
                    }
                    if let Some(ticket) = last.filter(|_| !self.random.chance(4)) {
                        log.wait_durable(ticket)?;
                        self.acknowledge(ticket.sequence);
                    }
                }
                5 => self.retire(&log),
                _ => {
                    let sequence = log.sequence();
                    log.sync()?;
                    self.acknowledge(sequence);
                }
            }
        }
        Ok(())
    }

    /// Whether it succeeds or not, the log goes on.
    fn retire(&mut self, log: &WalWriter<String>) {
        let before = self.random.next() % (log.sequence() + 2);
        let Ok(Some(plan)) = log.retirable_before(before) else { return };
        let sequence = usize::try_from(plan.sequence).unwrap();
        self.retired.1 = sequence;
        if matches!(log.retire_before(before), Ok(Some(done)) if done == plan) {
            self.retired.0 = sequence;
            self.outcome.retirements += 1;
        }
    }

    fn payload(&mut self) -> String {
        let length = self.random.below(900);
        let payload = format!("{} {}", self.attempted.len(), "x".repeat(length));
        self.attempted.push(payload.clone());
        payload
    }

    fn acknowledge(&mut self, sequence: u64) {
        self.acknowledged = self.acknowledged.max(usize::try_from(sequence).unwrap());
    }

    /// The bytes that opening will cut, if it will.
    fn tail_to_cut(&self) -> Option<Vec<u8>> {
        let report = inspect(Path::new("dir/log"), &self.options).ok()?;
        let bytes = self.disk.read(&report.segment)?;
        let cut = usize::try_from(report.cut_bytes).unwrap();
        (report.verdict == Verdict::CutTail).then(|| bytes[bytes.len() - cut..].to_vec())
    }

    fn must_open(&self) -> WalWriter<String> {
        self.open().unwrap_or_else(|error| panic!("an honest disk's log: {error}"))
    }

    /// A crash right after a tail was cut: the copy that was reported is there, byte for byte.
    fn check_kept_tail(
        &mut self,
        log: WalWriter<String>,
        tail: Option<Vec<u8>>,
    ) -> WalWriter<String> {
        self.outcome.tails_cut += 1;
        let kept = log.report().kept_tail.clone().unwrap();
        self.disk.restart();
        self.outcome.crashes += 1;
        drop(log);
        let found = self.disk.read(&kept);
        assert!(tail.is_some() && found == tail, "the copy of a tail: {found:?}");
        self.must_open()
    }

    /// Acknowledged ⊆ recovered = a prefix of what was attempted, but for what was retired; and the log goes
    /// on from there. With an archive, nothing is gone at all.
    fn check(&mut self) {
        let tail = self.tail_to_cut();
        let mut log = self.must_open();
        if log.report().verdict == Verdict::CutTail {
            log = self.check_kept_tail(log, tail);
        }
        let after = usize::try_from(log.report().after).unwrap();
        assert!(self.retired.0 <= after && after <= self.retired.1, "{after} {:?}", self.retired);
        self.retired = (after, after);
        drop(log);
        let verified = verify_wal_with(Path::new("dir/log"), &self.options, None)
            .unwrap_or_else(|error| panic!("a log that was opened verifies: {error}"));
        let start = usize::try_from(verified.after).unwrap();
        assert!(start == after || start == 0);
        let mut found = self.attempted[..start].to_vec();
        visit_wal_with::<String, _>(Path::new("dir/log"), &self.options, |e| found.push(e.data))
            .unwrap_or_else(|error| panic!("a log that was opened verifies: {error}"));
        assert!(
            self.acknowledged <= found.len(),
            "{} entries were acknowledged, {} recovered",
            self.acknowledged,
            found.len()
        );
        assert!(self.attempted.starts_with(&found), "recovered what was not attempted");
        self.outcome.entries_recovered += found.len() as u64;
        self.outcome.entries_lost_unacknowledged += (self.attempted.len() - found.len()) as u64;
        self.acknowledged = found.len();
        self.attempted = found;
    }
}
