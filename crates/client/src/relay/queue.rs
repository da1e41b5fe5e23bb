use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, Semaphore},
    task::unconstrained,
};

use super::{RelayMessage, SendError};
use crate::WhenFull;

/// What a semaphore can count on every platform.
const MOST_MESSAGES: usize = u32::MAX as usize >> 3;

/// Messages that wait for a connection, or for the socket; the handles' end.
#[derive(Debug)]
pub(super) struct MessageQueue {
    inner: Mutex<Inner>,
    /// Free places, for those who wait for one.
    room: Semaphore,
    filled: Notify,
    capacity: usize,
    when_full: WhenFull,
}

/// The task's end. Dropping it closes the queue.
#[derive(Debug)]
pub(super) struct MessageReader {
    queue: Arc<MessageQueue>,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<RelayMessage>,
    /// Dropped since this was last asked for.
    dropped: u64,
    closed: bool,
}

/// Makes a queue for so many messages, at least 1.
pub(super) fn message_queue(messages: usize, when_full: WhenFull) -> (Arc<MessageQueue>, MessageReader) {
    let capacity = messages.clamp(1, MOST_MESSAGES);
    let queue = Arc::new(MessageQueue {
        inner: Mutex::new(Inner { waiting: VecDeque::new(), dropped: 0, closed: false }),
        room: Semaphore::new(capacity),
        filled: Notify::new(),
        capacity,
        when_full,
    });
    (Arc::clone(&queue), MessageReader { queue })
}

impl MessageQueue {
    /// Puts a message at the end, as the policy says. Cancel safe: it is in the queue or was never there.
    pub(super) async fn push(&self, message: RelayMessage) -> Result<(), SendError> {
        match self.when_full {
            // Unconstrained, because the cooperative budget would make a call wait without a place among those that wait,
            // and calls behind it overtake.
            WhenFull::Wait => {
                unconstrained(self.room.acquire()).await.map_err(|_| SendError::Stopped)?.forget()
            }
            WhenFull::Fail | WhenFull::DropOldest => {}
        }
        let mut inner = self.lock();
        if inner.closed {
            return Err(SendError::Stopped);
        }
        let full = inner.waiting.len() >= self.capacity;
        let dropped = match self.when_full {
            WhenFull::Fail if full => return Err(SendError::QueueFull { messages: self.capacity }),
            WhenFull::DropOldest if full => {
                inner.dropped += 1;
                inner.waiting.pop_front()
            }
            WhenFull::Wait | WhenFull::Fail | WhenFull::DropOldest => None,
        };
        inner.waiting.push_back(message);
        drop(inner);
        drop(dropped); // freed outside of the lock
        self.filled.notify_one();
        Ok(())
    }

    /// Neither user code nor anything that can panic runs under this lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MessageReader {
    /// Waits until there is a message to take. Cancel safe.
    pub(super) async fn filled(&self) {
        while self.queue.lock().waiting.is_empty() {
            self.queue.filled.notified().await;
        }
    }

    /// Takes messages out, the oldest first, at most so many.
    pub(super) fn take(&self, most: usize) -> Vec<RelayMessage> {
        let mut inner = self.queue.lock();
        let count = inner.waiting.len().min(most);
        let messages: Vec<_> = inner.waiting.drain(..count).collect();
        drop(inner);
        match self.queue.when_full {
            WhenFull::Wait => self.queue.room.add_permits(count),
            WhenFull::Fail | WhenFull::DropOldest => {}
        }
        messages
    }

    /// How many were dropped since this was last asked.
    pub(super) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.queue.lock().dropped)
    }

    /// Takes no more; what is in the queue stays, to be taken out.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.queue.room.close();
    }
}

impl Drop for MessageReader {
    fn drop(&mut self) {
        self.close();
        let waiting = std::mem::take(&mut self.queue.lock().waiting);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn texts(messages: Vec<RelayMessage>) -> Vec<String> {
        let text = |message| match message {
            RelayMessage::Text(text) => text,
            RelayMessage::Binary(bytes) => panic!("no text: {bytes:?}"),
        };
        messages.into_iter().map(text).collect()
    }

    #[tokio::test]
    async fn a_full_queue_makes_senders_wait_in_their_order_and_who_leaves_has_sent_nothing() {
        let (queue, reader) = message_queue(1, WhenFull::Wait);
        queue.push("a".into()).await.unwrap();
        let mut second = Box::pin(queue.push("b".into()));
        let mut third = Box::pin(queue.push("c".into()));
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(texts(reader.take(10)), ["a"]);
        drop(second); // its turn had come
        third.await.unwrap();
        assert_eq!(texts(reader.take(10)), ["c"]);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_or_drops_its_oldest_where_that_was_chosen() {
        let (queue, reader) = message_queue(2, WhenFull::Fail);
        queue.push("a".into()).await.unwrap();
        queue.push("b".into()).await.unwrap();
        assert!(matches!(queue.push("c".into()).await, Err(SendError::QueueFull { messages: 2 })));
        assert_eq!(texts(reader.take(1)), ["a"]);
        queue.push("d".into()).await.unwrap();
        assert_eq!((texts(reader.take(10)), reader.take_dropped()), (vec!["b".into(), "d".into()], 0));

        let (queue, reader) = message_queue(2, WhenFull::DropOldest);
        for text in ["a", "b", "c", "d"] {
            queue.push(text.into()).await.unwrap();
        }
        assert_eq!((texts(reader.take(10)), reader.take_dropped()), (vec!["c".into(), "d".into()], 2));
        assert_eq!(reader.take_dropped(), 0);
    }

    #[tokio::test]
    async fn a_queue_without_a_reader_takes_nothing_and_tells_those_who_wait() {
        for when_full in [WhenFull::Wait, WhenFull::Fail, WhenFull::DropOldest] {
            let (queue, reader) = message_queue(1, when_full);
            queue.push("a".into()).await.unwrap();
            let mut waiting = Box::pin(queue.push("b".into()));
            let waits = (&mut waiting).now_or_never().is_none();
            assert_eq!(waits, when_full == WhenFull::Wait);
            drop(reader);
            if waits {
                assert!(matches!(waiting.await, Err(SendError::Stopped)));
            }
            assert!(matches!(queue.push("c".into()).await, Err(SendError::Stopped)));
        }
    }
}
