//! A bit for each model of a chunk, and the few operations on all of them at once.

use core::ops::{BitAnd, BitOr};

use super::columns::BLOCKS;

/// A bit for each model of a chunk, in a word for each block. The compiler makes vectors of the loops here.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(crate) struct Words(pub(crate) [u32; BLOCKS]);

impl Words {
    pub(crate) const NONE: Self = Self([0; BLOCKS]);
    pub(crate) const ALL: Self = Self([u32::MAX; BLOCKS]);

    /// Gives a block its word.
    #[inline(always)]
    pub(crate) fn set(&mut self, block: usize, models: u32) {
        if let Some(word) = self.0.get_mut(block) {
            *word = models;
        }
    }

    #[inline(always)]
    pub(crate) fn count_ones(&self) -> u32 {
        let pairs = self.0.as_chunks().0.iter();
        pairs.map(|[low, high]| (u64::from(*low) | u64::from(*high) << 32).count_ones()).sum()
    }

    #[inline(always)]
    fn zip(mut self, other: Self, operation: impl Fn(u32, u32) -> u32) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = operation(*word, other);
        }
        self
    }
}

impl FromIterator<u32> for Words {
    /// The words of the first blocks; none of the models of the others.
    #[inline(always)]
    fn from_iter<I: IntoIterator<Item = u32>>(words: I) -> Self {
        let (mut all, mut words) = (Self::NONE, words.into_iter());
        for block in 0..BLOCKS {
            let Some(word) = words.next() else { break };
            all.set(block, word);
        }
        all
    }
}

impl BitAnd for Words {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
}

impl BitOr for Words {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }
}
