//! The project's one gate and its helpers. `cargo xtask help` lists the commands.
//!
//! One file per command; `shell` runs programs and `workspace` reads `cargo metadata` for all of them.

mod bench_gate;
mod ci;
mod cross;
mod fuzz;
mod lock;
mod msrv;
mod powerset;
mod shell;
mod simulate;
mod soak;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// What every command returns; the message goes to a person.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A command: its name, its arguments, what it does, and the function that does it.
struct Command {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        arguments: "[--only STEP]... [--keep-going] [--list]",
        about: "the whole gate, or the named steps of it",
        run: ci::main,
    },
    Command {
        name: "tidy",
        arguments: "",
        about: "house rules that no compiler checks: layers, sizes, words, links",
        run: tidy::main,
    },
    Command {
        name: "bench-gate",
        arguments: "[--write]",
        about: "count the kernel's instructions and compare them with the committed figures",
        run: bench_gate::main,
    },
    Command {
        name: "cross",
        arguments: "[TARGET]...",
        about: "reproduce every known decision on other processors, most of them emulated",
        run: cross::main,
    },
    Command {
        name: "fuzz",
        arguments: "[TARGET] [--seconds N]",
        about: "fuzz one target, or each in turn, with cargo-fuzz or else on stable",
        run: fuzz::main,
    },
    Command {
        name: "lock",
        arguments: "",
        about: "bring the lock files of fuzz and no-alloc up to date with the workspace's",
        run: lock::main,
    },
    Command {
        name: "simulate",
        arguments: "[--schedules N] [--seed S]",
        about: "crash schedules of the log against a simulated disk",
        run: simulate::main,
    },
    Command {
        name: "soak",
        arguments: "[--minutes N]",
        about: "the log at work for minutes: rotation, retention, a reader, flat memory",
        run: soak::main,
    },
    Command {
        name: "msrv",
        arguments: "",
        about: "compile everything that is published with the oldest supported compiler",
        run: msrv::main,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        return Err(format!("no command given\n\n{}", usage()).into());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        println!("{}", usage());
        return Ok(());
    }
    match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(rest),
        None => Err(format!("no command `{name}`\n\n{}", usage()).into()),
    }
}

fn usage() -> String {
    let lines = COMMANDS.iter().map(|command| {
        let left = format!("{} {}", command.name, command.arguments);
        format!("\n  cargo xtask {left:<46} {}", command.about)
    });
    format!("usage:{}", lines.collect::<String>())
}
