//! What a policy or a request can get wrong.

use core::fmt;

/// Why a policy is refused. Every variant names the place, the value and the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// The catalog has no model at all.
    EmptyCatalog,
    /// The catalog has more models than an index can name.
    TooManyModels {
        /// Models given.
        count: usize,
        /// Models allowed.
        max: usize,
    },
    /// A model uses id 0, which means "no model" in a decision.
    ReservedModelId {
        /// Position in the catalog.
        index: usize,
    },
    /// Two models share an id.
    DuplicateModelId {
        /// The shared id.
        model_id: u32,
    },
    /// A borrowed catalog is not in ascending order of `model_id`.
    UnsortedCatalog {
        /// Position of the model that is out of order.
        index: usize,
        /// Its id.
        model_id: u32,
    },
    /// A field of a model is above its bound.
    ModelFieldOutOfRange {
        /// The model.
        model_id: u32,
        /// The field.
        field: &'static str,
        /// Its value.
        value: u16,
        /// The bound.
        max: u16,
    },
    /// A parameter of the policy is above its bound.
    ParamOutOfRange {
        /// The parameter.
        field: &'static str,
        /// Its value.
        value: u16,
        /// The bound.
        max: u16,
    },
    /// No model is enabled, so nothing could ever be selected.
    NoEnabledModel {
        /// Models in the catalog.
        count: usize,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::EmptyCatalog => {
                f.write_str("catalog is empty: a policy needs at least one model")
            }
            Self::TooManyModels { count, max } => {
                write!(f, "catalog has {count} models, at most {max} are allowed")
            }
            Self::ReservedModelId { index } => {
                write!(f, "model at index {index} has model_id 0, which means \"no model\"")
            }
            Self::DuplicateModelId { model_id } => {
                write!(f, "model_id {model_id} appears more than once")
            }
            Self::UnsortedCatalog { index, model_id } => write!(
                f,
                "model_id {model_id} at index {index} is not above the one before it: a borrowed catalog must be sorted by model_id"
            ),
            Self::ModelFieldOutOfRange { model_id, field, value, max } => {
                write!(f, "model {model_id}: {field} is {value}, at most {max} is allowed")
            }
            Self::ParamOutOfRange { field, value, max } => {
                write!(f, "{field} is {value}, at most {max} is allowed")
            }
            Self::NoEnabledModel { count } => {
                write!(f, "none of the {count} models is enabled")
            }
        }
    }
}

impl core::error::Error for PolicyError {}

/// Why a request is refused before it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// A basis-point field is above 10,000.
    BpsOutOfRange {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u16,
        /// The bound.
        max: u16,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BpsOutOfRange { field, value, max } => {
                write!(f, "request {field} is {value}, at most {max} is allowed")
            }
        }
    }
}

impl core::error::Error for InputError {}
