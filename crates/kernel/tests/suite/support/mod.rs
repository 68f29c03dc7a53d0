//! What the test binaries share.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test support: plain casts keep the reference as readable as the rules"
)]

pub(crate) mod case_file;
pub(crate) mod cases;
pub(crate) mod reference;
