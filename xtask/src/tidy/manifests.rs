//! Every package says what it is and takes the shared lints.

use std::path::Path;

use super::Finding;
use crate::workspace::Package;

/// Checks every manifest; `read` gives the text of one.
pub(super) fn check(packages: &[Package], read: impl Fn(&Path) -> String) -> Vec<Finding> {
    packages.iter().flat_map(|package| check_package(package, &read)).collect()
}

fn check_package(package: &Package, read: impl Fn(&Path) -> String) -> Vec<Finding> {
    let published = package.is_published();
    let missing = [
        ("a description", package.description.is_none()),
        ("a license", package.license.is_none()),
        ("a rust-version", package.rust_version.is_none()),
        ("a readme", published && package.readme.is_none()),
        ("`[lints] workspace = true`", !inherits_lints(&read(&package.manifest_path))),
    ];
    let missing = missing.into_iter().filter(|(_, is_missing)| *is_missing);
    missing
        .map(|(what, _)| Finding::new(&package.name, format!("Cargo.toml lacks {what}")))
        .collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
    lines.next().is_some_and(|line| line.trim() == "workspace = true")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete() -> Package {
        Package {
            name: "calybris-kernel".into(),
            description: Some("decides".into()),
            license: Some("Apache-2.0".into()),
            readme: Some("README.md".into()),
            rust_version: Some("1.89".into()),
            ..Package::default()
        }
    }

    fn messages(package: Package, manifest: &str) -> Vec<String> {
        let findings = check(&[package], |_| manifest.to_owned());
        findings.into_iter().map(|finding| finding.message).collect()
    }

    const LINTS: &str = "[package]\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_complete_manifest_is_fine() {
        assert_eq!(messages(complete(), LINTS), [""; 0]);
    }

    #[test]
    fn each_missing_part_is_named() {
        let empty = Package { name: "calybris-kernel".into(), ..Package::default() };
        let expected = [
            "Cargo.toml lacks a description",
            "Cargo.toml lacks a license",
            "Cargo.toml lacks a rust-version",
            "Cargo.toml lacks a readme",
            "Cargo.toml lacks `[lints] workspace = true`",
        ];
        assert_eq!(messages(empty, "[package]\nworkspace = true\n"), expected);
    }

    #[test]
    fn an_unpublished_package_needs_no_readme() {
        let package = Package { readme: None, publish: Some(Vec::new()), ..complete() };
        assert_eq!(messages(package, LINTS), [""; 0]);
    }
}
