//! Waiting for a group without blocking.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Goal, GroupCommit, Lead};
use crate::error::WalError;

impl GroupCommit {
    /// As [`GroupCommit::reach`] without blocking; `lead` is called when somebody has to run
    /// [`Claim::lead`] where it may block.
    pub(crate) fn poll_reach(
        self: &Arc<Self>,
        goal: Goal,
        context: &mut Context<'_>,
        lead: impl FnOnce(Claim),
    ) -> Poll<Result<(), WalError>> {
        if let Some(settled) = self.settled(goal) {
            return Poll::Ready(settled);
        }
        // Before the lead is asked for: whoever has it then wakes the task when it is over, this task's own included.
        self.progress.register(context.waker());
        if self.progress.claim() {
            lead(Claim { group: Some(Arc::clone(self)), goal, chained: 0 });
        }
        Poll::Pending
    }
}

/// The right to lead, to be used where blocking is allowed. Dropped unused, it passes to the next caller.
#[derive(Debug)]
pub(crate) struct Claim {
    group: Option<Arc<GroupCommit>>,
    goal: Goal,
    /// The last entry when `grows` was asked last.
    chained: u64,
}

impl Claim {
    /// Whether entries were chained since this was asked last: others may be about to join the group.
    #[cfg(feature = "async")]
    pub(crate) fn grows(&mut self) -> bool {
        let chained = self.group.as_ref().map_or(0, |group| group.progress.chained());
        std::mem::replace(&mut self.chained, chained) != chained
    }

    /// Takes a group to the file. What went wrong is kept for those who wait.
    pub(crate) fn lead(mut self) {
        if let Some(group) = self.group.take() {
            let _ = Lead { group: &group, caller: 0 }.take(self.goal);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            drop(Lead { group: &group, caller: 0 });
        }
    }
}
