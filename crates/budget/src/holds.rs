//! The open holds of one tenant.
//!
//! Ids rise by one, and most holds are settled soon after they are made: a small ring indexed by
//! the low bits of the id answers for those without hashing. A hold still open when its place in
//! the ring is needed again moves to an ordered map, so a long-lived hold costs the new ones nothing.

use std::collections::BTreeMap;

/// An open hold: what is still set aside, and since and until when in caller time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenHold {
    pub(crate) amount: i64,
    pub(crate) began: u64,
    /// [`FOREVER`] is none.
    pub(crate) deadline: u64,
}

/// No deadline. Nothing is due before the end of time.
pub(crate) const FOREVER: u64 = u64::MAX;

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// 0 is no hold's id.
    id: u64,
    hold: OpenHold,
}

const EMPTY: Slot = Slot { id: 0, hold: OpenHold { amount: 0, began: 0, deadline: FOREVER } };
const SMALLEST_RING: usize = 2;
const LARGEST_RING: usize = 1_024;

#[derive(Clone, Debug, Default)]
pub(crate) struct Holds {
    /// Empty or a power of two of slots.
    ring: Box<[Slot]>,
    in_ring: u32,
    #[expect(clippy::box_collection, reason = "few of millions of tenants need more than a word")]
    older: Option<Box<BTreeMap<u64, OpenHold>>>,
}

impl Holds {
    #[inline]
    fn place(&mut self, id: u64) -> Option<&mut Slot> {
        let mask = self.ring.len().wrapping_sub(1);
        let low_bits = usize::try_from(id & 0xffff_ffff).unwrap_or(0);
        self.ring.get_mut(low_bits & mask)
    }

    #[inline]
    pub(crate) fn insert(&mut self, id: u64, hold: OpenHold) {
        match self.place(id) {
            Some(slot) if slot.id == 0 => {
                *slot = Slot { id, hold };
                self.in_ring += 1;
            }
            _ => self.make_room_and_insert(id, hold),
        }
    }

    #[cold]
    fn make_room_and_insert(&mut self, id: u64, hold: OpenHold) {
        let len = self.ring.len();
        if len < LARGEST_RING && self.in_ring as usize * 2 >= len {
            let larger = vec![EMPTY; (len * 2).max(SMALLEST_RING)].into_boxed_slice();
            let smaller = std::mem::replace(&mut self.ring, larger);
            self.in_ring = 0;
            for slot in smaller.into_iter().filter(|slot| slot.id != 0) {
                self.insert(slot.id, slot.hold);
            }
            self.insert(id, hold);
        } else if let Some(slot) = self.place(id) {
            let evicted = std::mem::replace(slot, Slot { id, hold });
            self.older.get_or_insert_default().insert(evicted.id, evicted.hold);
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, id: u64) -> Option<OpenHold> {
        self.get_mut(id).copied()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut OpenHold> {
        let mask = self.ring.len().wrapping_sub(1);
        let low_bits = usize::try_from(id & 0xffff_ffff).unwrap_or(0);
        match self.ring.get_mut(low_bits & mask) {
            Some(slot) if slot.id == id && id != 0 => Some(&mut slot.hold),
            _ => self.older.as_mut()?.get_mut(&id),
        }
    }

    #[inline]
    pub(crate) fn remove(&mut self, id: u64) -> Option<OpenHold> {
        match self.place(id) {
            Some(slot) if slot.id == id && id != 0 => {
                let hold = std::mem::replace(slot, EMPTY).hold;
                self.in_ring -= 1;
                Some(hold)
            }
            _ => self.older.as_mut()?.remove(&id),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        u64::from(self.in_ring) + self.older.as_ref().map_or(0, |older| older.len() as u64)
    }

    /// Every open hold, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, OpenHold)> {
        let older = self.older.iter().flat_map(|older| older.iter().map(|(id, hold)| (*id, *hold)));
        let recent = self.ring.iter().filter(|slot| slot.id != 0).map(|slot| (slot.id, slot.hold));
        let mut all: Vec<_> = older.chain(recent).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain map, with ids that rise and long-lived holds that force evictions.
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((0_u8..8, any::<u16>()), 0..4_000)) {
            let mut holds = Holds::default();
            let mut model = BTreeMap::new();
            let mut next = 1_u64;
            for (what, pick) in steps {
                if what < 5 {
                    let hold = OpenHold { amount: i64::from(pick), began: 0, deadline: FOREVER };
                    holds.insert(next, hold);
                    model.insert(next, hold);
                    next += 1;
                } else {
                    let id = u64::from(pick) % next;
                    prop_assert_eq!(holds.get_mut(id).copied(), model.get(&id).copied());
                    prop_assert_eq!(holds.remove(id), model.remove(&id));
                }
                prop_assert_eq!(holds.len(), model.len() as u64);
            }
            prop_assert!(holds.iter().eq(model));
        }
    }
}
