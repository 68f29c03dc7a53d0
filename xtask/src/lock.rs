//! The lock files of the packages outside the workspace follow the workspace's own.

use crate::{Result, shell};

/// The packages that are workspaces of their own, each with a lock file of its own.
const APART: [&str; 2] = ["fuzz", "xtask/no-alloc"];
/// Has dependencies of its own, whose versions are part of what was measured.
const COMPARE: &str = "compare";

/// `cargo xtask lock`: wanted after any change of dependencies.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("lock takes no arguments, found `{argument}`").into());
    }
    let root = shell::root()?;
    for package in APART {
        std::fs::copy(root.join("Cargo.lock"), root.join(package).join("Cargo.lock"))?;
        update(package)?;
    }
    update(COMPARE)
}

/// Cargo keeps the versions it finds, drops what is not used and adds what is missing.
fn update(package: &str) -> Result<()> {
    let arguments = ["metadata", "--quiet", "--format-version", "1", "--manifest-path"];
    shell::output(shell::cargo(arguments)?.arg(format!("{package}/Cargo.toml")))?;
    Ok(())
}
