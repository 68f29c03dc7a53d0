//! The scanner against `serde_json`, on valid, invalid and random texts.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

/// Whether the whole text is one value, according to the scanner.
fn accepts(text: &str) -> bool {
    value(text.as_bytes()).is_ok_and(|rest| whitespace(rest).is_empty())
}

fn reference(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[test]
fn agrees_with_the_reference_on_chosen_texts() {
    for text in [
        "",
        " ",
        "null",
        "nul",
        "true",
        "truee",
        "false",
        "0",
        "-0",
        "-",
        "01",
        "1.",
        "1.5",
        ".5",
        "1e",
        "1e+",
        "1e+9",
        "1E-9",
        "+1",
        "\"\"",
        "\"a",
        "\"\\u12aF\"",
        "\"\\u12g0\"",
        "\"\\x\"",
        "\"\t\"",
        "\"é\"",
        "[]",
        "[ ]",
        "[1,]",
        "[1 2]",
        "[1,2]",
        "[",
        "]",
        "{}",
        "{ }",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1}",
        "{\"a\":1,}",
        "{\"a\":1 , \"b\" : [ { } , [ ] ] }",
        "{a:1}",
        "{1:1}",
        "[}",
        "{]",
        "{\"a\":[1}]",
        " 1 ",
        "1 1",
        "{\"k\":\"long enough for a whole word \\\\ and \\\" after\"}",
    ] {
        assert_eq!(accepts(text), reference(text), "{text:?}");
    }
}

#[test]
fn nests_as_deep_as_the_text_is_long() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 5_000] {
        let arrays = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(accepts(&arrays), "{depth}");
        let objects = format!("{}1{}", "{\"a\":[".repeat(depth), "]}".repeat(depth));
        assert!(accepts(&objects), "{depth}");
        assert!(!accepts(&objects.replacen("]}", "}]", 1)), "{depth}");
        assert!(!accepts(&arrays[1..]), "{depth}");
    }
}

#[test]
fn says_where() {
    let text = b"{\"a\":[1,tru]}";
    assert_eq!(value(text), Err(Expected("a value", &text[8..])));
}

proptest! {
    #[test]
    fn agrees_with_the_reference_on_random_texts(
        text in r#"[\[\]{}:,"\\ue01a.\-+ntfl é\t]{0,24}"#
    ) {
        prop_assert_eq!(accepts(&text), reference(&text));
    }

    #[test]
    fn agrees_with_the_reference_on_values_with_one_byte_changed(
        word in "[ -~é]{0,40}", number: f64, at: prop::sample::Index, with in "[ -~]",
    ) {
        let whole = serde_json::json!({ "k": [word, number, null, { "n": [] }], "t": true }).to_string();
        prop_assert!(accepts(&whole));
        let positions: Vec<_> = whole.char_indices().map(|(at, _)| at).collect();
        let mut changed = whole.clone();
        let at = positions[at.index(positions.len())];
        let end = at + whole[at..].chars().next().map_or(0, char::len_utf8);
        changed.replace_range(at..end, &with);
        // The reference refuses lone surrogates and numbers out of range even when it ignores the value.
        if !changed.contains("\\u") && !changed.contains('e') && !changed.contains('E') {
            prop_assert_eq!(accepts(&changed), reference(&changed), "{}", changed);
        }
    }
}
