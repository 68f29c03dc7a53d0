//! What the documents say about the code is so: their example compiles, and the tests they name exist.

#[cfg(test)]
mod documents {
    use std::fs;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    /// `[name](file.rs)` in a document that stands in `folder`.
    fn named_tests(document: &str, folder: &Path) -> Vec<(String, PathBuf)> {
        let mut found = Vec::new();
        for piece in document.split('[').skip(1) {
            let Some((name, rest)) = piece.split_once("](") else { continue };
            let Some((target, _)) = rest.split_once(')') else { continue };
            let is_name = name.contains('_') && !name.contains(['/', '`', '.']);
            if target.ends_with(".rs") && is_name {
                found.push((name.to_owned(), folder.join(target)));
            }
        }
        found
    }

    #[test]
    fn every_test_that_is_named_exists() {
        let mut count = 0;
        for (document, folder) in [("README.md", ""), ("docs/architecture.md", "docs")] {
            let text = fs::read_to_string(root().join(document)).unwrap();
            for (name, path) in named_tests(&text, &root().join(folder)) {
                let code = fs::read_to_string(&path)
                    .unwrap_or_else(|error| panic!("{document}: {}: {error}", path.display()));
                let defined = code.contains(&format!("fn {name}("));
                assert!(defined, "{document}: no test {name} in {}", path.display());
                count += 1;
            }
        }
        assert!(count >= 25, "the tables were found: {count}");
    }

    #[test]
    fn every_example_of_the_readme_exists_and_the_reverse() {
        let readme = fs::read_to_string(root().join("README.md")).unwrap();
        for entry in fs::read_dir(root().join("examples/examples")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(readme.contains(&format!("| `{name}` |")), "README: no example {name}");
        }
    }
}
