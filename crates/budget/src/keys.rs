//! Idempotency keys of one tenant and the answers they were given.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    operation::{HoldAction, TenantAction},
    refusal::{Barrier, Receipt, RefusalReason},
};

/// The longest key, in bytes.
pub(crate) const MAX_KEY_BYTES: usize = 255;

/// How long and how many idempotency keys are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A key is kept for this long in caller time, and may be forgotten after. The default is an
    /// hour in milliseconds.
    pub key_retention: u64,
    /// A tenant keeps at most this many; further keys are refused until older ones are forgotten.
    /// The default is a million.
    pub max_keys_per_tenant: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { key_retention: 3_600_000, max_keys_per_tenant: 1_000_000 }
    }
}

impl Limits {
    /// Whether another key can be kept at `now`, once those past their retention are forgotten.
    pub(crate) fn check_room(&self, keys: Option<&Keys>, now: u64) -> Result<(), RefusalReason> {
        let kept = keys.map_or(0, |keys| {
            let forgettable = keys.by_time.iter().take_while(|(at, _)| self.forgets(*at, now));
            keys.by_time.len() - forgettable.count()
        });
        let limit = self.max_keys_per_tenant;
        if kept as u64 >= limit {
            return Err(RefusalReason::TooManyKeys { limit });
        }
        Ok(())
    }

    fn forgets(&self, at: u64, now: u64) -> bool {
        now.saturating_sub(at) > self.key_retention
    }
}

/// What was asked, without the tenant, the time and the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Open { parent: u32, initial: i64 },
    Tenant(TenantAction),
    Hold(u64, HoldAction),
}

pub(crate) type Answer = Result<Receipt, Barrier>;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) at: u64,
    pub(crate) request: Request,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    by_key: BTreeMap<Box<str>, Record>,
    /// By time, which never runs back within a tenant.
    by_time: VecDeque<(u64, Box<str>)>,
}

impl Keys {
    /// What this key was used for.
    pub(crate) fn get(&self, key: &str) -> Option<&Record> {
        self.by_key.get(key)
    }

    /// Forgets what is past its retention and keeps a new answer.
    pub(crate) fn keep(&mut self, limits: &Limits, key: &str, record: Record) {
        while self.by_time.front().is_some_and(|(at, _)| limits.forgets(*at, record.at)) {
            if let Some((_, oldest)) = self.by_time.pop_front() {
                self.by_key.remove(&oldest);
            }
        }
        self.insert(key.into(), record);
    }

    fn insert(&mut self, key: Box<str>, record: Record) {
        self.by_time.push_back((record.at, key.clone()));
        self.by_key.insert(key, record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// By key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.by_key.iter().map(|(key, record)| (&**key, record))
    }

    /// Takes records back from a state, in any order.
    pub(crate) fn from_records(records: impl IntoIterator<Item = (Box<str>, Record)>) -> Self {
        let mut records: Vec<_> = records.into_iter().collect();
        records.sort_by(|(a_key, a), (b_key, b)| (a.at, a_key).cmp(&(b.at, b_key)));
        let mut keys = Self::default();
        records.into_iter().for_each(|(key, record)| keys.insert(key, record));
        keys
    }
}

pub(crate) fn check_key(key: &str) -> Result<(), RefusalReason> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let (length, limit) = (key.len() as u64, MAX_KEY_BYTES as u64);
        return Err(RefusalReason::InvalidKey { length, limit });
    }
    Ok(())
}
