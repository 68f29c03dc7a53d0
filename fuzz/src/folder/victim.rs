//! A ledger with a past: its folder at several moments, and what it was after every entry.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use calybris_budget::{
    Applied, HoldAction, LedgerOperation, OverrunPolicy, Receipt, TenantAction, Window,
};
use calybris_persist::DurableLedger;
use calybris_proof::chain::{ChainHash, WalAnchor};
use calybris_wal::storage::Memory;
use serde::Deserialize;

use super::{BOOKS, Files, LOG, contents, options};

const SLOT_BYTES: usize = 512;

pub(crate) struct Victim {
    pub(crate) keyed: bool,
    /// What was acknowledged last.
    pub(crate) head: WalAnchor,
    /// Its folder, the newest first, and that of another ledger.
    pub(crate) generations: Vec<Files>,
    /// Of both ledgers.
    pasts: [Past; 2],
}

/// What a ledger was.
#[derive(Default)]
struct Past {
    /// By entry, from the first: its hash, and the state after it.
    moments: Vec<(ChainHash, String)>,
    /// Every slot that a head file had, and the entry it is of.
    slots: Vec<(Vec<u8>, u64)>,
    lines: HashSet<Vec<u8>>,
    generations: Vec<Files>,
}

/// What counts of a slot.
#[derive(Deserialize)]
struct Slot {
    sequence: u64,
}

/// A state, to be compared.
pub(crate) fn text(ledger: &DurableLedger) -> String {
    serde_json::to_string(&ledger.state().expect("a ledger that works")).expect("plain data")
}

impl Victim {
    /// Made once.
    pub(crate) fn get(keyed: bool, one_file: bool) -> &'static Self {
        static ALL: [OnceLock<Victim>; 4] = [const { OnceLock::new() }; 4];
        ALL[usize::from(keyed) * 2 + usize::from(one_file)]
            .get_or_init(|| Self::new(keyed, one_file))
    }

    fn new(keyed: bool, one_file: bool) -> Self {
        let pasts = ["a", "b"].map(|name| Past::live(name, keyed, one_file));
        let mut generations: Vec<Files> = pasts[0].generations.iter().rev().cloned().collect();
        generations.extend(pasts[1].generations.last().cloned());
        let (last_hash, sequence) = (pasts[0].moments.last(), pasts[0].moments.len() as u64);
        let head = WalAnchor::new(sequence, last_hash.expect("it lived").0, keyed);
        Self { keyed, head: head.expect("an entry"), generations, pasts }
    }

    pub(crate) fn folder(&self) -> &Files {
        &self.generations[0]
    }

    /// The state of either ledger after an entry, if it is one of theirs.
    pub(crate) fn state_after(&self, head: WalAnchor) -> Option<&String> {
        let at = usize::try_from(head.sequence).ok()?.checked_sub(1)?;
        let mut found = self.pasts.iter().filter_map(|past| past.moments.get(at));
        Some(&found.find(|(hash, _)| *hash == head.last_hash)?.1)
    }

    /// Whether a ledger that ends with `found` has the entry `earlier`.
    pub(crate) fn is_of(&self, found: WalAnchor, earlier: WalAnchor) -> bool {
        self.pasts.iter().any(|past| {
            [found, earlier].iter().all(|head| {
                usize::try_from(head.sequence)
                    .ok()
                    .and_then(|sequence| past.moments.get(sequence.checked_sub(1)?))
                    .is_some_and(|(hash, _)| *hash == head.last_hash)
            })
        })
    }

    /// Whether these bytes are a line that either ledger wrote.
    pub(crate) fn is_entry(&self, line: &[u8]) -> bool {
        self.pasts.iter().any(|past| past.lines.contains(line))
    }

    /// The entries that the head file knows.
    pub(crate) fn heads(&self, files: &Files) -> impl Iterator<Item = u64> {
        let is_directory = files.keys().any(|path| path.starts_with(LOG));
        let one_file = files.contains_key(&Path::new(BOOKS).join("ledger.log")) || !is_directory;
        let name = if one_file { "ledger.log.head" } else { "log/head" };
        let held = files.get(&Path::new(BOOKS).join(name)).map(Vec::as_slice).unwrap_or_default();
        held.chunks(SLOT_BYTES).take(3).filter_map(|slot| {
            let slot = slot.trim_ascii();
            let mut known = self.pasts.iter().flat_map(|past| &past.slots);
            Some(known.find(|(known, _)| known == slot)?.1)
        })
    }

    /// The entries that something in the folder says were acknowledged.
    pub(crate) fn vouched(&self, files: &Files) -> impl Iterator<Item = u64> {
        let checkpoint = |path: &PathBuf| {
            let name = path.strip_prefix(BOOKS).ok()?.to_str()?;
            name.strip_prefix("checkpoint-")?.strip_suffix(".json")?.parse().ok()
        };
        self.heads(files).chain(files.keys().filter_map(checkpoint))
    }
}

impl Past {
    /// Opens, spends, refuses, saves, retires and is opened again.
    fn live(name: &str, keyed: bool, one_file: bool) -> Self {
        let memory = Memory::default();
        if one_file {
            memory.write(&Path::new(BOOKS).join("ledger.log"), b"");
        }
        let open = || {
            let opened = DurableLedger::open_with(Path::new(BOOKS), options(&memory, keyed, None));
            opened.expect("memory does not fail")
        };
        let (mut this, mut ledger, mut hold) = (Self::default(), open(), 0);
        this.note(&ledger, &memory);
        for round in 0..4 {
            for step in 0..6 {
                act(&ledger, name, round, step, &mut hold);
                this.note(&ledger, &memory);
            }
            if round > 0 {
                ledger.checkpoint().expect("memory does not fail");
                this.note(&ledger, &memory);
            }
            if round > 1 {
                ledger.retire().expect("memory does not fail");
                this.note(&ledger, &memory);
            }
            drop(ledger);
            this.generations.push(contents(&memory));
            ledger = open();
            this.note(&ledger, &memory);
        }
        act(&ledger, name, 4, 5, &mut hold);
        this.note(&ledger, &memory);
        drop(ledger);
        this.generations.push(contents(&memory));
        this
    }

    /// What was just acknowledged, if it is new.
    fn note(&mut self, ledger: &DurableLedger, memory: &Memory) {
        let WalAnchor { sequence, last_hash, .. } = ledger.anchor();
        self.moments
            .resize_with(usize::try_from(sequence).expect("a few"), || (last_hash, text(ledger)));
        let (segments, files) = (Path::new(LOG).join("head"), contents(memory));
        for (path, held) in &files {
            if path.extension() == Some("head".as_ref()) || *path == segments {
                let slots = held.chunks(SLOT_BYTES).map(|slot| slot.trim_ascii().to_vec());
                self.slots.extend(slots.filter_map(|slot| {
                    let Slot { sequence } = serde_json::from_slice(&slot).ok()?;
                    Some((slot, sequence))
                }));
            } else if path.extension() == Some("log".as_ref()) {
                let lines =
                    held.split_inclusive(|byte| *byte == b'\n').filter(|line| line.len() > 1);
                self.lines.extend(lines.map(<[u8]>::to_vec));
            }
        }
    }
}

/// Something of every kind, six to a round.
fn act(ledger: &DurableLedger, name: &str, round: u64, step: u64, hold: &mut u64) {
    let (now, key) = (100 * round + step, Some(format!("{name}-{round}-{step}")));
    let tenant = |action| LedgerOperation::Tenant {
        tenant: "desk".to_owned(),
        action,
        now,
        key: key.clone(),
    };
    let of_hold = |action| LedgerOperation::Hold { hold: *hold, action, now, key: key.clone() };
    let open = |tenant: &str, parent: Option<&str>| {
        let (tenant, parent, key) = (tenant.to_owned(), parent.map(str::to_owned), key.clone());
        LedgerOperation::Open { tenant, parent, initial_microcents: 1_000, now, key }
    };
    let (amount_microcents, deadline) = (100 + 10 * i64::from(name == "a"), Some(now + 150));
    let operation = match (round, step) {
        (0, 0) => open("firm", None),
        (0, 1) => open("desk", Some("firm")),
        (0, 2) => tenant(TenantAction::SetWindow {
            window: Window::Rolling { length: 300 },
            limit_microcents: Some(700),
        }),
        (0, 3) => tenant(TenantAction::SetOverrunPolicy {
            policy: OverrunPolicy::Overdraft { cap_microcents: 50 },
        }),
        (_, 0) => tenant(TenantAction::TopUp { amount_microcents }),
        (_, 1) => of_hold(HoldAction::CommitPart { amount_microcents: 30 }),
        (_, 2) => of_hold(HoldAction::Grow { amount_microcents: 5 }),
        (_, 3) => LedgerOperation::Expire { now },
        (_, 4) => tenant(TenantAction::Reserve { amount_microcents: 5_000, deadline }),
        _ => tenant(TenantAction::Reserve { amount_microcents, deadline }),
    };
    let answer = ledger.apply(&operation).expect("memory does not fail");
    assert_eq!(answer.is_err(), step == 4, "{operation:?}: {answer:?}");
    if let Ok(Applied::Receipt(Receipt { hold: Some(made), .. })) = answer {
        *hold = made;
    }
}
