//! `cargo xtask soak`: a log at work, with rotation, retention and a reader in another process.

use crate::{Result, shell};

const MINUTES: &str = "10";

/// `cargo xtask soak [--minutes N]`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let minutes = match arguments {
        [] => MINUTES,
        [flag, minutes] if flag == "--minutes" && minutes.parse::<u64>().is_ok() => minutes,
        _ => return Err("usage: soak [--minutes N]".into()),
    };
    let mut command = shell::cargo(["test", "--release", "-p", "calybris-wal"])?;
    shell::run(command.args(["--test", "soak", "--", "--minutes", minutes]))
}
