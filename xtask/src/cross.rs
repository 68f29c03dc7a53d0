//! Every known decision on other processors: other word sizes, other endianness, no operating system.
//!
//! A target that rustup has installed is compiled with it. For any other the standard library is built from source, so
//! that one compiler package of Debian serves them all.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, shell};

/// A target and how its program runs here.
struct Target {
    name: &'static str,
    word_bits: u8,
    endianness: &'static str,
    runs_on: Runner,
}

enum Runner {
    /// This machine, with the compiler in use.
    Here,
    /// This machine's own instructions, in another word size.
    Native { linker: &'static str },
    /// An emulator of one process; the prefix of the C library it needs.
    User { linker: &'static str, emulator: &'static str, prefix: &'static str },
    /// An emulated board without an operating system.
    Board,
    /// Node.
    Wasm,
}

const TARGETS: [Target; 6] = [
    Target {
        name: "x86_64-unknown-linux-gnu",
        word_bits: 64,
        endianness: "little",
        runs_on: Runner::Here,
    },
    Target {
        name: "thumbv7em-none-eabihf",
        word_bits: 32,
        endianness: "little",
        runs_on: Runner::Board,
    },
    Target {
        name: "s390x-unknown-linux-gnu",
        word_bits: 64,
        endianness: "big",
        runs_on: Runner::User {
            linker: "s390x-linux-gnu-gcc",
            emulator: "qemu-s390x",
            prefix: "/usr/s390x-linux-gnu",
        },
    },
    Target {
        name: "i686-unknown-linux-gnu",
        word_bits: 32,
        endianness: "little",
        runs_on: Runner::Native { linker: "gcc" },
    },
    Target {
        name: "aarch64-unknown-linux-gnu",
        word_bits: 64,
        endianness: "little",
        runs_on: Runner::User {
            linker: "aarch64-linux-gnu-gcc",
            emulator: "qemu-aarch64",
            prefix: "/usr/aarch64-linux-gnu",
        },
    },
    Target {
        name: "wasm32-unknown-unknown",
        word_bits: 32,
        endianness: "little",
        runs_on: Runner::Wasm,
    },
];

/// The compiler whose sources of the standard library are installed, and what installs both.
const COMPILER: &str = "/usr/bin/rustc";
const INSTALL: &str = "apt-get install --no-install-recommends rustc-web rust-web-src \
    qemu-system-arm qemu-user gcc-s390x-linux-gnu libc6-dev-s390x-cross gcc-aarch64-linux-gnu \
    libc6-dev-arm64-cross libc6-dev-i386 lib32gcc-12-dev nodejs";

/// `cargo xtask cross [TARGET]...`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| arguments.is_empty() || arguments.iter().any(|it| it == target.name))
        .collect();
    if chosen.is_empty() {
        let names = TARGETS.map(|target| target.name).join(", ");
        return Err(format!("no such target; there are: {names}").into());
    }
    let mut failed = Vec::new();
    let mut rows = Vec::new();
    for target in chosen {
        let found = cases(target);
        if let Err(error) = &found {
            failed.push(format!("{}: {error}", target.name));
        }
        rows.push((target, found));
    }
    println!("| target                    | word | endian | cases | result |");
    println!("|---------------------------|------|--------|-------|--------|");
    for (target, found) in rows {
        let Target { name, word_bits, endianness, .. } = target;
        let (cases, result) = found.map_or((0, "failed"), |cases| (cases, "equal"));
        println!("| {name:<25} | {word_bits:>4} | {endianness:<6} | {cases:>5} | {result:<6} |");
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n").into()) }
}

/// What the gate runs: words of 32 bits with the standard library, at the price of one compiler and a C library.
const IN_THE_GATE: &str = "i686-unknown-linux-gnu";
/// What the gate's target needs.
pub(crate) const HOW_TO_GET: &str = "no compiler or C library for 32-bit x86; \
    `rustup target add i686-unknown-linux-gnu` or Debian's rustc-web and rust-web-src, and libc6-dev-i386 lib32gcc-12-dev";

/// Runs the gate's target; `false` where its tools are missing.
pub(crate) fn in_the_gate() -> Result<bool> {
    let library = Path::new("/usr/lib32/crt1.o").exists();
    let compiler = installed(IN_THE_GATE)? || Path::new(COMPILER).exists();
    if !(library && compiler) {
        return Ok(false);
    }
    main(&[IN_THE_GATE.to_owned()]).map(|()| true)
}

/// Whether rustup has the target's standard library.
fn installed(target: &str) -> Result<bool> {
    let mut rustc = shell::command("rustc")?;
    let folder = shell::output(rustc.args(["--print", "target-libdir", "--target", target]))?;
    Ok(Path::new(folder.trim()).exists())
}

/// Builds and runs the cases on one target; how many were decided, all of them right.
fn cases(target: &Target) -> Result<u32> {
    let output = match &target.runs_on {
        Runner::Here => shell::output(&mut program(target.name, None)?)?,
        Runner::Native { linker } => {
            shell::output(&mut program(target.name, Some((linker, None)))?)?
        }
        Runner::User { linker, emulator, prefix } => {
            let runner = format!("{emulator} -L {prefix}");
            shell::output(&mut program(target.name, Some((linker, Some(runner))))?)?
        }
        Runner::Board => board(target.name)?,
        Runner::Wasm => wasm(target.name)?,
    };
    let line = output.lines().find_map(|line| line.strip_suffix(" cases, 0 wrong"));
    let line = line.ok_or_else(|| format!("unexpected output: {}", output.trim()))?;
    Ok(line.trim().parse()?)
}

/// Cargo for `target`, which needs `crates` from source where it is not installed.
fn cargo(manifest: &str, command: &str, target: &str, crates: &str) -> Result<Command> {
    let mut cargo = shell::cargo([command, "--quiet", "--release", "--manifest-path", manifest])?;
    cargo.args(["--target-dir", "target/cross", "--target", target]);
    if !installed(target)? {
        if !Path::new(COMPILER).exists() {
            let get = format!("`rustup target add {target}`, or on Debian: {INSTALL}");
            return Err(format!("no standard library for {target}; {get}").into());
        }
        cargo.env("RUSTC", COMPILER).env("RUSTC_BOOTSTRAP", "1").args(["-Z", crates]);
    }
    Ok(cargo)
}

/// The program for targets with an operating system.
fn program(target: &str, tools: Option<(&str, Option<String>)>) -> Result<Command> {
    let mut command = cargo("cross/Cargo.toml", "run", target, "build-std=std,panic_abort")?;
    command.args(["--features", "std"]);
    if let Some((linker, runner)) = tools {
        command.env(variable(target, "LINKER"), linker);
        if let Some(runner) = runner {
            command.env(variable(target, "RUNNER"), runner);
        }
    }
    Ok(command)
}

/// The firmware, on an emulated Cortex-M4.
fn board(target: &str) -> Result<String> {
    let mut build = cargo("examples/embedded/Cargo.toml", "build", target, "build-std=core")?;
    shell::run(build.env(variable(target, "LINKER"), lld()?))?;
    let mut outputs = String::new();
    for firmware in ["decide", "cases"] {
        let image = format!("target/cross/{target}/release/{firmware}");
        let mut emulator = shell::command("timeout")?;
        emulator.args(["120", "qemu-system-arm", "-M", "mps2-an386", "-nographic"]);
        emulator.args(["-semihosting-config", "enable=on,target=native", "-kernel", &image]);
        let output = shell::output(&mut emulator)?;
        if firmware == "decide" {
            println!("{output}");
        }
        outputs.push_str(&output);
    }
    Ok(outputs)
}

/// The library, in Node.
fn wasm(target: &str) -> Result<String> {
    let mut build = cargo("cross/Cargo.toml", "rustc", target, "build-std=core")?;
    build.env(variable(target, "LINKER"), lld()?);
    shell::run(build.args(["--lib", "--crate-type", "cdylib"]))?;
    let script = format!(
        "const bytes = require('fs').readFileSync('target/cross/{target}/release/calybris_cross.wasm');\
         WebAssembly.instantiate(bytes).then(({{ instance }}) => {{\
             const cases = instance.exports.cases();\
             console.log(cases > 0 ? `${{cases}} cases, 0 wrong` : `${{-cases}} wrong`);\
         }});"
    );
    shell::output(shell::command("node")?.args(["--eval", &script]))
}

fn variable(target: &str, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", target.to_uppercase().replace('-', "_"))
}

/// The linker that comes with every toolchain.
fn lld() -> Result<PathBuf> {
    let sysroot = shell::output(shell::command("rustc")?.args(["--print", "sysroot"]))?;
    let lld = Path::new(sysroot.trim()).join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    if lld.exists() { Ok(lld) } else { Err(format!("no linker at {}", lld.display()).into()) }
}
