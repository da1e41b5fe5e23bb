//! What all parts of a pool share: the books under a lock, and the ways to change them that lose nothing.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use futures_util::FutureExt as _;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    PoolError, PoolStats,
    core::{Bounds, Core, Fault, Generation, Grant, NoPlace, Ticket, Unused, Woken},
    servers::Servers,
};
use crate::{Client, State};

type Books = Core<Client, oneshot::Sender<Permit>>;

#[derive(Debug)]
pub(super) struct Hub {
    books: Mutex<Books>,
    pub(super) servers: Servers,
    /// One for each slot: held by whoever opens its connection.
    pub(super) gates: Vec<tokio::sync::Mutex<()>>,
    /// Something is to be closed, or the next deadline may have changed.
    pub(super) wake_keeper: Notify,
    emptied: Notify,
    /// Nobody says goodbye to connections any more.
    orphaned: AtomicBool,
}

/// The right to one connection, and the connection if there is one. Dropping it gives both back.
#[derive(Debug)]
pub(super) struct Permit {
    hub: Arc<Hub>,
    pub(super) unused: Option<Unused<Client>>,
    /// False when the grant has gone elsewhere.
    armed: bool,
}

/// One user of a shared connection. Dropping it takes the user off.
#[derive(Debug)]
pub(super) struct User {
    hub: Arc<Hub>,
    slot: usize,
    generation: Generation,
}

/// A place in the queue. Dropping it leaves the queue.
struct Place<'a> {
    hub: &'a Hub,
    ticket: Ticket,
}

impl Hub {
    pub(super) fn new(bounds: Bounds, servers: Servers) -> Self {
        let gates = (0..bounds.shared).map(|_| tokio::sync::Mutex::default()).collect();
        let books = Mutex::new(Core::new(bounds));
        Self {
            books,
            servers,
            gates,
            wake_keeper: Notify::new(),
            emptied: Notify::new(),
            orphaned: AtomicBool::new(false),
        }
    }

    /// Waits for a permit. First come, first served. Cancel safe: a permit that was granted meanwhile goes to the next.
    pub(super) async fn acquire(self: &Arc<Self>) -> Result<Permit, PoolError> {
        let (ticket, granted) = {
            let mut books = self.books();
            if let Some(grant) = books.admit() {
                return Ok(Permit::new(Arc::clone(self), grant));
            }
            let (caller, granted) = oneshot::channel();
            let ticket = books.wait(caller).map_err(|no_place| match no_place {
                NoPlace::Full(waiting) => PoolError::TooManyWaiting { waiting },
                NoPlace::Ended => PoolError::Closed,
            })?;
            (ticket, granted)
        };
        self.wake_keeper.notify_one(); // something may have been evicted
        let _place = Place { hub: self, ticket };
        granted.await.map_err(|_| PoolError::Closed)
    }

    /// One more user of a slot's connection, if there is one that has not stopped.
    pub(super) fn join(self: &Arc<Self>, slot: usize) -> Option<(Client, User)> {
        let (stopped, woken) = self.books().take_stopped(slot, is_stopped);
        stopped.into_iter().for_each(give_up);
        self.wake(woken);
        let (client, generation) = self.books().join(slot)?;
        Some((client, User { hub: Arc::clone(self), slot, generation }))
    }

    /// Closes what nobody holds, and gives nothing out any more.
    pub(super) fn end(&self) {
        let waiting = self.books().end();
        drop(waiting); // which tells them
        self.wake_keeper.notify_one();
        self.tell_if_empty();
    }

    /// Closes the pool without goodbyes, now and for what comes back later.
    pub(super) fn orphan(&self) {
        self.orphaned.store(true, Ordering::Release);
        self.end();
        self.tidy().0.into_iter().for_each(give_up);
    }

    /// Waits until there is no connection any more.
    pub(super) async fn emptied(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.books().is_empty() {
                return;
            }
            emptied.await;
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        self.books().stats()
    }

    pub(super) fn opened(&self) {
        self.books().opened();
    }

    pub(super) fn timed_out(&self) {
        self.books().timed_out();
    }

    /// Drops idle connections that lost their server, and takes over what is to be closed. Returns that, and when to come
    /// again.
    pub(super) fn tidy(&self) -> (Vec<Client>, Option<Instant>) {
        let (ill, closing, deadline) = {
            let mut books = self.books();
            books.expire(Instant::now().into_std());
            (books.take_unhealthy(is_connected), books.take_closing(), books.deadline())
        };
        ill.into_iter().for_each(give_up);
        (closing, deadline.map(Instant::from_std))
    }

    /// A connection that [`tidy`](Self::tidy) gave out is closed.
    pub(super) fn closed(self: &Arc<Self>) {
        let woken = self.books().closed();
        self.wake(woken);
        self.tell_if_empty();
    }

    fn wake(self: &Arc<Self>, woken: Woken<Client, oneshot::Sender<Permit>>) {
        if let Some((caller, grant)) = woken {
            // If that caller is gone the permit is dropped here, and so goes to the next.
            let _ = caller.send(Permit::new(Arc::clone(self), grant));
        }
    }

    fn tell_if_empty(&self) {
        let books = self.books();
        let empty = books.is_ended() && books.is_empty();
        drop(books);
        if empty {
            self.emptied.notify_waiters();
        }
    }

    /// Neither user code nor anything that can panic runs under this lock, so a poisoned one is as good as any.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    fn new(hub: Arc<Hub>, Grant(unused): Grant<Client>) -> Self {
        Self { hub, unused, armed: true }
    }

    pub(super) const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Gives up the connection, and takes another idle one if there is any.
    pub(super) fn replace(&mut self) {
        let Some(dead) = self.unused.take() else { return };
        let mut books = self.hub.books();
        books.discarded(fault(&dead.connection));
        self.unused = books.spare();
        drop(books);
        give_up(dead.connection);
    }

    /// The connection becomes the shared one of a slot; the permit is spent on it.
    pub(super) fn promote(mut self, slot: usize, client: Client) -> User {
        self.armed = false;
        let generation = self.hub.books().promote(slot, client, Instant::now().into_std());
        let user = User { hub: Arc::clone(&self.hub), slot, generation };
        if self.hub.books().is_ended() {
            // The pool was closed while this was being opened, and what is in a slot is closed only then.
            self.hub.end();
        }
        user
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (kept, dead) = match self.unused.take() {
            Some(unused) if is_connected(&unused.connection) => (Some(unused), None),
            other => (None, other),
        };
        let woken = {
            let mut books = self.hub.books();
            if let Some(dead) = &dead {
                books.discarded(fault(&dead.connection));
            }
            books.release(kept)
        };
        dead.into_iter().for_each(|dead| give_up(dead.connection));
        self.hub.wake(woken);
        self.hub.wake_keeper.notify_one();
        self.hub.tell_if_empty();
        if self.hub.orphaned.load(Ordering::Acquire) {
            self.hub.tidy().0.into_iter().for_each(give_up);
        }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.hub.books().leave(self.slot, self.generation, Instant::now().into_std());
        self.hub.wake_keeper.notify_one();
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let caller = self.hub.books().forget(self.ticket);
        drop(caller);
    }
}

pub(super) fn is_connected(client: &Client) -> bool {
    matches!(client.state(), State::Connected { .. })
}

fn is_stopped(client: &Client) -> bool {
    matches!(client.state(), State::Disconnected(_))
}

/// Ends a client at once, also if a holder has kept a clone of it.
fn give_up(client: Client) {
    let _ = client.close().now_or_never();
}

fn fault(client: &Client) -> Fault {
    if is_stopped(client) { Fault::Stopped } else { Fault::Unhealthy }
}
