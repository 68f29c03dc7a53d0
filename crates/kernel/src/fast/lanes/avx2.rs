//! AVX2: most operations are an instruction for each half of the models. [`V3`] is proof that the processor has it.

use core::arch::x86_64::{__m128i, __m256i};

use pulp::bytemuck::cast;
use pulp::x86::V3;

use super::{Column, Lanes, Leader, Providers, Sets, halves};

/// The bit of each of eight models in their byte of a mask.
const BIT: [u8; 32] = {
    let mut bits = [0; 32];
    let mut model = 0;
    while model < 32 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            bits[model] = 1 << (model % 8);
        }
        model += 1;
    }
    bits
};

/// The byte of a mask that has each model's bit, counted in the half of the register it is in.
const BYTE: [u8; 32] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3,
];

const fn place(model: usize) -> usize {
    model / 8 % 2 * 16 + model % 8 + model / 16 * 8
}

/// The model that has each place.
const MODELS: Column = {
    let mut models = [0; 32];
    let mut model = 0;
    while model < 32 {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            models[place(model as usize)] = model;
        }
        model += 1;
    }
    models
};

/// A bit for each byte that is all ones.
#[inline(always)]
#[expect(clippy::cast_sign_loss, reason = "the instruction's 32 bits are a mask, not a number")]
fn bits(lanes: V3, bytes: __m256i) -> u32 {
    lanes.avx2._mm256_movemask_epi8(bytes) as u32
}

/// All ones where neither half of a set has anything in common with `low` and `high`.
#[inline(always)]
fn disjoint(lanes: V3, lower: __m256i, low: __m256i, upper: __m256i, high: __m256i) -> __m256i {
    let lower = lanes.avx2._mm256_and_si256(lower, low);
    let upper = lanes.avx2._mm256_and_si256(upper, high);
    let common = lanes.avx2._mm256_or_si256(lower, upper);
    lanes.avx2._mm256_cmpeq_epi32(common, cast([0_u32; 8]))
}

/// A [`Leader`] of each lane.
#[inline(always)]
fn keys(lanes: V3, numbers: __m256i, slack: __m256i, models: __m256i) -> __m256i {
    let doubled = lanes.avx2._mm256_add_epi16(numbers, numbers);
    let steps = lanes.avx2._mm256_andnot_si256(doubled, cast([Leader::STEPS; 16]));
    let nobody = lanes.avx2._mm256_cmpgt_epi16(cast([1_u16; 16]), slack);
    let nobody = lanes.avx2._mm256_and_si256(nobody, cast([Leader::NOBODY; 16]));
    lanes.avx2._mm256_or_si256(lanes.avx2._mm256_or_si256(steps, models), nobody)
}

/// The two smallest. Lanes are folded in pairs of smallest and next, to eight; then an instruction finds the smallest of
/// all, and another that of all others. No two are equal.
#[inline(always)]
pub(super) fn two_least(lanes: V3, [a, b]: [__m256i; 2]) -> [Leader; 2] {
    let [c, d]: [__m128i; 2] = cast(lanes.avx2._mm256_min_epu16(a, b));
    let [e, f]: [__m128i; 2] = cast(lanes.avx2._mm256_max_epu16(a, b));
    let (sse2, sse4_1) = (lanes.sse2, lanes.sse4_1);
    let least = sse4_1._mm_min_epu16(c, d);
    let next = sse4_1._mm_min_epu16(sse4_1._mm_max_epu16(c, d), sse4_1._mm_min_epu16(e, f));
    let first = sse4_1._mm_minpos_epu16(least);
    // How much further from the first than 1: itself is the furthest then.
    let from = sse2._mm_add_epi16(lanes.avx2._mm_broadcastw_epi16(first), cast([1_u16; 8]));
    let further =
        sse4_1._mm_min_epu16(sse2._mm_sub_epi16(least, from), sse2._mm_sub_epi16(next, from));
    let second = sse4_1._mm_minpos_epu16(further);
    let ([first, ..], [further, ..]): ([u16; 8], [u16; 8]) = (cast(first), cast(second));
    [Leader(first), Leader(first.wrapping_add(further).wrapping_add(1))]
}

impl Lanes for V3 {
    type Numbers = [__m256i; 2];

    /// Packing the masks of two registers takes eight lanes of each in turn; with this order their bits come
    /// out in the models' own.
    #[inline(always)]
    fn place(model: usize) -> usize {
        place(model)
    }

    /// As [`Lanes::place`], of registers of eight: what packing four of them takes in turn.
    #[inline(always)]
    fn set_place(model: usize) -> usize {
        model / 4 % 4 * 8 + model % 4 + model / 16 * 4
    }

    #[inline(always)]
    fn load(self, column: &Column) -> [__m256i; 2] {
        cast(*column)
    }

    #[cfg(test)]
    fn store(self, numbers: [__m256i; 2]) -> Column {
        cast(numbers)
    }

    #[inline(always)]
    fn splat(self, value: u16) -> [__m256i; 2] {
        [cast([value; 16]); 2]
    }

    #[inline(always)]
    fn share(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [__m256i; 2] {
        [self.avx2._mm256_mulhrs_epi16(a, c), self.avx2._mm256_mulhrs_epi16(b, d)]
    }

    #[inline(always)]
    fn add(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [__m256i; 2] {
        [self.avx2._mm256_adds_epi16(a, c), self.avx2._mm256_adds_epi16(b, d)]
    }

    #[inline(always)]
    fn sub(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [__m256i; 2] {
        [self.avx2._mm256_subs_epi16(a, c), self.avx2._mm256_subs_epi16(b, d)]
    }

    #[inline(always)]
    fn sort(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [[__m256i; 2]; 2] {
        let avx2 = self.avx2;
        [
            [avx2._mm256_max_epi16(a, c), avx2._mm256_max_epi16(b, d)],
            [avx2._mm256_min_epi16(a, c), avx2._mm256_min_epi16(b, d)],
        ]
    }

    #[inline(always)]
    fn select(self, [low, high]: [__m256i; 2], bits: u32) -> [__m256i; 2] {
        let bytes = self.avx2._mm256_shuffle_epi8(cast([bits; 8]), cast(BYTE));
        let bytes = self.avx2._mm256_and_si256(bytes, cast(BIT));
        let bytes = self.avx2._mm256_cmpeq_epi8(bytes, cast(BIT));
        let low_mask = self.avx2._mm256_unpacklo_epi8(bytes, bytes);
        let high_mask = self.avx2._mm256_unpackhi_epi8(bytes, bytes);
        [self.avx2._mm256_and_si256(low, low_mask), self.avx2._mm256_and_si256(high, high_mask)]
    }

    #[inline(always)]
    fn above(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> u32 {
        let low = self.avx2._mm256_cmpgt_epi16(a, c);
        let high = self.avx2._mm256_cmpgt_epi16(b, d);
        bits(self, self.avx2._mm256_packs_epi16(low, high))
    }

    /// Packing saturates to bytes, whose signs are the mask; more room is more to add to them.
    #[inline(always)]
    fn negative(self, [low, high]: [__m256i; 2], room: i8) -> [u32; 2] {
        let bytes = self.avx2._mm256_packs_epi16(low, high);
        [bits(self, bytes), bits(self, self.avx2._mm256_adds_epi8(bytes, cast([room; 32])))]
    }

    #[inline(always)]
    fn disjoint(self, Sets([lower, upper]): &Sets, set: u64) -> u32 {
        let [low, high] = halves(set);
        let (low, high) = (cast([low; 8]), cast([high; 8]));
        let ([a, b, c, d], [e, f, g, h]): ([__m256i; 4], [__m256i; 4]) =
            (cast(*lower), cast(*upper));
        let (a, b) = (disjoint(self, a, low, e, high), disjoint(self, b, low, f, high));
        let (c, d) = (disjoint(self, c, low, g, high), disjoint(self, d, low, h, high));
        let low = self.avx2._mm256_packs_epi32(a, b);
        let high = self.avx2._mm256_packs_epi32(c, d);
        bits(self, self.avx2._mm256_packs_epi16(low, high))
    }

    #[inline(always)]
    fn leaders(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [Leader; 2] {
        let [low, high]: [__m256i; 2] = cast(MODELS);
        two_least(self, [keys(self, a, c, low), keys(self, b, d, high)])
    }

    /// A shuffle is a look-up in sixteen bytes, here the mask twice; an index above 127 finds 0.
    #[inline(always)]
    fn outside(self, providers: &Providers, mask: u64) -> u32 {
        let mask = cast([mask; 4]);
        let bytes = self.avx2._mm256_shuffle_epi8(mask, cast(providers.byte));
        let found = self.avx2._mm256_and_si256(bytes, cast(providers.bit));
        bits(self, self.avx2._mm256_cmpeq_epi8(found, cast([0_u8; 32])))
    }

    /// Lanes are folded in pairs of first and second, to eight. Then an instruction finds a minimum and
    /// its place: the complement's is our maximum, and where it was, the lane's second comes up.
    #[inline(always)]
    fn second_largest(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> u16 {
        let first = self.avx2._mm256_max_epi16(a, b);
        let less = self.avx2._mm256_min_epi16(a, b);
        let second = self.avx2._mm256_max_epi16(less, self.avx2._mm256_max_epi16(c, d));
        let [a, b]: [__m128i; 2] = cast(first);
        let [c, d]: [__m128i; 2] = cast(second);
        let first = self.sse2._mm_max_epi16(a, b);
        let less = self.sse2._mm_min_epi16(a, b);
        let second = self.sse2._mm_max_epi16(less, self.sse2._mm_max_epi16(c, d));
        let ones = cast([u16::MAX; 8]);
        let first = self.sse2._mm_xor_si128(first, ones);
        let second = self.sse2._mm_xor_si128(second, ones);
        let [_, place, ..]: [u16; 8] = cast(self.sse4_1._mm_minpos_epu16(first));
        let here = self.sse2._mm_cmpeq_epi16(cast([place; 8]), cast([0_u16, 1, 2, 3, 4, 5, 6, 7]));
        let others = self.sse4_1._mm_blendv_epi8(first, second, here);
        let [next, ..]: [u16; 8] = cast(self.sse4_1._mm_minpos_epu16(others));
        !next
    }
}
