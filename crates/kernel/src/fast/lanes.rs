//! Thirty-two models at a time: the few operations the fast path needs, in plain Rust and in AVX2.
//!
//! Numbers have 15 bits and sixteen to a row, so that differences have a sign and one signed comparison
//! settles sixteen models.

/// One number of each of sixteen models.
pub(crate) type Row = [u16; 16];

/// One number of each of 32 models, a cache line. [`place`] says which is whose.
pub(crate) type Column = [Row; 2];

/// The provider of each of 32 models, as what selects its bit in a mask of eight bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Providers {
    /// Which byte of the mask; [`Providers::UNKNOWN`] selects none.
    pub(crate) byte: [u8; 32],
    /// Its bit in that byte.
    pub(crate) bit: [u8; 32],
}

/// 64-bit sets of 32 models: their lower and their upper halves, where [`set_place`] says.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Sets(pub(crate) [[[u32; 8]; 4]; 2]);

impl Providers {
    pub(crate) const UNKNOWN: u8 = 0x80;
}

/// The row and lane of a block's models: packing the masks of two rows of AVX2 takes eight lanes of each in
/// turn, and with this order their bits come out in the models' own.
pub(crate) const fn place(model: usize) -> (usize, usize) {
    (model / 8 % 2, model % 8 + model / 16 * 8)
}

/// As [`place`], of rows of eight: what packing four of them takes in turn.
pub(crate) const fn set_place(model: usize) -> (usize, usize) {
    (model / 4 % 4, model % 4 + model / 16 * 4)
}

/// The operations on rows.
pub(crate) trait Lanes: Copy {
    /// A row in this machine's registers.
    type Vector: Copy;

    fn load(self, row: &Row) -> Self::Vector;
    #[cfg(test)]
    fn store(self, vector: Self::Vector) -> Row;
    fn splat(self, value: u16) -> Self::Vector;
    /// `a × b / 2^15`, rounded to nearest, of numbers that are not negative.
    fn share(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a + b` of numbers that are not negative, saturating at `2^15 − 1`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a − b` of numbers that are not negative.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger and the smaller of two numbers that are not negative.
    fn sort(self, a: Self::Vector, b: Self::Vector) -> [Self::Vector; 2];
    /// The numbers of the models whose bit is set; 0 for the others.
    fn select(self, numbers: [Self::Vector; 2], bits: u32) -> [Self::Vector; 2];
    /// A bit for each model where `a > b`, signed.
    fn above(self, a: [Self::Vector; 2], b: [Self::Vector; 2]) -> u32;
    /// A bit for each model whose set has nothing in common with `set`.
    fn disjoint(self, sets: &Sets, set: u64) -> u32;
    /// A bit for each model whose provider has none in `mask`.
    fn outside(self, providers: &Providers, mask: u64) -> u32;
    /// The second largest of all numbers given, where equal ones count as two. `second` has, for each lane,
    /// the largest number seen there that is not in `first`, and none is negative.
    fn second_largest(self, first: [Self::Vector; 2], second: [Self::Vector; 2]) -> u16;

    #[inline(always)]
    fn load_two(self, [low, high]: &Column) -> [Self::Vector; 2] {
        [self.load(low), self.load(high)]
    }

    #[inline(always)]
    fn splat_two(self, value: u16) -> [Self::Vector; 2] {
        [self.splat(value); 2]
    }

    /// A column times one number, as [`Lanes::share`].
    #[inline(always)]
    fn scale_two(self, [low, high]: &Column, by: u16) -> [Self::Vector; 2] {
        let by = self.splat(by);
        [self.share(self.load(low), by), self.share(self.load(high), by)]
    }

    #[inline(always)]
    fn add_two(self, [a, b]: [Self::Vector; 2], [c, d]: [Self::Vector; 2]) -> [Self::Vector; 2] {
        [self.add(a, c), self.add(b, d)]
    }

    #[inline(always)]
    fn sub_two(self, [a, b]: [Self::Vector; 2], [c, d]: [Self::Vector; 2]) -> [Self::Vector; 2] {
        [self.sub(a, c), self.sub(b, d)]
    }
}

/// Any machine: arrays, which the compiler turns into whatever vectors the target has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn zip(a: Row, b: Row, operation: impl Fn(u16, u16) -> u16) -> Row {
    let mut out = a;
    for (lane, b) in out.iter_mut().zip(b) {
        *lane = operation(*lane, b);
    }
    out
}

/// The models' numbers in the models' order.
#[inline(always)]
fn in_order(rows: [Row; 2]) -> [u16; 32] {
    core::array::from_fn(|model| {
        let (row, lane) = place(model);
        rows.get(row).and_then(|row| row.get(lane)).copied().unwrap_or(0)
    })
}

/// A bit for each of 32 that holds.
#[inline(always)]
fn bits(holds: impl Iterator<Item = bool>) -> u32 {
    holds.zip(0..).fold(0, |bits, (holds, bit)| bits | u32::from(holds) << bit)
}

impl Lanes for Portable {
    type Vector = Row;

    #[inline(always)]
    fn load(self, row: &Row) -> Row {
        *row
    }

    #[cfg(test)]
    fn store(self, vector: Row) -> Row {
        vector
    }

    #[inline(always)]
    fn splat(self, value: u16) -> Row {
        [value; 16]
    }

    #[inline(always)]
    fn share(self, a: Row, b: Row) -> Row {
        #[expect(clippy::cast_possible_truncation, reason = "two numbers of 15 bits")]
        fn share(a: u16, b: u16) -> u16 {
            ((u32::from(a) * u32::from(b) + (1 << 14)) >> 15) as u16
        }
        zip(a, b, share)
    }

    #[inline(always)]
    fn add(self, a: Row, b: Row) -> Row {
        zip(a, b, |a, b| a.saturating_add(b).min(u16::MAX >> 1))
    }

    #[inline(always)]
    fn sub(self, a: Row, b: Row) -> Row {
        zip(a, b, u16::wrapping_sub)
    }

    #[inline(always)]
    fn sort(self, a: Row, b: Row) -> [Row; 2] {
        [zip(a, b, u16::max), zip(a, b, u16::min)]
    }

    #[inline(always)]
    fn select(self, mut numbers: [Row; 2], bits: u32) -> [Row; 2] {
        for (row, rows) in numbers.iter_mut().enumerate() {
            for (lane, number) in rows.iter_mut().enumerate() {
                let model = lane % 8 + row * 8 + lane / 8 * 16;
                *number = if bits >> model & 1 == 1 { *number } else { 0 };
            }
        }
        numbers
    }

    #[inline(always)]
    fn above(self, a: [Row; 2], b: [Row; 2]) -> u32 {
        // With the sign turned, unsigned order is signed order.
        const SIGN: u16 = 1 << 15;
        bits(in_order(a).into_iter().zip(in_order(b)).map(|(a, b)| a ^ SIGN > b ^ SIGN))
    }

    #[inline(always)]
    fn disjoint(self, Sets([lower, upper]): &Sets, set: u64) -> u32 {
        let [low, high] = halves(set);
        bits((0..32).map(|model| {
            let (row, lane) = set_place(model);
            let part = |rows: &[[u32; 8]; 4]| rows.get(row).and_then(|row| row.get(lane)).copied();
            part(lower).is_none_or(|part| part & low == 0)
                && part(upper).is_none_or(|part| part & high == 0)
        }))
    }

    #[inline(always)]
    fn outside(self, providers: &Providers, mask: u64) -> u32 {
        let bytes = mask.to_le_bytes();
        let places = providers.byte.into_iter().zip(providers.bit);
        bits(places.map(|(byte, bit)| bytes.get(usize::from(byte)).is_none_or(|m| m & bit == 0)))
    }

    #[inline(always)]
    fn second_largest(self, first: [Row; 2], second: [Row; 2]) -> u16 {
        let (mut largest, mut next) = (0, 0);
        for number in [first, second].into_iter().flatten().flatten() {
            next = next.max(number.min(largest));
            largest = largest.max(number);
        }
        next
    }
}

/// The lower and the upper half of a word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
pub(crate) const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod wide {
    use core::arch::x86_64::{__m128i, __m256i};

    use pulp::bytemuck::cast;
    use pulp::x86::V3;

    use super::{Lanes, Providers, Row, Sets, halves};

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
        0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3,
        3, 3,
    ];

    /// A bit for each byte that is all ones.
    #[inline(always)]
    #[expect(clippy::cast_sign_loss, reason = "the instruction's 32 bits are a mask, not a number")]
    fn bits(lanes: V3, bytes: __m256i) -> u32 {
        lanes.avx2._mm256_movemask_epi8(bytes) as u32
    }

    /// All ones where neither half of a set has anything in common with `low` and `high`.
    #[inline(always)]
    fn disjoint(
        lanes: V3,
        lower: &[u32; 8],
        low: __m256i,
        upper: &[u32; 8],
        high: __m256i,
    ) -> __m256i {
        let lower = lanes.avx2._mm256_and_si256(cast(*lower), low);
        let upper = lanes.avx2._mm256_and_si256(cast(*upper), high);
        let common = lanes.avx2._mm256_or_si256(lower, upper);
        lanes.avx2._mm256_cmpeq_epi32(common, lanes.splat(0))
    }

    /// AVX2: most operations are one instruction. The value is proof that the processor has it.
    impl Lanes for V3 {
        type Vector = __m256i;

        #[inline(always)]
        fn load(self, row: &Row) -> __m256i {
            cast(*row)
        }

        #[cfg(test)]
        fn store(self, vector: __m256i) -> Row {
            cast(vector)
        }

        #[inline(always)]
        fn splat(self, value: u16) -> __m256i {
            cast([value; 16])
        }

        #[inline(always)]
        fn share(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_mulhrs_epi16(a, b)
        }

        #[inline(always)]
        fn add(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_adds_epi16(a, b)
        }

        #[inline(always)]
        fn sub(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_sub_epi16(a, b)
        }

        #[inline(always)]
        fn sort(self, a: __m256i, b: __m256i) -> [__m256i; 2] {
            [self.avx2._mm256_max_epi16(a, b), self.avx2._mm256_min_epi16(a, b)]
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

        #[inline(always)]
        fn disjoint(self, sets: &Sets, set: u64) -> u32 {
            let [low, high] = halves(set);
            let (low, high) = (cast([low; 8]), cast([high; 8]));
            let Sets([[a, b, c, d], [e, f, g, h]]) = sets;
            let (a, b) = (disjoint(self, a, low, e, high), disjoint(self, b, low, f, high));
            let (c, d) = (disjoint(self, c, low, g, high), disjoint(self, d, low, h, high));
            let low = self.avx2._mm256_packs_epi32(a, b);
            let high = self.avx2._mm256_packs_epi32(c, d);
            bits(self, self.avx2._mm256_packs_epi16(low, high))
        }

        /// A shuffle is a look-up in sixteen bytes, here the mask twice; an index above 127 finds 0.
        #[inline(always)]
        fn outside(self, providers: &Providers, mask: u64) -> u32 {
            let mask = cast([mask; 4]);
            let bytes = self.avx2._mm256_shuffle_epi8(mask, cast(providers.byte));
            let found = self.avx2._mm256_and_si256(bytes, cast(providers.bit));
            bits(self, self.avx2._mm256_cmpeq_epi8(found, self.splat(0)))
        }

        /// Lanes are folded in pairs of first and second, to eight. Then an instruction finds a minimum and
        /// its place: the complement's is our maximum, and where it was, the lane's second comes up.
        #[inline(always)]
        fn second_largest(self, [a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> u16 {
            let [first, less] = self.sort(a, b);
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
            let here =
                self.sse2._mm_cmpeq_epi16(cast([place; 8]), cast([0_u16, 1, 2, 3, 4, 5, 6, 7]));
            let others = self.sse4_1._mm_blendv_epi8(first, second, here);
            let [next, ..]: [u16; 8] = cast(self.sse4_1._mm_minpos_epu16(others));
            !next
        }
    }
}
