//! AVX-512: the 32 numbers of a column are one register, and comparisons give bits. [`V4`] is proof that the
//! processor has it.

use core::arch::x86_64::__m512i;

use pulp::bytemuck::cast;
use pulp::x86::{V3, V4};

use super::avx2::two_least;
use super::{Column, Lanes, Leader, Providers, Sets, halves};

/// The model that has each place.
const MODELS: Column = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
    26, 27, 28, 29, 30, 31,
];

/// Nobody's [`Leader`] in each place.
const NOBODY: Column = {
    let mut keys = MODELS;
    let mut place = 0;
    while place < keys.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            keys[place] |= Leader::NOBODY;
        }
        place += 1;
    }
    keys
};

impl Lanes for V4 {
    type Numbers = __m512i;

    #[inline(always)]
    fn load(self, column: &Column) -> __m512i {
        cast(*column)
    }

    #[cfg(test)]
    fn store(self, numbers: __m512i) -> Column {
        cast(numbers)
    }

    #[inline(always)]
    fn splat(self, value: u16) -> __m512i {
        cast([value; 32])
    }

    #[inline(always)]
    fn share(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512bw._mm512_mulhrs_epi16(a, b)
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512bw._mm512_adds_epi16(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m512i, b: __m512i) -> __m512i {
        self.avx512bw._mm512_subs_epi16(a, b)
    }

    #[inline(always)]
    fn sort(self, a: __m512i, b: __m512i) -> [__m512i; 2] {
        [self.avx512bw._mm512_max_epi16(a, b), self.avx512bw._mm512_min_epi16(a, b)]
    }

    #[inline(always)]
    fn select(self, numbers: __m512i, bits: u32) -> __m512i {
        self.avx512bw._mm512_maskz_mov_epi16(bits, numbers)
    }

    #[inline(always)]
    fn above(self, a: __m512i, b: __m512i) -> u32 {
        self.avx512bw._mm512_cmpgt_epi16_mask(a, b)
    }

    #[inline(always)]
    fn negative(self, numbers: __m512i, room: i8) -> [u32; 2] {
        let least: __m512i = cast([-i16::from(room); 32]);
        [self.avx512bw._mm512_movepi16_mask(numbers), self.above(least, numbers)]
    }

    #[inline(always)]
    fn disjoint(self, Sets([lower, upper]): &Sets, set: u64) -> u32 {
        let [low, high] = halves(set);
        let (low, high) = (cast([low; 16]), cast([high; 16]));
        let ([a, b], [c, d]): ([__m512i; 2], [__m512i; 2]) = (cast(*lower), cast(*upper));
        let avx512 = self.avx512f;
        let first = avx512._mm512_testn_epi32_mask(a, low);
        let first = avx512._mm512_mask_testn_epi32_mask(first, c, high);
        let second = avx512._mm512_testn_epi32_mask(b, low);
        let second = avx512._mm512_mask_testn_epi32_mask(second, d, high);
        u32::from(first) | u32::from(second) << 16
    }

    #[inline(always)]
    fn leaders(self, numbers: __m512i, slack: __m512i) -> [Leader; 2] {
        let (avx512, lanes) = (self.avx512f, self.avx512bw);
        let doubled = lanes._mm512_add_epi16(numbers, numbers);
        let steps = avx512._mm512_andnot_si512(doubled, cast([Leader::STEPS; 32]));
        let keys = avx512._mm512_or_si512(steps, cast(MODELS));
        let nobody = lanes._mm512_cmpgt_epi16_mask(cast([1_u16; 32]), slack);
        let keys = lanes._mm512_mask_mov_epi16(keys, nobody, cast(NOBODY));
        two_least(*self, cast(keys))
    }

    /// A shuffle is a look-up in sixteen bytes, here the mask twice; an index above 127 finds 0.
    #[inline(always)]
    fn outside(self, providers: &Providers, mask: u64) -> u32 {
        let bytes = self.avx2._mm256_shuffle_epi8(cast([mask; 4]), cast(providers.byte));
        self.avx512bw._mm256_testn_epi8_mask(bytes, cast(providers.bit))
    }

    #[inline(always)]
    fn second_largest(self, first: __m512i, second: __m512i) -> u16 {
        let avx2: V3 = *self;
        avx2.second_largest(cast(first), cast(second))
    }
}
