//! One decision on a microcontroller: the catalog stays in flash, nothing is allocated.
#![no_std]
#![no_main]

use core::hint::black_box;

use calybris_kernel::digest::{HexDigest, borrowed_policy_digest, decision_digest};
use calybris_kernel::{ALL_PROVIDERS, ALL_REGIONS, KernelInput, KernelModel, Policy, PolicyParams};
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};

const PARAMS: PolicyParams = PolicyParams {
    policy_epoch: 1,
    catalog_epoch: 1,
    hard_risk_limit_bps: 9_600,
    minimum_confidence_bps: 5_500,
    risk_penalty_multiplier_bps: 3_500,
    latency_penalty_microunits_per_ms: 2,
};

/// In flash, as every `static` that is never written.
static CATALOG: [KernelModel; 2] = [
    model(1, 8_200, 40, 150_000, 600_000), // on the device's own accelerator
    model(2, 9_400, 900, 2_500_000, 10_000_000), // over the radio
];

const fn model(id: u32, quality: u16, latency: u32, input: u64, output: u64) -> KernelModel {
    KernelModel {
        model_id: id,
        provider_id: 0,
        quality_bps: quality,
        risk_ceiling_bps: 9_500,
        enabled: 1,
        p95_latency_ms: latency,
        capabilities: 0,
        region_mask: ALL_REGIONS,
        input_cost_microunits_per_million_tokens: input,
        output_cost_microunits_per_million_tokens: output,
    }
}

#[entry]
fn main() -> ! {
    let policy = match Policy::try_new(PARAMS, &CATALOG) {
        Ok(policy) => policy,
        Err(error) => {
            hprintln!("refused: {}", error);
            exit(debug::EXIT_FAILURE);
        }
    };
    let request = KernelInput {
        request_sequence: 1,
        requested_model_id: 2,
        input_tokens: 1_200,
        output_tokens: 300,
        business_value_microunits: 20_000,
        budget_limit_microunits: 10_000,
        risk_bps: 1_000,
        confidence_bps: 9_000,
        minimum_quality_bps: 8_000,
        max_p95_latency_ms: 500,
        required_capabilities: 0,
        allowed_provider_mask: ALL_PROVIDERS,
        required_region_mask: 0,
    };
    let (decision, stack) = stack_used(|| policy.prescribe(black_box(request)));
    let (digest, digest_stack) = stack_used(|| decision_digest(black_box(&decision)));
    hprintln!("decision  {} of model {}", decision.action, decision.selected_model_id);
    hprintln!("reason    {}", decision.reason);
    hprintln!("utility   {} microunits", decision.expected_utility_microunits);
    hprintln!("policy    {}", HexDigest::new(&borrowed_policy_digest(&policy)));
    hprintln!("decision  {}", HexDigest::new(&digest));
    hprintln!("stack     {} bytes to decide, {} to digest", stack, digest_stack);
    let (flash, ram) = memory_used();
    hprintln!("memory    {} bytes of flash, {} of RAM beside the stack", flash, ram);
    exit(debug::EXIT_SUCCESS)
}

/// Code, constants and initial values in flash; variables in RAM.
fn memory_used() -> (usize, usize) {
    unsafe extern "C" {
        static __sdata: u8;
        static __edata: u8;
        static __sidata: u8;
        static __ebss: u8;
    }
    // Flash starts at 0 and ends with the initial values of the variables; only addresses are taken.
    let (start, end) = ((&raw const __sdata).addr(), (&raw const __edata).addr());
    let flash = (&raw const __sidata).addr() + (end - start);
    (flash, (&raw const __ebss).addr() - start)
}

fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    loop {
        cortex_m::asm::nop();
    }
}

/// Paints the stack below, runs, and counts how far down the paint is gone.
#[inline(never)]
fn stack_used<R>(work: impl FnOnce() -> R) -> (R, usize) {
    const PAINT: u32 = 0xa5a5_5a5a;
    const WORDS: usize = 4_096;
    let top = cortex_m::register::msp::read() as *mut u32;
    // A margin keeps this function's own frame clear of the paint.
    let margin = 16;
    // SAFETY: the 64 KiB of RAM hold little but the stack, which grows down from their end, and nothing
    // below the stack pointer is in use: there are no interrupts.
    unsafe {
        for word in margin..WORDS {
            top.sub(word).write_volatile(PAINT);
        }
    }
    let result = work();
    let untouched = (margin..WORDS).rev().take_while(|word| {
        // SAFETY: as above; the words were written just now.
        unsafe { top.sub(*word).read_volatile() == PAINT }
    });
    (result, (WORDS - untouched.count()) * size_of::<u32>())
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(debug::EXIT_FAILURE)
}
