//! What is published compiles with the oldest compiler that its manifests promise.

use crate::workspace::Workspace;
use crate::{Result, shell};

/// A rustup toolchain of the oldest supported version.
pub(crate) struct Compiler {
    pub(crate) toolchain: String,
    pub(crate) installed: bool,
}

impl Compiler {
    /// How to get it, for a person whose machine does not have it.
    pub(crate) fn how_to_get(&self) -> String {
        let toolchain = &self.toolchain;
        format!("no such compiler; `rustup toolchain install {toolchain} --profile minimal`")
    }
}

/// `cargo xtask msrv`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("msrv takes no arguments, found `{argument}`").into());
    }
    let compiler = compiler()?;
    if compiler.installed { check(&compiler) } else { Err(compiler.how_to_get().into()) }
}

/// The compiler of the promised version, before any patch.
pub(crate) fn compiler() -> Result<Compiler> {
    let toolchain = format!("{}.0", version(&Workspace::load()?)?);
    let mut rustc = shell::command("rustup")?;
    let installed = shell::succeeds(rustc.args(["run", &toolchain, "rustc", "--version"]));
    Ok(Compiler { toolchain, installed })
}

/// Compiles every published package with all its features.
pub(crate) fn check(compiler: &Compiler) -> Result<()> {
    let mut command = shell::command("rustup")?;
    command.args(["run", &compiler.toolchain, "cargo", "check", "--locked", "--all-features"]);
    command.args(["--target-dir", "target/msrv"]);
    for package in Workspace::load()?.published() {
        command.args(["--package", &package.name]);
    }
    shell::run(&mut command)
}

/// The one `rust-version` of the published packages.
fn version(workspace: &Workspace) -> Result<String> {
    let mut versions: Vec<_> = workspace.published().map(|package| &package.rust_version).collect();
    versions.dedup();
    match versions.as_slice() {
        [Some(version)] => Ok(version.clone()),
        _ => Err(format!("the published packages differ in `rust-version`: {versions:?}").into()),
    }
}
