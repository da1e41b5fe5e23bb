use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// How much a reader may fall behind before events are dropped: the oldest, or what its [`SlowReader`] policy says.
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

/// What happens when the reader of a stream falls behind by more than its [`QueueBounds`].
///
/// ```
/// use throng_client::{QueueBounds, SlowReader, SubscribeOptions};
///
/// let options = SubscribeOptions {
///     queue: Some(QueueBounds { events: 100, bytes: 1 << 20 }),
///     slow_reader: SlowReader::Unsubscribe,
///     ..SubscribeOptions::default()
/// };
/// assert_eq!(SubscribeOptions::default().slow_reader, SlowReader::DropOldest);
/// # drop(options);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SlowReader {
    /// The oldest events are dropped, and [`Event::Missed`](crate::Event::Missed) stands in their place. The newest
    /// event is always kept, however large, so that a reader that returns finds the present and not the past.
    #[default]
    DropOldest,
    /// The events that do not fit any more are dropped, and [`Event::Missed`](crate::Event::Missed) stands in their
    /// place.
    DropNewest,
    /// The subscription ends: after what was queued comes
    /// [`UnsubscribeReason::TooSlow`](crate::UnsubscribeReason::TooSlow).
    Unsubscribe,
}

/// What a mailbox gives its reader.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Delivery<T> {
    /// So many events were dropped here because the reader was too slow.
    Missed(u64),
    /// The next event.
    Event(T),
}

/// A bounded queue from the task that owns the connection to one reader.
///
/// The writer never waits: a full queue drops its oldest event and counts it, and the reader is told the count first.
pub(crate) fn mailbox<T>(bounds: QueueBounds) -> (MailboxSender<T>, MailboxReceiver<T>) {
    mailbox_with(bounds, SlowReader::DropOldest)
}

/// The same with another policy for a full queue.
pub(crate) fn mailbox_with<T>(
    bounds: QueueBounds,
    policy: SlowReader,
) -> (MailboxSender<T>, MailboxReceiver<T>) {
    let inner = Arc::new(Mutex::new(Inner {
        queue: VecDeque::new(),
        bytes: 0,
        missed: 0,
        overrun: false,
        ended: false,
        abandoned: false,
        reader: None,
    }));
    (MailboxSender { inner: Arc::clone(&inner), bounds, policy }, MailboxReceiver { inner })
}

/// The writing half. Dropping it ends the queue: the reader gets what is in it, then the end.
#[derive(Debug)]
pub(crate) struct MailboxSender<T> {
    inner: Arc<Mutex<Inner<T>>>,
    bounds: QueueBounds,
    policy: SlowReader,
}

/// The reading half. Dropping it frees what is queued and makes the sender discard.
#[derive(Debug)]
pub(crate) struct MailboxReceiver<T> {
    inner: Arc<Mutex<Inner<T>>>,
}

#[derive(Debug)]
struct Inner<T> {
    queue: VecDeque<Entry<T>>,
    bytes: usize,
    /// How many were dropped since the last one in the queue.
    missed: u64,
    /// The reader was too slow for a policy that takes no more then.
    overrun: bool,
    ended: bool,
    abandoned: bool,
    reader: Option<Waker>,
}

#[derive(Debug)]
struct Entry<T> {
    event: T,
    bytes: usize,
    /// How many were dropped right before it.
    missed: u64,
}

impl<T> MailboxSender<T> {
    /// Puts an event with a payload of `bytes` at the end, or drops what the policy says.
    pub(crate) fn push(&self, event: T, bytes: usize) {
        let mut inner = lock(&self.inner);
        if inner.abandoned || inner.overrun {
            return;
        }
        match self.policy {
            SlowReader::DropOldest => {
                while inner.lacks_room(self.bounds, bytes) {
                    inner.drop_oldest();
                }
            }
            SlowReader::DropNewest if inner.lacks_room(self.bounds, bytes) => {
                inner.missed += 1;
                return;
            }
            SlowReader::Unsubscribe if inner.lacks_room(self.bounds, bytes) => {
                inner.overrun = true;
                return;
            }
            SlowReader::DropNewest | SlowReader::Unsubscribe => {}
        }
        inner.put(event, bytes);
        wake_reader(inner);
    }

    /// Puts the last event at the end, for which there is always room.
    pub(crate) fn push_last(&self, event: T) {
        let mut inner = lock(&self.inner);
        if !inner.abandoned {
            inner.put(event, 0);
            wake_reader(inner);
        }
    }

    /// True when the reader was too slow, and the policy wants it to end then.
    pub(crate) fn is_overrun(&self) -> bool {
        self.policy == SlowReader::Unsubscribe && lock(&self.inner).overrun
    }
}

impl<T> MailboxReceiver<T> {
    /// The next event, or `None` after the end. Cancel safe: nothing is taken unless it is returned.
    pub(crate) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Delivery<T>>> {
        let mut inner = lock(&self.inner);
        let missed = match inner.queue.front_mut() {
            Some(entry) => std::mem::take(&mut entry.missed),
            None => std::mem::take(&mut inner.missed),
        };
        if missed > 0 {
            return Poll::Ready(Some(Delivery::Missed(missed)));
        }
        if let Some(entry) = inner.pop() {
            return Poll::Ready(Some(Delivery::Event(entry.event)));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> Inner<T> {
    /// One event always fits, however large.
    fn lacks_room(&self, bounds: QueueBounds, bytes: usize) -> bool {
        !self.queue.is_empty() && (self.queue.len() >= bounds.events || self.bytes + bytes > bounds.bytes)
    }

    fn put(&mut self, event: T, bytes: usize) {
        let missed = std::mem::take(&mut self.missed);
        self.queue.push_back(Entry { event, bytes, missed });
        self.bytes += bytes;
    }

    fn drop_oldest(&mut self) {
        let Some(dropped) = self.pop() else { return };
        let missed = dropped.missed + 1;
        match self.queue.front_mut() {
            Some(next) => next.missed += missed,
            None => self.missed += missed,
        }
    }

    fn pop(&mut self) -> Option<Entry<T>> {
        let entry = self.queue.pop_front()?;
        self.bytes -= entry.bytes;
        Some(entry)
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
    fn a_reader_that_wants_the_oldest_is_told_what_it_missed_where_it_missed_it() {
        let bounds = QueueBounds { events: 2, bytes: 1_000 };
        let (sender, reader) = mailbox_with(bounds, SlowReader::DropNewest);
        for number in 0..5 {
            sender.push(number, 1);
        }
        assert_eq!(take(&reader), event(0));
        sender.push(5, 1);
        assert_eq!(take(&reader), event(1));
        assert_eq!(take(&reader), Poll::Ready(Some(Delivery::Missed(3))));
        assert_eq!(take(&reader), event(5));
        for number in 6..9 {
            sender.push(number, 1);
        }
        sender.push_last(9);
        drop(sender);
        assert_eq!((take(&reader), take(&reader)), (event(6), event(7)));
        assert_eq!(take(&reader), Poll::Ready(Some(Delivery::Missed(1))));
        assert_eq!((take(&reader), take(&reader)), (event(9), Poll::Ready(None)));
    }

    #[test]
    fn a_queue_that_ends_when_it_is_full_takes_nothing_more_but_the_end() {
        let bounds = QueueBounds { events: 100, bytes: 10 };
        let (sender, reader) = mailbox_with(bounds, SlowReader::Unsubscribe);
        sender.push("a", 8);
        assert!(!sender.is_overrun());
        sender.push("b", 8);
        assert!(sender.is_overrun());
        sender.push("c", 1);
        sender.push_last("end");
        assert_eq!((take(&reader), take(&reader)), (event("a"), event("end")));
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
