//! House rules that no compiler checks. Each rule is a pure function from what the repository holds
//! to its findings, so that each can be broken in a test.

mod layers;
mod links;
mod manifests;
mod sources;
mod words;

use std::path::Path;

use crate::workspace::Workspace;
use crate::{Result, shell};

/// A tracked text file: its path from the root, with `/`, and what it holds.
struct File {
    path: String,
    text: String,
}

/// A broken rule: where, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    place: String,
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }

    fn at_line(file: &File, index: usize, message: impl Into<String>) -> Self {
        Self::new(format!("{}:{}", file.path, index + 1), message)
    }
}

/// `cargo xtask tidy`
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if let Some(argument) = arguments.first() {
        return Err(format!("tidy takes no arguments, found `{argument}`").into());
    }
    check()
}

/// Checks every rule and prints every finding.
pub(crate) fn check() -> Result<()> {
    let root = shell::root()?;
    let workspace = Workspace::load()?;
    let files = tracked_files(&root)?;
    let mut findings = layers::check(&workspace.packages);
    findings.extend(manifests::check(&workspace.packages, |path| {
        std::fs::read_to_string(path).unwrap_or_default()
    }));
    findings.extend(sources::check(&files));
    findings.extend(words::check(&files));
    findings.extend(links::check(&files, |path| root.join(path).exists()));
    for finding in &findings {
        println!("{}: {}", finding.place, finding.message);
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing found", files.len());
        return Ok(());
    }
    Err(format!("tidy found {} broken rules in {} files", findings.len(), files.len()).into())
}

/// Every text file that is committed or about to be.
fn tracked_files(root: &Path) -> Result<Vec<File>> {
    let mut git = shell::command("git")?;
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = shell::output(&mut git)?;
    let paths = list.split_terminator('\0');
    // A file that is gone but still in the index, or is not text, has nothing to check.
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    Ok(paths.filter_map(read).collect())
}
