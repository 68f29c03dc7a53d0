//! Everything that is learnt about a log while it streams by once.

use calybris_core::digest::HexDigest;
use calybris_core::kernel::KernelDecision;
use calybris_core::proof::chain::{ChainHash, WalAnchor};
use calybris_core::proof::merkle::{MerkleFrontier, TreeHash};
use calybris_core::proof::{AuditedRecord, RecordVerdict};
use serde_json::json;

use crate::commands::checkpoint::GivenCheckpoint;
use crate::exit::{Exit, Failure, Result};
use crate::log::{Log, RawEntry};
use crate::policies::Policies;
use crate::record::Record;
use crate::show::count;
use crate::verdict::{Item, Verdict};

/// The worst failure of one kind so far, and how many there were.
#[derive(Debug, Default)]
struct Failures {
    worst: Option<Box<Failure>>,
    count: u64,
}

/// One pass over a log.
pub(crate) struct Pass<'a> {
    log: &'a Log,
    policies: &'a Policies,
    anchor: Option<WalAnchor>,
    checkpoint: Option<GivenCheckpoint>,
    last: u64,
    audited: u64,
    replayed: u64,
    not_audited: Option<(u64, String)>,
    audit: Failures,
    replay: Failures,
    anchor_failure: Option<Box<Failure>>,
    tree: MerkleFrontier,
    root_at_checkpoint: Option<TreeHash>,
}

impl Failures {
    fn add(&mut self, failure: Box<Failure>) {
        self.count += 1;
        let severity = |failure: &Failure| failure.verdict.severity();
        if self.worst.as_deref().is_none_or(|worst| severity(worst) < severity(&failure)) {
            self.worst = Some(failure);
        }
    }

    fn take(&mut self) -> Option<Box<Failure>> {
        let mut failure = self.worst.take()?;
        if self.count > 1 {
            failure.problem.push_str(&format!(" ({} entries fail this)", count(self.count)));
        }
        Some(failure)
    }
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        log: &'a Log,
        policies: &'a Policies,
        anchor: Option<WalAnchor>,
        checkpoint: Option<GivenCheckpoint>,
    ) -> Self {
        let mut pass = Self {
            log,
            policies,
            anchor,
            checkpoint,
            last: 0,
            audited: 0,
            replayed: 0,
            not_audited: None,
            audit: Failures::default(),
            replay: Failures::default(),
            anchor_failure: None,
            tree: MerkleFrontier::new(),
            root_at_checkpoint: None,
        };
        pass.mark_checkpoint();
        pass
    }

    /// Takes the next entry, whose link is known to hold, and gives back its record if it has one.
    pub(crate) fn entry<'e>(&mut self, entry: &'e RawEntry) -> Option<Record<'e>> {
        self.last = entry.sequence;
        self.follow(entry.sequence, entry.entry_hash);
        match Record::read(entry.data.get()) {
            Ok(record) => {
                self.record(entry.sequence, &record.audited);
                Some(record)
            }
            Err(error) => {
                self.not_audited.get_or_insert((entry.sequence, error));
                None
            }
        }
    }

    /// The verdict, given how the chain ended.
    pub(crate) fn verdict(mut self, end: Result<WalAnchor>, required: &[String]) -> Verdict {
        let (chain, head) = match end {
            Ok(head) => (self.chain_item(), Some(head)),
            Err(failure) => (Item::Refuted(failure), None),
        };
        let whole = head.is_some();
        let items = vec![
            ("chain", chain),
            ("audit", self.audit_item(whole)),
            ("replay", self.replay_item(whole)),
            ("anchor", self.anchor_item(whole)),
            ("checkpoint", self.checkpoint_item(whole)),
        ];
        let mut verdict = Verdict::of(self.log.path().display().to_string(), items, required);
        verdict.facts = vec![("entries", json!(self.last)), ("head", json!(head))];
        verdict.head = head;
        verdict
    }

    /// The anchor and the checkpoint, at the entry they name.
    fn follow(&mut self, sequence: u64, hash: ChainHash) {
        let anchor = self.anchor.filter(|anchor| anchor.sequence == sequence);
        if let Some(anchor) = anchor.filter(|anchor| !anchor.last_hash.ct_eq(&hash)) {
            let failure = Failure::new(Exit::Tampered, "the entry is not the trusted head")
                .at(self.log.path(), sequence)
                .between(anchor.last_hash, hash)
                .meaning("History up to the trusted head was rewritten, or this is another log.");
            self.anchor_failure = Some(failure);
        }
        if self.checkpoint.is_some() {
            self.tree.append(&hash.digest().unwrap_or_default());
            self.mark_checkpoint();
        }
    }

    fn mark_checkpoint(&mut self) {
        if self.checkpoint.as_ref().is_some_and(|given| given.head().size == self.tree.len()) {
            self.root_at_checkpoint = Some(self.tree.root());
        }
    }

    fn record<M>(&mut self, sequence: u64, record: &AuditedRecord<M>) {
        self.audited += 1;
        if let Err(error) = record.check_digests() {
            let failure = Box::<Failure>::from(error).at(self.log.path(), sequence);
            self.audit.add(failure.meaning(
                "The record was altered before it was logged, or by someone who rebuilt the chain after it.",
            ));
        }
        if self.policies.is_empty() {
            return;
        }
        match self.policies.replay(record) {
            Ok(()) => self.replayed += 1,
            Err(failure) => self.replay.add(failure.at(self.log.path(), sequence)),
        }
    }

    fn chain_item(&self) -> Item {
        let anchored_empty = self.anchor.is_some_and(|anchor| anchor.sequence == 0);
        if self.last == 0 && !anchored_empty {
            let failure = Failure::new(Exit::CannotTell, "the log is empty: there is nothing to verify")
                .at(self.log.path(), 0)
                .meaning("A new log looks like this, and so does one whose every entry was cut off. An anchor tells them apart.");
            return Item::Refuted(failure);
        }
        Item::established(match self.last {
            0 => "the log is empty, as its anchor says".to_owned(),
            1 => "1 entry".to_owned(),
            n => format!("{} entries, each following the one before", count(n)),
        })
    }

    fn audit_item(&mut self, whole: bool) -> Item {
        if let Some(failure) = self.audit.take() {
            return Item::Refuted(failure);
        }
        match &self.not_audited {
            // A log that is used for something else.
            _ if self.audited == 0 => Item::not_checked("the log has no audited record"),
            Some((sequence, error)) => {
                let problem = format!("the entry is not an audited record: {error}");
                let failure = Failure::new(Exit::CannotTell, problem)
                    .at(self.log.path(), *sequence)
                    .meaning("What this entry says is outside the audit; nothing can be replayed from it.");
                Item::Refuted(failure)
            }
            None => Item::established(format!(
                "{} records{} carry the digests of their request and decision",
                count(self.audited),
                before_the_break(whole)
            )),
        }
    }

    fn replay_item(&mut self, whole: bool) -> Item {
        if let Some(failure) = self.replay.take() {
            return Item::Refuted(failure);
        }
        if self.policies.is_empty() {
            return Item::not_checked("no policy was given with --policy");
        }
        if self.audited == 0 {
            return Item::not_checked("the log has no audited record to replay");
        }
        let (replayed, place) = (count(self.replayed), before_the_break(whole));
        Item::established(format!("{replayed} decisions{place} follow from their policy"))
    }

    fn anchor_item(&mut self, whole: bool) -> Item {
        let Some(anchor) = self.anchor else {
            return Item::not_checked(
                "no trusted head was given with --anchor: a suffix cut off cleanly would not show",
            );
        };
        if let Some(failure) = self.anchor_failure.take() {
            return Item::Refuted(failure);
        }
        if self.last >= anchor.sequence {
            let at = count(anchor.sequence);
            return Item::established(format!("the log contains the trusted head at {at}"));
        }
        self.too_short(whole, anchor.sequence, "the trusted head")
    }

    fn checkpoint_item(&mut self, whole: bool) -> Item {
        let Some(given) = self.checkpoint.take() else {
            return Item::not_checked("no checkpoint was given with --checkpoint");
        };
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
        let problem = format!("the log ends before {what}");
        let failure = Failure::new(Exit::Incomplete, problem)
            .at(self.log.path(), self.last)
            .between(format_args!("at least {} entries", count(needed)), count(self.last))
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
        let audit = &record.audit;
        let Some(policy) = self.named_by(audit) else {
            let problem = "no policy given has the digest the record names";
            return Err(Failure::new(Exit::CannotTell, problem)
                .between(audit.policy_digest_hex, "no such policy among those given")
                .meaning("The decision cannot be replayed without the policy it was made under. Give it with --policy."));
        };
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
