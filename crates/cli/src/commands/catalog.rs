//! `calybris catalog import`: a policy document from a published price list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use calybris_core::kernel::{ALL_REGIONS, KernelModel, MAX_PROVIDER_ID};
use calybris_core::policy_document::{NamedModel, PolicyDocument};
use calybris_core::prices::{ListedPrice, PriceList, PriceOptions, Rounding, TierRule};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::show::count;

#[derive(clap::Subcommand, Debug)]
pub(crate) enum Action {
    /// Make a policy document from a price list; every price that is not exact is listed, and refused or rounded
    Import(Import),
}

#[derive(clap::Args, Debug)]
pub(crate) struct Import {
    /// The price list
    list: PathBuf,
    /// Who publishes it
    #[arg(long, value_enum)]
    format: Format,
    /// Take only this provider; repeat it for several
    #[arg(long, value_name = "NAME")]
    provider: Vec<String>,
    /// Take only this model; repeat it for several
    #[arg(long, value_name = "NAME")]
    model: Vec<String>,
    /// The day whose prices apply, as YYYY-MM-DD
    #[arg(long, value_name = "DAY")]
    as_of: Option<String>,
    /// What to do with prices that rise with the length of the prompt
    #[arg(long, value_enum, default_value_t = Tiers::Refuse)]
    tiers: Tiers,
    /// What to do with prices that are no whole number of microunits per million tokens
    #[arg(long, value_enum, default_value_t = Round::Refuse)]
    round: Round,
    /// Quality of every model, in basis points: a price list says nothing about it
    #[arg(long, value_name = "BPS", default_value_t = 8_000)]
    quality: u16,
    /// 95th percentile latency of every model, in milliseconds: a price list says nothing about it
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1_000)]
    latency: u32,
    /// Where to write the document; standard output when left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Pydantic's genai-prices, data.json
    GenaiPrices,
    /// LiteLLM's model_prices_and_context_window.json
    Litellm,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Tiers {
    /// Refuse the model
    Refuse,
    /// The price of short prompts
    Base,
    /// The highest price
    Highest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Round {
    /// Refuse the model
    Refuse,
    /// To the next whole microunit above: never below the published price
    Up,
    /// To the nearest whole microunit, halves up: undoes the binary rounding in `0.18000000000000002`
    Nearest,
}

pub(crate) fn run(action: &Action) -> Result<Exit> {
    let Action::Import(arguments) = action;
    let options = PriceOptions {
        as_of: arguments.as_of.clone(),
        tiers: match arguments.tiers {
            Tiers::Refuse => TierRule::Refuse,
            Tiers::Base => TierRule::Base,
            Tiers::Highest => TierRule::Highest,
        },
        rounding: match arguments.round {
            Round::Refuse => Rounding::Refuse,
            Round::Up => Rounding::Up,
            Round::Nearest => Rounding::Nearest,
        },
    };
    let json = files::text(&arguments.list)?;
    let list = match arguments.format {
        Format::GenaiPrices => PriceList::from_genai_prices(&json, &options),
        Format::Litellm => PriceList::from_litellm(&json, &options),
    };
    let list = list.map_err(|error| Failure::file(&arguments.list, error))?;
    let refused = list.refused.iter().filter(|r| arguments.wants(&r.provider, &r.model));
    let refused: Vec<_> = refused.map(|refused| format!("refused  {refused}")).collect();
    let rounded = list.rounded.iter().filter(|r| arguments.wants(&r.provider, &r.model));
    let rounded: Vec<_> = rounded.map(|rounded| format!("rounded  {rounded}")).collect();
    rounded.iter().chain(&refused).for_each(|line| files::note(line));
    let wanted = list.prices.iter().filter(|price| arguments.wants(&price.provider, &price.model));
    let wanted: Vec<_> = wanted.collect();
    let number = |n: usize| count(i128::try_from(n).unwrap_or_default());
    if wanted.is_empty() {
        let problem =
            format!("no usable price of what was asked for, {} refused", number(refused.len()));
        return Err(Failure::file(&arguments.list, problem));
    }
    let document = arguments.document(&wanted)?;
    files::note(&format!(
        "imported {} models, {} of their prices rounded, refused {}",
        number(wanted.len()),
        number(rounded.len()),
        number(refused.len()),
    ));
    files::write(arguments.output.as_deref(), &document.to_json()?)?;
    Ok(Exit::Verified)
}

impl Round {
    /// Of the imported prices, in the document's description.
    const fn as_prices_are(self) -> &'static str {
        match self {
            Self::Refuse => "exactly",
            Self::Up => "and, where finer than a microunit, rounded up",
            Self::Nearest => "and, where finer than a microunit, rounded to the nearest",
        }
    }
}

impl Import {
    fn wants(&self, provider: &str, model: &str) -> bool {
        let among =
            |names: &[String], name: &str| names.is_empty() || names.iter().any(|n| n == name);
        among(&self.provider, provider) && among(&self.model, model)
    }

    fn document(&self, wanted: &[&ListedPrice]) -> Result<PolicyDocument> {
        let mut providers = BTreeMap::new();
        for price in wanted {
            let next = u16::try_from(providers.len()).unwrap_or(u16::MAX);
            let id = *providers.entry(price.provider.as_str()).or_insert(next);
            if id > MAX_PROVIDER_ID {
                return Err(Failure::usage(format_args!(
                    "the selection has more than {} providers: choose some with --provider",
                    MAX_PROVIDER_ID + 1
                )));
            }
        }
        let models = (1..).zip(wanted).map(|(id, price)| {
            let provider_id = providers.get(price.provider.as_str()).copied().unwrap_or_default();
            self.model(id, provider_id, price)
        });
        let ids = providers.iter().map(|(name, id)| format!("{id} {name}"));
        let document = PolicyDocument {
            description: Some(format!(
                "Prices imported {}; quality and latency are placeholders. Providers: {}.",
                self.round.as_prices_are(),
                ids.collect::<Vec<_>>().join(", ")
            )),
            currency: Some("USD".into()),
            policy_epoch: 1,
            catalog_epoch: 1,
            hard_risk_limit_bps: 9_600,
            minimum_confidence_bps: 5_500,
            risk_penalty_multiplier_bps: 3_500,
            latency_penalty_microunits_per_ms: 2,
            models: models.collect(),
        };
        document.snapshot()?;
        Ok(document)
    }

    fn model(&self, model_id: u32, provider_id: u16, price: &ListedPrice) -> NamedModel {
        let model = KernelModel {
            model_id,
            provider_id,
            quality_bps: self.quality,
            risk_ceiling_bps: 9_500,
            enabled: 1,
            p95_latency_ms: self.latency,
            capabilities: 0,
            region_mask: ALL_REGIONS,
            input_cost_microunits_per_million_tokens: price.input_microunits_per_million,
            output_cost_microunits_per_million_tokens: price.output_microunits_per_million,
        };
        NamedModel { name: Some(format!("{}/{}", price.provider, price.model)), model }
    }
}
