use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// What other threads may ask of a shard that is not the delivery of a publication: opening a connection, ending one, …
///
/// Control entries never wait for room: they come from a bounded number of askers, who await an answer.
#[derive(Debug)]
pub enum Entry<B, C> {
    /// An event for the shard's local subscribers.
    Broadcast(B),
    /// A command for the shard itself.
    Control(C),
}

/// The one way into a shard: a first-in, first-out queue of broadcasts and control entries.
///
/// Broadcasts are bounded by a capacity and must be reserved first, so that a publication enters every queue it needs or
/// none. Many threads push, one shard pops.
#[derive(Debug)]
pub struct ShardQueue<B, C> {
    entries: Mutex<VecDeque<Entry<B, C>>>,
    /// Broadcasts that are queued, and room that is reserved for more.
    taken: AtomicUsize,
    capacity: usize,
    consumer: AtomicWaker,
}

impl<B, C> ShardQueue<B, C> {
    /// An empty queue with room for `capacity` broadcasts, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            entries: Mutex::new(VecDeque::new()),
            taken: AtomicUsize::new(0),
            capacity: capacity.max(1),
            consumer: AtomicWaker::new(),
        }
    }

    /// Takes room for one broadcast, or `None` when the queue is full. Dropping the reservation gives the room back.
    pub fn reserve(self: &Arc<Self>) -> Option<Reservation<B, C>> {
        let free = |taken: usize| (taken < self.capacity).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, free).ok()?;
        Some(Reservation { queue: Some(Arc::clone(self)) })
    }

    /// Queues a control entry and wakes the shard.
    pub fn control(&self, command: C) {
        self.push(Entry::Control(command));
    }

    /// Moves up to `limit` entries to the end of `into`, in order. Returns how many there were.
    pub fn drain(&self, limit: usize, into: &mut VecDeque<Entry<B, C>>) -> usize {
        let mut entries = self.entries.lock();
        let count = entries.len().min(limit);
        let start = into.len();
        into.extend(entries.drain(..count));
        drop(entries);
        let is_broadcast = |entry: &&Entry<B, C>| matches!(entry, Entry::Broadcast(_));
        let broadcasts = into.range(start..).filter(is_broadcast).count();
        self.taken.fetch_sub(broadcasts, Ordering::AcqRel);
        count
    }

    /// Ready when the queue holds something; otherwise the shard's task is woken once it does.
    pub fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        if self.is_empty() {
            self.consumer.register(cx.waker());
            // An entry that came before the waker was registered woke nobody.
            if self.is_empty() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.entries.lock().is_empty()
    }

    /// How many broadcasts are queued or have room reserved.
    pub fn depth(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn push(&self, entry: Entry<B, C>) {
        let mut entries = self.entries.lock();
        entries.push_back(entry);
        let first = entries.len() == 1;
        drop(entries);
        // The shard asks again before it sleeps, so only the first entry has to wake it.
        if first {
            self.consumer.wake();
        }
    }
}

/// Room for one broadcast in one shard's queue.
#[derive(Debug)]
pub struct Reservation<B, C> {
    queue: Option<Arc<ShardQueue<B, C>>>,
}

impl<B, C> Reservation<B, C> {
    /// Queues the broadcast in the reserved room and wakes the shard.
    pub fn fill(mut self, broadcast: B) {
        if let Some(queue) = self.queue.take() {
            queue.push(Entry::Broadcast(broadcast));
        }
    }
}

impl<B, C> Drop for Reservation<B, C> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            queue.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::{Wake, Waker};

    use super::*;

    type Queue = ShardQueue<u32, &'static str>;

    fn drained(queue: &Queue, limit: usize) -> Vec<String> {
        let mut into = VecDeque::new();
        queue.drain(limit, &mut into);
        into.iter()
            .map(|entry| match entry {
                Entry::Broadcast(number) => number.to_string(),
                Entry::Control(word) => (*word).to_owned(),
            })
            .collect()
    }

    #[test]
    fn broadcasts_and_control_entries_come_out_in_the_order_in_which_they_went_in() {
        let queue = Arc::new(Queue::new(8));
        queue.reserve().unwrap().fill(1);
        queue.control("open");
        queue.reserve().unwrap().fill(2);
        assert_eq!(drained(&queue, 2), ["1", "open"]);
        assert_eq!(drained(&queue, 9), ["2"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_full_queue_gives_no_room_until_something_left() {
        let queue = Arc::new(Queue::new(2));
        queue.reserve().unwrap().fill(1);
        let second = queue.reserve().unwrap();
        assert!(queue.reserve().is_none());
        drop(second);
        queue.reserve().unwrap().fill(2);
        assert!(queue.reserve().is_none());
        assert_eq!(drained(&queue, 1), ["1"]);
        assert!(queue.reserve().is_some());
    }

    #[test]
    fn a_full_queue_still_takes_control_entries() {
        let queue = Arc::new(Queue::new(1));
        queue.reserve().unwrap().fill(1);
        queue.control("end");
        assert_eq!(drained(&queue, 9), ["1", "end"]);
    }

    #[test]
    fn the_shard_is_woken_by_the_first_entry() {
        struct Flag(AtomicBool);
        impl Wake for Flag {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let queue = Arc::new(Queue::new(1));
        assert!(queue.poll_ready(&Context::from_waker(&waker)).is_pending());
        queue.reserve().unwrap().fill(1);
        assert!(flag.0.load(Ordering::Relaxed));
        assert!(queue.poll_ready(&Context::from_waker(&waker)).is_ready());
    }
}
