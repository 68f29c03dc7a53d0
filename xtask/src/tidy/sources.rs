//! Every Rust file says what it is for, and none grows past what a person reads in one sitting.
//! The length of functions is clippy's `too_many_lines`, with its limit in `clippy.toml`.

use super::{File, Finding};

/// The most lines of production code in one file, without comments, blank lines and unit tests.
const MAX_CODE_LINES: usize = 400;

/// A file that may be longer, up to its own limit, for a reason.
struct Exception {
    path: &'static str,
    max_code_lines: usize,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[];

/// Checks every Rust file.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    check_with(files, EXCEPTIONS)
}

fn check_with(files: &[File], exceptions: &[Exception]) -> Vec<Finding> {
    let rust = || files.iter().filter(|file| file.path.ends_with(".rs"));
    let opening = rust().filter(|file| !file.text.starts_with("//!")).map(|file| {
        Finding::at_line(file, 0, "the file opens with no `//!` line that says what it is for")
    });
    let sizes = rust().filter_map(|file| check_size(file, exceptions));
    let stale = exceptions.iter().filter_map(|exception| check_exception(exception, files));
    opening.chain(sizes).chain(stale).collect()
}

fn check_size(file: &File, exceptions: &[Exception]) -> Option<Finding> {
    let exception = exceptions.iter().find(|exception| exception.path == file.path);
    let limit = exception.map_or(MAX_CODE_LINES, |exception| exception.max_code_lines);
    let lines = code_lines(file);
    let message = format!("{lines} lines of code, {limit} at most: split it by subject");
    (lines > limit).then(|| Finding::new(&file.path, message))
}

/// An exception must give a reason and still be needed.
fn check_exception(exception: &Exception, files: &[File]) -> Option<Finding> {
    let needed =
        files.iter().any(|file| file.path == exception.path && code_lines(file) > MAX_CODE_LINES);
    let message = if exception.reason.trim().is_empty() {
        "this exception from the size limit gives no reason"
    } else if !needed {
        "this exception from the size limit is no longer needed"
    } else {
        return None;
    };
    Some(Finding::new(exception.path, message))
}

/// The lines of production code: none in a test or bench file, else what is left without blank
/// lines, comments and a `#[cfg(test)] mod … { … }` at the left margin (rustfmt closes it there).
fn code_lines(file: &File) -> usize {
    let mut parts = file.path.split('/');
    if parts.any(|part| matches!(part, "tests" | "benches" | "tests.rs")) {
        return 0;
    }
    let (mut count, mut in_tests) = (0, false);
    let mut lines = file.text.lines().peekable();
    while let Some(line) = lines.next() {
        let inline_module =
            |next: &&str| next.contains("mod ") && next.ends_with('{') && !next.starts_with(' ');
        in_tests |= line == "#[cfg(test)]" && lines.peek().is_some_and(inline_module);
        let code = line.trim_start();
        count += usize::from(!in_tests && !code.is_empty() && !code.starts_with("//"));
        in_tests &= line != "}";
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    fn long(lines: usize) -> File {
        file("src/long.rs", &format!("//! Long.\n\n{}", "const A: u8 = 0;\n".repeat(lines)))
    }

    fn messages(files: &[File], exceptions: &[Exception]) -> Vec<String> {
        check_with(files, exceptions).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_rust_file_opens_with_its_purpose() {
        let files = [file("a.rs", "//! Why.\n"), file("b.rs", "use a;\n"), file("c.md", "text")];
        let places: Vec<_> = check(&files).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["b.rs:1"]);
    }

    #[test]
    fn the_limit_counts_code_only() {
        assert_eq!(messages(&[long(400)], &[]), [""; 0]);
        assert_eq!(messages(&[long(401)], &[]).len(), 1);
        let tests = "//! A.\n// why\n\nfn f() {\n}\n#[cfg(test)]\nmod tests {\n    fn g() {\n    }\n}\nfn h() {}\n";
        assert_eq!(code_lines(&file("src/a.rs", tests)), 3);
        assert_eq!(code_lines(&file("src/a.rs", "#[cfg(test)]\nmod tests;\nfn f() {}\n")), 3);
    }

    #[test]
    fn tests_and_benches_may_be_long() {
        for path in ["crates/wal/tests/all.rs", "src/a/tests.rs", "crates/kernel/benches/b.rs"] {
            assert_eq!(code_lines(&file(path, "fn f() {}\n")), 0);
        }
    }

    #[test]
    fn an_exception_needs_a_reason_and_a_use() {
        let exception = |reason| Exception { path: "src/long.rs", max_code_lines: 450, reason };
        assert_eq!(messages(&[long(450)], &[exception("one table")]), [""; 0]);
        assert_eq!(messages(&[long(451)], &[exception("one table")]).len(), 1);
        assert!(messages(&[long(450)], &[exception(" ")])[0].contains("no reason"));
        assert!(messages(&[long(400)], &[exception("one table")])[0].contains("no longer needed"));
        assert!(messages(&[], &[exception("one table")])[0].contains("no longer needed"));
    }
}
