//! The policies given with the command, found by digest, and the names of their models.

use std::path::PathBuf;

use calybris_core::kernel::PolicySnapshot;
use calybris_core::policy_document::{DocumentError, PolicyDocument};
use calybris_core::proof::audit::AuditBundle;

use crate::exit::{Exit, Failure, Result};

/// A policy document and the policy it makes.
#[derive(Debug)]
pub(crate) struct NamedPolicy {
    pub(crate) document: PolicyDocument,
    pub(crate) snapshot: PolicySnapshot,
}

/// The policies a log may name.
#[derive(Debug)]
pub(crate) struct Policies(Vec<NamedPolicy>);

impl From<DocumentError> for Box<Failure> {
    fn from(error: DocumentError) -> Self {
        Failure::usage(error)
    }
}

impl NamedPolicy {
    pub(crate) fn load(path: &PathBuf) -> Result<Self> {
        let (document, snapshot) = PolicyDocument::load(path)?;
        Ok(Self { document, snapshot })
    }

    /// A model as people know it: its name, or its id.
    pub(crate) fn model(&self, model_id: u32) -> String {
        model_label(self.document.model_name(model_id), model_id)
    }

    pub(crate) fn currency(&self) -> &str {
        self.document.currency.as_deref().unwrap_or("")
    }
}

impl Policies {
    pub(crate) fn load(paths: &[PathBuf]) -> Result<Self> {
        paths.iter().map(NamedPolicy::load).collect::<Result<_>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedPolicy> {
        self.0.iter()
    }

    /// The policy a bundle names.
    pub(crate) fn named_by(&self, audit: &AuditBundle) -> Option<&NamedPolicy> {
        let digest = audit.policy_digest_hex.to_bytes();
        self.0.iter().find(|policy| policy.snapshot.digest() == digest)
    }

    /// The policy a bundle names, which has to be among those given.
    pub(crate) fn required_by(&self, audit: &AuditBundle) -> Result<&NamedPolicy> {
        self.named_by(audit).ok_or_else(|| {
            Failure::new(Exit::CannotTell, "no policy given has the digest the record names")
                .between(audit.policy_digest_hex, "no such policy among those given")
                .meaning("The decision cannot be replayed without the policy it was made under. Give it with --policy.")
        })
    }

    /// A model as people know it, from whichever policy names it.
    pub(crate) fn model(&self, model_id: u32) -> String {
        let name = self.0.iter().find_map(|policy| policy.document.model_name(model_id));
        model_label(name, model_id)
    }

    pub(crate) fn currency(&self) -> &str {
        self.0.iter().map(NamedPolicy::currency).find(|currency| !currency.is_empty()).unwrap_or("")
    }
}

fn model_label(name: Option<&str>, model_id: u32) -> String {
    match name {
        _ if model_id == 0 => "none".into(),
        Some(name) => name.into(),
        None => format!("model {model_id}"),
    }
}
