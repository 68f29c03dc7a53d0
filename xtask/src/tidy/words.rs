//! Words that must not be committed: unfinished work, leftovers, and paths of one machine.

use super::{File, Finding};

/// A word, and why it is not wanted. Each is written in two parts so that this file passes its own
/// check.
const WORDS: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it, or open an issue"),
    (concat!("FIX", "ME"), "fix it, or open an issue"),
    (concat!("XX", "X"), "say what is wrong, or fix it"),
    (concat!("todo", "!("), "finish it"),
    (concat!("unimplemented", "!("), "finish it"),
    (concat!("dbg", "!("), "a leftover of debugging"),
    (concat!("#[", "allow("), "use `#[expect(lint, reason = \"…\")]`"),
    (concat!("#![", "allow("), "use `#![expect(lint, reason = \"…\")]`"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("<<<<", "<<<"), "a leftover of a merge"),
    (concat!(">>>>", ">>>"), "a leftover of a merge"),
];

/// Checks every line of every text file. Captured data is as it is.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let data = [".json", ".jsonl", ".csv", ".svg", ".lock"];
    let is_data = |file: &&File| data.iter().any(|extension| file.path.ends_with(extension));
    files.iter().filter(|file| !is_data(file)).flat_map(check_file).collect()
}

fn check_file(file: &File) -> impl Iterator<Item = Finding> {
    file.text.lines().enumerate().flat_map(move |(index, line)| {
        let found = WORDS.iter().filter(move |(word, _)| contains(line, word));
        found.map(move |(word, why)| Finding::at_line(file, index, format!("`{word}`: {why}")))
    })
}

/// Whether the line has the word, not as a part of a longer one.
fn contains(line: &str, word: &str) -> bool {
    let continues = |next: Option<char>| next.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let open_start = !word.starts_with(char::is_alphanumeric);
    let open_end = !word.ends_with(char::is_alphanumeric);
    line.match_indices(word).any(|(start, _)| {
        let (before, rest) = line.split_at(start);
        let after = rest.strip_prefix(word).unwrap_or_default();
        (open_start || !continues(before.chars().next_back()))
            && (open_end || !continues(after.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: String) -> Vec<String> {
        let findings = check(&[File { path: path.into(), text }]);
        findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn every_word_is_found_where_it_stands() {
        for (word, _) in WORDS {
            assert_eq!(places("a.rs", format!("fine\n  {word} more\n")), ["a.rs:2"], "{word}");
        }
    }

    #[test]
    fn parts_of_longer_words_are_fine() {
        let todo = concat!("TO", "DO");
        assert_eq!(places("a.rs", format!("MAS{todo}N {todo}S _{todo} my_todo!(x)\n")), [""; 0]);
    }

    #[test]
    fn data_is_not_searched() {
        assert_eq!(places("a.json", concat!("TO", "DO").to_owned()), [""; 0]);
    }
}
