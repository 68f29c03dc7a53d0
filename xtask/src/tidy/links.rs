//! Links between the repository's documents lead somewhere. Links to items are rustdoc's to check.

use super::{File, Finding};

/// Checks every Markdown file; `exists` tells whether a path from the root is there.
pub(super) fn check(files: &[File], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|file| check_file(file, &exists)).collect()
}

fn check_file(file: &File, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let (mut findings, mut in_code) = (Vec::new(), false);
    for (index, line) in file.text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        let dead = targets(line).filter_map(|target| resolve(&file.path, target));
        findings.extend(dead.filter(|path| !exists(path)).map(|path| {
            Finding::at_line(file, index, format!("the link leads to `{path}`, which is not there"))
        }));
    }
    findings
}

/// The targets of `[text](target)` in a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The path from the root that a link means, if it means a file of the repository: no web address,
/// no heading of the same page, and no Rust item.
fn resolve(from: &str, target: &str) -> Option<String> {
    let path = target.split('#').next().unwrap_or_default();
    let is_file = path.contains('/') || path.contains('.');
    if !is_file || target.contains("://") || target.contains("::") || target.starts_with("mailto:")
    {
        return None;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(path: &str, text: &str) -> Vec<String> {
        let there = ["docs/ledger.md", "README.md"];
        let file = File { path: path.into(), text: text.into() };
        let findings = check(&[file], |path| there.contains(&path));
        findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn links_are_followed_from_where_they_stand() {
        assert_eq!(dead("README.md", "[l](docs/ledger.md#holds) and [r](./README.md)"), [""; 0]);
        assert_eq!(dead("docs/log.md", "[l](ledger.md)\n[r](../README.md)"), [""; 0]);
        assert_eq!(dead("docs/log.md", "ok\n[l](docs/ledger.md) [m](gone.md)").len(), 2);
        assert_eq!(dead("README.md", "[x](gone.md)"), ["README.md:1"]);
    }

    #[test]
    fn addresses_headings_items_and_code_are_not_paths() {
        let text = "[a](https://example.org/b.md) [b](#top) [c](Policy) [d](crate::a.b)\n";
        assert_eq!(dead("README.md", text), [""; 0]);
        assert_eq!(dead("README.md", "```\n[a](gone.md)\n```\n"), [""; 0]);
    }
}
