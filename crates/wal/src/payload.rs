//! Payloads to bytes and back: any by the general serializer, audited records by their canonical form.

use calybris_proof::audit::AuditedRecord;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{EntryFault, Fault, WalError};

/// Room for an audited record with modest metadata.
const TYPICAL_BYTES: usize = 2_048;
/// The general reader gives up at 128 levels, which it counts from the whole record's.
const SURELY_SHALLOW: usize = 64;

/// The payload's bytes: one line of JSON.
pub(crate) fn general<T: Serialize>(data: &T) -> Result<Vec<u8>, WalError> {
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    append(data, &mut bytes)?;
    Ok(bytes)
}

/// The same bytes for a record, several times sooner.
pub(crate) fn audited<M: Serialize>(record: &AuditedRecord<M>) -> Result<Vec<u8>, WalError> {
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    record.write_canonical(&mut bytes, append)?;
    Ok(bytes)
}

fn append<T: Serialize>(data: &T, bytes: &mut Vec<u8>) -> Result<(), WalError> {
    let start = bytes.len();
    serde_json::to_writer(&mut *bytes, data)
        .map_err(|error| WalError::Unwritable { reason: error.to_string() })?;
    // Only JSON that was serialized elsewhere (a raw value) can hold one.
    if memchr::memchr(b'\n', bytes.get(start..).unwrap_or_default()).is_some() {
        return Err(WalError::Unwritable { reason: "its JSON spans several lines".into() });
    }
    Ok(())
}

pub(crate) fn decode<T: DeserializeOwned>(data: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(data)
        .map_err(|error| EntryFault::Payload { reason: error.to_string() }.into())
}

/// The metadata of a record in canonical form. Where there is none, decoding the whole record says what is wrong.
pub(crate) fn decode_metadata<M: DeserializeOwned>(json: &[u8]) -> Option<M> {
    let brackets = json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if brackets > SURELY_SHALLOW {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests;
