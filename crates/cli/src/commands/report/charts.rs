//! Charts as inline SVG, in whole coordinates; colours come from the page's style.

use super::page::escape;
use crate::show::count as thousands;

/// One bar: its label, its size, the text at its end.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: u64,
    pub(super) text: String,
}

/// Of a chart across the page, and of one of two beside each other: near their size on a screen, so that
/// the text of both is read at the same size.
const WIDE: u64 = 1040;
const NARROW: u64 = 480;

/// `value` of `most`, scaled to `length`; at least 1 when there is something.
fn scale(value: u64, most: u64, length: u64) -> u64 {
    let scaled = u128::from(value) * u128::from(length) / u128::from(most.max(1));
    let scaled = u64::try_from(scaled).unwrap_or(length).min(length);
    if value > 0 { scaled.max(1) } else { 0 }
}

/// Horizontal bars, largest first as given, each with its number at its end.
pub(super) fn bars(title: &str, class: &str, bars: &[Bar]) -> String {
    const ROW: u64 = 30;
    const LABEL: u64 = 160;
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0);
    // Room for the longest number: a digit takes 8 at most.
    let longest = bars.iter().map(|bar| bar.text.chars().count()).max().unwrap_or(0) as u64;
    let number = (8 * longest + 12).clamp(108, NARROW - LABEL - 60);
    let height = ROW * bars.len() as u64 + 4;
    let mut svg = open(title, NARROW, height);
    for (row, bar) in (0..).zip(bars) {
        let y = row * ROW;
        let width = scale(bar.value, most, NARROW - LABEL - number);
        let (label, text) = (escape(&bar.label), escape(&bar.text));
        let short = escape(&shorten(&bar.label, 22));
        svg.push_str(&format!(
            r#"<g><title>{label}: {text}</title><text class="label" x="{}" y="{}" text-anchor="end">{short}</text><rect class="{class}" x="{LABEL}" y="{}" width="{width}" height="18" rx="2"/><text class="number" x="{}" y="{}">{text}</text></g>"#,
            LABEL - 10,
            y + 20,
            y + 6,
            LABEL + width + 8,
            y + 20,
        ));
    }
    svg + "</svg>"
}

/// Columns of stacked parts, bottom to top in the order of `classes`.
pub(super) fn stacked(
    title: &str,
    classes: [(&str, &str); 3],
    columns: &[[u64; 3]],
    per_column: u64,
) -> String {
    const HEIGHT: u64 = 180;
    const LEFT: u64 = 44;
    let most = columns.iter().map(|column| column.iter().sum()).max().unwrap_or(0);
    let count = (columns.len() as u64).max(1);
    let width = ((WIDE - LEFT) / count).saturating_sub(2).clamp(1, 48);
    let mut svg = open(title, WIDE, HEIGHT + 30);
    svg.push_str(&axis(most, LEFT, WIDE, HEIGHT));
    for (index, column) in (0..).zip(columns) {
        let x = LEFT + index * (WIDE - LEFT) / count;
        let first = index * per_column + 1;
        let mut y = HEIGHT;
        svg.push_str("<g><title>");
        svg.push_str(&format!("decisions {first} to {}", first + column.iter().sum::<u64>() - 1));
        for ((_, name), value) in classes.iter().zip(column) {
            svg.push_str(&format!("\n{name}: {value}"));
        }
        svg.push_str("</title>");
        for ((class, _), value) in classes.iter().zip(column) {
            let height = scale(*value, most, HEIGHT - 14);
            y = y.saturating_sub(height);
            if height > 0 {
                svg.push_str(&format!(
                    r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"/>"#
                ));
            }
        }
        svg.push_str("</g>");
    }
    let last: u64 = columns.iter().flatten().sum();
    svg.push_str(&format!(
        r#"<text class="axis" x="{LEFT}" y="{0}">first</text><text class="axis" x="{WIDE}" y="{0}" text-anchor="end">decision {1}</text></svg>"#,
        HEIGHT + 20,
        thousands(last),
    ));
    svg
}

/// Columns of a distribution, one for each bucket between the first and the last that is used.
pub(super) fn distribution(title: &str, class: &str, columns: &[Bar]) -> String {
    const HEIGHT: u64 = 180;
    const LEFT: u64 = 44;
    let most = columns.iter().map(|column| column.value).max().unwrap_or(0);
    let step = ((NARROW - LEFT) / (columns.len() as u64).max(1)).clamp(8, 110);
    let mut svg = open(title, NARROW, HEIGHT + 30);
    svg.push_str(&axis(most, LEFT, NARROW, HEIGHT));
    // As many labels as have room, one always under the last column.
    let every = columns.len().div_ceil(9).max(1);
    for (index, column) in columns.iter().enumerate() {
        let x = LEFT + index as u64 * step;
        let height = scale(column.value, most, HEIGHT - 14);
        svg.push_str(&format!(
            r#"<g><title>up to {}: {}</title><rect class="{class}" x="{x}" y="{}" width="{}" height="{height}" rx="2"/>"#,
            escape(&column.label),
            escape(&column.text),
            HEIGHT - height,
            step - 3,
        ));
        if (columns.len() - 1 - index).is_multiple_of(every) {
            svg.push_str(&format!(
                r#"<text class="axis" x="{}" y="{}" text-anchor="middle">{}</text>"#,
                x + step / 2,
                HEIGHT + 20,
                escape(&column.label),
            ));
        }
        svg.push_str("</g>");
    }
    svg + "</svg>"
}

fn open(title: &str, width: u64, height: u64) -> String {
    let title = escape(title);
    format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}">"#)
}

/// Lines at zero, at the largest round number below the highest column and at half of it.
fn axis(most: u64, left: u64, width: u64, height: u64) -> String {
    let round = round_below(most);
    let mut lines = String::new();
    for value in [round, round / 2, 0] {
        let y = height - u64::min(height - 14, scale(value, most, height - 14));
        lines.push_str(&format!(
            r#"<line class="grid" x1="{left}" x2="{width}" y1="{y}" y2="{y}"/><text class="axis" x="{}" y="{}" text-anchor="end">{}</text>"#,
            left - 8,
            y + 4,
            compact(value),
        ));
    }
    lines
}

/// The largest of 1, 2, 4, 6, 8, 10, 20, 40, … that is not above the value.
fn round_below(value: u64) -> u64 {
    let Some(digits) = value.checked_ilog10() else { return 0 };
    let decade = 10_u64.saturating_pow(digits);
    let leading = value / decade;
    if leading == 1 { decade } else { leading / 2 * 2 * decade }
}

/// A count that fits beside an axis.
fn compact(value: u64) -> String {
    match value {
        0..10_000 => value.to_string(),
        10_000..10_000_000 => format!("{}k", value / 1_000),
        _ => format!("{}M", value / 1_000_000),
    }
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_marked_at_round_numbers_within_the_chart() {
        let marks = [0, 1, 2, 7, 9, 10, 19, 512, 5_217, u64::MAX].map(round_below);
        let most = 18_000_000_000_000_000_000 / 18 * 10;
        assert_eq!(marks, [0, 1, 2, 6, 8, 10, 10, 400, 4_000, most]);
    }

    #[test]
    fn every_length_is_within_its_chart() {
        assert_eq!(scale(0, 10, 100), 0);
        assert_eq!(scale(1, u64::MAX, 100), 1);
        assert_eq!(scale(u64::MAX, u64::MAX, 100), 100);
        assert_eq!(scale(5, 0, 100), 100);
    }
}
