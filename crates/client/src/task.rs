use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{runtime::Handle, task::JoinHandle};

use crate::BuildError;

/// A task that lives no longer than its owner: dropping this ends it at its next wait.
#[derive(Debug)]
pub(crate) struct OwnedTask<T>(JoinHandle<T>);

impl<T: Send + 'static> OwnedTask<T> {
    /// Runs a future on the runtime that surrounds the call.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoRuntime`] outside of a Tokio runtime.
    pub(crate) fn spawn(future: impl Future<Output = T> + Send + 'static) -> Result<Self, BuildError> {
        // The one place where this crate starts tasks, and where each gets its owner.
        Handle::try_current().map(|runtime| Self(runtime.spawn(future))).map_err(|_| BuildError::NoRuntime)
    }
}

/// The task's result; none if it panicked or the runtime is gone.
impl<T> Future for OwnedTask<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

impl<T> Drop for OwnedTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
