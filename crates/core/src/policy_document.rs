//! The policy as people keep it: a JSON file with model names, in version control.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use calybris_kernel::{KernelModel, PolicyError, PolicyParams, PolicySnapshot};
use serde::{Deserialize, Serialize};

/// The longest document that is read, in bytes: 65,535 models with long names fit.
pub const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// A policy with what people need to read it.
///
/// `description`, `currency` and the model names are for people: they are in no digest and never needed to
/// verify. Unknown and repeated members are refused.
///
/// ```
/// use calybris_core::policy_document::PolicyDocument;
///
/// let document = PolicyDocument::from_json(r#"{
///     "currency": "USD",
///     "policy_epoch": 1, "catalog_epoch": 1,
///     "hard_risk_limit_bps": 9600, "minimum_confidence_bps": 5500,
///     "risk_penalty_multiplier_bps": 3500, "latency_penalty_microunits_per_ms": 2,
///     "models": [{
///         "name": "gpt-4o", "model_id": 7, "provider_id": 0, "quality_bps": 8700,
///         "risk_ceiling_bps": 9500, "enabled": 1, "p95_latency_ms": 900,
///         "capabilities": 0, "region_mask": 1,
///         "input_cost_microunits_per_million_tokens": 2500000,
///         "output_cost_microunits_per_million_tokens": 10000000
///     }]
/// }"#)?;
/// assert_eq!(document.model_name(7), Some("gpt-4o"));
/// assert_eq!(document.snapshot()?.models().len(), 1);
///
/// let error = PolicyDocument::from_json(r#"{"policy_epoch": -1}"#).unwrap_err();
/// assert!(error.to_string().starts_with("policy document: policy_epoch: "));
/// # Ok::<(), calybris_core::policy_document::DocumentError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// What the policy is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The currency of which a microunit is the millionth part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// As in [`PolicyParams`].
    pub policy_epoch: u64,
    /// As in [`PolicyParams`].
    pub catalog_epoch: u64,
    /// As in [`PolicyParams`].
    pub hard_risk_limit_bps: u16,
    /// As in [`PolicyParams`].
    pub minimum_confidence_bps: u16,
    /// As in [`PolicyParams`].
    pub risk_penalty_multiplier_bps: u16,
    /// As in [`PolicyParams`].
    pub latency_penalty_microunits_per_ms: u64,
    /// The catalog.
    pub models: Vec<NamedModel>,
}

/// A model and the name people know it by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ModelRow", into = "ModelRow")]
pub struct NamedModel {
    /// The name, if any.
    pub name: Option<String>,
    /// The model.
    pub model: KernelModel,
}

/// Why a document could not be read, written or turned into a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is longer than [`MAX_DOCUMENT_BYTES`].
    #[error("{}: longer than {max} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound in bytes.
        max: u64,
    },
    /// Not a policy document.
    #[error("{document}: {field}: {source}")]
    Json {
        /// The file, or "policy document".
        document: String,
        /// The member, as a path such as `models[3].quality_bps`.
        field: String,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// A value is out of bounds.
    #[error("{document}: {}{source}", Label(model))]
    Policy {
        /// The file, or "policy document".
        document: String,
        /// The name of the model at fault, if one is and it has a name.
        model: Option<String>,
        /// What is wrong.
        source: PolicyError,
    },
}

struct Label<'a>(&'a Option<String>);

impl std::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_ref().map_or(Ok(()), |name| write!(f, "{name}: "))
    }
}

const UNNAMED: &str = "policy document";

impl PolicyDocument {
    /// A document of a policy; `name_of` names its models.
    pub fn new(snapshot: &PolicySnapshot, mut name_of: impl FnMut(u32) -> Option<String>) -> Self {
        let PolicyParams {
            policy_epoch,
            catalog_epoch,
            hard_risk_limit_bps,
            minimum_confidence_bps,
            risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms,
        } = *snapshot.params();
        let named =
            |model: &KernelModel| NamedModel { name: name_of(model.model_id), model: *model };
        Self {
            description: None,
            currency: None,
            policy_epoch,
            catalog_epoch,
            hard_risk_limit_bps,
            minimum_confidence_bps,
            risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms,
            models: snapshot.models().iter().map(named).collect(),
        }
    }

    /// Parses a document; its values are checked by [`PolicyDocument::snapshot`].
    ///
    /// # Errors
    /// [`DocumentError::Json`] names the member, the line and the column.
    pub fn from_json(json: &str) -> Result<Self, DocumentError> {
        Self::parse(json, UNNAMED)
    }

    /// Reads a document and checks that it makes a policy.
    ///
    /// # Errors
    /// [`DocumentError`], every variant of which names the file.
    pub fn load(path: impl AsRef<Path>) -> Result<(Self, PolicySnapshot), DocumentError> {
        let path = path.as_ref();
        let io = |source| DocumentError::Io { path: path.into(), source };
        let mut json = String::new();
        let mut file = fs::File::open(path).map_err(io)?.take(MAX_DOCUMENT_BYTES + 1);
        let length = file.read_to_string(&mut json).map_err(io)?;
        if u64::try_from(length).map_or(true, |length| length > MAX_DOCUMENT_BYTES) {
            return Err(DocumentError::TooLong { path: path.into(), max: MAX_DOCUMENT_BYTES });
        }
        let label = path.display().to_string();
        let document = Self::parse(&json, &label)?;
        let snapshot = document.checked(&label)?;
        Ok((document, snapshot))
    }

    /// Writes the document as indented JSON, replacing the file whole.
    ///
    /// # Errors
    /// [`DocumentError::Io`] names the file.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), DocumentError> {
        let path = path.as_ref();
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        fs::write(&beside, self.to_json()?)
            .and_then(|()| fs::rename(&beside, path))
            .map_err(|source| DocumentError::Io { path: path.into(), source })
    }

    /// The document as indented JSON with a final newline.
    ///
    /// # Errors
    /// None in practice: every field is plain data.
    pub fn to_json(&self) -> Result<String, DocumentError> {
        let mut json = serde_json::to_string_pretty(self)
            .map_err(|source| json_error(UNNAMED, "models", source))?;
        json.push('\n');
        Ok(json)
    }

    /// The checked policy.
    ///
    /// # Errors
    /// [`DocumentError::Policy`] names the model, the field, the value and the bound.
    pub fn snapshot(&self) -> Result<PolicySnapshot, DocumentError> {
        self.checked(UNNAMED)
    }

    /// The policy-wide numbers.
    #[must_use]
    pub const fn params(&self) -> PolicyParams {
        PolicyParams {
            policy_epoch: self.policy_epoch,
            catalog_epoch: self.catalog_epoch,
            hard_risk_limit_bps: self.hard_risk_limit_bps,
            minimum_confidence_bps: self.minimum_confidence_bps,
            risk_penalty_multiplier_bps: self.risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms: self.latency_penalty_microunits_per_ms,
        }
    }

    /// The name of a model, if it is in the catalog and has one.
    #[must_use]
    pub fn model_name(&self, model_id: u32) -> Option<&str> {
        let mut with_id = self.models.iter().filter(|named| named.model.model_id == model_id);
        with_id.find_map(|named| named.name.as_deref())
    }

    fn parse(json: &str, document: &str) -> Result<Self, DocumentError> {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let field = error.path().to_string();
            json_error(document, &field, error.into_inner())
        })?;
        deserializer.end().map_err(|source| json_error(document, "end of document", source))?;
        Ok(parsed)
    }

    fn checked(&self, document: &str) -> Result<PolicySnapshot, DocumentError> {
        let models = self.models.iter().map(|named| named.model).collect();
        PolicySnapshot::try_from_params(self.params(), models).map_err(|source| {
            let model = match &source {
                PolicyError::ModelFieldOutOfRange { model_id, .. }
                | PolicyError::DuplicateModelId { model_id } => self.model_name(*model_id),
                PolicyError::ReservedModelId { .. } => self.model_name(0),
                _ => None,
            };
            let (document, model) = (document.to_owned(), model.map(str::to_owned));
            DocumentError::Policy { document, model, source }
        })
    }
}

fn json_error(document: &str, field: &str, source: serde_json::Error) -> DocumentError {
    DocumentError::Json { document: document.to_owned(), field: field.to_owned(), source }
}

/// A model as the file spells it: flat. (serde cannot both flatten and refuse unknown members.)
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    model_id: u32,
    provider_id: u16,
    quality_bps: u16,
    risk_ceiling_bps: u16,
    enabled: u8,
    p95_latency_ms: u32,
    capabilities: u64,
    region_mask: u64,
    input_cost_microunits_per_million_tokens: u64,
    output_cost_microunits_per_million_tokens: u64,
}

impl From<ModelRow> for NamedModel {
    fn from(row: ModelRow) -> Self {
        let model = KernelModel {
            model_id: row.model_id,
            provider_id: row.provider_id,
            quality_bps: row.quality_bps,
            risk_ceiling_bps: row.risk_ceiling_bps,
            enabled: row.enabled,
            p95_latency_ms: row.p95_latency_ms,
            capabilities: row.capabilities,
            region_mask: row.region_mask,
            input_cost_microunits_per_million_tokens: row.input_cost_microunits_per_million_tokens,
            output_cost_microunits_per_million_tokens: row
                .output_cost_microunits_per_million_tokens,
        };
        Self { name: row.name, model }
    }
}

impl From<NamedModel> for ModelRow {
    fn from(NamedModel { name, model }: NamedModel) -> Self {
        Self {
            name,
            model_id: model.model_id,
            provider_id: model.provider_id,
            quality_bps: model.quality_bps,
            risk_ceiling_bps: model.risk_ceiling_bps,
            enabled: model.enabled,
            p95_latency_ms: model.p95_latency_ms,
            capabilities: model.capabilities,
            region_mask: model.region_mask,
            input_cost_microunits_per_million_tokens: model
                .input_cost_microunits_per_million_tokens,
            output_cost_microunits_per_million_tokens: model
                .output_cost_microunits_per_million_tokens,
        }
    }
}

#[cfg(test)]
mod tests;
