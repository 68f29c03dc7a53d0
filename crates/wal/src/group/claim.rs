//! Waiting for a group without blocking.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Goal, GroupCommit, Lead};
use crate::error::WalError;
use crate::primitive::lock;

impl GroupCommit {
    /// As [`GroupCommit::reach`] without blocking; `lead` is called when somebody has to run
    /// [`Claim::lead`] where it may block.
    pub(crate) fn poll_reach(
        self: &Arc<Self>,
        goal: Goal,
        context: &mut Context<'_>,
        lead: impl FnOnce(Claim),
    ) -> Poll<Result<(), WalError>> {
        let mut state = lock(&self.state);
        if state.reached(goal) {
            return Poll::Ready(Ok(()));
        }
        if let Some(reason) = &state.failure {
            return Poll::Ready(Err(self.poisoned(reason)));
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        let unled = !std::mem::replace(&mut state.led, true);
        drop(state);
        if unled {
            lead(Claim { group: Some(Arc::clone(self)), goal });
        }
        Poll::Pending
    }
}

/// The right to lead, to be used where blocking is allowed. Dropped unused, it passes to the next caller.
#[derive(Debug)]
pub(crate) struct Claim {
    group: Option<Arc<GroupCommit>>,
    goal: Goal,
}

impl Claim {
    /// Takes a group to the file. What went wrong is kept for those who wait.
    pub(crate) fn lead(mut self) {
        if let Some(group) = self.group.take() {
            let _ = Lead::new(&group).take(self.goal);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            drop(Lead::new(&group));
        }
    }
}
