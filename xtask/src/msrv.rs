//! What is published compiles with the oldest compiler that its manifests promise.
//!
//! The compiler is rustup's if that toolchain is installed, else Debian's packages unpacked under
//! `target/`, installed nowhere.

use std::path::{Path, PathBuf};

use crate::workspace::Workspace;
use crate::{Result, shell};

/// Where an old compiler may come from, for a person whose machine has none.
pub(crate) const HOW_TO_GET: &str =
    "no such compiler; `rustup toolchain install VERSION`, or have apt-get with a package list";

/// Debian's compiler, its standard library and the code generator it links.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-VERSION"];
const DEBIAN_LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// An installed compiler of the oldest supported version.
pub(crate) enum Compiler {
    /// The name of a rustup toolchain.
    Rustup(String),
    /// The folder that Debian's packages were unpacked in.
    Unpacked(PathBuf),
}

/// `cargo xtask msrv`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("msrv takes no arguments, found `{argument}`").into());
    }
    check(&compiler()?.ok_or(HOW_TO_GET)?)
}

/// Finds or fetches the compiler; `None` if neither rustup nor Debian has it here.
pub(crate) fn compiler() -> Result<Option<Compiler>> {
    let version = version(&Workspace::load()?)?;
    if shell::succeeds(shell::command("rustup")?.args(["run", &version, "rustc", "--version"])) {
        return Ok(Some(Compiler::Rustup(version)));
    }
    let folder = shell::root()?.join("target/msrv");
    let unpacked = folder.join(&version);
    if !works(&unpacked) && !fetch(&version, &folder, &unpacked)? {
        return Ok(None);
    }
    Ok(Some(Compiler::Unpacked(unpacked)))
}

/// Compiles every published package with all its features.
pub(crate) fn check(compiler: &Compiler) -> Result<()> {
    let mut command = match compiler {
        Compiler::Rustup(version) => {
            let mut command = shell::command("rustup")?;
            command.args(["run", version, "cargo"]);
            command
        }
        Compiler::Unpacked(root) => {
            let mut command = shell::cargo([])?;
            command.env("RUSTC", root.join("usr/bin/rustc"));
            command.env("LD_LIBRARY_PATH", root.join(DEBIAN_LIBRARIES));
            command
        }
    };
    command.args(["check", "--locked", "--all-features", "--target-dir", "target/msrv/build"]);
    // Nothing is run, so nothing is worth optimizing.
    command.args(["--config", "profile.dev.package.'*'.opt-level=0"]);
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

/// Whether the unpacked compiler runs.
fn works(root: &Path) -> bool {
    let command = shell::command(root.join("usr/bin/rustc"));
    command.is_ok_and(|mut command| {
        command.env("LD_LIBRARY_PATH", root.join(DEBIAN_LIBRARIES));
        shell::succeeds(command.arg("--version"))
    })
}

/// Downloads and unpacks Debian's packages; `false` if apt does not know that version.
fn fetch(version: &str, folder: &Path, unpacked: &Path) -> Result<bool> {
    let mut madison = shell::command("apt-cache")?;
    let Ok(list) = shell::output(madison.args(["madison", "rustc-web"])) else { return Ok(false) };
    // Lines read ` rustc-web | 1.85.0+dfsg3-1 | http://… `.
    let of_line = |line: &str| line.split('|').nth(1).map(|field| field.trim().to_owned());
    let mut found = list.lines().filter_map(of_line);
    let Some(release) = found.find(|release| release.starts_with(&format!("{version}."))) else {
        return Ok(false);
    };
    std::fs::create_dir_all(folder)?;
    let mut download = shell::command("apt-get")?;
    download.current_dir(folder).args(["download", "--quiet", "libllvm19"]);
    let names = DEBIAN_PACKAGES.map(|name| name.replace("VERSION", version));
    shell::run(download.args(names.map(|name| format!("{name}={release}"))))?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            shell::run(shell::command("dpkg")?.arg("-x").args([path.as_path(), unpacked]))?;
            std::fs::remove_file(path)?;
        }
    }
    Ok(works(unpacked))
}
