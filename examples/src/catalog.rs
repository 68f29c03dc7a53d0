//! A catalog on published prices: which models, and what is assumed about them.
//!
//! Prices come from `data/prices.json`, converted exactly. Quality, latency, capabilities and regions are **assumptions**
//! made for these examples, so that decisions have something to weigh; they are no measurement of any model.

use std::error::Error;

use calybris_core::builder::{ModelBuilder, PolicyBuilder};
use calybris_core::config::EngineConfig;
use calybris_core::kernel::PolicySnapshot;
use calybris_core::policy_document::PolicyDocument;
use calybris_core::prices::{PriceList, PriceOptions, TierRule};

use crate::requests::Row;

/// The day whose prices apply.
pub const PRICES_AS_OF: &str = "2026-11-01";
/// Prices rise for prompts beyond this many tokens in some models; no request here comes near.
pub const LONGEST_PROMPT_TOKENS: u32 = 100_000;

/// Calls functions.
pub const TOOLS: u64 = 1;
/// Reads images.
pub const VISION: u64 = 1 << 1;
/// Thinks before it answers.
pub const REASONING: u64 = 1 << 2;

/// Served from the United States.
pub const US: u64 = 1;
/// Served from the European Union.
pub const EU: u64 = 1 << 1;
/// Served from Asia.
pub const ASIA: u64 = 1 << 2;

/// A policy whose models have names, and the list entries that gave no usable price.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The policy as a document.
    pub document: PolicyDocument,
    /// The checked policy.
    pub policy: PolicySnapshot,
    /// What was refused and why.
    pub refused: Vec<String>,
}

/// One line of the selection; everything but the name is assumed.
struct Choice {
    model: &'static str,
    quality_bps: u16,
    p95_latency_ms: u32,
    capabilities: u64,
    regions: u64,
    risk_ceiling_bps: u16,
}

/// A provider of the list, its id in the policy and the chosen models.
struct Provider {
    id: &'static str,
    models: &'static [Choice],
}

const fn choice(
    model: &'static str,
    quality_bps: u16,
    p95_latency_ms: u32,
    capabilities: u64,
    regions: u64,
    risk_ceiling_bps: u16,
) -> Choice {
    Choice { model, quality_bps, p95_latency_ms, capabilities, regions, risk_ceiling_bps }
}

const ALL: u64 = TOOLS | VISION | REASONING;

/// The selection. A model's id is 100 × (position of its provider + 1) + its own position + 1.
#[rustfmt::skip]
const SELECTION: &[Provider] = &[
    Provider { id: "openai", models: &[
        choice("gpt-6-sol",    9_500, 5_200, ALL,            US | EU, 9_000),
        choice("gpt-5.2",      9_300, 5_600, ALL,            US | EU, 9_000),
        choice("o3",           9_100, 8_000, ALL,            US,      8_500),
        choice("gpt-4.1",      8_800, 2_900, TOOLS | VISION, US | EU, 8_500),
        choice("gpt-4o",       8_600, 2_400, TOOLS | VISION, US | EU, 8_000),
        choice("gpt-5-mini",   8_600, 2_600, ALL,            US | EU, 8_000),
        choice("gpt-6-luna",   8_400, 1_700, TOOLS | VISION, US | EU, 7_500),
        choice("gpt-4.1-mini", 8_200, 1_600, TOOLS | VISION, US | EU, 7_500),
        choice("gpt-4o-mini",  7_700, 1_300, TOOLS | VISION, US | EU, 7_000),
        choice("gpt-5-nano",   7_600, 1_400, TOOLS,          US | EU, 7_000),
        choice("whisper-1",    7_000, 1_000, 0,              US,      5_000),
    ]},
    Provider { id: "anthropic", models: &[
        choice("claude-opus-5",     9_600, 6_500, ALL, US | EU, 9_500),
        choice("claude-sonnet-5",   9_400, 4_300, ALL, US | EU, 9_500),
        choice("claude-sonnet-4-5", 9_200, 4_100, ALL, US | EU, 9_500),
        choice("claude-haiku-4-5",  8_700, 1_800, ALL, US | EU, 9_000),
    ]},
    Provider { id: "google", models: &[
        choice("gemini-2.5-pro",         9_150, 5_200, ALL,            US | EU | ASIA, 8_500),
        choice("gemini-3-flash-preview", 8_900, 2_000, ALL,            US | EU | ASIA, 8_000),
        choice("gemini-2.5-flash",       8_500, 1_500, ALL,            US | EU | ASIA, 8_000),
        choice("gemini-2.5-flash-lite",  7_700,   900, TOOLS | VISION, US | EU | ASIA, 7_000),
    ]},
    Provider { id: "mistral", models: &[
        choice("mistral-large-2512", 8_500, 2_700, TOOLS | VISION, EU, 8_000),
        choice("mistral-small-2603", 7_800, 1_200, TOOLS | VISION, EU, 7_000),
    ]},
    Provider { id: "deepseek", models: &[
        choice("deepseek-v3.2", 8_800, 3_800, TOOLS | REASONING, ASIA, 6_000),
        choice("deepseek-chat", 8_600, 3_500, TOOLS,             ASIA, 6_000),
    ]},
    Provider { id: "x-ai", models: &[
        choice("grok-4-fast-reasoning", 8_800, 2_600, ALL, US, 7_000),
    ]},
    Provider { id: "groq", models: &[
        choice("openai/gpt-oss-120b",     8_300, 900, TOOLS | REASONING, US, 7_000),
        choice("llama-3.3-70b-versatile", 7_900, 800, TOOLS,             US, 7_000),
    ]},
    Provider { id: "cohere", models: &[
        choice("command-r7b", 6_800, 700, TOOLS, US | EU, 6_000),
    ]},
    Provider { id: "moonshotai", models: &[
        choice("kimi-k2.5", 8_800, 3_600, ALL, ASIA, 6_000),
    ]},
    Provider { id: "zai", models: &[
        choice("GLM-4.6", 8_700, 3_300, TOOLS | REASONING, ASIA, 6_000),
    ]},
    Provider { id: "aws", models: &[
        choice("amazon.nova-lite-v1:0",  7_400, 1_000, TOOLS | VISION, US | EU, 7_500),
        choice("amazon.nova-micro-v1:0", 6_900,   700, TOOLS,          US | EU, 7_500),
    ]},
    Provider { id: "huggingface_together", models: &[
        choice("Qwen/Qwen3-VL-8B-Instruct", 7_200, 1_100, VISION, US, 6_000),
    ]},
];

/// Builds the catalog from the list.
///
/// # Errors
/// When the list cannot be read or makes no valid policy.
pub fn load() -> Result<Catalog, Box<dyn Error>> {
    let (as_of, tiers) = (Some(PRICES_AS_OF.to_owned()), TierRule::Base);
    let options = PriceOptions { as_of, tiers, ..PriceOptions::default() };
    let list = PriceList::from_genai_prices(include_str!("../data/prices.json"), &options)?;
    let (mut models, mut names) = (Vec::new(), Vec::new());
    for ((provider, provider_id), first_id) in
        SELECTION.iter().zip(0_u16..).zip((100..).step_by(100))
    {
        for (choice, model_id) in provider.models.iter().zip(first_id + 1_u32..) {
            let Some(price) = list.find(provider.id, choice.model) else { continue };
            let model = ModelBuilder::new(model_id, provider_id)
                .quality(choice.quality_bps)
                .latency(choice.p95_latency_ms)
                .capabilities(choice.capabilities)
                .regions(choice.regions)
                .risk_ceiling(choice.risk_ceiling_bps)
                .cost(price.input_microunits_per_million, price.output_microunits_per_million);
            models.push(model.build());
            names.push((model_id, choice.model));
        }
    }
    let policy = PolicyBuilder::new(EngineConfig::new()).epochs(1, 1).models(models).build()?;
    let name_of = |id| names.iter().find(|(named, _)| *named == id);
    let mut document =
        PolicyDocument::new(&policy, |id| name_of(id).map(|(_, name)| (*name).to_owned()));
    document.description = Some(format!("example gateway, prices as of {PRICES_AS_OF}"));
    document.currency = Some("USD".to_owned());
    let refused = list.refused.iter().map(ToString::to_string).collect();
    Ok(Catalog { document, policy, refused })
}

impl Catalog {
    /// The name of a model, `-` for none.
    #[must_use]
    pub fn name(&self, model_id: u32) -> &str {
        self.document.model_name(model_id).unwrap_or("-")
    }

    /// The id of a model by its name.
    ///
    /// # Errors
    /// When no model of the catalog has the name.
    pub fn id(&self, name: &str) -> Result<u32, Box<dyn Error>> {
        let mut models = self.document.models.iter();
        let named = models.find(|named| named.name.as_deref() == Some(name));
        named
            .map(|named| named.model.model_id)
            .ok_or_else(|| format!("no model \"{name}\" in the catalog").into())
    }

    /// What a model charges for a row, by the kernel's own arithmetic; 0 for an unknown model.
    #[must_use]
    pub fn cost_microdollars(&self, model_id: u32, row: &Row) -> u64 {
        let mut models = self.policy.models().iter();
        let model = models.find(|model| model.model_id == model_id);
        model.map_or(0, |model| model.cost_microunits(row.context_tokens, row.generated_tokens))
    }

    /// The provider of a model, as the price list names it.
    #[must_use]
    pub fn provider(&self, provider_id: u16) -> &'static str {
        SELECTION.get(usize::from(provider_id)).map_or("-", |provider| provider.id)
    }
}

#[cfg(test)]
mod tests;
