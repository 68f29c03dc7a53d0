//! A gate at a time through the blocks of a chunk.

use super::columns::{BLOCKS, Planes};
use super::lanes::{Column, Lanes, Providers, Sets};
use super::words::Words;

/// The models whose number is below `bound`.
#[inline(always)]
pub(super) fn below<'b, L: Lanes>(
    lanes: L,
    bound: u16,
    mut columns: impl Iterator<Item = &'b Column>,
) -> Words {
    let bound = lanes.splat(bound);
    let mut refused = Words::NONE;
    for block in 0..BLOCKS {
        let Some(column) = columns.next() else { break };
        refused.set(block, lanes.above(bound, lanes.load(column)));
    }
    refused
}

/// The models whose provider is not in `mask`.
#[inline(always)]
pub(super) fn outside<'b, L: Lanes>(
    lanes: L,
    mask: u64,
    mut providers: impl Iterator<Item = &'b Providers>,
) -> Words {
    let mut refused = Words::NONE;
    for block in 0..BLOCKS {
        let Some(providers) = providers.next() else { break };
        refused.set(block, lanes.outside(providers, mask));
    }
    refused
}

/// The models whose set has nothing in common with `set`.
#[inline(always)]
pub(super) fn disjoint<'b, L: Lanes>(
    lanes: L,
    set: u64,
    mut sets: impl Iterator<Item = &'b Sets>,
) -> Words {
    let mut disjoint = Words::NONE;
    for block in 0..BLOCKS {
        let Some(sets) = sets.next() else { break };
        disjoint.set(block, lanes.disjoint(sets, set));
    }
    disjoint
}

/// Models with every bit of `set`.
#[inline(always)]
pub(super) fn all_of(planes: &Planes, set: u64) -> Words {
    combine(planes, set, Words::ALL, |a, b| a & b)
}

/// Models with any bit of `set`.
#[inline(always)]
pub(super) fn any_of(planes: &Planes, set: u64) -> Words {
    combine(planes, set, Words::NONE, |a, b| a | b)
}

#[inline(always)]
fn combine(
    planes: &Planes,
    set: u64,
    start: Words,
    operation: impl Fn(Words, Words) -> Words,
) -> Words {
    let mut combined = start;
    let mut rest = set;
    while rest != 0 {
        if let Some(plane) = planes.get(rest.trailing_zeros() as usize) {
            combined = operation(combined, *plane);
        }
        rest &= rest - 1;
    }
    combined
}
