//! The page: verdict, charts, policy and head, in one file that loads nothing else.

mod policy;

use calybris_core::budget::ConservationStatus;

use super::charts::{self, Bar};
use super::gather::{GATES, Gathered, Ledger};
use crate::exit::Exit;
use crate::policies::Policies;
use crate::show::{count, money, percent};
use crate::tally::Sum;
use crate::verdict::Item;

/// The most bars of one chart; the rest are summed in the last.
const MAX_BARS: usize = 12;

/// Text as HTML shows it, in elements and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(super) fn render(gathered: &Gathered, policies: &Policies) -> String {
    let log = escape(&gathered.verdict.subject);
    let body = [
        verdict(gathered),
        tiles(gathered, policies),
        timeline(gathered),
        spend(gathered, policies),
        distributions(gathered, policies),
        ledger(gathered.ledger.as_ref()),
        policies.iter().map(policy::in_words).collect(),
        head(gathered),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Decision log {log}</title><style>{}</style></head>\n\
         <body><main><h1>Decision log</h1><p class=\"mono soft\">{log}</p>\n{}\n</main></body></html>\n",
        include_str!("style.css"),
        body.concat(),
    )
}

fn section(title: &str, inner: &str) -> String {
    format!("<section><h2>{}</h2>{inner}</section>\n", escape(title))
}

fn verdict(gathered: &Gathered) -> String {
    let verdict = &gathered.verdict;
    let (class, word) = match verdict.exit {
        Exit::Verified => ("good", "✓ Verified"),
        Exit::Tampered => ("bad", "✕ Tampered"),
        Exit::Incomplete => ("warn", "! Incomplete"),
        _ => ("warn", "? Cannot tell"),
    };
    let row = |(name, item): &(&str, Item)| {
        let (class, mark, text) = match item {
            Item::Established { what } => ("good", "✓", escape(what)),
            Item::Refuted(failure) => {
                ("bad", "✕", escape(&failure.to_string()).replace('\n', "<br>"))
            }
            Item::NotChecked { why } => ("soft", "–", format!("not checked: {}", escape(why))),
        };
        let side = format!("<th class=\"{class}\">{mark} {name}</th>");
        format!("<tr>{side}<td class=\"{class}\">{text}</td></tr>")
    };
    let rows: String = verdict.items.iter().map(row).collect();
    format!(
        "<div class=\"verdict {class}\">{word}</div><table class=\"items\">{rows}</table>\
         <p class=\"soft\">It does not show that the requests were truthful or that the decisions were acted on; \
         what is not checked may be otherwise.</p>\n"
    )
}

fn tiles(gathered: &Gathered, policies: &Policies) -> String {
    let total = &gathered.sums.tally.total;
    let tiles = [
        ("decisions", count(total.decisions)),
        ("executed as requested", percent(total.executed, total.decisions)),
        ("substituted", percent(total.substituted, total.decisions)),
        ("rejected", percent(total.rejected, total.decisions)),
        ("estimated spend", money(total.cost_microunits, policies.currency())),
    ];
    let tiles = tiles.iter().map(|(label, value)| {
        format!(
            "<div class=\"tile\"><b>{}</b><span class=\"soft\">{label}</span></div>",
            escape(value)
        )
    });
    format!("<div class=\"tiles\">{}</div>\n", tiles.collect::<String>())
}

fn timeline(gathered: &Gathered) -> String {
    const PARTS: [(&str, &str); 3] = [
        ("executed", "executed as requested"),
        ("substituted", "substituted"),
        ("rejected", "rejected"),
    ];
    let swatch = |(class, name): &(&str, &str)| {
        format!(
            "<span><svg viewBox=\"0 0 12 12\"><rect class=\"{class}\" width=\"12\" height=\"12\" rx=\"2\"/></svg>{name}</span>"
        )
    };
    let timeline = &gathered.timeline;
    let chart = charts::stacked(
        "Decisions by outcome, in the order of the log",
        PARTS,
        &timeline.columns,
        timeline.per_column,
    );
    let key: String = PARTS.iter().map(swatch).collect();
    let columns = match timeline.per_column {
        1 => "each decision is a column".to_owned(),
        n => format!("a column is {} decisions", count(n)),
    };
    let note = format!("In the order of the log; {columns}.");
    section(
        "Decisions by outcome",
        &format!("<div class=\"key\">{key}</div>{chart}<p class=\"soft\">{note}</p>"),
    )
}

fn spend(gathered: &Gathered, policies: &Policies) -> String {
    let currency = policies.currency();
    let tenants = gathered.sums.tally.tenants.iter().map(|(name, sum)| (name.clone(), sum));
    let turned_down = tenants.clone().filter(|(_, sum)| sum.rejected > 0);
    let turned_down = largest(turned_down, |sum| sum.rejected, |sum| count(sum.rejected));
    let turned_down = charts::bars("Requests refused, by tenant", "rejected", &turned_down);
    let executed = gathered.sums.tally.models.iter().filter(|(id, _)| **id != 0);
    let models = executed.map(|(id, sum)| (policies.model(*id), sum));
    let cost = |sum: &Sum| u64::try_from(sum.cost_microunits).unwrap_or(u64::MAX);
    let cost_text = |sum: &Sum| money(sum.cost_microunits, currency);
    let refused = gathered.sums.tally.reasons.iter().filter(|(_, sum)| sum.rejected > 0);
    let refused = refused.map(|(name, sum)| (String::from(*name), sum));
    let refusals = largest(refused, |sum| sum.rejected, |sum| count(sum.rejected));
    let refusals = if refusals.is_empty() {
        "<p class=\"soft\">Nothing was refused.</p>".into()
    } else {
        charts::bars("Refusals by reason", "rejected", &refusals)
    };
    let gates = GATES.iter().zip(&gathered.sums.gates).filter(|(_, turned_away)| **turned_away > 0);
    let mut gates: Vec<_> = gates
        .map(|(gate, n)| Bar { label: gate.to_string(), value: *n, text: count(*n) })
        .collect();
    gates.sort_by_key(|bar| std::cmp::Reverse(bar.value));
    let gates = charts::bars("Models turned away, by gate", "rejected", &gates);
    let by_tenant = charts::bars("Spend by tenant", "plain", &largest(tenants, cost, cost_text));
    let by_model =
        charts::bars("Spend by model", "plain", &largest(models.clone(), cost, cost_text));
    let uses = largest(models, |sum| sum.decisions, |sum| count(sum.decisions));
    let uses = charts::bars("Decisions by model", "executed", &uses);
    format!(
        "<div class=\"grid2\">{}{}{}{}{}{}</div>\n",
        section("Estimated spend by tenant", &by_tenant),
        section("Estimated spend by model", &by_model),
        section("Decisions by selected model", &uses),
        section("Requests refused, by tenant", &turned_down),
        section("Requests refused, by reason", &refusals),
        section("Models turned away, by gate, over all requests", &gates),
    )
}

/// The largest first, and what does not fit summed in the last.
fn largest<'a>(
    sums: impl Iterator<Item = (String, &'a Sum)>,
    size: impl Fn(&Sum) -> u64,
    text: impl Fn(&Sum) -> String,
) -> Vec<Bar> {
    let mut sums: Vec<_> = sums.collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(size(sum)));
    let rest = sums.split_off(sums.len().min(MAX_BARS));
    let bar = |(label, sum): (String, &Sum)| Bar { label, value: size(sum), text: text(sum) };
    let mut bars: Vec<_> = sums.into_iter().map(bar).collect();
    if !rest.is_empty() {
        let mut sum = Sum::default();
        rest.iter().for_each(|(_, other)| sum.join(other));
        let label = format!("{} others", rest.len());
        bars.push(Bar { label, value: size(&sum), text: text(&sum) });
    }
    bars
}

fn distributions(gathered: &Gathered, policies: &Policies) -> String {
    let columns = |buckets: &std::collections::BTreeMap<u64, u64>,
                   label: &dyn Fn(u64) -> String| {
        let bars = buckets.iter().map(|(bound, n)| Bar {
            label: label(*bound),
            value: *n,
            text: format!("{} decisions", count(*n)),
        });
        bars.collect::<Vec<_>>()
    };
    let cost = columns(&gathered.sums.costs, &short_money);
    let latency = columns(&gathered.sums.latencies, &|bound| count(bound));
    let currency = policies.currency();
    format!(
        "<div class=\"grid2\">{}{}</div>\n",
        section(
            &format!("Estimated cost of a decision, up to … {currency}"),
            &charts::distribution("Distribution of estimated cost", "plain", &cost)
        ),
        section(
            "Latency of the selected model (p95), up to … ms",
            &charts::distribution("Distribution of latency", "plain", &latency)
        ),
    )
}

/// Money without the zeros at its end.
fn short_money(microunits: u64) -> String {
    money(microunits, "").trim_end_matches('0').trim_end_matches('.').into()
}

fn ledger(ledger: Option<&Ledger>) -> String {
    let Some(Ledger { snapshot, digest, status }) = ledger else {
        return section(
            "Budgets",
            "<p class=\"soft\">No ledger snapshot was given with <span class=\"mono\">--ledger</span>.</p>",
        );
    };
    let verdict = match status {
        ConservationStatus::Balanced => {
            "<p class=\"good\">✓ Every tenant balances: remaining + reserved + committed = initial.</p>".into()
        }
        broken => format!("<p class=\"bad\">✕ {}</p>", escape(&broken.to_string())),
    };
    // A cent is 1,000,000 microcents.
    let units = |microcents: i64| money(i128::from(microcents), "¢");
    let rows: String = snapshot
        .tenants
        .iter()
        .map(|tenant| {
            format!(
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&tenant.tenant_id),
                units(tenant.initial_microcents),
                units(tenant.remaining_microcents),
                units(tenant.reserved_microcents),
                units(tenant.committed_microcents),
            )
        })
        .collect();
    section(
        "Budgets",
        &format!(
            "{verdict}<div class=\"scroll\"><table><tr><th>tenant</th><th>initial</th><th>remaining</th><th>reserved</th><th>committed</th></tr>{rows}</table></div>\
             <p class=\"soft\" style=\"margin-top:10px\">Ledger digest <span class=\"mono\">{digest}</span></p>"
        ),
    )
}

fn head(gathered: &Gathered) -> String {
    let title = "The head, and how to check it";
    let head = gathered.verdict.head.as_ref();
    let Some(head) = head else {
        return section(title, "<p>The chain does not hold, so there is no head to check.</p>");
    };
    let anchor = serde_json::to_string(head).unwrap_or_default();
    section(
        title,
        &format!(
            "<p>Entry {}, hash <span class=\"mono\">{}</span></p>\
             <p class=\"soft\">Keep this anchor where the log's owner cannot reach; later logs must contain it:</p><pre class=\"mono\">{}</pre>\
             <p class=\"soft\">To check this page against the log, with the anchor in a file:</p><pre class=\"mono\">calybris verify {} --policy POLICY --anchor ANCHOR</pre>",
            count(head.sequence),
            head.last_hash,
            escape(&anchor),
            escape(&gathered.verdict.subject),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_log_becomes_markup() {
        let hostile = "<script>alert('x')</script> \"&";
        let expected = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &quot;&amp;";
        assert_eq!(escape(hostile), expected);
    }

    #[test]
    fn what_does_not_fit_is_summed() {
        let sums: Vec<_> =
            (0..20_u64).map(|n| (n.to_string(), Sum { decisions: n, ..Sum::default() })).collect();
        let named = sums.iter().map(|(name, sum)| (name.clone(), sum));
        let bars = largest(named, |sum| sum.decisions, |sum| sum.decisions.to_string());
        assert_eq!(bars.len(), MAX_BARS + 1);
        assert_eq!(bars[0].value, 19);
        assert_eq!(bars[MAX_BARS].label, "8 others");
        assert_eq!(bars.iter().map(|bar| bar.value).sum::<u64>(), 190);
    }
}
