//! Sixteen models at a time: the few operations the fast path needs, in plain Rust and in AVX2.
//!
//! Everything is unsigned and saturates, so that one idea serves every comparison:
//! `a > b` is `a − b ≠ 0`.

/// One `u16` of each of sixteen models.
pub(crate) type Row = [u16; 16];

/// One `u16` of each of 32 models: a cache line.
pub(crate) type Column = [Row; 2];

/// The operations on a row.
pub(crate) trait Lanes: Copy {
    /// A row in this machine's registers.
    type Vector: Copy;

    fn load(self, row: &Row) -> Self::Vector;
    fn store(self, vector: Self::Vector) -> Row;
    fn splat(self, value: u16) -> Self::Vector;
    /// `floor(a × b / 2^16)`.
    fn mul_high(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a + b`, saturating.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a − b`, saturating.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The lanes whose bit is set; the others 0.
    fn select(self, bits: u16, vector: Self::Vector) -> Self::Vector;
    /// A bit for each lane that is not 0, those of `low` first.
    fn nonzero(self, low: Self::Vector, high: Self::Vector) -> u32;

    /// Not above the second largest lane, where lanes of equal value count as two.
    #[inline(always)]
    fn second_largest(self, vector: Self::Vector) -> u16 {
        let (mut first, mut second) = (0, 0);
        for lane in self.store(vector) {
            second = second.max(lane.min(first));
            first = first.max(lane);
        }
        second
    }

    #[inline(always)]
    fn load_two(self, [low, high]: &Column) -> [Self::Vector; 2] {
        [self.load(low), self.load(high)]
    }

    /// A column times one number, high half.
    #[inline(always)]
    fn scale_two(self, [low, high]: &Column, by: u16) -> [Self::Vector; 2] {
        let by = self.splat(by);
        [self.mul_high(self.load(low), by), self.mul_high(self.load(high), by)]
    }

    #[inline(always)]
    fn add_two(self, [a, b]: [Self::Vector; 2], [c, d]: [Self::Vector; 2]) -> [Self::Vector; 2] {
        [self.add(a, c), self.add(b, d)]
    }

    #[inline(always)]
    fn sub_two(self, [a, b]: [Self::Vector; 2], [c, d]: [Self::Vector; 2]) -> [Self::Vector; 2] {
        [self.sub(a, c), self.sub(b, d)]
    }

    /// A bit for each lane above `bound`.
    #[inline(always)]
    fn above(self, [low, high]: [Self::Vector; 2], bound: u16) -> u32 {
        let bound = self.splat(bound);
        self.nonzero(self.sub(low, bound), self.sub(high, bound))
    }

    /// A bit for each lane below `bound`.
    #[inline(always)]
    fn below(self, [low, high]: [Self::Vector; 2], bound: u16) -> u32 {
        let bound = self.splat(bound);
        self.nonzero(self.sub(bound, low), self.sub(bound, high))
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

impl Lanes for Portable {
    type Vector = Row;

    #[inline(always)]
    fn load(self, row: &Row) -> Row {
        *row
    }

    #[inline(always)]
    fn store(self, vector: Row) -> Row {
        vector
    }

    #[inline(always)]
    fn splat(self, value: u16) -> Row {
        [value; 16]
    }

    #[inline(always)]
    fn mul_high(self, a: Row, b: Row) -> Row {
        zip(a, b, |a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16)
    }

    #[inline(always)]
    fn add(self, a: Row, b: Row) -> Row {
        zip(a, b, u16::saturating_add)
    }

    #[inline(always)]
    fn sub(self, a: Row, b: Row) -> Row {
        zip(a, b, u16::saturating_sub)
    }

    #[inline(always)]
    fn max(self, a: Row, b: Row) -> Row {
        zip(a, b, u16::max)
    }

    #[inline(always)]
    fn select(self, bits: u16, vector: Row) -> Row {
        zip(vector, LANE_BIT, |lane, bit| if bits & bit == 0 { 0 } else { lane })
    }

    #[inline(always)]
    fn nonzero(self, low: Row, high: Row) -> u32 {
        let bits = |row: Row| {
            let set = zip(row, LANE_BIT, |lane, bit| if lane == 0 { 0 } else { bit });
            set.into_iter().fold(0, |bits, bit| bits | bit)
        };
        u32::from(bits(low)) | u32::from(bits(high)) << 16
    }
}

/// The bit of each lane in a mask.
const LANE_BIT: Row = [
    1,
    1 << 1,
    1 << 2,
    1 << 3,
    1 << 4,
    1 << 5,
    1 << 6,
    1 << 7,
    1 << 8,
    1 << 9,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
];

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod wide {
    use core::arch::x86_64::{__m128i, __m256i};

    use pulp::bytemuck::cast;
    use pulp::x86::V3;

    use super::{LANE_BIT, Lanes, Row};

    /// AVX2: each operation is one instruction. The value is proof that the processor has it.
    impl Lanes for V3 {
        type Vector = __m256i;

        #[inline(always)]
        fn load(self, row: &Row) -> __m256i {
            cast(*row)
        }

        #[inline(always)]
        fn store(self, vector: __m256i) -> Row {
            cast(vector)
        }

        #[inline(always)]
        fn splat(self, value: u16) -> __m256i {
            cast([value; 16])
        }

        #[inline(always)]
        fn mul_high(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_mulhi_epu16(a, b)
        }

        #[inline(always)]
        fn add(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_adds_epu16(a, b)
        }

        #[inline(always)]
        fn sub(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_subs_epu16(a, b)
        }

        #[inline(always)]
        fn max(self, a: __m256i, b: __m256i) -> __m256i {
            self.avx2._mm256_max_epu16(a, b)
        }

        #[inline(always)]
        fn select(self, bits: u16, vector: __m256i) -> __m256i {
            let lane_bit: __m256i = cast(LANE_BIT);
            let bits = self.avx2._mm256_and_si256(self.splat(bits), lane_bit);
            let mask = self.avx2._mm256_cmpeq_epi16(bits, lane_bit);
            self.avx2._mm256_and_si256(mask, vector)
        }

        /// The instruction finds a minimum and its place among eight: the complement's is our maximum.
        #[inline(always)]
        fn second_largest(self, vector: __m256i) -> u16 {
            let [low, high]: [__m128i; 2] = cast(vector);
            // Lanes are folded in pairs first; a second in the same pair as the first goes unseen, which
            // only makes the answer smaller.
            let maxima = self.sse4_1._mm_max_epu16(low, high);
            let complement = self.sse2._mm_xor_si128(maxima, cast([u16::MAX; 8]));
            let [_, place, ..]: [u16; 8] = cast(self.sse4_1._mm_minpos_epu16(complement));
            let here =
                self.sse2._mm_cmpeq_epi16(cast([place; 8]), cast([0_u16, 1, 2, 3, 4, 5, 6, 7]));
            let others = self.sse2._mm_or_si128(complement, here);
            let [second, ..]: [u16; 8] = cast(self.sse4_1._mm_minpos_epu16(others));
            !second
        }

        #[inline(always)]
        #[expect(
            clippy::cast_sign_loss,
            reason = "the instruction's 32 bits are a mask, not a number"
        )]
        fn nonzero(self, low: __m256i, high: __m256i) -> u32 {
            let zero = self.splat(0);
            let low = self.avx2._mm256_cmpeq_epi16(low, zero);
            let high = self.avx2._mm256_cmpeq_epi16(high, zero);
            // Packing works on halves: it leaves the quarters in the order 0 2 1 3.
            let bytes = self.avx2._mm256_packs_epi16(low, high);
            let bytes = self.avx2._mm256_permute4x64_epi64::<0b11_01_10_00>(bytes);
            !(self.avx2._mm256_movemask_epi8(bytes) as u32)
        }
    }
}
