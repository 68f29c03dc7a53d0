//! Sets as bit planes: for each bit, the models that have it. Of those of a large catalog a request needs few.

use alloc::{boxed::Box, vec};

use super::columns::CHUNK;
use super::words::Words;
use crate::KernelModel;

/// Plane `b` has a bit for each model that has bit `b` of a 64-bit set. A plane's words lie side by side: a request
/// reads a few of them from end to end.
#[derive(Debug)]
pub(crate) struct Planes {
    words: Box<[Words]>,
    chunks: usize,
}

impl Planes {
    pub(crate) fn new(models: &[KernelModel], set: impl Fn(&KernelModel) -> u64) -> Self {
        let chunks = models.len().div_ceil(CHUNK);
        let mut words = vec![Words::NONE; 64 * chunks].into_boxed_slice();
        for (chunk, models) in models.chunks(CHUNK).enumerate() {
            let places = words.iter_mut().skip(chunk).step_by(chunks);
            for (place, plane) in places.zip(planes(models, &set)) {
                *place = plane;
            }
        }
        Self { words, chunks }
    }

    /// The models of a chunk with every bit of `set`.
    #[inline(always)]
    pub(crate) fn all_of(&self, set: u64, chunk: usize) -> Words {
        self.combine(set, chunk, Words::ALL, |a, b| a & b)
    }

    /// The models of a chunk with any bit of `set`.
    #[inline(always)]
    pub(crate) fn any_of(&self, set: u64, chunk: usize) -> Words {
        self.combine(set, chunk, Words::NONE, |a, b| a | b)
    }

    #[inline(always)]
    fn combine(
        &self,
        set: u64,
        chunk: usize,
        start: Words,
        operation: impl Fn(Words, Words) -> Words,
    ) -> Words {
        let mut combined = start;
        let mut rest = set;
        while rest != 0 {
            let place = rest.trailing_zeros() as usize * self.chunks + chunk;
            if let Some(plane) = self.words.get(place) {
                combined = operation(combined, *plane);
            }
            rest &= rest - 1;
        }
        combined
    }
}

/// The planes of one chunk.
fn planes(models: &[KernelModel], set: impl Fn(&KernelModel) -> u64) -> [Words; 64] {
    let mut planes = [Words::NONE; 64];
    for (pair, models) in models.chunks(64).enumerate() {
        for (plane, row) in planes.iter_mut().zip(turned(models, &set)) {
            if let Some(word) = plane.0.get_mut(pair) {
                *word = row;
            }
        }
    }
    planes
}

/// Of up to 64 models, those that have each bit of a set.
pub(super) fn turned(models: &[KernelModel], set: impl Fn(&KernelModel) -> u64) -> [u64; 64] {
    let mut rows = [0; 64];
    for (row, model) in rows.iter_mut().zip(models) {
        *row = set(model);
    }
    transpose(&mut rows);
    rows
}

/// Bit `j` of row `i` becomes bit `i` of row `j`, by swapping ever smaller squares (Warren, Hacker's
/// Delight, §7-3).
fn transpose(rows: &mut [u64; 64]) {
    let (mut width, mut mask) = (32_usize, u64::MAX >> 32);
    while width > 0 {
        for group in rows.chunks_exact_mut(2 * width) {
            let (upper, lower) = group.split_at_mut(width);
            for (a, b) in upper.iter_mut().zip(lower) {
                let swap = (*a >> width ^ *b) & mask;
                *a ^= swap << width;
                *b ^= swap;
            }
        }
        width /= 2;
        mask ^= mask << width;
    }
}
