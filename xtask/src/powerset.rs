//! Every distinct set of features of every published package, linted.

use std::collections::{BTreeMap, BTreeSet};

use crate::workspace::Workspace;
use crate::{Result, shell};

/// A set of feature names.
type Features = BTreeSet<String>;

/// Lints each published package once for each set of its features.
pub(crate) fn main() -> Result<()> {
    for package in Workspace::load()?.published() {
        for features in powerset(&package.features) {
            let features: Vec<&str> = features.iter().map(String::as_str).collect();
            let arguments = ["clippy", "--quiet", "--locked", "--no-default-features"];
            let mut command = shell::cargo(arguments)?;
            command.args(["--package", &package.name, "--features", &features.join(",")]);
            shell::run(command.args(["--", "-D", "warnings"]))?;
        }
    }
    Ok(())
}

/// The subsets of the features without `default`, each with the features it implies, each once.
/// `full = ["a", "b"]` adds one set to those of `a` and `b`, not as many again.
fn powerset(features: &BTreeMap<String, Vec<String>>) -> BTreeSet<Features> {
    let mut sets = BTreeSet::from([Features::new()]);
    for name in features.keys().filter(|name| *name != "default") {
        let with_name = sets.iter().map(|set| {
            let mut set = set.clone();
            imply(features, name, &mut set);
            set
        });
        sets = with_name.collect::<BTreeSet<_>>().union(&sets).cloned().collect();
    }
    sets
}

/// Adds a feature and, transitively, the features of the same package that it turns on.
fn imply(features: &BTreeMap<String, Vec<String>>, name: &str, set: &mut Features) {
    let Some(implied) = features.get(name) else { return };
    if set.insert(name.to_owned()) {
        implied.iter().for_each(|other| imply(features, other, set));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(features: &[(&str, &[&str])]) -> Vec<String> {
        let owned = |implied: &&[&str]| implied.iter().map(|name| (*name).to_owned()).collect();
        let features = features.iter().map(|(name, implied)| ((*name).to_owned(), owned(implied)));
        let sets = powerset(&features.collect());
        sets.iter().map(|set| set.iter().cloned().collect::<Vec<_>>().join("+")).collect()
    }

    #[test]
    fn independent_features_give_every_subset() {
        assert_eq!(joined(&[("a", &[]), ("b", &["dep:x"])]), ["", "a", "a+b", "b"]);
    }

    #[test]
    fn implied_features_come_along_and_make_no_duplicates() {
        let features: &[(&str, &[&str])] =
            &[("default", &["std"]), ("alloc", &[]), ("std", &["alloc", "sha2/std"])];
        assert_eq!(joined(features), ["", "alloc", "alloc+std"]);
    }
}
