//! Requests as JSON: what parses is written back and parses to the same request.

use calybris_kernel::KernelInput;

/// Reading, writing and reading again changes nothing.
pub fn run(bytes: &[u8]) {
    let Ok(request) = serde_json::from_slice::<KernelInput>(bytes) else { return };
    let written = serde_json::to_vec(&request).expect("a request has no map and no float");
    let again: KernelInput = serde_json::from_slice(&written).expect("our own output parses");
    assert_eq!(again, request);
}
