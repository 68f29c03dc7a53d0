//! The lock files of the packages outside the workspace follow the workspace's own.

use crate::{Result, shell};

/// The packages that are workspaces of their own, each with a lock file of its own.
const APART: [&str; 2] = ["fuzz", "xtask/no-alloc"];

/// `cargo xtask lock`: wanted after any change of dependencies.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("lock takes no arguments, found `{argument}`").into());
    }
    let root = shell::root()?;
    for package in APART {
        // Cargo keeps the versions it finds, drops what is not used and adds what is missing.
        std::fs::copy(root.join("Cargo.lock"), root.join(package).join("Cargo.lock"))?;
        let manifest = format!("{package}/Cargo.toml");
        let arguments = ["metadata", "--quiet", "--format-version", "1", "--manifest-path"];
        shell::output(shell::cargo(arguments)?.arg(&manifest))?;
    }
    Ok(())
}
