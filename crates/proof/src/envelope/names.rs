//! Members of an envelope whose JSON differs from the kernel's: names in `snake_case`, one version.

use serde::{Deserialize as _, Deserializer};

use crate::audit::PROOF_VERSION;

pub(super) fn proof_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        PROOF_VERSION => Ok(PROOF_VERSION),
        other => Err(serde::de::Error::custom(format_args!(
            "proof_version is {other}, only {PROOF_VERSION} is known"
        ))),
    }
}

/// Serde functions for an enum printed by its `as_str`.
macro_rules! by_name {
    ($(#[$doc:meta])* $module:ident: $kind:ident) => {
        $(#[$doc])*
        pub(super) mod $module {
            use core::fmt;

            use calybris_kernel::$kind;

            pub(in super::super) fn serialize<S: serde::Serializer>(
                value: &$kind,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(value.as_str())
            }

            pub(in super::super) fn deserialize<'de, D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$kind, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $kind;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("the snake_case name of an ", stringify!($module)))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$kind, E> {
                        let known = $kind::ALL.iter().find(|value| value.as_str() == text);
                        let unknown = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                        known.copied().ok_or_else(unknown)
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

by_name! {
    /// `execute_requested` and the others.
    action: KernelAction
}

by_name! {
    /// `risk_hard_limit` and the others.
    reason: KernelReason
}
