//! The open holds of one tenant.
//!
//! The newest lies in the account itself: most holds are settled before the next is made, and those that
//! are not, another thread's say, shall not slow down the ones that are. Older holds, and those with a
//! deadline, are in a small ring indexed by the low bits of the id, which answers without hashing: ids rise
//! by one and most holds are settled soon after they are made. One still open when its place in the ring
//! is needed again moves to an ordered map, so that a long-lived hold costs the new ones nothing.

use std::collections::BTreeMap;

/// An open hold: what is still set aside, since and until when in caller time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenHold {
    pub(crate) amount: i64,
    pub(crate) began: u64,
    /// [`FOREVER`] is none.
    pub(crate) deadline: u64,
}

/// No deadline. Nothing is due before the end of time.
pub(crate) const FOREVER: u64 = u64::MAX;

/// 0 is no hold's id.
const NO_HOLD: u64 = 0;

#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Holds {
    /// Of the hold that lies here, if its id is not [`NO_HOLD`]; it has no deadline.
    id: u64,
    amount: i64,
    began: u64,
    others: Option<Box<Others>>,
}

impl Holds {
    /// The length of what most holds change: those of a tenant without time all begin at 0.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) const CHANGING_BYTES: usize = std::mem::offset_of!(Self, began);

    #[inline(always)]
    pub(crate) fn insert(&mut self, id: u64, hold: OpenHold) {
        if hold.deadline != FOREVER {
            return self.others.get_or_insert_default().insert(id, hold);
        }
        if self.id != NO_HOLD {
            self.make_room();
        }
        (self.id, self.amount) = (id, hold.amount);
        // Elsewhere than the rest, and rarely different.
        if self.began != hold.began {
            self.began = hold.began;
        }
    }

    /// Moves the hold that lies here to the others.
    #[inline(never)]
    fn make_room(&mut self) {
        let older = OpenHold { amount: self.amount, began: self.began, deadline: FOREVER };
        self.others.get_or_insert_default().insert(self.id, older);
    }

    #[inline(always)]
    pub(crate) fn get(&self, id: u64) -> Option<OpenHold> {
        if self.id == id && id != NO_HOLD {
            return Some(OpenHold { amount: self.amount, began: self.began, deadline: FOREVER });
        }
        self.others.as_ref()?.get(id)
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, id: u64) -> Option<OpenHold> {
        if self.id == id && id != NO_HOLD {
            self.id = NO_HOLD;
            return Some(OpenHold { amount: self.amount, began: self.began, deadline: FOREVER });
        }
        self.others.as_mut()?.remove(id)
    }

    pub(crate) fn len(&self) -> u64 {
        u64::from(self.id != NO_HOLD) + self.others.as_ref().map_or(0, |others| others.len())
    }

    /// Every open hold, by id.
    pub(crate) fn all(&self) -> BTreeMap<u64, OpenHold> {
        let here = self.get(self.id).map(|hold| (self.id, hold));
        here.into_iter().chain(self.others.iter().flat_map(|others| others.iter())).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    id: u64,
    hold: OpenHold,
}

const EMPTY: Slot = Slot { id: NO_HOLD, hold: OpenHold { amount: 0, began: 0, deadline: FOREVER } };
const SMALLEST_RING: usize = 2;
const LARGEST_RING: usize = 1_024;

#[derive(Clone, Debug, Default)]
struct Others {
    /// Empty or a power of two of slots.
    ring: Vec<Slot>,
    in_ring: usize,
    older: BTreeMap<u64, OpenHold>,
}

impl Others {
    #[inline]
    fn place(&self, id: u64) -> usize {
        let low_bits = usize::try_from(id & 0xffff_ffff).unwrap_or(0);
        low_bits & self.ring.len().wrapping_sub(1)
    }

    #[inline]
    fn insert(&mut self, id: u64, hold: OpenHold) {
        let place = self.place(id);
        match self.ring.get_mut(place) {
            Some(slot) if slot.id == NO_HOLD => {
                *slot = Slot { id, hold };
                self.in_ring += 1;
            }
            _ => self.make_room_and_insert(id, hold),
        }
    }

    #[cold]
    fn make_room_and_insert(&mut self, id: u64, hold: OpenHold) {
        let len = self.ring.len();
        let place = self.place(id);
        if len < LARGEST_RING && self.in_ring * 2 >= len {
            let larger = vec![EMPTY; (len * 2).max(SMALLEST_RING)];
            let smaller = std::mem::replace(&mut self.ring, larger);
            self.in_ring = 0;
            for slot in smaller.into_iter().filter(|slot| slot.id != NO_HOLD) {
                self.insert(slot.id, slot.hold);
            }
            self.insert(id, hold);
        } else if let Some(slot) = self.ring.get_mut(place) {
            let evicted = std::mem::replace(slot, Slot { id, hold });
            self.older.insert(evicted.id, evicted.hold);
        }
    }

    #[inline]
    fn get(&self, id: u64) -> Option<OpenHold> {
        match self.ring.get(self.place(id)) {
            Some(slot) if slot.id == id && id != NO_HOLD => Some(slot.hold),
            _ => self.older.get(&id).copied(),
        }
    }

    #[inline]
    fn remove(&mut self, id: u64) -> Option<OpenHold> {
        let place = self.place(id);
        match self.ring.get_mut(place) {
            Some(slot) if slot.id == id && id != NO_HOLD => {
                self.in_ring -= 1;
                Some(std::mem::replace(slot, EMPTY).hold)
            }
            _ => self.older.remove(&id),
        }
    }

    fn len(&self) -> u64 {
        (self.in_ring + self.older.len()) as u64
    }

    fn iter(&self) -> impl Iterator<Item = (u64, OpenHold)> {
        let recent = self.ring.iter().filter(|slot| slot.id != NO_HOLD);
        let recent = recent.map(|slot| (slot.id, slot.hold));
        recent.chain(self.older.iter().map(|(id, hold)| (*id, *hold)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_newest_lies_in_the_account() {
        let mut holds = Holds::default();
        let hold = |amount| OpenHold { amount, began: 0, deadline: FOREVER };
        for id in 1..4 {
            holds.insert(id, hold(5));
            assert_eq!(holds.id, id);
        }
        assert_eq!(holds.remove(3), Some(hold(5)));
        let others = holds.others.as_ref().unwrap();
        assert_eq!(others.iter().map(|(id, _)| id).collect::<Vec<_>>(), [2, 1]);
    }

    proptest! {
        /// Against a plain map, with ids that rise and long-lived holds that force evictions.
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec((0_u8..8, any::<u16>()), 0..4_000)) {
            let mut holds = Holds::default();
            let mut model = BTreeMap::new();
            let mut next = 1_u64;
            for (what, pick) in steps {
                if what < 5 {
                    let deadline = if what < 2 { u64::from(pick) } else { FOREVER };
                    let hold = OpenHold { amount: i64::from(pick), began: next / 3, deadline };
                    holds.insert(next, hold);
                    model.insert(next, hold);
                    next += 1;
                } else {
                    let id = u64::from(pick) % next;
                    prop_assert_eq!(holds.get(id), model.get(&id).copied());
                    prop_assert_eq!(holds.remove(id), model.remove(&id));
                }
                prop_assert_eq!(holds.len(), model.len() as u64);
            }
            prop_assert_eq!(holds.all(), model);
        }
    }
}
