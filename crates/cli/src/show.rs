//! How numbers and tables look on a terminal.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableComponent, presets};

/// Digits in groups of three.
pub(crate) fn count(value: impl Into<i128>) -> String {
    let value: i128 = value.into();
    let digits = value.unsigned_abs().to_string();
    let mut grouped = String::from(if value < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Microunits as units with six decimals: exact, never rounded.
pub(crate) fn money(microunits: impl Into<i128>, currency: &str) -> String {
    let microunits: i128 = microunits.into();
    let (whole, fraction) =
        (microunits.unsigned_abs() / 1_000_000, microunits.unsigned_abs() % 1_000_000);
    let sign = if microunits < 0 { "-" } else { "" };
    let whole = count(i128::try_from(whole).unwrap_or(i128::MAX));
    let space = if currency.is_empty() { "" } else { " " };
    format!("{sign}{whole}.{fraction:06}{space}{currency}")
}

/// A share in percent with two decimals, rounded down.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".into();
    }
    let bps = u128::from(part) * 10_000 / u128::from(whole);
    format!("{}.{:02} %", bps / 100, bps % 100)
}

/// A table with a header; columns after the first `left` are aligned to the right.
pub(crate) fn table(left: usize, header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    // Lines around the table and under its header, none between its rows.
    for line in [
        TableComponent::HorizontalLines,
        TableComponent::LeftBorderIntersections,
        TableComponent::MiddleIntersections,
        TableComponent::RightBorderIntersections,
    ] {
        table.remove_style(line);
    }
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().enumerate().map(|(index, text)| aligned(index, left, text)));
    for row in rows {
        table.add_row(row.iter().enumerate().map(|(index, text)| aligned(index, left, text)));
    }
    format!("{table}\n")
}

fn aligned(index: usize, left: usize, text: &str) -> Cell {
    let side = if index < left { CellAlignment::Left } else { CellAlignment::Right };
    Cell::new(text).set_alignment(side)
}
