use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// How much a reader may fall behind before the oldest events are dropped.
///
/// The newest event is always kept, however large, so that a reader that returns finds the present and not the past.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct QueueBounds {
    /// Most events that wait for the reader. Default 1,024; at least 1 whatever is set.
    pub events: usize,
    /// Most payload bytes that wait for the reader. Default 4 MiB.
    pub bytes: usize,
}

impl Default for QueueBounds {
    fn default() -> Self {
        Self { events: 1_024, bytes: 4 << 20 }
    }
}

/// What a mailbox gives its reader.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Delivery<T> {
    /// So many events, all older than whatever follows, were dropped because the reader was too slow.
    Missed(u64),
    /// The next event.
    Event(T),
}

/// A bounded queue from the task that owns the connection to one reader.
///
/// The writer never waits: a full queue drops its oldest event and counts it, and the reader is told the count first.
pub(crate) fn mailbox<T>(bounds: QueueBounds) -> (MailboxSender<T>, MailboxReceiver<T>) {
    let inner = Arc::new(Mutex::new(Inner {
        queue: VecDeque::new(),
        bytes: 0,
        missed: 0,
        ended: false,
        abandoned: false,
        reader: None,
    }));
    (MailboxSender { inner: Arc::clone(&inner), bounds }, MailboxReceiver { inner })
}

/// The writing half. Dropping it ends the queue: the reader gets what is in it, then the end.
#[derive(Debug)]
pub(crate) struct MailboxSender<T> {
    inner: Arc<Mutex<Inner<T>>>,
    bounds: QueueBounds,
}

/// The reading half. Dropping it frees what is queued and makes the sender discard.
#[derive(Debug)]
pub(crate) struct MailboxReceiver<T> {
    inner: Arc<Mutex<Inner<T>>>,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<(T, usize)>,
    bytes: usize,
    missed: u64,
    ended: bool,
    abandoned: bool,
    reader: Option<Waker>,
}

impl<T> MailboxSender<T> {
    /// Puts an event with a payload of `bytes` at the end, dropping from the front what no longer fits.
    pub(crate) fn push(&self, event: T, bytes: usize) {
        let mut inner = lock(&self.inner);
        if inner.abandoned {
            return;
        }
        while !inner.queue.is_empty()
            && (inner.queue.len() >= self.bounds.events || inner.bytes + bytes > self.bounds.bytes)
        {
            inner.pop();
            inner.missed += 1;
        }
        inner.queue.push_back((event, bytes));
        inner.bytes += bytes;
        wake_reader(inner);
    }
}

impl<T> MailboxReceiver<T> {
    /// The next event, or `None` after the end. Cancel safe: nothing is taken unless it is returned.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Delivery<T>>> {
        let mut inner = lock(&self.inner);
        if inner.missed > 0 {
            return Poll::Ready(Some(Delivery::Missed(std::mem::take(&mut inner.missed))));
        }
        if let Some(event) = inner.pop() {
            return Poll::Ready(Some(Delivery::Event(event)));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Inner<T> {
    fn pop(&mut self) -> Option<T> {
        let (event, bytes) = self.queue.pop_front()?;
        self.bytes -= bytes;
        Some(event)
    }
}

impl<T> Drop for MailboxSender<T> {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        inner.ended = true;
        wake_reader(inner);
    }
}

impl<T> Drop for MailboxReceiver<T> {
    fn drop(&mut self) {
        let mut inner = lock(&self.inner);
        inner.abandoned = true;
        inner.bytes = 0;
        let queue = std::mem::take(&mut inner.queue);
        drop(inner); // the events are freed outside the lock
        drop(queue);
    }
}

/// Wakes the reader, if it waits, after the lock is free again.
fn wake_reader<T>(mut inner: MutexGuard<'_, Inner<T>>) {
    let reader = inner.reader.take();
    drop(inner);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// No code that can panic runs under this lock, so a poisoned one is as good as any.
fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::FutureExt as _;

    use super::*;

    fn take<T>(reader: &MailboxReceiver<T>) -> Poll<Option<Delivery<T>>> {
        let mut next = std::future::poll_fn(|context| Poll::Ready(reader.poll_next(context)));
        (&mut next).now_or_never().expect("ready at once")
    }

    fn event<T>(event: T) -> Poll<Option<Delivery<T>>> {
        Poll::Ready(Some(Delivery::Event(event)))
    }

    #[test]
    fn events_come_out_in_order_and_the_end_comes_last() {
        let (sender, reader) = mailbox(QueueBounds::default());
        assert_eq!(take(&reader), Poll::Pending);
        sender.push("a", 1);
        sender.push("b", 1);
        drop(sender);
        assert_eq!(take(&reader), event("a"));
        assert_eq!(take(&reader), event("b"));
        assert_eq!(take(&reader), Poll::Ready(None));
    }

    #[test]
    fn a_slow_reader_is_told_how_many_were_dropped_before_it_reads_on() {
        let (sender, reader) = mailbox(QueueBounds { events: 2, bytes: 1_000 });
        for number in 0..5 {
            sender.push(number, 1);
        }
        assert_eq!(take(&reader), Poll::Ready(Some(Delivery::Missed(3))));
        assert_eq!(take(&reader), event(3));
        sender.push(5, 1);
        assert_eq!(take(&reader), event(4));
        assert_eq!(take(&reader), event(5));
        assert_eq!(take(&reader), Poll::Pending);
    }

    #[test]
    fn bytes_are_bounded_too_and_the_newest_event_is_always_kept() {
        let (sender, reader) = mailbox(QueueBounds { events: 100, bytes: 10 });
        sender.push("small", 4);
        sender.push("other", 4);
        sender.push("huge", 50);
        assert_eq!(take(&reader), Poll::Ready(Some(Delivery::Missed(2))));
        assert_eq!(take(&reader), event("huge"));
        sender.push("small", 4);
        assert_eq!(take(&reader), event("small"));
    }

    #[test]
    fn what_nobody_will_read_is_not_kept() {
        let (sender, reader) = mailbox(QueueBounds::default());
        let payload = Arc::new(());
        sender.push(Arc::clone(&payload), 0);
        drop(reader);
        sender.push(Arc::clone(&payload), 0);
        assert_eq!(Arc::strong_count(&payload), 1);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_an_event_and_by_the_end() {
        let (sender, reader) = mailbox(QueueBounds::default());
        let mut next = next_of(&reader);
        assert!((&mut next).now_or_never().is_none());
        sender.push("a", 1);
        assert_eq!(next.await, Some(Delivery::Event("a")));
        let next = next_of(&reader);
        drop(sender);
        assert_eq!(next.await, None);
    }

    fn next_of<T>(reader: &MailboxReceiver<T>) -> impl Future<Output = Option<Delivery<T>>> + Unpin {
        std::future::poll_fn(|context| reader.poll_next(context))
    }
}
