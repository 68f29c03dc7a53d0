//! `calybris verify`: chain, audit, replay, trusted head and checkpoint, in one pass.

use std::path::PathBuf;

use calybris_kernel::digest::{HexDigest, decision_digest, input_digest};
use calybris_proof::chain::{ChainHash, WalAnchor};
use calybris_proof::merkle::MerkleFrontier;
use calybris_proof::{AuditedRecord, RecordVerdict};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::commands::checkpoint::{CheckpointArgs, TrustedHead};
use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::{Log, LogArgs};
use crate::policies::Policies;
use crate::show::count;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    log: LogArgs,
    /// Policy document to replay the decisions under; repeat it for a log that spans policies
    #[arg(long, value_name = "FILE")]
    policy: Vec<PathBuf>,
    /// Trusted head, as `calybris head` prints it
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,
    #[command(flatten)]
    checkpoint: CheckpointArgs,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

/// What a check of one item found.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Item {
    Established {
        what: String,
    },
    Refuted(Box<Failure>),
    NotChecked {
        why: &'static str,
    },
    /// Asked for on the command line, and not to be found out.
    CannotTell {
        why: &'static str,
    },
}

#[derive(Serialize)]
struct Verdict {
    verdict: Exit,
    log: String,
    entries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<WalAnchor>,
    chain: Item,
    audit: Item,
    replay: Item,
    anchor: Item,
    checkpoint: Item,
}

/// Everything that is learnt in one pass over the log.
struct Pass<'a> {
    log: &'a Log,
    policies: &'a Policies,
    anchor: Option<WalAnchor>,
    checkpoint: Option<&'a TrustedHead>,
    audited: u64,
    other: u64,
    replayed: u64,
    audit_failure: Option<Box<Failure>>,
    replay_failure: Option<Box<Failure>>,
    anchor_failure: Option<Box<Failure>>,
    tree: MerkleFrontier,
    root_at_checkpoint: Option<[u8; 32]>,
    last: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let policies = Policies::load(&arguments.policy)?;
    let anchor: Option<WalAnchor> = arguments.anchor.as_deref().map(files::json).transpose()?;
    let log = arguments.log.open()?;
    if let Some(anchor) = anchor.filter(|anchor| anchor.keyed != log.key().is_some()) {
        let of = if anchor.keyed { "a keyed log: give its key" } else { "a log without a key" };
        return Err(Failure::usage(format_args!("the anchor is of {of}")));
    }
    let checkpoint = arguments.checkpoint.load()?;
    let verdict = Pass::new(&log, &policies, anchor, checkpoint.as_ref()).run();
    if arguments.json {
        let json = serde_json::to_string_pretty(&verdict)
            .map_err(|error| Failure::new(Exit::CannotTell, error))?;
        files::print(&format!("{json}\n"))?;
    } else {
        files::print(&verdict.to_text())?;
    }
    Ok(verdict.verdict)
}

impl<'a> Pass<'a> {
    fn new(
        log: &'a Log,
        policies: &'a Policies,
        anchor: Option<WalAnchor>,
        checkpoint: Option<&'a TrustedHead>,
    ) -> Self {
        Self {
            log,
            policies,
            anchor,
            checkpoint,
            audited: 0,
            other: 0,
            replayed: 0,
            audit_failure: None,
            replay_failure: None,
            anchor_failure: None,
            tree: MerkleFrontier::new(),
            root_at_checkpoint: None,
            last: 0,
        }
    }

    fn run(mut self) -> Verdict {
        let log = self.log;
        self.mark_checkpoint();
        let end = log.visit(|entry| {
            self.last = entry.sequence;
            self.follow(entry.sequence, entry.entry_hash);
            match serde_json::from_str(entry.data.get()) {
                Ok(record) => self.audit(entry.sequence, &record),
                Err(_) => self.other += 1,
            }
        });
        let (chain, head) = match end {
            Ok(head) => {
                let what = format!("{} entries, each following the one before", count(self.last));
                (Item::Established { what }, Some(head))
            }
            Err(failure) => (Item::Refuted(failure), None),
        };
        let complete = head.is_some();
        let mut verdict = Verdict {
            verdict: Exit::Verified,
            log: log.path().display().to_string(),
            entries: self.last,
            head,
            chain,
            audit: self.audit_item(),
            replay: self.replay_item(),
            anchor: self.anchor_item(complete),
            checkpoint: self.checkpoint_item(complete),
        };
        verdict.verdict = verdict.worst();
        verdict
    }

    /// The anchor and the checkpoint, at the entry they name.
    fn follow(&mut self, sequence: u64, hash: ChainHash) {
        if let Some(anchor) = self.anchor.filter(|anchor| anchor.sequence == sequence) {
            if !anchor.last_hash.ct_eq(&hash) {
                let failure = Failure::new(Exit::Tampered, "the entry is not the trusted head")
                    .at(self.log.path(), sequence)
                    .between(anchor.last_hash, hash)
                    .meaning(
                        "History up to the trusted head was rewritten, or this is another log.",
                    );
                self.anchor_failure = Some(failure);
            }
        }
        if self.checkpoint.is_some() {
            self.tree.append(&hash.digest().unwrap_or_default());
            self.mark_checkpoint();
        }
    }

    fn mark_checkpoint(&mut self) {
        if self.checkpoint.is_some_and(|head| head.checkpoint.head().size == self.tree.len()) {
            self.root_at_checkpoint = Some(self.tree.root());
        }
    }

    fn audit(&mut self, sequence: u64, record: &AuditedRecord<IgnoredAny>) {
        self.audited += 1;
        let at = |failure: Box<Failure>| failure.at(self.log.path(), sequence);
        let audit = &record.audit;
        let digests = [
            ("the request", audit.input_digest_hex, input_digest(&record.input)),
            ("the decision", audit.decision_digest_hex, decision_digest(&record.decision)),
        ];
        for (what, found, expected) in digests {
            let expected = HexDigest::new(&expected);
            if found != expected && self.audit_failure.is_none() {
                let problem = format!("the record's digest is not that of {what} beside it");
                let failure = at(Failure::new(Exit::Tampered, problem)).between(expected, found);
                self.audit_failure = Some(failure.meaning(
                    "The record was altered before it was logged, or by someone who rebuilt the chain.",
                ));
            }
        }
        if self.policies.is_empty() || self.replay_failure.is_some() {
            return;
        }
        let Some(policy) = self.policies.named_by(audit) else {
            let failure = Failure::new(Exit::CannotTell, "no policy given has the digest the record names")
                .between(audit.policy_digest_hex, "no such policy among those given")
                .meaning("The decision cannot be replayed without the policy it was made under. Give it with --policy.");
            self.replay_failure = Some(at(failure));
            return;
        };
        let verdict = record.replay(&policy.snapshot);
        if verdict.is_valid() {
            self.replayed += 1;
        } else {
            let replayed = policy.snapshot.prescribe(record.input);
            let say = |d: &calybris_kernel::KernelDecision| {
                let model = policy.model(d.selected_model_id);
                let cost = d.estimated_cost_microunits;
                format!("{} {model} at {cost} microunits ({})", d.action, d.reason)
            };
            let failure = Failure::new(Exit::Tampered, replay_problem(&verdict))
                .between(say(&replayed), say(&record.decision))
                .meaning(
                    "The policy does not give this decision: the record was forged, or made by another engine.",
                );
            self.replay_failure = Some(at(failure));
        }
    }

    fn audit_item(&mut self) -> Item {
        if let Some(failure) = self.audit_failure.take() {
            return Item::Refuted(failure);
        }
        if self.audited == 0 {
            return Item::NotChecked { why: "the log has no audited record" };
        }
        let mut what =
            format!("{} records carry the digests of their content", count(self.audited));
        if self.other > 0 {
            what.push_str(&format!("; {} entries are no audited records", count(self.other)));
        }
        Item::Established { what }
    }

    fn replay_item(&mut self) -> Item {
        match self.replay_failure.take() {
            Some(failure) => Item::Refuted(failure),
            None if self.policies.is_empty() => {
                Item::NotChecked { why: "no policy was given with --policy" }
            }
            None if self.audited == 0 => {
                Item::CannotTell { why: "the log has no audited record to replay" }
            }
            None => {
                let what = format!("{} decisions follow from their policy", count(self.replayed));
                Item::Established { what }
            }
        }
    }

    fn anchor_item(&mut self, complete: bool) -> Item {
        let Some(anchor) = self.anchor else {
            return Item::NotChecked { why: "no trusted head was given with --anchor" };
        };
        if let Some(failure) = self.anchor_failure.take() {
            return Item::Refuted(failure);
        }
        if self.last >= anchor.sequence {
            let what = format!("the log contains the trusted head at {}", count(anchor.sequence));
            return Item::Established { what };
        }
        self.too_short(complete, anchor.sequence, "the trusted head")
    }

    fn checkpoint_item(&self, complete: bool) -> Item {
        let Some(trusted) = self.checkpoint else {
            return Item::NotChecked { why: "no checkpoint was given with --checkpoint" };
        };
        let head = trusted.checkpoint.head();
        let Some(root) = self.root_at_checkpoint else {
            return self.too_short(complete, head.size, "the checkpoint");
        };
        if root != head.root {
            let failure = Failure::new(Exit::Tampered, "the log's tree is not the checkpoint's")
                .at(self.log.path(), head.size)
                .between(HexDigest::new(&head.root), HexDigest::new(&root))
                .meaning("History up to the checkpoint was rewritten, or this is another log.");
            return Item::Refuted(failure);
        }
        match trusted.unsigned_because {
            Some(why) => Item::CannotTell { why },
            None => Item::Established { what: trusted.what() },
        }
    }

    fn too_short(&self, complete: bool, needed: u64, what: &str) -> Item {
        if !complete {
            return Item::CannotTell { why: "the chain breaks before it" };
        }
        let problem = format!("the log ends before {what}");
        let failure = Failure::new(Exit::Incomplete, problem)
            .at(self.log.path(), self.last)
            .between(format_args!("at least {needed} entries"), self.last)
            .meaning("Entries that existed are missing: the end of the log was cut off, or this is an older copy.");
        Item::Refuted(failure)
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

impl Verdict {
    fn items(&self) -> [(&'static str, &Item); 5] {
        [
            ("chain", &self.chain),
            ("audit", &self.audit),
            ("replay", &self.replay),
            ("anchor", &self.anchor),
            ("checkpoint", &self.checkpoint),
        ]
    }

    /// Tampered beats incomplete beats cannot tell.
    fn worst(&self) -> Exit {
        let failures = self.items().into_iter().filter_map(|(_, item)| match item {
            Item::Refuted(failure) => Some(failure.verdict),
            Item::CannotTell { .. } => Some(Exit::CannotTell),
            _ => None,
        });
        let severity = |exit: &Exit| match exit {
            Exit::Tampered => 3,
            Exit::Incomplete => 2,
            _ => 1,
        };
        failures.max_by_key(severity).unwrap_or(Exit::Verified)
    }

    fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.log);
        for (name, item) in self.items() {
            let line = match item {
                Item::Established { what } => format!("  ok         {name:<11} {what}\n"),
                Item::Refuted(failure) => {
                    let failure = failure.to_string().replace('\n', "\n             ");
                    format!("  FAILED     {name:<11} {failure}\n")
                }
                Item::NotChecked { why } => format!("  unchecked  {name:<11} {why}\n"),
                Item::CannotTell { why } => format!("  UNKNOWN    {name:<11} {why}\n"),
            };
            text.push_str(&line);
        }
        if let Some(head) = &self.head {
            text.push_str(&format!("head {} {}\n", head.sequence, head.last_hash));
        }
        let verdict = match self.verdict {
            Exit::Verified => "VERIFIED, for what is marked ok",
            Exit::Tampered => "TAMPERED",
            Exit::Incomplete => "INCOMPLETE",
            _ => "CANNOT TELL",
        };
        text.push_str(&format!("{verdict}\n"));
        text
    }
}
