//! The revocations, and the file that keeps them.

use std::path::Path;

use parking_lot::Mutex;

use super::store::{Store, StoreError, Written};
use crate::{Clock, EngineError, Full, Revocation, Revocations, Subject};

#[derive(Debug)]
pub(super) struct Register {
    list: Revocations,
    limit: usize,
    /// Whoever changes the list holds it, so that the file hears of all changes in their order.
    store: Mutex<Option<Store>>,
}

impl Register {
    pub(super) fn new(limit: usize, clock: Clock) -> Self {
        Self { list: Revocations::new(limit, clock), limit, store: Mutex::default() }
    }

    pub(super) const fn list(&self) -> &Revocations {
        &self.list
    }

    /// Keeps what comes in this directory, and takes over what it holds.
    pub(super) fn keep_in(&mut self, directory: &Path) -> Result<(), StoreError> {
        let (store, kept) = Store::open(directory)?;
        let now = self.list.now();
        let (held, ended): (Vec<_>, Vec<_>) = kept.into_iter().partition(|kept| kept.expires > now);
        for revocation in held {
            let limit = self.limit;
            let path = directory.to_owned();
            self.list.add(revocation).map_err(|_| StoreError::TooMany { path, limit })?;
        }
        if !ended.is_empty() {
            // If that fails, they are passed over the next time as well.
            drop(store.remove(ended.into_iter().map(|ended| ended.subject).collect()));
        }
        *self.store.get_mut() = Some(store);
        Ok(())
    }

    /// Revokes; what is returned tells when it is kept.
    pub(super) fn add(&self, revocation: &Revocation) -> Result<Option<Written>, Full> {
        let store = self.store.lock();
        let joined = self.list.add(revocation.clone())?;
        Ok(store.as_ref().map(|store| store.put(joined)))
    }

    /// Takes a revocation back; false if there was none.
    pub(super) fn remove(&self, subject: &Subject) -> (bool, Option<Written>) {
        let store = self.store.lock();
        let removed = self.list.remove(subject);
        (removed, store.as_ref().map(|store| store.remove(vec![subject.clone()])))
    }

    /// Lets go of what has ended.
    pub(super) fn sweep(&self) {
        let store = self.store.lock();
        let ended = self.list.sweep();
        if let Some(store) = store.as_ref().filter(|_| !ended.is_empty()) {
            // If that fails, they are passed over when the file is read.
            drop(store.remove(ended));
        }
    }

    pub(super) fn close(&self) {
        let store = self.store.lock().take();
        drop(store);
    }
}

/// Waits until a change is on disk, if it goes there.
pub(super) async fn awaited(written: Option<Written>) -> Result<(), EngineError> {
    let Some(written) = written else { return Ok(()) };
    let outcome = written.await.unwrap_or_else(|_| Err("the thread that writes has ended".to_owned()));
    outcome.map_err(|reason| EngineError::NotKept(reason.into()))
}
