//! One module a command.

pub(crate) mod bundle;
pub(crate) mod catalog;
pub(crate) mod checkpoint;
pub(crate) mod decide;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod head;
pub(crate) mod key;
pub(crate) mod policy;
pub(crate) mod prove;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod stats;
pub(crate) mod verify;
