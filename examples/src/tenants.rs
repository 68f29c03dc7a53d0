//! Six tenants of a made-up company and what their requests look like.
//!
//! Everything here is invented and labelled so: who asks, for what, how much a good answer is worth. A row of a trace
//! gives only token counts; the row's number decides the rest, by the rules of [`request`].

use std::error::Error;

use calybris_core::builder::InputBuilder;
use calybris_core::kernel::KernelInput;

use crate::catalog::{Catalog, EU, REASONING, TOOLS, VISION};
use crate::requests::Row;

/// A team with a budget and a habit.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    /// Its name in the ledger.
    pub name: &'static str,
    /// Its budget, in cents.
    pub budget_cents: i64,
    /// Rows out of 20 that are its own.
    pub share: u64,
    /// The models it asks for, in turn.
    pub asks_for: [&'static str; 3],
    /// What a perfect answer is worth to it, in microdollars.
    pub answer_worth_microdollars: i64,
    /// The most one request may cost it, in microdollars.
    pub request_limit_microdollars: u64,
    /// The lowest quality it accepts, in basis points.
    pub minimum_quality_bps: u16,
    /// The highest 95th percentile latency it accepts in milliseconds, 0 for any.
    pub max_p95_latency_ms: u32,
    /// Capabilities it needs.
    pub capabilities: u64,
    /// Regions it may use, 0 for any.
    pub regions: u64,
    /// The usual risk of its requests, in basis points.
    pub risk_bps: u16,
}

/// The tenants. Shares add up to 20.
pub const TENANTS: [Tenant; 6] = [
    Tenant {
        name: "support-chat",
        budget_cents: 200,
        share: 7,
        asks_for: ["gpt-4o", "openai/gpt-oss-120b", "gpt-5-mini"],
        answer_worth_microdollars: 40_000,
        request_limit_microdollars: 2_000,
        minimum_quality_bps: 8_000,
        max_p95_latency_ms: 3_000,
        capabilities: 0,
        regions: 0,
        risk_bps: 800,
    },
    Tenant {
        name: "code-assist",
        budget_cents: 1_200,
        share: 4,
        asks_for: ["claude-opus-5", "gpt-6-sol", "claude-sonnet-5"],
        answer_worth_microdollars: 250_000,
        request_limit_microdollars: 40_000,
        minimum_quality_bps: 9_000,
        max_p95_latency_ms: 7_000,
        capabilities: TOOLS | REASONING,
        regions: 0,
        risk_bps: 500,
    },
    Tenant {
        name: "contract-review",
        budget_cents: 800,
        share: 2,
        asks_for: ["gpt-5.2", "gpt-6-sol", "gemini-2.5-pro"],
        answer_worth_microdollars: 300_000,
        request_limit_microdollars: 25_000,
        minimum_quality_bps: 9_000,
        max_p95_latency_ms: 0,
        capabilities: REASONING,
        regions: EU,
        risk_bps: 3_500,
    },
    Tenant {
        name: "search-answers",
        budget_cents: 120,
        share: 4,
        asks_for: ["gemini-2.5-flash", "openai/gpt-oss-120b", "gpt-4o-mini"],
        answer_worth_microdollars: 12_000,
        request_limit_microdollars: 3_000,
        minimum_quality_bps: 7_500,
        max_p95_latency_ms: 1_500,
        capabilities: 0,
        regions: 0,
        risk_bps: 300,
    },
    Tenant {
        name: "batch-tagging",
        budget_cents: 20,
        share: 2,
        asks_for: ["gpt-4o-mini", "amazon.nova-micro-v1:0", "amazon.nova-lite-v1:0"],
        answer_worth_microdollars: 4_000,
        request_limit_microdollars: 300,
        minimum_quality_bps: 6_500,
        max_p95_latency_ms: 0,
        capabilities: 0,
        regions: 0,
        risk_bps: 100,
    },
    Tenant {
        name: "intern-sandbox",
        budget_cents: 100,
        share: 1,
        asks_for: ["claude-opus-5", "claude-sonnet-5", "o3"],
        answer_worth_microdollars: 90_000,
        request_limit_microdollars: 50_000,
        minimum_quality_bps: 9_400,
        max_p95_latency_ms: 0,
        capabilities: 0,
        regions: 0,
        risk_bps: 1_500,
    },
];

/// The tenant and the request of a row. By the row's number `n`:
///
/// - the tenant is the one whose share of 20 holds `n mod 20`;
/// - it asks for its models in turn, by `(n div 20) mod 3`;
/// - risk is the tenant's plus `(7,919 n) mod 2,000`; 9,550 when `n mod 41 = 0` (personal data) and 9,700 when
///   `n mod 97 = 0` (flagged as an attack);
/// - confidence is `8,000 + (104,729 n) mod 2,000`, and 5,000 when `n mod 131 = 0` (nobody knows what it is);
/// - when `n mod 53 = 0` the request carries an image.
///
/// # Errors
/// When the catalog lacks the model a tenant asks for.
pub fn request(
    catalog: &Catalog,
    row: &Row,
) -> Result<(&'static Tenant, KernelInput), Box<dyn Error>> {
    let n = row.number;
    let tenant = tenant_of(n).ok_or("the shares of the tenants do not add up to 20")?;
    let spread = |factor: u64| u16::try_from(n.wrapping_mul(factor) % 2_000).unwrap_or_default();
    let risk = match n {
        _ if n.is_multiple_of(97) => 9_700,
        _ if n.is_multiple_of(41) => 9_550,
        _ => tenant.risk_bps + spread(7_919),
    };
    let [first, second, third] = tenant.asks_for;
    let asks_for = match n / 20 % 3 {
        0 => first,
        1 => second,
        _ => third,
    };
    let confidence = if n.is_multiple_of(131) { 5_000 } else { 8_000 + spread(104_729) };
    let image = if n.is_multiple_of(53) { VISION } else { 0 };
    let input = InputBuilder::new(n, catalog.id(asks_for)?)
        .tokens(row.context_tokens, row.generated_tokens)
        .business_value(tenant.answer_worth_microdollars)
        .budget_limit(tenant.request_limit_microdollars)
        .risk(risk, confidence)
        .minimum_quality(tenant.minimum_quality_bps)
        .max_latency(tenant.max_p95_latency_ms)
        .capabilities(tenant.capabilities | image)
        .regions(tenant.regions)
        .build();
    Ok((tenant, input))
}

fn tenant_of(row: u64) -> Option<&'static Tenant> {
    let mut place = row % 20;
    TENANTS.iter().find(|tenant| {
        let found = place < tenant.share;
        place = place.saturating_sub(tenant.share);
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog;

    #[test]
    fn shares_add_up_and_every_row_has_its_tenant() {
        let counted =
            |name| (0..20_u64).filter(|row| tenant_of(*row).unwrap().name == name).count();
        for tenant in TENANTS {
            assert_eq!(Ok(counted(tenant.name)), usize::try_from(tenant.share), "{}", tenant.name);
        }
    }

    #[test]
    fn every_request_is_valid() {
        let catalog = catalog::load().unwrap();
        for number in 0..2_000 {
            let row = Row { number, context_tokens: 900, generated_tokens: 80 };
            let (_, input) = request(&catalog, &row).unwrap();
            assert!(catalog.policy.prescribe_checked(input).is_ok());
        }
    }
}
