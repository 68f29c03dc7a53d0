//! A bit for each model of a chunk, and the few operations on all of them at once.

use core::ops::{BitAnd, BitOr, Not};

use super::columns::PAIRS;
use super::lanes::word;

/// A bit for each model of a chunk, in a word for each pair of blocks. The compiler makes vectors of the loops here.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(64))]
pub(crate) struct Words(pub(crate) [u64; PAIRS]);

/// The same, while it is found block by block.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Halves([[u32; 2]; PAIRS]);

impl Words {
    pub(crate) const NONE: Self = Self([0; PAIRS]);
    pub(crate) const ALL: Self = Self([u64::MAX; PAIRS]);

    #[inline(always)]
    fn zip(mut self, other: Self, operation: impl Fn(u64, u64) -> u64) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word = operation(*word, other);
        }
        self
    }
}

impl Halves {
    pub(crate) const NONE: Self = Self([[0; 2]; PAIRS]);

    /// Gives a pair of blocks its bits.
    #[inline(always)]
    pub(crate) fn set(&mut self, pair: usize, models: [u32; 2]) {
        if let Some(halves) = self.0.get_mut(pair) {
            *halves = models;
        }
    }
}

impl From<Halves> for Words {
    #[inline(always)]
    fn from(Halves(halves): Halves) -> Self {
        Self(halves.map(word))
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

impl Not for Words {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        Self(self.0.map(|word| !word))
    }
}
