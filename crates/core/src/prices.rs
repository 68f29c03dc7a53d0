//! Published price lists, as integers.
//!
//! Prices are read as the decimal text they are published in and scaled to microunits per million tokens
//! exactly, without a float anywhere. A price that is not a whole number of microunits is refused and listed;
//! or rounded and listed, by a rule that the caller states.
//!
//! ```
//! use calybris_core::prices::{PriceList, PriceOptions, Rounding, microunits_per_million};
//!
//! assert_eq!(microunits_per_million("2.50"), Ok(2_500_000)); // $2.50 per million tokens
//! let error = microunits_per_million("0.18000000000000002").unwrap_err();
//! assert_eq!(error.to_string(), "price 0.18000000000000002 is not a whole number of microunits");
//!
//! let json = r#"[{"id": "openai", "models": [
//!     {"id": "gpt-4o", "prices": {"input_mtok": 2.5, "output_mtok": 10}},
//!     {"id": "whisper-1", "prices": {"audio_hours": 0.36}}
//! ]}]"#;
//! let list = PriceList::from_genai_prices(json, &PriceOptions::default())?;
//! assert_eq!(list.find("openai", "gpt-4o").unwrap().input_microunits_per_million, 2_500_000);
//! assert_eq!(list.refused[0].to_string(), "openai/whisper-1: no input price per token");
//!
//! let json = r#"[{"id": "together", "models": [
//!     {"id": "qwen", "prices": {"input_mtok": 0.18000000000000002, "output_mtok": 1}}
//! ]}]"#;
//! assert!(PriceList::from_genai_prices(json, &PriceOptions::default())?.prices.is_empty());
//! let options = PriceOptions { rounding: Rounding::Up, ..PriceOptions::default() };
//! let list = PriceList::from_genai_prices(json, &options)?;
//! assert_eq!(
//!     list.rounded[0].to_string(),
//!     "together/qwen: input price 0.18000000000000002 became 180001 microunits per million tokens"
//! );
//! # Ok::<(), calybris_core::prices::PriceListError>(())
//! ```

mod decimal;
mod genai_prices;
mod litellm;

use std::fmt;

use serde_json::value::RawValue;

use decimal::Converted;
pub use decimal::{
    PriceError, Rounding, microunits_per_million, microunits_per_million_from_token,
};

/// A price list: what could be converted, what was rounded for it, and what could not be and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceList {
    /// Usable prices, in the order of the list.
    pub prices: Vec<ListedPrice>,
    /// Those of the usable prices that are not what was published, in the order of the list.
    pub rounded: Vec<RoundedPrice>,
    /// Refused entries, in the order of the list.
    pub refused: Vec<RefusedPrice>,
}

/// The prices of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPrice {
    /// The provider, as the list names it.
    pub provider: String,
    /// The model, as the list names it.
    pub model: String,
    /// Price of a million input tokens, in microunits of the list's currency.
    pub input_microunits_per_million: u64,
    /// Price of a million output tokens, in microunits of the list's currency.
    pub output_microunits_per_million: u64,
}

/// A price that [`PriceOptions::rounding`] changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundedPrice {
    /// The provider, as the list names it.
    pub provider: String,
    /// The model, as the list names it.
    pub model: String,
    /// `input` or `output`.
    pub direction: &'static str,
    /// The price as it is published, in units of currency per token or per million tokens.
    pub published: String,
    /// What it became, in microunits of currency per million tokens.
    pub microunits_per_million: u64,
}

/// An entry that gives no usable price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPrice {
    /// The provider, as the list names it.
    pub provider: String,
    /// The model, as the list names it.
    pub model: String,
    /// Why.
    pub reason: RefusalReason,
}

/// Why an entry gives no usable price.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The price is missing: the model is billed by something other than tokens.
    Missing {
        /// `input` or `output`.
        direction: &'static str,
    },
    /// The price rises with the length of the prompt and [`PriceOptions::tiers`] refuses that.
    Tiered,
    /// The price depends on the date and [`PriceOptions::as_of`] is not given.
    Dated,
    /// The price depends on the hour of the day.
    Hourly,
    /// The price cannot be converted.
    Price(PriceError),
    /// The entry is not of the documented shape.
    Malformed {
        /// What the parser said.
        detail: String,
    },
}

/// How to choose where an entry has more than one price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceOptions {
    /// The day whose prices apply, as `YYYY-MM-DD`; without it, entries with dated prices are refused.
    pub as_of: Option<String>,
    /// What to do with prices that rise with the length of the prompt.
    pub tiers: TierRule,
    /// What to do with prices that are finer than a microunit per million tokens.
    pub rounding: Rounding,
}

/// What to do with a price that rises with the length of the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TierRule {
    /// Refuse the model: a policy has one price per direction.
    #[default]
    Refuse,
    /// Take the price of short prompts: right when every request stays below the first threshold.
    Base,
    /// Take the highest price: never too low.
    Highest,
}

/// Why a price list could not be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PriceListError {
    /// Not a list in this format.
    #[error("price list: {0}")]
    Json(#[from] serde_json::Error),
    /// [`PriceOptions::as_of`] is not a day.
    #[error("as_of is \"{as_of}\", a day as YYYY-MM-DD is needed")]
    AsOf {
        /// The text.
        as_of: String,
    },
}

impl PriceList {
    /// Reads the JSON of [genai-prices](https://github.com/pydantic/genai-prices) (`data.json`, v2):
    /// prices per million tokens.
    ///
    /// # Errors
    /// [`PriceListError`] when the whole is not such a list; single entries are refused one by one.
    pub fn from_genai_prices(json: &str, options: &PriceOptions) -> Result<Self, PriceListError> {
        options.check()?;
        genai_prices::read(json, options)
    }

    /// Reads the JSON of [LiteLLM](https://github.com/BerriAI/litellm)
    /// (`model_prices_and_context_window.json`): prices per token.
    ///
    /// # Errors
    /// As [`PriceList::from_genai_prices`].
    pub fn from_litellm(json: &str, options: &PriceOptions) -> Result<Self, PriceListError> {
        options.check()?;
        litellm::read(json, options)
    }

    /// The prices of a model, by the list's own names.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<&ListedPrice> {
        self.prices.iter().find(|price| price.provider == provider && price.model == model)
    }

    fn push(
        &mut self,
        provider: &str,
        model: &str,
        price: Result<(Converted<'_>, Converted<'_>), RefusalReason>,
    ) {
        let (provider, model) = (provider.to_owned(), model.to_owned());
        match price {
            Ok((input, output)) => {
                for (direction, price) in [("input", input), ("output", output)] {
                    self.rounded.extend(price.rounded_from.map(|published| RoundedPrice {
                        provider: provider.clone(),
                        model: model.clone(),
                        direction,
                        published: published.to_owned(),
                        microunits_per_million: price.microunits,
                    }));
                }
                self.prices.push(ListedPrice {
                    provider,
                    model,
                    input_microunits_per_million: input.microunits,
                    output_microunits_per_million: output.microunits,
                });
            }
            Err(reason) => self.refused.push(RefusedPrice { provider, model, reason }),
        }
    }
}

impl PriceOptions {
    fn check(&self) -> Result<(), PriceListError> {
        let is_day = |text: &str| {
            text.len() == 10
                && text.bytes().enumerate().all(|(at, byte)| match at {
                    4 | 7 => byte == b'-',
                    _ => byte.is_ascii_digit(),
                })
        };
        match &self.as_of {
            Some(as_of) if !is_day(as_of) => Err(PriceListError::AsOf { as_of: as_of.clone() }),
            _ => Ok(()),
        }
    }
}

impl TierRule {
    /// Chooses between the price of short prompts and those of longer ones.
    fn choose<'t>(
        self,
        base: Converted<'t>,
        mut tiers: impl Iterator<Item = Result<Converted<'t>, RefusalReason>>,
    ) -> Result<Converted<'t>, RefusalReason> {
        match self {
            Self::Refuse => Err(RefusalReason::Tiered),
            Self::Base => Ok(base),
            Self::Highest => tiers.try_fold(base, |highest, tier| {
                let tier = tier?;
                Ok(if tier.microunits > highest.microunits { tier } else { highest })
            }),
        }
    }
}

/// The text of a JSON number, or of the number inside a JSON string.
fn number_text(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}

fn malformed(error: &serde_json::Error) -> RefusalReason {
    RefusalReason::Malformed { detail: error.to_string() }
}

impl fmt::Display for RoundedPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { provider, model, direction, published, microunits_per_million } = self;
        write!(
            f,
            "{provider}/{model}: {direction} price {published} became {microunits_per_million} microunits per million tokens"
        )
    }
}

impl fmt::Display for RefusedPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}: {}", self.provider, self.model, self.reason)
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { direction } => write!(f, "no {direction} price per token"),
            Self::Tiered => f.write_str("price rises with the length of the prompt"),
            Self::Dated => f.write_str("price depends on the date"),
            Self::Hourly => f.write_str("price depends on the hour of the day"),
            Self::Price(error) => error.fmt(f),
            Self::Malformed { detail } => f.write_str(detail),
        }
    }
}

#[cfg(test)]
mod tests;
