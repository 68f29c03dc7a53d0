//! The formats as others see them: golden bytes on the pages, and hostile values in the data.
#![cfg(feature = "sign")]

#[cfg(test)]
#[path = "../../src/tests.rs"]
#[expect(dead_code, reason = "the tests inside the crate use the rest")]
mod cases;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hostile;
