//! Everything that is learnt about a log while it is read once.

use calybris_core::digest::HexDigest;
use calybris_core::kernel::KernelDecision;
use calybris_core::proof::chain::{ChainHash, WalAnchor};
use calybris_core::proof::merkle::{MerkleFrontier, TreeHash};
use calybris_core::proof::{AuditedRecord, RecordVerdict};
use calybris_core::wal::VerifiedEntry;
use serde_json::json;

use crate::commands::checkpoint::GivenCheckpoint;
use crate::exit::{Exit, Failure, Result};
use crate::log::{Log, Whole, beginning_missing};
use crate::policies::Policies;
use crate::record::Record;
use crate::show::count;
use crate::verdict::{Item, Verdict};

/// The worst failure of one kind so far, the first of them, and how many there were.
#[derive(Debug, Default)]
struct Failures {
    worst: Option<Box<Failure>>,
    count: u64,
}

/// What every entry is held against.
pub(super) struct Checks<'a> {
    pub(super) policies: &'a Policies,
    pub(super) anchor: Option<WalAnchor>,
    pub(super) has_checkpoint: bool,
}

/// What is known about entries that follow one another.
#[derive(Default)]
pub(super) struct Part {
    /// The head that the first of them continues.
    before: Option<(u64, ChainHash)>,
    last: u64,
    audited: u64,
    replayed: u64,
    not_audited: Failures,
    audit: Failures,
    replay: Failures,
    anchor: Failures,
    /// Their hashes, where the tree is needed.
    leaves: Vec<TreeHash>,
}

/// What is known about the log so far.
pub(super) struct Pass<'a> {
    log: &'a Log,
    checks: &'a Checks<'a>,
    checkpoint: Option<GivenCheckpoint>,
    found: Part,
    tree: MerkleFrontier,
    root_at_checkpoint: Option<TreeHash>,
}

impl Failures {
    fn add(&mut self, failure: Box<Failure>) {
        self.join(Self { worst: Some(failure), count: 1 });
    }

    fn join(&mut self, later: Self) {
        self.count += later.count;
        let severity = |failure: &Option<Box<Failure>>| {
            failure.as_ref().map_or(0, |failure| failure.verdict.severity())
        };
        if severity(&later.worst) > severity(&self.worst) {
            self.worst = later.worst;
        }
    }

    fn take(&mut self) -> Option<Item> {
        let mut failure = self.worst.take()?.with_line();
        if self.count > 1 {
            failure.problem.push_str(&format!(" ({} entries fail this)", count(self.count)));
        }
        Some(Item::Refuted(failure))
    }
}

impl Checks<'_> {
    /// Takes the next entry of a part, whose link is known to hold, and gives back its record if it has one.
    pub(super) fn entry<'e>(
        &self,
        part: &mut Part,
        entry: &VerifiedEntry<'e>,
    ) -> Option<Record<'e>> {
        part.before.get_or_insert((entry.sequence.saturating_sub(1), *entry.previous_hash));
        part.last = entry.sequence;
        if self.has_checkpoint {
            part.leaves.push(entry.entry_hash.digest().unwrap_or_default());
        }
        let anchor = self.anchor.filter(|anchor| anchor.sequence == entry.sequence);
        if let Some(failure) = anchor.and_then(|anchor| not_the_anchor(&anchor, entry.entry_hash)) {
            part.anchor.add(failure.at_entry(entry));
        }
        match Record::read(entry.data) {
            Ok(record) => {
                self.record(part, entry, &record.audited);
                Some(record)
            }
            Err(error) => {
                let problem = format!("the entry is not an audited record: {error}");
                let failure = Failure::new(Exit::CannotTell, problem).at_entry(entry).meaning(
                    "What this entry says is outside the audit; nothing can be replayed from it.",
                );
                part.not_audited.add(failure);
                None
            }
        }
    }

    fn record<M>(&self, part: &mut Part, entry: &VerifiedEntry<'_>, record: &AuditedRecord<M>) {
        part.audited += 1;
        let mut holds = false;
        if !self.policies.is_empty() {
            match self.policies.replay(record) {
                // The digests were recomputed for that.
                Ok(()) => holds = true,
                Err(failure) => part.replay.add(failure.at_entry(entry)),
            }
            part.replayed += u64::from(holds);
        }
        if let Some(error) = record.check_digests().err().filter(|_| !holds) {
            let failure = Box::<Failure>::from(error).at_entry(entry);
            part.audit.add(failure.meaning(
                "The record was altered before it was logged, or by someone who rebuilt the chain after it.",
            ));
        }
    }
}

fn not_the_anchor(anchor: &WalAnchor, found: &ChainHash) -> Option<Box<Failure>> {
    (!anchor.last_hash.ct_eq(found)).then(|| {
        Failure::new(Exit::Tampered, "the entry is not the trusted head")
            .between(anchor.last_hash, found)
            .meaning("History up to the trusted head was rewritten, or this is another log.")
    })
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        log: &'a Log,
        checks: &'a Checks<'a>,
        checkpoint: Option<GivenCheckpoint>,
    ) -> Self {
        let (found, tree) = (Part::default(), MerkleFrontier::new());
        let mut pass = Self { log, checks, checkpoint, found, tree, root_at_checkpoint: None };
        pass.mark_checkpoint();
        pass
    }

    /// Takes the part that follows.
    pub(super) fn join(&mut self, part: Part) {
        let found = &mut self.found;
        found.before = found.before.or(part.before);
        found.last = found.last.max(part.last);
        found.audited += part.audited;
        found.replayed += part.replayed;
        found.not_audited.join(part.not_audited);
        found.audit.join(part.audit);
        found.replay.join(part.replay);
        found.anchor.join(part.anchor);
        for leaf in &part.leaves {
            self.tree.append(leaf);
            self.mark_checkpoint();
        }
    }

    fn mark_checkpoint(&mut self) {
        if self.checkpoint.as_ref().is_some_and(|given| given.head().size == self.tree.len()) {
            self.root_at_checkpoint = Some(self.tree.root());
        }
    }

    /// The verdict, given how the chain ended.
    pub(super) fn verdict(mut self, end: Result<Whole>, required: &[String]) -> Verdict {
        let whole = end.is_ok();
        if let Ok(Whole { verified, .. }) = &end {
            self.found.before.get_or_insert((verified.after, verified.after_hash));
            self.found.last = self.found.last.max(verified.after);
        }
        let after = self.after();
        let (chain, head) = match end {
            Ok(end) => (self.chain_item(&end), Some(end.head)),
            Err(failure) => (Item::Refuted(failure), None),
        };
        let items = vec![
            ("chain", chain),
            ("audit", self.audit_item(whole)),
            ("replay", self.replay_item(whole)),
            ("anchor", self.anchor_item(whole)),
            ("checkpoint", self.checkpoint_item(whole)),
        ];
        let mut verdict = Verdict::of(self.log.path().display().to_string(), items, required);
        let entries = self.found.last.saturating_sub(after);
        verdict.facts =
            vec![("entries", json!(entries)), ("retired", json!(after)), ("head", json!(head))];
        verdict.head = head;
        verdict
    }

    /// The last sequence before the first entry there is.
    fn after(&self) -> u64 {
        self.found.before.map_or(0, |(sequence, _)| sequence)
    }

    fn chain_item(&self, end: &Whole) -> Item {
        let (entries, after) = (end.entries(), end.after());
        let anchored_empty = self.checks.anchor.is_some_and(|anchor| anchor.sequence == 0);
        if entries == 0 && !(after == 0 && anchored_empty) {
            let failure = Failure::new(Exit::CannotTell, "the log is empty: there is nothing to verify")
                .at(self.log.path(), after)
                .meaning("A new log looks like this, and so does one whose every entry was cut off. An anchor tells them apart.");
            return Item::Refuted(failure);
        }
        let mut what = match entries {
            0 => "the log is empty, as its anchor says".to_owned(),
            1 => "1 entry".to_owned(),
            n => format!("{} entries, each following the one before", count(n)),
        };
        if end.verified.segments > 1 {
            what.push_str(&format!(", in {} segments", count(end.verified.segments)));
        }
        if after > 0 {
            what.push_str(&format!(
                "; entries up to {} were retired and not looked at",
                count(after)
            ));
        }
        Item::established(what)
    }

    fn audit_item(&mut self, whole: bool) -> Item {
        if let Some(refuted) = self.found.audit.take() {
            return refuted;
        }
        if self.found.audited == 0 {
            // A log that is used for something else.
            let place = before_the_break(whole);
            return Item::not_checked(format!("there is no audited record{place}"));
        }
        self.found.not_audited.take().unwrap_or_else(|| {
            Item::established(format!(
                "{} records{} carry the digests of their request and decision",
                count(self.found.audited),
                before_the_break(whole)
            ))
        })
    }

    fn replay_item(&mut self, whole: bool) -> Item {
        if let Some(refuted) = self.found.replay.take() {
            return refuted;
        }
        if self.checks.policies.is_empty() {
            return Item::not_checked("no policy was given with --policy");
        }
        let place = before_the_break(whole);
        if self.found.audited == 0 {
            return Item::not_checked(format!("there is no audited record to replay{place}"));
        }
        let replayed = count(self.found.replayed);
        Item::established(format!("{replayed} decisions{place} follow from their policy"))
    }

    fn anchor_item(&mut self, whole: bool) -> Item {
        let Some(anchor) = self.checks.anchor else {
            return Item::not_checked(
                "no trusted head was given with --anchor: a suffix cut off cleanly would not show",
            );
        };
        let trusted = count(anchor.sequence);
        if anchor.sequence < self.after() {
            let after = count(self.after());
            let problem = format!(
                "the trusted head is entry {trusted}, and entries up to {after} were retired"
            );
            let failure = Failure::new(Exit::CannotTell, problem);
            return Item::Refuted(
                failure.meaning(
                    "Give a head that was taken later, or verify the retired segments too.",
                ),
            );
        }
        if let Some((sequence, hash)) =
            self.found.before.filter(|(last, _)| *last == anchor.sequence)
            && let Some(failure) = not_the_anchor(&anchor, &hash)
        {
            self.found.anchor.add(failure.at(self.log.path(), sequence));
        }
        if let Some(refuted) = self.found.anchor.take() {
            return refuted;
        }
        if self.found.last >= anchor.sequence {
            return Item::established(format!("the log contains the trusted head at {trusted}"));
        }
        self.too_short(whole, anchor.sequence, "the trusted head")
    }

    fn checkpoint_item(&mut self, whole: bool) -> Item {
        let Some(given) = self.checkpoint.take() else {
            return Item::not_checked("no checkpoint was given with --checkpoint");
        };
        if self.after() > 0 {
            return Item::Refuted(beginning_missing(self.after()));
        }
        let head = given.head();
        let Some(root) = self.root_at_checkpoint else {
            return self.too_short(whole, head.size, "the checkpoint");
        };
        if root != head.root {
            let failure = Failure::new(Exit::Tampered, "the log's tree is not the checkpoint's")
                .at(self.log.path(), head.size)
                .between(HexDigest::new(&head.root), HexDigest::new(&root))
                .meaning("History up to the checkpoint was rewritten, or this is another log.");
            return Item::Refuted(failure);
        }
        given.into_item()
    }

    fn too_short(&self, whole: bool, needed: u64, what: &str) -> Item {
        if !whole {
            return Item::not_checked("the chain breaks before it");
        }
        let (problem, last) = (format!("the log ends before {what}"), self.found.last);
        let failure = Failure::new(Exit::Incomplete, problem)
            .at(self.log.path(), last)
            .between(format_args!("at least {} entries", count(needed)), count(last))
            .meaning("Entries that existed are missing: the end of the log was cut off, or this is an older copy.");
        Item::Refuted(failure)
    }
}

/// What holds up to a break holds no further.
const fn before_the_break(whole: bool) -> &'static str {
    if whole { "" } else { " before the break" }
}

impl Policies {
    /// Decides a record's request again under the policy it names.
    pub(crate) fn replay<M>(&self, record: &AuditedRecord<M>) -> Result<()> {
        let policy = self.required_by(&record.audit)?;
        let verdict = record.replay(&policy.snapshot);
        if verdict.is_valid() {
            return Ok(());
        }
        let replayed = policy.snapshot.prescribe(record.input);
        let say = |decision: &KernelDecision| {
            let model = policy.model(decision.selected_model_id);
            let cost = decision.estimated_cost_microunits;
            format!("{} {model} at {cost} microunits ({})", decision.action, decision.reason)
        };
        let failure = Failure::new(Exit::Tampered, replay_problem(&verdict))
            .between(say(&replayed), say(&record.decision));
        Err(failure.meaning(
            "The policy does not give this decision: the record was forged, or made by another engine.",
        ))
    }
}

fn replay_problem(verdict: &RecordVerdict) -> &'static str {
    if !verdict.policy_digest_match {
        "the record names other epochs than the policy with its digest has"
    } else if !verdict.input_digest_match || !verdict.decision_digest_match {
        "the record's digests are not those of its content"
    } else {
        "the decision does not replay"
    }
}
