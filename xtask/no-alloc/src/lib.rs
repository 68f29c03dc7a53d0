//! Links the kernel the way firmware does. If anything below brought std along, its panic handler
//! would clash with this one; if anything brought alloc along, an allocator would be missing.
#![no_std]
#![forbid(unsafe_code)]

use calybris_kernel as _;

#[panic_handler]
fn halt(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
