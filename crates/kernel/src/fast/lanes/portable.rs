//! Any machine: arrays, which the compiler turns into whatever vectors the target has.

use super::{Column, Lanes, Leader, Providers, Sets, halves};

/// Plain Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: Column, b: Column, operation: impl Fn(u16, u16) -> u16) -> Column {
    let mut out = a;
    for (lane, b) in out.iter_mut().zip(b) {
        *lane = operation(*lane, b);
    }
    out
}

/// A bit for each of 32 that holds.
#[inline(always)]
fn bits(holds: impl Iterator<Item = bool>) -> u32 {
    holds.zip(0..).fold(0, |bits, (holds, bit)| bits | u32::from(holds) << bit)
}

impl Lanes for Portable {
    type Numbers = Column;

    #[inline(always)]
    fn load(self, column: &Column) -> Column {
        *column
    }

    #[cfg(test)]
    fn store(self, numbers: Column) -> Column {
        numbers
    }

    #[inline(always)]
    fn splat(self, value: u16) -> Column {
        [value; 32]
    }

    #[inline(always)]
    fn share(self, a: Column, b: Column) -> Column {
        #[expect(clippy::cast_possible_truncation, reason = "two numbers of 15 bits")]
        fn share(a: u16, b: u16) -> u16 {
            ((u32::from(a) * u32::from(b) + (1 << 14)) >> 15) as u16
        }
        zip(a, b, share)
    }

    #[inline(always)]
    fn add(self, a: Column, b: Column) -> Column {
        zip(a, b, |a, b| a.saturating_add(b).min(u16::MAX >> 1))
    }

    #[inline(always)]
    fn sub(self, a: Column, b: Column) -> Column {
        zip(a, b, |a, b| a.cast_signed().saturating_sub(b.cast_signed()).cast_unsigned())
    }

    #[inline(always)]
    fn sort(self, a: Column, b: Column) -> [Column; 2] {
        let larger = |a: u16, b: u16| a.cast_signed().max(b.cast_signed()).cast_unsigned();
        let smaller = |a: u16, b: u16| a.cast_signed().min(b.cast_signed()).cast_unsigned();
        [zip(a, b, larger), zip(a, b, smaller)]
    }

    #[inline(always)]
    fn select(self, mut numbers: Column, bits: u32) -> Column {
        for (model, number) in numbers.iter_mut().enumerate() {
            *number = if bits >> model & 1 == 1 { *number } else { 0 };
        }
        numbers
    }

    #[inline(always)]
    fn above(self, a: Column, b: Column) -> u32 {
        // With the sign turned, unsigned order is signed order.
        const SIGN: u16 = 1 << 15;
        bits(a.into_iter().zip(b).map(|(a, b)| a ^ SIGN > b ^ SIGN))
    }

    #[inline(always)]
    fn negative(self, numbers: Column, room: i8) -> [u32; 2] {
        let below =
            |least: i16| bits(numbers.into_iter().map(|number| number.cast_signed() < least));
        [below(0), below(-i16::from(room))]
    }

    #[inline(always)]
    fn leaders(self, numbers: Column, slack: Column) -> [Leader; 2] {
        let mut two_least = [u16::MAX; 2];
        for ((number, slack), model) in numbers.into_iter().zip(slack).zip(0..) {
            let key = if slack.cast_signed() > 0 {
                !(number << 1) & Leader::STEPS | model
            } else {
                Leader::NOBODY | model
            };
            let [first, second] = two_least;
            two_least = [first.min(key), second.min(first.max(key))];
        }
        two_least.map(Leader)
    }

    #[inline(always)]
    fn disjoint(self, Sets([lower, upper]): &Sets, set: u64) -> u32 {
        let [low, high] = halves(set);
        bits(lower.iter().zip(upper).map(|(lower, upper)| (lower & low) | (upper & high) == 0))
    }

    #[inline(always)]
    fn outside(self, providers: &Providers, mask: u64) -> u32 {
        let bytes = mask.to_le_bytes();
        let places = providers.byte.into_iter().zip(providers.bit);
        bits(places.map(|(byte, bit)| bytes.get(usize::from(byte)).is_none_or(|m| m & bit == 0)))
    }

    #[inline(always)]
    fn second_largest(self, first: Column, second: Column) -> u16 {
        let (mut largest, mut next) = (0, 0);
        for number in [first, second].into_iter().flatten() {
            next = next.max(number.min(largest));
            largest = largest.max(number);
        }
        next
    }
}
