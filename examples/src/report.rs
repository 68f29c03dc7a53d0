//! Tables and counts, as people read them on a terminal.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent};

use crate::money::thousands;

/// Prints a heading.
pub fn heading(text: &str) {
    println!("\n{text}");
}

/// Prints a table. Columns after the first `left` ones are numbers, aligned right.
pub fn table<R, C>(header: &[&str], left: usize, rows: R)
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for line in [TableComponent::HeaderLines, TableComponent::MiddleHeaderIntersections] {
        table.set_style(line, '─');
    }
    table.set_header(header);
    for row in rows {
        table.add_row(row.iter().map(ToString::to_string));
    }
    for column in table.column_iter_mut().skip(left) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}

/// Counts by name, printed from the most frequent down.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, name: impl Into<String>) {
        *self.0.entry(name.into()).or_default() += 1;
    }

    /// The sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Names and counts, most frequent first, then by name.
    #[must_use]
    pub fn ranked(&self) -> Vec<(&str, u64)> {
        let mut ranked: Vec<_> =
            self.0.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        ranked
    }

    /// Prints names, counts and their share of the whole.
    pub fn print(&self, what: &str) {
        let row = |(name, count): (&str, u64)| {
            vec![name.to_owned(), thousands(count), percent(count, self.total())]
        };
        table(&[what, "count", "share"], 1, self.ranked().into_iter().map(row));
    }
}

/// A share in percent with one decimal, cut: `percent(1, 3)` is `33.3%`.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    let permille = u128::from(part) * 1_000 / u128::from(whole.max(1));
    format!("{}.{}%", permille / 10, permille % 10)
}

/// How many a second, in whole numbers.
#[must_use]
pub fn per_second(count: u64, elapsed: Duration) -> String {
    let rate = u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1);
    format!("{} a second", thousands(u64::try_from(rate).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_rates_are_whole_numbers_cut() {
        assert_eq!([percent(1, 3), percent(0, 0), percent(2, 2)], ["33.3%", "0.0%", "100.0%"]);
        assert_eq!(per_second(10, Duration::from_millis(5)), "2,000 a second");
    }

    #[test]
    fn a_tally_ranks_by_count_then_name() {
        let mut tally = Tally::default();
        for name in ["b", "a", "c", "c"] {
            tally.add(name);
        }
        assert_eq!(tally.ranked(), [("c", 2), ("a", 1), ("b", 1)]);
        assert_eq!(tally.total(), 4);
    }
}
