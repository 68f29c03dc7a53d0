//! What `cargo metadata` says of the workspace, as far as the gate needs it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::{Result, shell};

/// The packages of the workspace, without those they depend on.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) packages: Vec<Package>,
}

/// One package, by the names of `cargo metadata`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) license: Option<String>,
    #[serde(default)]
    pub(crate) readme: Option<PathBuf>,
    /// The registries it may go to: `None` is any, an empty list is none.
    #[serde(default)]
    pub(crate) publish: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) rust_version: Option<String>,
    #[serde(default)]
    pub(crate) dependencies: Vec<Dependency>,
    #[serde(default)]
    pub(crate) features: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub(crate) targets: Vec<Target>,
}

/// An arrow from one package to another.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    #[serde(default)]
    pub(crate) kind: Option<String>,
    /// Where it applies, as in `cfg(loom)`; `None` is everywhere.
    #[serde(default)]
    pub(crate) target: Option<String>,
}

/// A library, binary, test, bench or example.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that xtask belongs to.
    pub(crate) fn load() -> Result<Self> {
        let arguments = ["metadata", "--format-version", "1", "--no-deps"];
        let json = shell::output(&mut shell::cargo(arguments)?)?;
        serde_json::from_str(&json).map_err(|e| format!("cannot read cargo metadata: {e}").into())
    }

    /// The packages that are published: the layers.
    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.is_published())
    }

    /// Every target of one kind, with its package.
    pub(crate) fn targets<'a>(
        &'a self,
        kind: &'a str,
    ) -> impl Iterator<Item = (&'a Package, &'a str)> {
        self.packages.iter().flat_map(move |package| {
            let wanted = move |target: &&Target| target.kind.iter().any(|found| found == kind);
            package.targets.iter().filter(wanted).map(move |target| (package, target.name.as_str()))
        })
    }
}

impl Package {
    /// Whether it may go to a registry at all.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}
