//! `cargo xtask simulate`: the log against a simulated disk, as many crash schedules as asked for.

use crate::{Result, shell};

/// What one thorough run covers when nobody says.
const SCHEDULES: &str = "1000000";

/// `cargo xtask simulate [--schedules N] [--seed S]`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let known = |flag: &String| matches!(flag.as_str(), "--schedules" | "--seed");
    if let Some(flag) = arguments.iter().step_by(2).find(|flag| !known(flag)) {
        return Err(format!("cannot use `{flag}`: simulate [--schedules N] [--seed S]").into());
    }
    let mut command = shell::cargo(["test", "--release", "-p", "calybris-wal"])?;
    command.args(["--features", "archive", "--test", "simulation", "--"]).args(arguments);
    if !arguments.iter().any(|flag| flag == "--schedules") {
        command.args(["--schedules", SCHEDULES]);
    }
    shell::run(&mut command)
}
