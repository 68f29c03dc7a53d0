//! The canonical JSON of an audited record: the bytes a general serializer writes, without one.
//!
//! Every member has a fixed name and place, so that writing is copying and reading is comparing. What is in any
//! other form of JSON is for the general reader.

use alloc::vec::Vec;

use calybris_kernel::digest::HexDigest;
use calybris_kernel::{KernelAction, KernelDecision, KernelInput, KernelReason};

use super::{
    AUDIT_SCHEMA, AuditBundle, AuditSchema, AuditedRecord, CreatedBy, DigestAlgorithm,
    PROOF_VERSION,
};

impl<M> AuditedRecord<M> {
    /// Appends the record's JSON, byte for byte as `serde_json` writes it; `metadata` appends that of the metadata.
    ///
    /// # Errors
    /// Those of `metadata`; what was appended before it stays.
    ///
    /// ```
    /// use calybris_proof::AuditedRecord;
    /// # use calybris_kernel::{KernelInput, KernelModel, PolicySnapshot};
    /// # let model = KernelModel { model_id: 1, provider_id: 0, quality_bps: 9_000, risk_ceiling_bps: 9_000,
    /// #     enabled: 1, p95_latency_ms: 100, capabilities: 0, region_mask: 1,
    /// #     input_cost_microunits_per_million_tokens: 0, output_cost_microunits_per_million_tokens: 0 };
    /// # let policy = PolicySnapshot::try_new(1, 1, 9_600, 0, 0, 0, vec![model]).unwrap();
    /// # let input = KernelInput { request_sequence: 1, requested_model_id: 1, input_tokens: 0, output_tokens: 0,
    /// #     business_value_microunits: 100, budget_limit_microunits: 0, risk_bps: 0, confidence_bps: 10_000,
    /// #     minimum_quality_bps: 0, max_p95_latency_ms: 0, required_capabilities: 0,
    /// #     allowed_provider_mask: u64::MAX, required_region_mask: 0 };
    /// let decision = policy.prescribe(input);
    /// let record = AuditedRecord::verified(&policy, input, decision, "desk 1").unwrap();
    ///
    /// let mut json = Vec::new();
    /// record.write_canonical(&mut json, |text, json| serde_json::to_writer(json, text))?;
    /// assert_eq!(json, serde_json::to_vec(&record)?);
    ///
    /// let read = AuditedRecord::from_canonical(&json).unwrap();
    /// assert_eq!((read.decision, read.metadata), (decision, &br#""desk 1""#[..]));
    /// // A space makes it another form of the same JSON.
    /// json.insert(1, b' ');
    /// assert_eq!(AuditedRecord::from_canonical(&json), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn write_canonical<E>(
        &self,
        out: &mut Vec<u8>,
        metadata: impl FnOnce(&M, &mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        put(out, AUDIT);
        self.audit.write(out);
        put(out, INPUT);
        self.input.write(out);
        put(out, DECISION);
        self.decision.write(out);
        put(out, METADATA);
        metadata(&self.metadata, out)?;
        put(out, "}");
        Ok(())
    }
}

impl<'a> AuditedRecord<&'a [u8]> {
    /// Reads a record with a bundle of [`AuditSchema::V1`] from its canonical JSON, with the metadata's bytes as they
    /// stand: they have not been looked at and need not be JSON.
    ///
    /// None says only that the bytes are not in this form.
    #[must_use]
    pub fn from_canonical(json: &'a [u8]) -> Option<Self> {
        let rest = &mut &*json;
        take(rest, AUDIT)?;
        let audit = AuditBundle::read(rest)?;
        take(rest, INPUT)?;
        let input = KernelInput::read(rest)?;
        take(rest, DECISION)?;
        let decision = KernelDecision::read(rest)?;
        take(rest, METADATA)?;
        let metadata = rest.strip_suffix(b"}")?;
        Some(Self { audit, input, decision, metadata })
    }
}

const AUDIT: &str = "{\"audit\":";
const INPUT: &str = ",\"input\":";
const DECISION: &str = ",\"decision\":";
const METADATA: &str = ",\"metadata\":";

#[inline]
fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[inline(always)]
fn take(rest: &mut &[u8], text: &str) -> Option<()> {
    *rest = rest.strip_prefix(text.as_bytes())?;
    Some(())
}

/// A value with one spelling.
trait Canonical: Sized {
    fn write(&self, out: &mut Vec<u8>);

    /// Reads the value that starts here and moves on to what follows it.
    fn read(rest: &mut &[u8]) -> Option<Self>;
}

/// Members in their order, which is that of the general serializer; that all are named, the compiler sees.
macro_rules! write_members {
    ($of:ident, $out:ident, $first:ident $(, $name:ident)*) => {{
        put($out, concat!("{\"", stringify!($first), "\":"));
        $of.$first.write($out);
        $(
            put($out, concat!(",\"", stringify!($name), "\":"));
            $of.$name.write($out);
        )*
        put($out, "}");
    }};
}

macro_rules! read_members {
    ($rest:ident, $first:ident $(, $name:ident)*) => {{
        take($rest, concat!("{\"", stringify!($first), "\":"))?;
        let $first = Canonical::read($rest)?;
        $(
            take($rest, concat!(",\"", stringify!($name), "\":"))?;
            let $name = Canonical::read($rest)?;
        )*
        take($rest, "}")?;
        Self { $first $(, $name)* }
    }};
}

macro_rules! object {
    ($type:ident { $($name:ident),* $(,)? }) => {
        impl Canonical for $type {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                write_members!(self, out, $($name),*);
            }

            #[inline]
            fn read(rest: &mut &[u8]) -> Option<Self> {
                Some(read_members!(rest, $($name),*))
            }
        }
    };
}

object!(KernelInput {
    request_sequence,
    requested_model_id,
    input_tokens,
    output_tokens,
    business_value_microunits,
    budget_limit_microunits,
    risk_bps,
    confidence_bps,
    minimum_quality_bps,
    max_p95_latency_ms,
    required_capabilities,
    allowed_provider_mask,
    required_region_mask,
});

object!(KernelDecision {
    request_sequence,
    action,
    reason,
    selected_model_id,
    selected_model_index,
    estimated_cost_microunits,
    expected_utility_microunits,
    counterfactual_model_id,
    counterfactual_utility_microunits,
    evaluated_models,
    eligible_models,
    policy_epoch,
    catalog_epoch,
});

/// The members of a bundle in its current form.
macro_rules! bundle_members {
    ($of:ident!($($argument:ident),*)) => {
        $of!(
            $($argument,)*
            schema_version,
            digest_algorithm,
            proof_version,
            policy_epoch,
            catalog_epoch,
            created_by,
            policy_digest_hex,
            input_digest_hex,
            decision_digest_hex,
            replay_valid
        )
    };
}

impl Canonical for AuditBundle {
    fn write(&self, out: &mut Vec<u8>) {
        match self.schema_version {
            AuditSchema::V1 => bundle_members!(write_members!(self, out)),
            AuditSchema::Unversioned => write_members!(
                self,
                out,
                policy_digest_hex,
                input_digest_hex,
                decision_digest_hex,
                replay_valid
            ),
        }
    }

    fn read(rest: &mut &[u8]) -> Option<Self> {
        let bundle: Self = bundle_members!(read_members!(rest));
        (bundle.proof_version == PROOF_VERSION).then_some(bundle)
    }
}

/// Values of which each is one quoted text.
macro_rules! texts {
    ($type:ident { $($value:pat => $text:expr),* $(,)? } $read:expr) => {
        impl Canonical for $type {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                let text = match self {
                    $($value => $text,)*
                };
                put(out, "\"");
                put(out, text);
                put(out, "\"");
            }

            #[inline]
            fn read(rest: &mut &[u8]) -> Option<Self> {
                let read: fn(&mut &[u8]) -> Option<Self> = $read;
                take(rest, "\"")?;
                let value = read(rest)?;
                take(rest, "\"")?;
                Some(value)
            }
        }
    };
}

/// Enums by the names of their variants, none of which starts another.
macro_rules! variants {
    ($($type:ident),*) => {$(
        texts!($type { value => value.variant_name() } |rest| {
            $type::ALL.iter().copied().find(|value| take(rest, value.variant_name()).is_some())
        });
    )*};
}

variants!(KernelAction, KernelReason);

texts!(AuditSchema { _ => AUDIT_SCHEMA } |rest| take(rest, AUDIT_SCHEMA).map(|()| Self::V1));
texts!(DigestAlgorithm { Self => Self.as_str() } |rest| take(rest, Self.as_str()).map(|()| Self));
texts!(CreatedBy { Self => Self.as_str() } |rest| take(rest, Self.as_str()).map(|()| Self));

impl Canonical for HexDigest {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        put(out, "\"");
        put(out, self.as_str());
        put(out, "\"");
    }

    #[inline]
    fn read(rest: &mut &[u8]) -> Option<Self> {
        take(rest, "\"")?;
        let (text, tail) = rest.split_at_checked(64)?;
        *rest = tail;
        take(rest, "\"")?;
        Self::from_ascii(text).ok()
    }
}

impl Canonical for bool {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        put(out, if *self { "true" } else { "false" });
    }

    #[inline]
    fn read(rest: &mut &[u8]) -> Option<Self> {
        take(rest, "true").map(|()| true).or_else(|| take(rest, "false").map(|()| false))
    }
}

/// Decimal without sign or leading zero.
impl Canonical for u64 {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        put(out, itoa::Buffer::new().format(*self));
    }

    #[inline(always)]
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let (mut value, mut tail) = match *rest {
            [b'0', tail @ ..] => {
                *rest = tail;
                return Some(0);
            }
            [digit @ b'1'..=b'9', tail @ ..] => (Self::from(digit - b'0'), tail),
            _ => return None,
        };
        while let [digit @ b'0'..=b'9', after @ ..] = tail {
            value = value.checked_mul(10)?.checked_add(Self::from(digit - b'0'))?;
            tail = after;
        }
        *rest = tail;
        Some(value)
    }
}

macro_rules! narrower {
    ($($type:ty),*) => {$(
        impl Canonical for $type {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                u64::from(*self).write(out);
            }

            #[inline(always)]
            fn read(rest: &mut &[u8]) -> Option<Self> {
                Self::try_from(u64::read(rest)?).ok()
            }
        }
    )*};
}

narrower!(u16, u32);

impl Canonical for i64 {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        put(out, itoa::Buffer::new().format(*self));
    }

    #[inline(always)]
    fn read(rest: &mut &[u8]) -> Option<Self> {
        if take(rest, "-").is_none() {
            return Self::try_from(u64::read(rest)?).ok();
        }
        // -0 is no integer's spelling.
        let magnitude = u64::read(rest).filter(|magnitude| *magnitude > 0)?;
        0_i64.checked_sub_unsigned(magnitude)
    }
}

#[cfg(test)]
mod tests;
