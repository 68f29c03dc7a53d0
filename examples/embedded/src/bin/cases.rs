//! Every known decision on the microcontroller; `cargo xtask cross` runs it under an emulator.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};

#[entry]
fn main() -> ! {
    let outcome = calybris_cross::run();
    hprintln!("{} cases, {} wrong", outcome.cases, outcome.wrong);
    exit(if outcome.wrong == 0 { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE })
}

fn exit(status: debug::ExitStatus) -> ! {
    debug::exit(status);
    loop {
        cortex_m::asm::nop();
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(debug::EXIT_FAILURE)
}
