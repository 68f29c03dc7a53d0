//! The two JSON forms of an audit bundle: ten members or four, nothing between.

use calybris_kernel::digest::HexDigest;
use serde::de::Error as _;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{AUDIT_SCHEMA, AuditBundle, AuditSchema, CreatedBy, DigestAlgorithm, PROOF_VERSION};
use crate::json::{Exactly, present};

const NAME: &str = "AuditBundle";

impl Serialize for AuditBundle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let versioned = self.schema_version == AuditSchema::V1;
        let mut members = serializer.serialize_struct(NAME, if versioned { 10 } else { 4 })?;
        if versioned {
            members.serialize_field("schema_version", AUDIT_SCHEMA)?;
            members.serialize_field("digest_algorithm", &self.digest_algorithm)?;
            members.serialize_field("proof_version", &self.proof_version)?;
            members.serialize_field("policy_epoch", &self.policy_epoch)?;
            members.serialize_field("catalog_epoch", &self.catalog_epoch)?;
            members.serialize_field("created_by", &self.created_by)?;
        }
        members.serialize_field("policy_digest_hex", &self.policy_digest_hex)?;
        members.serialize_field("input_digest_hex", &self.input_digest_hex)?;
        members.serialize_field("decision_digest_hex", &self.decision_digest_hex)?;
        members.serialize_field("replay_valid", &self.replay_valid)?;
        members.end()
    }
}

/// Every member either form may have; a present member is never null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "AuditBundle")]
struct Members {
    #[serde(default, deserialize_with = "schema")]
    schema_version: Option<()>,
    #[serde(default, deserialize_with = "present")]
    digest_algorithm: Option<DigestAlgorithm>,
    #[serde(default, deserialize_with = "present")]
    proof_version: Option<u32>,
    #[serde(default, deserialize_with = "present")]
    policy_epoch: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    catalog_epoch: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    created_by: Option<CreatedBy>,
    policy_digest_hex: HexDigest,
    input_digest_hex: HexDigest,
    decision_digest_hex: HexDigest,
    replay_valid: bool,
}

fn schema<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<()>, D::Error> {
    reader.deserialize_str(Exactly(AUDIT_SCHEMA)).map(Some)
}

impl<'de> Deserialize<'de> for AuditBundle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Members::deserialize(deserializer)?;
        let named = [
            ("schema_version", read.schema_version.is_some()),
            ("digest_algorithm", read.digest_algorithm.is_some()),
            ("proof_version", read.proof_version.is_some()),
            ("policy_epoch", read.policy_epoch.is_some()),
            ("catalog_epoch", read.catalog_epoch.is_some()),
            ("created_by", read.created_by.is_some()),
        ];
        let versioned = named.iter().any(|(_, present)| *present);
        if let Some((missing, _)) = named.iter().find(|(_, present)| *present != versioned) {
            return Err(D::Error::missing_field(missing));
        }
        let proof_version = read.proof_version.unwrap_or(PROOF_VERSION);
        if proof_version != PROOF_VERSION {
            return Err(D::Error::custom(format_args!(
                "proof_version is {proof_version}, only {PROOF_VERSION} is known"
            )));
        }
        Ok(Self {
            schema_version: if versioned { AuditSchema::V1 } else { AuditSchema::Unversioned },
            digest_algorithm: DigestAlgorithm,
            proof_version,
            policy_epoch: read.policy_epoch.unwrap_or_default(),
            catalog_epoch: read.catalog_epoch.unwrap_or_default(),
            created_by: CreatedBy,
            policy_digest_hex: read.policy_digest_hex,
            input_digest_hex: read.input_digest_hex,
            decision_digest_hex: read.decision_digest_hex,
            replay_valid: read.replay_valid,
        })
    }
}
