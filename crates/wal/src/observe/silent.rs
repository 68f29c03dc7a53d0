//! What a running log tells without the feature `observability`: nothing.

use std::path::Path;

use crate::error::WalError;
use crate::recovery::WalReport;
use crate::retire::Retirement;

/// In the place of an entered span.
pub(crate) struct Span;

pub(crate) const fn append(_bytes: usize) -> Span {
    Span
}

pub(crate) const fn group(_bytes: usize, _synced: bool) -> Span {
    Span
}

pub(crate) const fn sync(_path: &Path) -> Span {
    Span
}

pub(crate) const fn opening(_path: &Path) -> Span {
    Span
}

pub(crate) const fn grouped(_: u64, _bytes: usize, _synced: bool, _: Option<&WalError>) {}

pub(crate) const fn synced() {}

pub(crate) const fn rotated(_segment: &Path) {}

pub(crate) const fn retired(_log: &Path, _: &Retirement) {}

pub(crate) const fn opened(_: &WalReport) {}
