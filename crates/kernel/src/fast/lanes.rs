//! Thirty-two models at a time: the few operations the fast path needs, in plain Rust, in AVX2 and in AVX-512.
//!
//! Numbers have 15 bits, so that differences have a sign and one signed comparison settles as many models as a
//! register holds.

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod avx2;
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
mod avx512;
mod portable;

pub(crate) use portable::Portable;

/// One number of each of 32 models, a cache line, in the order that the machine wants.
pub(crate) type Column = [u16; 32];

/// The provider of each of 32 models, as what selects its bit in a mask of eight bytes.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Providers {
    /// Which byte of the mask; [`Providers::UNKNOWN`] selects none.
    pub(crate) byte: [u8; 32],
    /// Its bit in that byte.
    pub(crate) bit: [u8; 32],
}

/// 64-bit sets of 32 models: their lower and their upper halves, in the order that the machine wants.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Sets(pub(crate) [[u32; 32]; 2]);

impl Providers {
    pub(crate) const UNKNOWN: u8 = 0x80;
}

/// One of the largest numbers of a block and whose it is, in one number, of which the largest's is the smallest: the
/// complement of the upper ten of its 15 bits, and six bits for the model. Those of nobody are the largest, and no two
/// are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader(u16);

impl Leader {
    /// The bits of the number.
    const STEPS: u16 = !63;
    /// Models that can be told apart, twice as many as a block has: the others are nobody.
    pub(crate) const MODELS: usize = 64;
    /// The bits of nobody, beside those of the place that nobody is in.
    const NOBODY: u16 = !31;

    /// The model, or somebody beyond the block.
    #[inline(always)]
    pub(crate) fn model(self) -> usize {
        usize::from(self.0) % Self::MODELS
    }

    /// The model's bit, if it is one.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "nobody's bit is not among the lower half")]
    pub(crate) fn bit(self) -> u32 {
        (1_u64 << self.model()) as u32
    }

    /// Its number, less at most 31.
    #[cfg(test)]
    pub(crate) fn floor(self) -> u16 {
        (!self.0 & Self::STEPS) >> 1
    }
}

/// The operations of a machine.
pub(crate) trait Lanes: Copy {
    /// A number of each of 32 models, in this machine's registers.
    type Numbers: Copy;

    /// Where a column has the number of one of its models.
    #[inline(always)]
    fn place(model: usize) -> usize {
        model
    }
    /// Where [`Sets`] have the set of one of their models.
    #[inline(always)]
    fn set_place(model: usize) -> usize {
        model
    }

    fn load(self, column: &Column) -> Self::Numbers;
    #[cfg(test)]
    fn store(self, numbers: Self::Numbers) -> Column;
    fn splat(self, value: u16) -> Self::Numbers;
    /// `a × b / 2^15`, rounded to nearest, of numbers that are not negative.
    fn share(self, a: Self::Numbers, b: Self::Numbers) -> Self::Numbers;
    /// `a + b` of numbers that are not negative, saturating at `2^15 − 1`.
    fn add(self, a: Self::Numbers, b: Self::Numbers) -> Self::Numbers;
    /// `a − b`, saturating.
    fn sub(self, a: Self::Numbers, b: Self::Numbers) -> Self::Numbers;
    /// The larger and the smaller of two numbers, signed.
    fn sort(self, a: Self::Numbers, b: Self::Numbers) -> [Self::Numbers; 2];
    /// The numbers of the models whose bit is set; 0 for the others.
    fn select(self, numbers: Self::Numbers, bits: u32) -> Self::Numbers;
    /// A bit for each model where `a > b`, signed.
    fn above(self, a: Self::Numbers, b: Self::Numbers) -> u32;
    /// A bit for each model whose number is below 0, and for each whose number is below `-room`.
    fn negative(self, numbers: Self::Numbers, room: i8) -> [u32; 2];
    /// The two largest of the numbers, none negative, whose slack is positive; as many as there are.
    fn leaders(self, numbers: Self::Numbers, slack: Self::Numbers) -> [Leader; 2];
    /// A bit for each model whose set has nothing in common with `set`.
    fn disjoint(self, sets: &Sets, set: u64) -> u32;
    /// A bit for each model whose provider has none in `mask`.
    fn outside(self, providers: &Providers, mask: u64) -> u32;
    /// The second largest of all numbers given, where equal ones count as two. `second` has, for each lane,
    /// the largest number seen there that is not in `first`, and none is negative.
    fn second_largest(self, first: Self::Numbers, second: Self::Numbers) -> u16;
}

/// The lower and the upper half of a word.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
pub(crate) const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// The word of two halves, the lower first.
#[inline(always)]
pub(crate) const fn word([low, high]: [u32; 2]) -> u64 {
    low as u64 | (high as u64) << 32
}
