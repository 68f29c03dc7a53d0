//! A swarm of agents on one shared budget, killed three times, and the table a finance person would ask for.
//!
//! The swarm is a process of its own: 24 agents in parallel, holding, growing, settling, retrying, and now and then
//! forgetting to settle. It is killed (`kill -9`) in the middle, three times; the fourth time it may finish. Whoever
//! opens the ledger afterwards finds everything that was acknowledged. Agents, prices and budgets are made up.
//!
//! `cargo run --release --example agent_budget`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use calybris_core::budget::{
    Applied, HoldAction, LedgerOperation, LedgerState, Receipt, Refusal, TenantAction, TenantState,
    Window,
};
use calybris_core::digest::HexDigest;
use calybris_core::persistence::{DurableLedger, LedgerRecord, Outcome as Recorded};
use calybris_core::wal::visit_verified_wal;
use calybris_examples::Outcome;
use calybris_examples::money::{MICROCENTS_PER_CENT, thousands, usd};
use calybris_examples::report::{heading, percent, table};

/// Tenants, parents and grants in cents. Parents come first; an agent is below its team.
const TREE: [(&str, Option<&str>, i64); 4] = [
    ("acme", None, 4_000),
    ("research", Some("acme"), 2_400),
    ("support", Some("acme"), 1_500),
    ("growth", Some("acme"), 400),
];
const AGENTS: u64 = 24;
const AGENT_GRANT_CENTS: i64 = 180;
/// What a team may spend in a window of a minute of caller time, in cents.
const TEAM_WINDOW_CENTS: i64 = 600;
const STEPS: u64 = 260;
const KILLS: u64 = 3;
/// Caller time is in milliseconds; an agent that does not settle in time loses its hold.
const DEADLINE_MS: u64 = 4_000;
const MINUTE_MS: u64 = 60_000;

fn main() -> ExitCode {
    calybris_examples::run(|| {
        let mut arguments = std::env::args().skip(1);
        match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
            (Some("--swarm"), Some(folder), Some(round)) => {
                swarm(Path::new(&folder), round.parse()?)
            }
            _ => observe(),
        }
    })
}

/// The parent: starts the swarm, kills it, looks at what is left.
fn observe() -> Outcome {
    let folder = tempfile::tempdir()?;
    let directory = folder.path().join("ledger");
    heading(&format!("{AGENTS} agents in three teams, {} for all of them", cents(TREE[0].2)));
    for round in 0..=KILLS {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--swarm")
            .arg(&directory)
            .arg(round.to_string())
            .spawn()?;
        if round < KILLS {
            thread::sleep(Duration::from_millis(250 + 150 * round));
            child.kill()?;
        }
        let status = child.wait()?;
        if round == KILLS && !status.success() {
            return Err("the last swarm did not finish".into());
        }
        found(&directory, round)?;
    }
    let ledger = DurableLedger::open(&directory)?;
    let (state, refusals) = (ledger.state()?, History::read(&directory)?);
    print_table(&state);
    refusals.print();
    prove(&ledger, &state, &refusals)
}

/// Opens the ledger after a round and says what was found; holds of the dead are given back when they are due.
fn found(directory: &Path, round: u64) -> Outcome {
    let ledger = DurableLedger::open(directory)?;
    let report = ledger.report();
    let held: i64 = report.open_holds.iter().map(|hold| hold.amount_microcents).sum();
    let what =
        if round < KILLS { format!("kill -9, number {}", round + 1) } else { "the end".into() };
    println!("\n{what}");
    let torn = match report.log.cut_bytes {
        0 => "whole".to_owned(),
        bytes => format!("{bytes} bytes of an unfinished one moved away"),
    };
    println!("  log            {} entries, {torn}", thousands(report.log.sequence));
    println!(
        "  recovered      from the checkpoint at {}, {} operations replayed",
        thousands(report.checkpoint_sequence),
        thousands(report.operations_replayed)
    );
    println!("  still on hold  {} holds, {}", report.open_holds.len(), usd(held, 8));
    // Nothing is refunded by itself. The deadlines are; here their time has come.
    let expire = LedgerOperation::Expire { now: start_of(round + 1) - 1 };
    if let Ok(Applied::Expired(expired)) = ledger.apply(&expire)? {
        let returned: i64 = expired.iter().map(|hold| hold.amount_microcents).sum();
        println!("  expired        {} of them, {} given back", expired.len(), usd(returned, 8));
    }
    Ok(())
}

/// The child: until it is done, or killed.
fn swarm(directory: &Path, round: u64) -> Outcome {
    let ledger = DurableLedger::open(directory)?;
    for operation in opening() {
        ledger.apply(&operation)??;
    }
    let clock = AtomicU64::new(start_of(round));
    let failed = thread::scope(|scope| {
        let agent = |number| {
            let (ledger, clock) = (&ledger, &clock);
            scope.spawn(move || {
                agent(ledger, clock, round, number).map_err(|error| error.to_string())
            })
        };
        let agents: Vec<_> = (0..AGENTS).map(agent).collect();
        // A checkpoint in the middle, with holds open.
        thread::sleep(Duration::from_millis(120));
        let saved = ledger.checkpoint().map(drop).map_err(|error| error.to_string());
        let done =
            agents.into_iter().map(|agent| agent.join().map_err(|_| "an agent panicked".into()));
        done.map(|joined| joined.and_then(|result| result)).fold(saved, Result::and)
    });
    failed.map_err(Into::into)
}

/// Rounds are an hour apart.
fn start_of(round: u64) -> u64 {
    1 + round * 60 * MINUTE_MS
}

fn opening() -> Vec<LedgerOperation> {
    let open = |tenant: String, parent: Option<&str>, cents: i64| LedgerOperation::Open {
        tenant,
        parent: parent.map(str::to_owned),
        initial_microcents: cents * MICROCENTS_PER_CENT,
        now: 0,
        key: None,
    };
    let window = |tenant: &str| LedgerOperation::Tenant {
        tenant: tenant.to_owned(),
        action: TenantAction::SetWindow {
            window: Window::Rolling { length: MINUTE_MS },
            limit_microcents: Some(TEAM_WINDOW_CENTS * MICROCENTS_PER_CENT),
        },
        now: 0,
        // Set once, however often the swarm is started.
        key: Some("minute".to_owned()),
    };
    let mut operations: Vec<_> = TREE
        .iter()
        .map(|(name, parent, cents)| open((*name).to_owned(), *parent, *cents))
        .collect();
    operations.extend(TREE.iter().filter(|it| it.1.is_some()).map(|(name, ..)| window(name)));
    let agents =
        (0..AGENTS).map(|number| open(name(number), Some(team(number)), AGENT_GRANT_CENTS));
    operations.extend(agents);
    operations
}

fn team(agent: u64) -> &'static str {
    match agent % 8 {
        0..4 => "research",
        4..7 => "support",
        _ => "growth",
    }
}

fn name(agent: u64) -> String {
    format!("{}/agent-{agent:02}", team(agent))
}

/// One agent: hold what an answer may cost, grow if it gets longer, settle what it did cost.
fn agent(
    ledger: &DurableLedger,
    clock: &AtomicU64,
    round: u64,
    number: u64,
) -> Result<(), Box<dyn Error>> {
    let mut random = fastrand::Rng::with_seed(round * 1_000 + number);
    let name = name(number);
    for step in 0..STEPS {
        let now = clock.fetch_add(random.u64(1..20), Ordering::Relaxed);
        let bound = random.i64(20_000..900_000); // 0.02 to 0.9 cents
        let reserve = LedgerOperation::Tenant {
            tenant: name.clone(),
            action: TenantAction::Reserve {
                amount_microcents: bound,
                deadline: Some(now + DEADLINE_MS),
            },
            now,
            key: Some(format!("{round}-{number}-{step}")),
        };
        let answer = ledger.apply(&reserve)?;
        // One answer in ten gets lost on the way, and the agent asks again.
        if step % 10 == 0 && ledger.apply(&reserve)? != answer {
            return Err("the same request got two answers".into());
        }
        let Ok(Applied::Receipt(Receipt { hold: Some(hold), .. })) = answer else { continue };
        let on_hold = |action| LedgerOperation::Hold { hold, action, now, key: None };
        if random.u8(0..4) == 0 {
            let _answered =
                ledger.apply(&on_hold(HoldAction::Grow { amount_microcents: bound / 4 }))?;
        }
        let settle = match random.u8(0..20) {
            0 => continue, // the agent forgot; the deadline will not
            1 => HoldAction::Release,
            2 => HoldAction::CommitHeld,
            _ => HoldAction::Commit { actual_microcents: bound * random.i64(30..100) / 100 },
        };
        let _answered = ledger.apply(&on_hold(settle))?;
    }
    Ok(())
}

/// Refusals and repeated requests, out of the log: it has every question and every answer.
#[derive(Default)]
struct History {
    operations: u64,
    repeated: u64,
    refused: BTreeMap<(String, &'static str), u64>,
}

impl History {
    fn read(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let (mut history, mut keys) = (Self::default(), BTreeSet::new());
        visit_verified_wal::<LedgerRecord, _>(&directory.join("log"), |entry| {
            let LedgerRecord::Operation { operation, outcome } = entry.data else { return };
            history.operations += 1;
            if let LedgerOperation::Tenant { tenant, key: Some(key), .. } = &operation {
                history.repeated += u64::from(!keys.insert((tenant.clone(), key.clone())));
            }
            if let Recorded::Refusal(refusal) = outcome {
                history.count(refusal);
            }
        })?;
        Ok(history)
    }

    fn count(&mut self, refusal: Refusal) {
        use calybris_core::budget::RefusalReason as R;

        let why = match refusal.reason {
            R::Insufficient { .. } => "nothing left",
            R::WindowLimit { .. } => "limit of the minute",
            R::Overrun { .. } => "more spent than held",
            _ => "other",
        };
        let scope = refusal
            .scope
            .split_once('/')
            .map_or(refusal.scope.clone(), |(team, _)| format!("an agent of {team}"));
        *self.refused.entry((scope, why)).or_default() += 1;
    }

    fn print(&self) {
        heading("Refused: whose limit it was, and which");
        let row = |((scope, why), count): (&(String, &str), &u64)| {
            vec![scope.clone(), (*why).to_owned(), thousands(*count)]
        };
        table(&["scope", "why", "requests"], 2, self.refused.iter().map(row));
    }
}

fn cents(cents: i64) -> String {
    usd(cents * MICROCENTS_PER_CENT, 2)
}

fn print_table(state: &LedgerState) {
    heading("The budget, by team: what was granted, spent, set aside, and is left");
    let row = |tenant: &TenantState| {
        let team = tenant.parent_id.is_some() && !tenant.tenant_id.contains('/');
        let indent = if team { "  " } else { "" };
        let amount = |microcents| usd(microcents, 8);
        let (spent, granted) = (tenant.committed_microcents, tenant.initial_microcents);
        vec![
            format!("{indent}{}", tenant.tenant_id),
            amount(granted),
            amount(spent),
            amount(tenant.reserved_microcents),
            amount(tenant.remaining_microcents),
            percent(spent.unsigned_abs(), granted.unsigned_abs()),
        ]
    };
    let teams = || state.tenants.iter().filter(|tenant| !tenant.tenant_id.contains('/'));
    table(&["team", "granted", "spent", "on hold", "left", "used"], 1, teams().map(row));
    heading("The five agents that spent most");
    let mut agents: Vec<_> = state.tenants.iter().filter(|it| it.tenant_id.contains('/')).collect();
    agents.sort_by_key(|agent| std::cmp::Reverse(agent.committed_microcents));
    table(
        &["agent", "granted", "spent", "on hold", "left", "used"],
        1,
        agents.into_iter().take(5).map(row),
    );
}

/// Every tenant adds up, and every team is the sum of its agents.
fn prove(ledger: &DurableLedger, state: &LedgerState, history: &History) -> Outcome {
    heading("Proof");
    let proof = ledger.prove_conservation()?;
    for parent in state.tenants.iter().filter(|tenant| !tenant.tenant_id.contains('/')) {
        let below =
            state.tenants.iter().filter(|it| it.parent_id.as_ref() == Some(&parent.tenant_id));
        let spent: i64 = below.map(|tenant| tenant.committed_microcents).sum();
        if spent != parent.committed_microcents {
            return Err(format!("{} is not the sum of what is below it", parent.tenant_id).into());
        }
    }
    println!("  tenants that balance   {} of {}", proof.tenant_count, state.tenants.len());
    println!("  teams                  each the sum of its agents, and the company of its teams");
    println!("  operations logged      {}", thousands(history.operations));
    println!(
        "  asked twice            {}, answered the same, charged once",
        thousands(history.repeated)
    );
    println!("  state digest           {}", HexDigest::new(&state.digest()));
    println!("  head of the log        {}", ledger.anchor().last_hash);
    Ok(())
}
