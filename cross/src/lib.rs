//! Decides every known case, without an allocator, and compares all digests.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

use calybris_kernel::digest::{borrowed_policy_digest, decision_digest, input_digest};
use calybris_kernel::{KernelModel, Policy};

use case_file::CaseFile;

#[expect(dead_code, reason = "the file is shared with the kernel's tests")]
#[path = "../../crates/kernel/tests/suite/support/case_file.rs"]
mod case_file;

/// The worked decisions of the specification and the oracle's random cases.
pub const CASES: &[u8] = include_bytes!("../../crates/kernel/tests/data/oracle_cases.bin");

/// The largest catalog in the file.
const MOST_MODELS: usize = 64;

/// What a run found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Cases decided.
    pub cases: u32,
    /// Cases of which a digest or a count differs.
    pub wrong: u32,
}

/// Decides every case in every form this target has.
pub fn run() -> Outcome {
    let mut outcome = Outcome::default();
    let (mut file, policies) = CaseFile::open(CASES);
    for _ in 0..policies {
        let head = file.policy();
        let mut models = [EMPTY; MOST_MODELS];
        let models = &mut models[..head.models as usize];
        models.fill_with(|| file.model());
        let policy = Policy::new_unchecked(head.params, models);
        let (digest, requests) = file.requests();
        let policy_agrees = borrowed_policy_digest(&policy) == digest;
        #[cfg(feature = "std")]
        let owned = calybris_kernel::PolicySnapshot::from(policy);
        for _ in 0..requests {
            let known = file.case();
            let (decision, trace) = policy.prescribe_with_trace(known.input);
            let agrees = policy_agrees
                && trace.rejections == known.rejections
                && input_digest(&known.input) == known.input_digest
                && decision_digest(&decision) == known.decision_digest;
            #[cfg(feature = "std")]
            let agrees = agrees
                && owned.digest() == digest
                && owned.prescribe_with_trace(known.input) == (decision, trace);
            outcome.cases += 1;
            outcome.wrong += u32::from(!agrees);
        }
    }
    outcome
}

const EMPTY: KernelModel = KernelModel {
    model_id: 0,
    provider_id: 0,
    quality_bps: 0,
    risk_ceiling_bps: 0,
    enabled: 0,
    p95_latency_ms: 0,
    capabilities: 0,
    region_mask: 0,
    input_cost_microunits_per_million_tokens: 0,
    output_cost_microunits_per_million_tokens: 0,
};

/// For JavaScript: the number of cases when all agree, and minus the number of wrong ones otherwise.
#[cfg(target_family = "wasm")]
#[unsafe(no_mangle)]
pub extern "C" fn cases() -> i32 {
    let Outcome { cases, wrong } = run();
    if wrong == 0 { cases as i32 } else { -(wrong as i32) }
}

#[cfg(all(target_family = "wasm", not(feature = "std")))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
