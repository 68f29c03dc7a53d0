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
mod gates;
mod lanes;
mod scan;
mod tally;
#[cfg(test)]
#[expect(clippy::cast_possible_wrap, reason = "tests cut words to the width of a field")]
mod tests;
mod words;

use alloc::boxed::Box;
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
use core::marker::PhantomData;

use block::{Catalog, TILE};
use columns::{BLOCK, Chunk, SMALL, Small, Summary, chunks, one_block, small};
use estimate::{PolicyScale, Scale};
use lanes::{Lanes, Portable};
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
use pulp::x86::{V3, V4};
use scan::Scan;

use crate::arithmetic::{Arithmetic, Narrow};
use crate::decide::{Answer, by_row, refuse, request_refusal};
use crate::{DecisionTrace, KernelDecision, KernelInput, KernelModel, PolicyParams};

/// Catalogs up to this size are decided row by row.
const TINY: usize = 4;

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
    Block(PolicyScale, Box<Small>),
    Small(PolicyScale, Box<[Small]>),
    Large(PolicyScale, Box<[Chunk]>),
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
                    Self::Block(scale, Box::new(one_block::<L>(models, widths)))
                } else if models.len() <= SMALL {
                    Self::Small(scale, small::<L>(models, widths))
                } else {
                    Self::Large(scale, chunks::<L>(models, widths))
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
        if let Some(reason) = request_refusal(params, input) {
            return A::new(refuse(params, input, reason), DecisionTrace::default());
        }
        match self.machine {
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Machine::Avx512(lanes) => self.vectorized(lanes, params, models, input),
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Machine::Avx2(lanes) => self.vectorized(lanes, params, models, input),
            Machine::Portable => self.portably(params, models, input),
        }
    }

    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    #[inline(always)]
    fn vectorized<L: Lanes + pulp::Simd, A: Answer>(
        &self,
        lanes: L,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        lanes.vectorize(One { fast: self, lanes, params, models, input, answer: PhantomData })
    }

    /// Out of line, so that it costs the machines with vectors nothing.
    #[inline(never)]
    fn portably<A: Answer>(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        self.by_column(Portable, params, models, input)
    }

    /// Decides each of `inputs` into the place beside it. The machine is entered once for all of them.
    pub(crate) fn decide_each(
        &self,
        params: &PolicyParams,
        models: &[KernelModel],
        inputs: &[KernelInput],
        decisions: &mut [KernelDecision],
    ) {
        match self.machine {
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Machine::Avx512(lanes) => {
                lanes.vectorize(Each { fast: self, lanes, params, models, inputs, decisions });
            }
            #[cfg(all(feature = "simd", target_arch = "x86_64"))]
            Machine::Avx2(lanes) => {
                lanes.vectorize(Each { fast: self, lanes, params, models, inputs, decisions });
            }
            Machine::Portable => self.each_by_column(Portable, params, models, inputs, decisions),
        }
    }

    #[inline(always)]
    fn each_by_column<L: Lanes>(
        &self,
        lanes: L,
        params: &PolicyParams,
        models: &[KernelModel],
        inputs: &[KernelInput],
        decisions: &mut [KernelDecision],
    ) {
        for (inputs, decisions) in inputs.chunks(TILE).zip(decisions.chunks_mut(TILE)) {
            let decided = match self.catalog(params, models) {
                Some(catalog) => catalog.decide_tile(lanes, inputs, decisions),
                None => 0,
            };
            for ((input, decision), bit) in inputs.iter().zip(decisions).zip(0..) {
                if decided >> bit & 1 == 0 {
                    *decision = match request_refusal(params, input) {
                        Some(reason) => refuse(params, input, reason),
                        None => self.by_column(lanes, params, models, input),
                    };
                }
            }
        }
    }

    /// A catalog of one block, with what belongs to it.
    #[inline(always)]
    fn catalog<'a>(
        &'a self,
        params: &'a PolicyParams,
        models: &'a [KernelModel],
    ) -> Option<Catalog<'a>> {
        match &self.layout {
            Layout::Block(scale, block) => {
                Some(Catalog { params, models, summary: &self.summary, scale, block })
            }
            _ => None,
        }
    }

    /// Decides a request that is not refused outright.
    #[inline(always)]
    fn by_column<L: Lanes, A: Answer>(
        &self,
        lanes: L,
        params: &PolicyParams,
        models: &[KernelModel],
        input: &KernelInput,
    ) -> A {
        if let Some(catalog) = self.catalog(params, models)
            && let Some(answer) = catalog.decide(lanes, input)
        {
            return answer;
        }
        let summary = &self.summary;
        let arithmetic = Arithmetic::new(params, input);
        if !Scale::fits(input) {
            return by_row(params, input, models);
        }
        match &self.layout {
            Layout::Rows | Layout::Block(..) => by_row(params, input, models),
            Layout::Small(scale, blocks) => {
                Scan::new(arithmetic, summary, scale, models).blocks(lanes, blocks)
            }
            Layout::Large(scale, chunks) => {
                Scan::new(arithmetic, summary, scale, models).chunks(lanes, chunks)
            }
        }
    }
}

/// Whether exact arithmetic over this catalog needs no more than 64 bits.
fn is_narrow(params: &PolicyParams, summary: &Summary) -> bool {
    let Summary { highest_quality, highest_latency, widths, .. } = *summary;
    let price_bits = widths.input_price.max(widths.output_price);
    Narrow::suits(params, highest_quality, highest_latency, price_bits)
}

/// What is compiled with the machine's instructions enabled: a closure would not be inlined into the function that
/// has it. It holds references alone, because what it holds is copied on the way in: a small decision took a sixth
/// longer.
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
struct One<'a, L, A> {
    fast: &'a Fast,
    lanes: L,
    params: &'a PolicyParams,
    models: &'a [KernelModel],
    input: &'a KernelInput,
    answer: PhantomData<A>,
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
impl<L: Lanes, A: Answer> pulp::NullaryFnOnce for One<'_, L, A> {
    type Output = A;

    #[inline(always)]
    fn call(self) -> A {
        self.fast.by_column(self.lanes, self.params, self.models, self.input)
    }
}

/// As [`One`], for many requests.
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
struct Each<'a, L> {
    fast: &'a Fast,
    lanes: L,
    params: &'a PolicyParams,
    models: &'a [KernelModel],
    inputs: &'a [KernelInput],
    decisions: &'a mut [KernelDecision],
}

#[cfg(all(feature = "simd", target_arch = "x86_64"))]
impl<L: Lanes> pulp::NullaryFnOnce for Each<'_, L> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { fast, lanes, params, models, inputs, decisions } = self;
        fast.each_by_column(lanes, params, models, inputs, decisions);
    }
}
