//! An audited record as the command reads it: everything but the metadata decoded, which stays as it is written.

use std::borrow::Cow;

use calybris_core::proof::AuditedRecord;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// A record and the tenant its metadata names.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// With the metadata's JSON.
    pub(crate) audited: AuditedRecord<&'a str>,
    /// The metadata's member `tenant` or `tenant_id`, or the metadata itself when it is a text; else `-`.
    pub(crate) tenant: Cow<'a, str>,
}

impl<'a> Record<'a> {
    /// Reads an entry's payload; the error says why it is no audited record.
    pub(crate) fn read(payload: &'a [u8]) -> Result<Self, String> {
        if let Some(record) = Self::canonical(payload) {
            return Ok(record);
        }
        let general: AuditedRecord<&RawValue> =
            serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        let AuditedRecord { audit, input, decision, metadata } = general;
        let metadata = metadata.get();
        // A name that stands twice names nobody.
        let tenant = tenant(metadata).unwrap_or(None);
        Ok(Self::new(AuditedRecord { audit, input, decision, metadata }, tenant))
    }

    /// The form that records are written in, several times sooner.
    fn canonical(payload: &'a [u8]) -> Option<Self> {
        let AuditedRecord { audit, input, decision, metadata } =
            AuditedRecord::from_canonical(payload)?;
        let metadata = std::str::from_utf8(metadata).ok()?;
        // That the metadata is one JSON value shows in its being read.
        let tenant = tenant(metadata).ok()?;
        Some(Self::new(AuditedRecord { audit, input, decision, metadata }, tenant))
    }

    fn new(audited: AuditedRecord<&'a str>, tenant: Option<Cow<'a, str>>) -> Self {
        Self { audited, tenant: tenant.unwrap_or(Cow::Borrowed("-")) }
    }
}

/// The tenant that metadata names, if any; refuses what is not one JSON value.
fn tenant(metadata: &str) -> serde_json::Result<Option<Cow<'_, str>>> {
    #[derive(serde::Deserialize)]
    struct Members<'a> {
        #[serde(borrow)]
        tenant: Option<&'a RawValue>,
        #[serde(borrow)]
        tenant_id: Option<&'a RawValue>,
    }
    let metadata = metadata.trim_ascii();
    match metadata.as_bytes().first() {
        Some(b'{') => {
            let Members { tenant, tenant_id } = serde_json::from_str(metadata)?;
            tenant.or(tenant_id).map_or(Ok(None), |raw| text(raw.get()))
        }
        _ => text(metadata),
    }
}

/// A JSON text, none for any other value.
fn text(json: &str) -> serde_json::Result<Option<Cow<'_, str>>> {
    if json.starts_with('"') {
        return match serde_json::from_str(json) {
            Ok(plain) => Ok(Some(Cow::Borrowed(plain))),
            // Escapes have to be replaced.
            Err(_) => serde_json::from_str(json).map(|text| Some(Cow::Owned(text))),
        };
    }
    serde_json::from_str::<IgnoredAny>(json).map(|_| None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_a_member_or_the_whole() {
        for (metadata, expected) in [
            (r#"{"tenant":"acme"}"#, "acme"),
            (r#"{"a":[1.5e3,{"tenant":"x"}],"tenant_id":"acme","b":null}"#, "acme"),
            (r#"{"tenant_id":"other","tenant":"acme"}"#, "acme"),
            (r#"{"ten\u0061nt":"ac\u006de"}"#, "acme"),
            (r#" "acme" "#, "acme"),
            (r#""a\"b""#, "a\"b"),
        ] {
            assert_eq!(tenant(metadata).unwrap().unwrap(), expected, "{metadata}");
        }
        for metadata in ["null", "7", r#"["acme"]"#, "{}", r#"{"tenant":7}"#, r#"{"tenant":null}"#]
        {
            assert_eq!(tenant(metadata).unwrap(), None, "{metadata}");
        }
    }

    #[test]
    fn what_is_not_one_value_is_no_metadata() {
        for metadata in ["", "1,2", r#""a","b":1"#, r#"{"a":1},"b":{"c":2}"#, "{", "nul"] {
            assert!(tenant(metadata).is_err(), "{metadata}");
        }
    }

    #[test]
    fn both_forms_are_read_alike_and_metadata_stays_as_it_is_written() {
        let log = include_str!("../tests/data/record.json");
        let metadata = r#"{"tenant":"acme","score":1.50,"note":"\u00e9"}"#;
        let canonical = log.trim_end().replace("METADATA", metadata);
        assert!(Record::canonical(canonical.as_bytes()).is_some());
        let spaced = canonical.replace(",\"metadata\":", ", \"metadata\": ");
        assert!(Record::canonical(spaced.as_bytes()).is_none());
        for payload in [&canonical, &spaced] {
            let record = Record::read(payload.as_bytes()).unwrap();
            assert_eq!((record.audited.metadata, &*record.tenant), (metadata, "acme"));
            assert!(record.audited.check_digests().is_ok());
        }
        // A member that the record does not have cannot hide behind the metadata.
        let hidden = canonical.replace(metadata, r#"{"tenant":"acme"},"more":1"#);
        assert!(Record::read(hidden.as_bytes()).unwrap_err().contains("unknown field `more`"));
        let twice = canonical.replace(metadata, r#"{"tenant":"acme","tenant":"else"}"#);
        assert_eq!(Record::read(twice.as_bytes()).unwrap().tenant, "-");
    }
}
