//! Arrows between crates point down the list of layers, and the kernel stands almost alone.

use super::Finding;
use crate::workspace::{Dependency, Package};

/// The layers from the bottom up, each with the layers that it may stand on.
const LAYERS: &[(&str, &[&str])] = &[
    (KERNEL, &[]),
    (BUDGET, &[KERNEL]),
    (PROOF, &[KERNEL]),
    (WAL, &[KERNEL, PROOF]),
    (PERSIST, &[KERNEL, BUDGET, PROOF, WAL]),
    (CORE, &[KERNEL, BUDGET, PROOF, WAL, PERSIST]),
    ("calybris-cli", &[KERNEL, BUDGET, PROOF, WAL, PERSIST, CORE]),
];

const KERNEL: &str = "calybris-kernel";
const BUDGET: &str = "calybris-budget";
const PROOF: &str = "calybris-proof";
const WAL: &str = "calybris-wal";
const PERSIST: &str = "calybris-persist";
const CORE: &str = "calybris-core";

/// All that the kernel may depend on outside the workspace, whatever its features; without any of them,
/// `sha2` alone.
const KERNEL_MAY_USE: &[&str] = &["sha2", "serde", "pulp"];

/// The prefix of the names of the layers.
const FAMILY: &str = "calybris-";

/// Compares every dependency of every published package, tests included, with the layers.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let published = packages.iter().filter(|package| package.is_published());
    published.flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Finding> {
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
        let message = "no layer is declared for this crate; give it one in tidy/layers.rs";
        return vec![Finding::new(&package.name, message)];
    };
    let upward = |dependency: &&Dependency| {
        dependency.name.starts_with(FAMILY) && !below.contains(&dependency.name.as_str())
    };
    let foreign = |dependency: &&Dependency| {
        package.name == KERNEL
            && dependency.kind.as_deref() != Some("dev")
            && dependency.target.as_deref() != Some("cfg(loom)")
            && !KERNEL_MAY_USE.contains(&dependency.name.as_str())
    };
    let arrow = |dependency: &Dependency, why: String| {
        Finding::new(format!("{} -> {}", package.name, dependency.name), why)
    };
    let up = package.dependencies.iter().filter(upward).map(|dependency| {
        arrow(dependency, format!("arrows point down only; it may stand on {below:?}"))
    });
    let outside = package.dependencies.iter().filter(foreign).map(|dependency| {
        arrow(dependency, format!("the kernel may depend on {KERNEL_MAY_USE:?} alone"))
    });
    up.chain(outside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependencies = dependencies.iter().map(|(name, kind)| Dependency {
            name: (*name).to_owned(),
            kind: kind.map(str::to_owned),
            target: None,
        });
        Package {
            name: name.to_owned(),
            dependencies: dependencies.collect(),
            ..Package::default()
        }
    }

    fn places(package: Package) -> Vec<String> {
        check(&[package]).into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn downward_arrows_are_fine() {
        let wal = package(WAL, &[(KERNEL, None), (PROOF, None), ("tokio", None)]);
        assert_eq!(places(wal), [""; 0]);
    }

    #[test]
    fn an_upward_arrow_is_found_even_in_tests() {
        let proof = package(PROOF, &[(WAL, None), (BUDGET, Some("dev"))]);
        let expected = ["calybris-proof -> calybris-wal", "calybris-proof -> calybris-budget"];
        assert_eq!(places(proof), expected);
    }

    #[test]
    fn the_kernel_uses_nothing_else_but_in_tests() {
        let dependencies = [("sha2", None), ("proptest", Some("dev")), ("serde_json", None)];
        assert_eq!(places(package(KERNEL, &dependencies)), ["calybris-kernel -> serde_json"]);
    }

    #[test]
    fn a_new_crate_needs_a_layer_unless_it_is_never_published() {
        let mut new = package("calybris-new", &[]);
        assert_eq!(check(std::slice::from_ref(&new)).len(), 1);
        new.publish = Some(Vec::new());
        assert_eq!(check(&[new]), []);
    }
}
