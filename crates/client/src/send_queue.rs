use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::unconstrained,
};

use crate::{Disconnect, RequestError, state::RequestOrder};

/// How many requests may wait to be sent, and what happens to one more.
///
/// Requests wait here while there is no connection, while the connection takes no more bytes, and while as many as
/// [`ClientBuilder::max_pending`](crate::ClientBuilder::max_pending) allows are unanswered. What was sent has left the
/// queue.
///
/// ```
/// use throng_client::{Client, SendQueue, WhenFull};
///
/// let queue = SendQueue { requests: 100, when_full: WhenFull::DropOldest };
/// let builder = Client::builder("ws://127.0.0.1:8080").send_queue(queue);
/// # drop(builder);
/// assert_eq!(SendQueue::default(), SendQueue { requests: 1_024, when_full: WhenFull::Wait });
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SendQueue {
    /// Most requests that wait. Default 1,024; at least 1 and at most 2^29 whatever is set.
    pub requests: usize,
    /// What happens to a request for which there is no room. Default [`WhenFull::Wait`].
    pub when_full: WhenFull,
}

/// What happens to a request when the [`SendQueue`] is full.
///
/// ```
/// assert_eq!(throng_client::WhenFull::default(), throng_client::WhenFull::Wait);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFull {
    /// It waits for room, in the order in which calls were first polled. The caller is slowed down.
    #[default]
    Wait,
    /// It ends at once with [`RequestError::QueueFull`].
    Fail,
    /// It takes the place of the one that waits longest, which ends with [`RequestError::Dropped`].
    DropOldest,
}

impl Default for SendQueue {
    fn default() -> Self {
        Self { requests: 1_024, when_full: WhenFull::Wait }
    }
}

impl SendQueue {
    const fn capacity(self) -> usize {
        match self.requests {
            0 => 1,
            // What a semaphore can count on every platform.
            requests if requests > u32::MAX as usize >> 3 => u32::MAX as usize >> 3,
            requests => requests,
        }
    }
}

/// Makes a queue of requests from the handles to the conversation.
pub(crate) fn send_queue(bounds: SendQueue) -> (Arc<RequestQueue>, QueueReader) {
    let queue = Arc::new(RequestQueue {
        inner: Mutex::new(Inner { waiting: VecDeque::new(), next: 0, closed: None }),
        room: Semaphore::new(bounds.capacity()),
        filled: Notify::new(),
        bounds,
    });
    (Arc::clone(&queue), QueueReader { queue })
}

/// Requests that are not sent yet, the oldest first.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    inner: Mutex<Inner>,
    /// Free places, for those who wait for one.
    room: Semaphore,
    /// Something is in a queue that was empty.
    filled: Notify,
    bounds: SendQueue,
}

/// The conversation's end. Dropping it closes the queue.
#[derive(Debug)]
pub(crate) struct QueueReader {
    queue: Arc<RequestQueue>,
}

/// A place in the queue. Dropping it takes the request back if it still is there, and gives its room to others.
#[derive(Debug)]
#[must_use = "dropping it takes the request back"]
pub(crate) struct Queued<'a> {
    queue: &'a RequestQueue,
    number: u64,
    over: bool,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Waiting>,
    /// The number of the next one. Numbers go up in the queue.
    next: u64,
    closed: Option<Disconnect>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    since: Instant,
    order: RequestOrder,
}

impl RequestQueue {
    /// Puts a request at the end, as the policy says. Cancel safe: it is in the queue or was never there.
    pub(crate) async fn push(&self, order: RequestOrder) -> Result<Queued<'_>, RequestError> {
        if self.bounds.when_full == WhenFull::Wait {
            // Unconstrained, because the cooperative budget would make a call wait without a place among those that
            // wait, and calls behind it overtake. An error means that the queue is closed, which `put` reports.
            if let Ok(room) = unconstrained(self.room.acquire()).await {
                room.forget();
            }
        }
        self.put(order, tokio::time::Instant::now().into_std())
    }

    /// Waits until there may be something to take. Cancel safe.
    pub(crate) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Puts a request at the end; who waits has waited for room before.
    pub(crate) fn put(&self, order: RequestOrder, now: Instant) -> Result<Queued<'_>, RequestError> {
        let mut inner = self.lock();
        if let Some(reason) = &inner.closed {
            return Err(RequestError::Stopped(reason.clone()));
        }
        let requests = self.bounds.capacity();
        let full = inner.waiting.len() >= requests;
        let dropped = match self.bounds.when_full {
            WhenFull::Fail if full => return Err(RequestError::QueueFull { requests }),
            WhenFull::DropOldest if full => inner.waiting.pop_front(),
            WhenFull::Wait | WhenFull::Fail | WhenFull::DropOldest => None,
        };
        let was_empty = inner.waiting.is_empty();
        let number = inner.next;
        inner.next += 1;
        inner.waiting.push_back(Waiting { number, since: now, order });
        drop(inner); // whoever is told now may come back at once
        if let Some(dropped) = dropped {
            dropped.order.fail(RequestError::Dropped { requests });
        }
        if was_empty {
            self.filled.notify_one();
        }
        Ok(Queued { queue: self, number, over: false })
    }

    fn withdraw(&self, number: u64) {
        let mut inner = self.lock();
        let Ok(index) = inner.waiting.binary_search_by_key(&number, |waiting| waiting.number) else { return };
        let withdrawn = inner.waiting.remove(index);
        drop(inner);
        drop(withdrawn);
        self.free(1);
    }

    fn free(&self, places: usize) {
        if self.bounds.when_full == WhenFull::Wait {
            self.room.add_permits(places);
        }
    }

    /// No code that can panic runs under this lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueReader {
    /// Moves requests to the end of `batch`, the oldest first, at most so many.
    pub(crate) fn take(&self, most: usize, batch: &mut VecDeque<RequestOrder>) {
        let mut inner = self.queue.lock();
        let count = inner.waiting.len().min(most);
        batch.extend(inner.waiting.drain(..count).map(|waiting| waiting.order));
        drop(inner);
        if count > 0 {
            self.queue.free(count);
        }
    }

    /// Takes the oldest request out if it has waited since this moment or longer.
    pub(crate) fn take_older(&self, since: Instant) -> Option<RequestOrder> {
        let mut inner = self.queue.lock();
        inner.waiting.front().filter(|waiting| waiting.since <= since)?;
        let oldest = inner.waiting.pop_front()?;
        drop(inner);
        self.queue.free(1);
        Some(oldest.order)
    }

    /// Since when the oldest request waits.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        self.queue.lock().waiting.front().map(|waiting| waiting.since)
    }

    /// Ends the queue: what is in it and what comes ends with this reason.
    pub(crate) fn close(&self, reason: &Disconnect) {
        let mut inner = self.queue.lock();
        inner.closed.get_or_insert_with(|| reason.clone());
        let rest = std::mem::take(&mut inner.waiting);
        drop(inner);
        for waiting in rest {
            waiting.order.fail(RequestError::Stopped(reason.clone()));
        }
        self.queue.room.close();
    }
}

impl Drop for QueueReader {
    fn drop(&mut self) {
        // A reason that was given before stays. Without one, the task has ended without a word: its runtime was shut
        // down, or it was dropped with the handle.
        self.close(&Disconnect::ByApplication);
    }
}

impl Queued<'_> {
    /// The request has its result, so it is not in the queue any more.
    pub(crate) fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.queue.withdraw(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use throng_protocol::SendRequest;
    use tokio::sync::oneshot;

    use super::*;

    type Sent = oneshot::Receiver<Result<(), RequestError>>;

    fn bounds(requests: usize, when_full: WhenFull) -> SendQueue {
        SendQueue { requests, when_full }
    }

    fn order(data: &'static str) -> (RequestOrder, Sent) {
        let (sent, done) = oneshot::channel();
        (RequestOrder::Send { message: SendRequest { data: data.into() }, sent }, done)
    }

    fn shown(order: &RequestOrder) -> String {
        match order {
            RequestOrder::Send { message, .. } => {
                String::from_utf8_lossy(message.data.as_bytes()).into_owned()
            }
            RequestOrder::Request { .. } => panic!("no message: {order:?}"),
        }
    }

    fn taken(reader: &QueueReader) -> Vec<String> {
        let mut batch = VecDeque::new();
        reader.take(100, &mut batch);
        batch.iter().map(shown).collect()
    }

    #[tokio::test]
    async fn a_full_queue_lets_calls_wait_and_takes_them_in_in_their_order() {
        let (queue, reader) = send_queue(bounds(2, WhenFull::Wait));
        let _first = queue.push(order("a").0).await.unwrap();
        let _second = queue.push(order("b").0).await.unwrap();
        let mut third = Box::pin(queue.push(order("c").0));
        let mut fourth = Box::pin(queue.push(order("d").0));
        assert!((&mut third).now_or_never().is_none());
        assert!((&mut fourth).now_or_never().is_none());
        assert_eq!(taken(&reader), ["a", "b"]);
        let _third = third.await.unwrap();
        let _fourth = fourth.await.unwrap();
        assert_eq!(taken(&reader), ["c", "d"]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_or_drops_its_oldest_where_that_was_chosen() {
        let (queue, reader) = send_queue(bounds(1, WhenFull::Fail));
        let kept = queue.push(order("a").0).await.unwrap();
        assert!(matches!(queue.push(order("b").0).await, Err(RequestError::QueueFull { requests: 1 })));
        assert_eq!(taken(&reader), ["a"]);
        kept.over();
        let _room_again = queue.push(order("c").0).await.unwrap();

        let (queue, reader) = send_queue(bounds(2, WhenFull::DropOldest));
        let (oldest, mut told) = order("a");
        let oldest = queue.push(oldest).await.unwrap();
        let _others = (queue.push(order("b").0).await.unwrap(), queue.push(order("c").0).await.unwrap());
        assert!(matches!(told.try_recv(), Ok(Err(RequestError::Dropped { requests: 2 }))));
        drop(oldest);
        assert_eq!(taken(&reader), ["b", "c"]);
    }

    #[tokio::test]
    async fn who_leaves_gives_its_room_back_wherever_it_waited() {
        for when_full in [WhenFull::Wait, WhenFull::Fail, WhenFull::DropOldest] {
            let (queue, reader) = send_queue(bounds(2, when_full));
            let _first = queue.push(order("a").0).await.unwrap();
            drop(queue.push(order("b").0).await.unwrap());
            let _third = queue.push(order("c").0).now_or_never().expect("room").unwrap();
            if when_full == WhenFull::Wait {
                let mut waiting = Box::pin(queue.push(order("d").0));
                assert!((&mut waiting).now_or_never().is_none());
            }
            assert_eq!(taken(&reader), ["a", "c"], "{when_full:?}");
            let _room = (
                queue.push(order("e").0).now_or_never().expect("room").unwrap(),
                queue.push(order("f").0).now_or_never().expect("room").unwrap(),
            );
            assert_eq!(taken(&reader), ["e", "f"], "{when_full:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_queue_ends_what_is_in_it_what_waits_and_what_comes_with_its_reason() {
        let (queue, reader) = send_queue(bounds(1, WhenFull::Wait));
        let (first, mut told) = order("a");
        let _first = queue.push(first).await.unwrap();
        let mut waiting = Box::pin(queue.push(order("b").0));
        assert!((&mut waiting).now_or_never().is_none());
        let reason = Disconnect::Closed { code: 3500, reason: "invalid token".to_owned() };
        reader.close(&reason);
        drop(reader);
        let stopped = |error| matches!(error, RequestError::Stopped(Disconnect::Closed { code: 3500, .. }));
        assert!(stopped(told.try_recv().unwrap().unwrap_err()));
        assert!(stopped(waiting.await.unwrap_err()));
        assert!(stopped(queue.push(order("c").0).await.unwrap_err()));
    }

    #[tokio::test]
    async fn the_reader_is_woken_when_the_queue_is_filled_and_knows_who_waits_too_long() {
        let (queue, reader) = send_queue(SendQueue::default());
        let mut filled = Box::pin(queue.filled());
        assert!((&mut filled).now_or_never().is_none());
        let _first = queue.push(order("a").0).await.unwrap();
        filled.await;
        let since = reader.waits_since().unwrap();
        assert!(reader.take_older(since - std::time::Duration::from_nanos(1)).is_none());
        assert_eq!(reader.take_older(since).as_ref().map(shown).as_deref(), Some("a"));
        assert_eq!(reader.waits_since(), None);
    }
}
