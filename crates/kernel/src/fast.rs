//! The fast path of an owned policy: the same decision, 32 models at a time.
//!
//! 1. **Gates are masks.** The catalog is stored by column ([`columns`]); a gate is a few vector
//!    comparisons or word operations, and its count is a population count.
//! 2. **Bounds before exactness.** What passes is estimated in 16 bits ([`estimate`]), which settles budget,
//!    sign and rank for all but the few within the error margin.
//! 3. **The few are exact.** They go through the same arithmetic as everywhere else ([`scan`]), or, where a
//!    catalog of up to 32 models cannot overflow 64 bits, through the same without its checks ([`block`]).
//!
//! The multipliers of the estimate have 64 bits. A request or a policy that needs more ([`estimate`] has the
//! bounds) is decided by row.

mod block;
mod bounds;
mod columns;
mod estimate;
mod lanes;
mod pending;
mod planes;
mod scan;
mod tally;
#[cfg(test)]
#[expect(clippy::cast_possible_wrap, reason = "tests cut words to the width of a field")]
mod tests;
mod words;

use alloc::boxed::Box;
use core::marker::PhantomData;

use block::{FEW, OneBlock};
use columns::{BLOCK, Large, PAIRS, SMALL, Small, Summary, large, small};
use estimate::{PolicyScale, Scale};
use lanes::{Lanes, Portable};
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
use pulp::x86::{V3, V4};
use scan::Scan;

use crate::arithmetic::{Arithmetic, Narrow};
use crate::decide::{Answer, by_row, refuse, request_refusal};
use crate::{DecisionTrace, KernelDecision, KernelInput, KernelModel, PolicyParams};

/// Catalogs up to this size are decided row by row.
const TINY: usize = 1;

/// A catalog's columns and the machine that reads them.
#[derive(Debug)]
pub(crate) struct Fast {
    machine: Machine,
    summary: Summary,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    /// Too few models to gain from columns, or numbers too large for the estimate.
    Rows,
    /// One block, whose arithmetic fits 64 bits.
    Block(Box<OneBlock>),
    /// The same of so few models that an estimate would save nothing.
    Few(Box<OneBlock>),
    Small(PolicyScale, Box<[Small]>),
    Large(PolicyScale, Large),
}

/// The widest lanes of this processor, found when the snapshot is built.
#[derive(Clone, Copy, Debug)]
enum Machine {
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    Avx512(V4),
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    Avx2(V3),
    Portable,
}

impl Layout {
    fn new<L: Lanes>(params: &PolicyParams, models: &[KernelModel], summary: &Summary) -> Self {
        let widths = &summary.widths;
        match PolicyScale::new(params, widths) {
            Some(scale) if models.len() > TINY && summary.bps_fit() => {
                if models.len() <= BLOCK && is_narrow(params, summary) {
                    let block = OneBlock::new::<L>(params, models, summary, scale);
                    if models.len() <= FEW { Self::Few(block) } else { Self::Block(block) }
                } else if models.len() <= SMALL {
                    Self::Small(scale, small::<L>(models, widths))
                } else {
                    Self::Large(scale, large::<L>(models, widths))
                }
            }
            _ => Self::Rows,
        }
    }
}

impl Machine {
    fn detect() -> Self {
        #[cfg(all(feature = "simd", target_arch = "x86_64"))]
        if let Some(avx512) = V4::try_new() {
            return Self::Avx512(avx512);
        } else if let Some(avx2) = V3::try_new() {
            return Self::Avx2(avx2);
        }
        Self::Portable
    }
}

impl Fast {
    pub(crate) fn new(params: &PolicyParams, models: &[KernelModel]) -> Self {
        Self::on(Machine::detect(), params, models)
    }

    /// As [`Fast::new`], on a machine that need not be the widest.
    fn on(machine: Machine, params: &PolicyParams, models: &[KernelModel]) -> Self {
        let summary = Summary::of(models);
        let layout = match machine {
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Machine::Avx512(_) => Layout::new::<V4>(params, models, &summary),
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Machine::Avx2(_) => Layout::new::<V3>(params, models, &summary),
            Machine::Portable => Layout::new::<Portable>(params, models, &summary),
        };
        Self { machine, summary, layout }
    }

    /// Decides `input` under the policy whose models these columns hold.
    #[inline(always)]
    pub(crate) fn decide<A: Answer>(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        match &self.layout {
            Layout::Block(block) if block.takes(input) => {
                self.machine.run(InBlock::<_, false> { block, input, answer: PhantomData })
            }
            Layout::Few(block) if block.takes(input) => {
                self.machine.run(InBlock::<_, true> { block, input, answer: PhantomData })
            }
            _ => self.decide_otherwise(params, models, input),
        }
    }

    /// Decides a request that is refused outright, or by scan. Out of line, so that its size costs small catalogs nothing.
    #[inline(never)]
    fn decide_otherwise<A: Answer>(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        match request_refusal(params, input) {
            Some(reason) => A::new(refuse(params, input, reason), DecisionTrace::default()),
            None => self.decide_by_scan(params, models, input),
        }
    }

    #[inline(always)]
    fn decide_by_scan<A: Answer>(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        let answer = PhantomData;
        self.machine.run(InScan { fast: self, params, models, input, answer })
    }

    /// Decides each of `inputs` into the place beside it. The machine is entered once for all of them.
    pub(crate) fn decide_each(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        inputs: &[KernelInput],
        decisions: &mut [KernelDecision],
    ) {
        match &self.layout {
            Layout::Block(block) => {
                let each = EachInBlock::<false> { block, params, models, inputs, decisions };
                self.machine.run(each);
            }
            Layout::Few(block) => {
                let each = EachInBlock::<true> { block, params, models, inputs, decisions };
                self.machine.run(each);
            }
            _ => self.machine.run(EachInScan { fast: self, params, models, inputs, decisions }),
        }
    }

    /// Decides a request that is not refused outright, by scan or by row.
    #[inline(always)]
    fn scan<L: Lanes, A: Answer>(
        &self,
        lanes: L,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        if !Scale::fits(input) {
            return by_row(params, input, models);
        }
        let (summary, arithmetic) = (&self.summary, Arithmetic::new(params, input));
        match &self.layout {
            Layout::Rows | Layout::Block(..) | Layout::Few(..) => by_row(params, input, models),
            Layout::Small(scale, blocks) => {
                let mut scan = Scan::new(lanes, arithmetic, summary, scale, models);
                scan.small::<A>(blocks);
                scan.finish(|| self.reject(params, models, input))
            }
            Layout::Large(scale, large) => {
                let mut scan = Scan::new(lanes, arithmetic, summary, scale, models);
                through::<L, A>(lanes, large, core::slice::from_mut(&mut scan));
                scan.finish(|| self.reject(params, models, input))
            }
        }
    }

    /// Decides each of `inputs` into the place that comes next, if there is one.
    #[inline(always)]
    fn one_by_one<'d, L: Lanes>(
        &self,
        lanes: L,
        params: &PolicyParams,
        models: &[KernelModel],
        inputs: &[KernelInput],
        decisions: &mut impl Iterator<Item = &'d mut KernelDecision>,
    ) {
        for (input, decision) in inputs.iter().zip(decisions) {
            *decision = match request_refusal(params, input) {
                Some(reason) => refuse(params, input, reason),
                None => self.scan(lanes, params, models, input),
            };
        }
    }

    /// Decides a request that no model passes: it says which gate refused most, and so every gate is counted.
    #[cold]
    #[inline(never)]
    fn reject(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> KernelDecision {
        let (decision, _): (_, DecisionTrace) = self.decide_by_scan(params, models, input);
        decision
    }
}

/// Takes requests through a large catalog side by side: each chunk is brought near once for all of them.
#[inline(always)]
fn through<L: Lanes, A: Answer>(lanes: L, large: &Large, scans: &mut [Scan<'_, L>]) {
    let mut margins = [[lanes.splat(0); 2]; PAIRS];
    for (number, chunk) in large.chunks.iter().enumerate() {
        for scan in &mut *scans {
            scan.chunk::<A>(large, chunk, number, &mut margins);
        }
    }
}

/// Whether exact arithmetic over this catalog needs no more than 64 bits.
fn is_narrow(params: &PolicyParams, summary: &Summary) -> bool {
    let Summary { highest_quality, highest_latency, widths, .. } = *summary;
    let price_bits = widths.input_price.max(widths.output_price);
    Narrow::suits(params, highest_quality, highest_latency, price_bits)
}

/// Work that is compiled for a machine. It is no closure, which would not be inlined into the function that has the
/// machine's instructions enabled.
trait Work {
    type Output;

    fn on<L: Lanes>(self, lanes: L) -> Self::Output;
}

impl Machine {
    #[inline(always)]
    fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Self::Avx512(lanes) => lanes.vectorize(Vectorized { lanes, work }),
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Self::Avx2(lanes) => lanes.vectorize(Vectorized { lanes, work }),
            Self::Portable => portably(work),
        }
    }
}

/// Out of line, so that it costs the machines with vectors nothing.
#[inline(never)]
fn portably<W: Work>(work: W) -> W::Output {
    work.on(Portable)
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
struct Vectorized<L, W> {
    lanes: L,
    work: W,
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
impl<L: Lanes, W: Work> pulp::NullaryFnOnce for Vectorized<L, W> {
    type Output = W::Output;

    #[inline(always)]
    fn call(self) -> W::Output {
        self.work.on(self.lanes)
    }
}

/// One request to a catalog of one block. It holds references alone, because what it holds is copied on the way in.
struct InBlock<'a, A, const FEW: bool> {
    block: &'a OneBlock,
    input: &'a KernelInput,
    answer: PhantomData<A>,
}

impl<A: Answer, const FEW: bool> Work for InBlock<'_, A, FEW> {
    type Output = A;

    #[inline(always)]
    fn on<L: Lanes>(self, lanes: L) -> A {
        self.block.decide::<L, A, FEW>(lanes, self.input)
    }
}

/// One request to any other catalog.
struct InScan<'a, A> {
    fast: &'a Fast,
    params: &'a PolicyParams,
    models: &'a [KernelModel],
    input: &'a KernelInput,
    answer: PhantomData<A>,
}

impl<A: Answer> Work for InScan<'_, A> {
    type Output = A;

    #[inline(always)]
    fn on<L: Lanes>(self, lanes: L) -> A {
        self.fast.scan(lanes, self.params, self.models, self.input)
    }
}

/// Many requests to a catalog of one block.
struct EachInBlock<'a, const FEW: bool> {
    block: &'a OneBlock,
    params: &'a PolicyParams,
    models: &'a [KernelModel],
    inputs: &'a [KernelInput],
    decisions: &'a mut [KernelDecision],
}

impl<const FEW: bool> Work for EachInBlock<'_, FEW> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self, lanes: L) {
        let Self { block, params, models, inputs, decisions } = self;
        // Written where it belongs by each arm: the value of a match would be put together elsewhere and copied.
        for (input, decision) in inputs.iter().zip(decisions) {
            if block.takes(input) {
                *decision = block.decide::<L, KernelDecision, FEW>(lanes, input);
            } else if let Some(reason) = request_refusal(params, input) {
                *decision = refuse(params, input, reason);
            } else {
                *decision = by_row(params, input, models);
            }
        }
    }
}

/// Many requests to any other catalog.
struct EachInScan<'a> {
    fast: &'a Fast,
    params: &'a PolicyParams,
    models: &'a [KernelModel],
    inputs: &'a [KernelInput],
    decisions: &'a mut [KernelDecision],
}

/// Requests that go through a large catalog side by side.
const TILE: usize = 8;
/// Up to so many chunks are near enough for each request alone.
const NEAR: usize = 64;

impl Work for EachInScan<'_> {
    type Output = ();

    #[inline(always)]
    fn on<L: Lanes>(self, lanes: L) {
        let Self { fast, params, models, inputs, decisions } = self;
        let (tiles, rest) = inputs.as_chunks::<TILE>();
        let mut decisions = decisions.iter_mut();
        for tile in tiles {
            if let Layout::Large(scale, large) = &fast.layout
                && large.chunks.len() > NEAR
                && decisions.len() >= TILE
                && tile.iter().all(|it| request_refusal(params, it).is_none() && Scale::fits(it))
            {
                let mut scans = tile.each_ref().map(|input| {
                    let arithmetic = Arithmetic::new(params, input);
                    Scan::new(lanes, arithmetic, &fast.summary, scale, models)
                });
                through::<L, KernelDecision>(lanes, large, &mut scans);
                for ((scan, input), decision) in scans.iter_mut().zip(tile).zip(&mut decisions) {
                    *decision = scan.finish(|| fast.reject(params, models, input));
                }
            } else {
                fast.one_by_one(lanes, params, models, tile, &mut decisions);
            }
        }
        fast.one_by_one(lanes, params, models, rest, &mut decisions);
    }
}
