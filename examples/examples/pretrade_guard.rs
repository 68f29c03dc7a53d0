//! A pre-trade check: strategies send orders in parallel, one desk limit holds for all of them.
//!
//! A candidate is a route to a venue, a token is a share: fees are per million shares, quality is the share of
//! such orders that fills. Fees, fill rates and orders are made up.
//!
//! `cargo run --example pretrade_guard`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use calybris_core::budget::{BudgetEngine, BudgetReservation, BudgetSettlement};
use calybris_core::builder::{InputBuilder, ModelBuilder, PolicyBuilder};
use calybris_core::config::EngineConfig;
use calybris_core::finance::prove_conservation;
use calybris_core::kernel::{KernelInput, PolicySnapshot};
use calybris_examples::Outcome;
use calybris_examples::money::{MICROCENTS_PER_DOLLAR, thousands, usd, usd_from_microdollars};
use calybris_examples::report::{Tally, heading, table};

const DESK: &str = "desk-equities";
const STRATEGIES: [&str; 4] = ["momentum", "pairs", "index-arb", "market-making"];
const ORDERS_PER_STRATEGY: u64 = 500;
/// Notional the desk may have in the market at once, in dollars.
const EXPOSURE_CAP_DOLLARS: i64 = 6_000_000;
/// Notional it may trade in the day, in dollars.
const DAY_LIMIT_DOLLARS: i64 = 250_000_000;

/// Routes: id, name, fill rate in bps, p95 latency in ms, fee in microdollars per million shares, venue bit.
const ROUTES: [(u32, &str, u16, u32, u64, u64); 4] = [
    (1, "lit-primary", 9_700, 2, 3_000_000_000, 1), // $0.0030 a share
    (2, "lit-inverted", 8_800, 3, 1_200_000_000, 1), // $0.0012 a share
    (3, "dark-midpoint", 7_900, 8, 400_000_000, 2), // $0.0004 a share
    (4, "slow-auction", 7_200, 20, 0, 4),           // free
];

fn main() -> ExitCode {
    calybris_examples::run(guard)
}

fn guard() -> Outcome {
    let config = EngineConfig::new()
        .latency_penalty(20_000) // a millisecond of delay costs 2 cents
        .hard_risk_limit(8_000)
        .default_exposure_cap(EXPOSURE_CAP_DOLLARS * MICROCENTS_PER_DOLLAR);
    let route = |(id, _, fill, latency, fee, venue)| {
        ModelBuilder::new(id, 0).quality(fill).latency(latency).regions(venue).cost(fee, 0).build()
    };
    let policy = PolicyBuilder::new(config).models(ROUTES.map(route)).build()?;
    let ledger = BudgetEngine::new();
    config.ensure_tenant(&ledger, DESK, DAY_LIMIT_DOLLARS * MICROCENTS_PER_DOLLAR)?;

    let book = Mutex::new(Book::default());
    thread::scope(|scope| {
        for (strategy, number) in STRATEGIES.iter().zip(0..) {
            let (policy, ledger, book) = (&policy, &ledger, &book);
            scope.spawn(move || trade(strategy, number, policy, ledger, book));
        }
    });
    let book = book.into_inner().map_err(|_| "a strategy panicked")?;
    report(&book, &ledger)
}

/// What happened, over all strategies.
#[derive(Default)]
struct Book {
    outcomes: Tally,
    refusals: Tally,
    routes: BTreeMap<u32, (u64, u64)>,
    highest_exposure_microcents: i64,
}

/// An order by its number: shares, price, edge and risk by stated rules.
fn order(strategy: u64, number: u64) -> (KernelInput, i64) {
    let n = strategy * ORDERS_PER_STRATEGY + number + 1;
    let shares = u32::try_from(100 * (1 + n * 7 % 40)).unwrap_or(100);
    let price_dollars = i64::try_from(20 + n * 13 % 180).unwrap_or(20);
    let notional = i64::from(shares) * price_dollars * MICROCENTS_PER_DOLLAR;
    // The expected edge: 1 to 20 dollars an order.
    let edge = i64::try_from(1 + n * 11 % 20).unwrap_or(1) * 1_000_000;
    let risk = u16::try_from(n * 37 % 8_400).unwrap_or(0);
    let venues = if n.is_multiple_of(29) { 8 } else { 0 }; // a venue nobody routes to
    let input = InputBuilder::new(n, 1)
        .tokens(shares, 0)
        .business_value(edge)
        .risk(risk, 9_000)
        .minimum_quality(if n.is_multiple_of(3) { 9_000 } else { 5_000 })
        .max_latency(if strategy == 3 { 5 } else { 0 })
        .regions(venues)
        .build();
    (input, notional)
}

fn trade(
    name: &str,
    strategy: u64,
    policy: &PolicySnapshot,
    ledger: &BudgetEngine,
    book: &Mutex<Book>,
) {
    let mut in_market = Vec::new();
    for number in 0..ORDERS_PER_STRATEGY {
        let (input, notional) = order(strategy, number);
        let decision = policy.prescribe(input);
        let answer = if decision.is_rejected() {
            Err(decision.reason.to_string())
        } else {
            match ledger.try_reserve(DESK, notional) {
                (BudgetReservation::Reserved { .. }, Some(hold)) => Ok(hold),
                (BudgetReservation::ExposureLimitExceeded { .. }, _) => {
                    Err("desk exposure cap".into())
                }
                (BudgetReservation::Insufficient { .. }, _) => Err("desk day limit".into()),
                (refused, _) => Err(format!("{refused:?}")),
            }
        };
        let exposure = ledger.reserved_microcents(DESK);
        if let Ok(mut book) = book.lock() {
            book.highest_exposure_microcents = book.highest_exposure_microcents.max(exposure);
            match &answer {
                Ok(_) => {
                    book.outcomes.add(format!("{name}: sent"));
                    let (orders, fees) = book.routes.entry(decision.selected_model_id).or_default();
                    *orders += 1;
                    *fees += decision.estimated_cost_microunits;
                }
                Err(reason) => {
                    book.outcomes.add(format!("{name}: stopped"));
                    book.refusals.add(reason.clone());
                }
            }
        }
        thread::yield_now();
        let sent = answer.is_ok();
        in_market.extend(answer.ok().map(|hold| (hold, notional)));
        // At most eight orders of a strategy are in the market, and one comes back whenever one is stopped;
        // the oldest first, and every fifth of them cancelled.
        if in_market.len() == 8 || (!sent && !in_market.is_empty()) {
            let (hold, notional) = in_market.remove(0);
            settle(ledger, number, hold, notional);
        }
    }
    for ((hold, notional), number) in in_market.into_iter().zip(0..) {
        settle(ledger, number, hold, notional);
    }
}

fn settle(ledger: &BudgetEngine, number: u64, hold: u64, notional: i64) {
    let settled =
        if number.is_multiple_of(5) { ledger.release(hold) } else { ledger.commit(hold, notional) };
    debug_assert!(matches!(
        settled,
        BudgetSettlement::Committed { .. } | BudgetSettlement::Released { .. }
    ));
}

fn report(book: &Book, ledger: &BudgetEngine) -> Outcome {
    heading(&format!(
        "{} orders of {} strategies in parallel",
        thousands(book.outcomes.total()),
        STRATEGIES.len()
    ));
    book.outcomes.print("strategy");
    heading("Stopped, and by what");
    book.refusals.print("reason");
    heading("Sent, by route");
    let row = |(id, name, ..): &(u32, &str, u16, u32, u64, u64)| {
        let (orders, fees) = book.routes.get(id).copied().unwrap_or_default();
        vec![(*name).to_owned(), thousands(orders), usd_from_microdollars(fees, 2)]
    };
    table(&["route", "orders", "fees"], 1, ROUTES.iter().map(row));
    let proof = prove_conservation(ledger)?;
    heading("The desk");
    let amount = |microcents: Option<i64>| usd(microcents.unwrap_or(0), 2);
    println!("day limit           {}", usd(DAY_LIMIT_DOLLARS * MICROCENTS_PER_DOLLAR, 2));
    println!("traded              {}", amount(ledger.committed_microcents(DESK)));
    println!("left for the day    {}", amount(ledger.remaining_microcents(DESK)));
    println!("in the market       {}", amount(Some(ledger.reserved_microcents(DESK))));
    println!(
        "highest exposure    {} of {}",
        usd(book.highest_exposure_microcents, 2),
        usd(EXPOSURE_CAP_DOLLARS * MICROCENTS_PER_DOLLAR, 2)
    );
    println!("conservation proof  {}", proof.ledger_digest_hex);
    Ok(())
}
