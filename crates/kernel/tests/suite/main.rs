//! The kernel against its plain reference, its documented bytes and its documented refusals.

mod against_reference;
mod digests;
mod oracle;
mod refusals;
#[cfg(test)]
mod support;
