//! The models that are looked at exactly, once the scan is through: their rows, which a large catalog has not in the
//! cache, are then fetched side by side, and the scan does not wait for them.

/// How many are noted before they are looked at.
const ROOM: usize = 32;

/// A model that is noted: its number, and in the lowest bit whether it may be eligible or surely is.
#[derive(Clone, Copy)]
pub(super) struct Entry(usize);

impl Entry {
    /// One that is surely eligible.
    #[inline(always)]
    pub(super) const fn eligible(index: usize) -> Self {
        Self(index << 1)
    }

    /// One that may be.
    #[inline(always)]
    pub(super) const fn doubtful(index: usize) -> Self {
        Self(index << 1 | 1)
    }

    #[inline(always)]
    pub(super) const fn is_doubtful(self) -> bool {
        self.0 & 1 == 1
    }

    #[inline(always)]
    pub(super) const fn index(self) -> usize {
        self.0 >> 1
    }
}

/// Those noted and not yet looked at.
pub(super) struct Pending {
    entries: [Entry; ROOM],
    len: usize,
}

impl Pending {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self { entries: [Entry(0); ROOM], len: 0 }
    }

    #[inline(always)]
    pub(super) const fn is_full(&self) -> bool {
        self.len == ROOM
    }

    /// Adds to a list that is not full.
    #[inline(always)]
    pub(super) fn push(&mut self, entry: Entry) {
        if let Some(place) = self.entries.get_mut(self.len) {
            *place = entry;
            self.len += 1;
        }
    }

    /// Those noted, of whom none is left.
    #[inline(always)]
    pub(super) fn take(&mut self) -> impl Iterator<Item = Entry> + use<> {
        self.entries.into_iter().take(core::mem::take(&mut self.len))
    }
}
