use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use throng_protocol::{ChannelName, DisconnectCode};
use throng_registry::{Broadcast, ClientId, OutboxDepth, QueueEntry, ShardId, Slot};
use tokio::time::{Sleep, sleep_until};

use super::departures::see_off_departed;
use super::expel::SLICE;
use super::positions::check_positions;
use super::{Conn, Shard, ShardCommand, now};
use crate::listener::RELAY_NAMESPACE;
use crate::memory;
use crate::node::{Addressed, Node, Obeyed, Order};
use crate::transport;

/// Deliveries after which a turn ends, so that reading, pings and timers get their share of the thread.
const TURN_DELIVERIES: usize = 16_384;

/// Queue entries after which a turn ends.
const TURN_ENTRIES: usize = 256;

/// Runs a shard until it is told to stop and its last client has gone, or to cut. Returns how many clients
/// were cut.
///
/// Must run in a local runtime or a `LocalSet`, outside tokio's cooperative budget: within it, sockets look full after a few
/// hundred writes in one task.
pub(crate) async fn run(id: ShardId, node: Arc<Node>) -> usize {
    let shard = Rc::new(Shard::new(id, node));
    // They end with the shard, which they do not keep.
    tokio::task::spawn_local(see_off_departed(Rc::downgrade(&shard)));
    tokio::task::spawn_local(check_positions(Rc::downgrade(&shard)));
    let mut turns = Turns { pending: VecDeque::new(), cut: false, peak: 0 };
    let mut sleep = Box::pin(sleep_until(tokio::time::Instant::now()));
    loop {
        poll_fn(|cx| shard.poll_work(cx, sleep.as_mut(), turns.pending.is_empty())).await;
        shard.in_turn.set(true);
        turns.turn(&shard);
        shard.in_turn.set(false);
        let left = shard.table.borrow().sizes().0;
        if turns.cut || (shard.stopping.get() && left == 0) {
            shard.publish_metrics();
            return left + shard.unanswered.get();
        }
        // Where there is more to do at once, the connections and the runtime's driver come first.
        if !turns.pending.is_empty() || !shard.node.fanout().queue(id).is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

type Entry = QueueEntry<Broadcast, ShardCommand>;

struct Turns {
    /// Entries taken from the queue that did not fit into the last turn.
    pending: VecDeque<Entry>,
    cut: bool,
    /// Most clients that the shard had since it last gave memory back.
    peak: usize,
}

impl Turns {
    /// One turn: what the queue holds goes to the outboxes, then every client with something to write is written once.
    fn turn(&mut self, shard: &Rc<Shard>) {
        let queue = shard.node.fanout().queue(shard.id);
        // Beside the rest of long work others go on.
        let is_long = |entry: &Entry| matches!(entry, QueueEntry::Control(ShardCommand::Expel { .. }));
        if self.pending.iter().all(is_long) {
            queue.drain(TURN_ENTRIES.saturating_sub(self.pending.len()), &mut self.pending);
        }
        let mut deliveries = 0;
        while deliveries < TURN_DELIVERIES
            && let Some(entry) = self.pending.pop_front()
        {
            match entry {
                QueueEntry::Broadcast(broadcast) => {
                    deliveries += shard.table.borrow_mut().deliver(&broadcast);
                }
                QueueEntry::Control(command) => deliveries += self.obey(shard, command),
            }
        }
        shard.fire_timers();
        shard.flush();
        self.give_memory_back(shard.table.borrow().sizes().0);
        shard.publish_metrics();
    }

    /// After thousands have left, their memory goes back to the system. The allocator would keep it for the next ones, but a
    /// server that was full once should not look full for ever.
    fn give_memory_back(&mut self, clients: usize) {
        const LEFT: usize = 1_024;

        self.peak = self.peak.max(clients);
        if self.peak - clients >= LEFT && clients <= self.peak / 4 {
            memory::trim();
            self.peak = clients;
        }
    }

    /// Returns how much work it was, in deliveries, where it was much.
    fn obey(&mut self, shard: &Rc<Shard>, command: ShardCommand) -> usize {
        match command {
            ShardCommand::Expel { whom, revocation } => {
                if let Some(whom) = shard.expel(whom, &revocation) {
                    let rest = ShardCommand::Expel { whom, revocation };
                    self.pending.push_back(QueueEntry::Control(rest));
                }
                return SLICE;
            }
            // A connection that comes too late is dropped, which closes it; its client will try elsewhere.
            ShardCommand::Open(..) if shard.stopping.get() => {}
            ShardCommand::Open(stream, opening) => transport::open(shard, stream, *opening),
            ShardCommand::Order { slots, order, obeyed } => shard.pass_on(&slots, &order, &obeyed),
            // Whoever asked may have given up.
            ShardCommand::Channels { wanted, answer } => drop(answer.try_send(shard.channels(&*wanted))),
            ShardCommand::Deepest { count, answer } => drop(answer.try_send(shard.deepest(count))),
            ShardCommand::Stop => shard.stop(),
            ShardCommand::Cut => self.cut = true,
            #[cfg(test)]
            ShardCommand::Fail => panic!("as the test asked"),
        }
        0
    }
}

impl Shard {
    /// Ready when there is something for a turn to do.
    fn poll_work(&self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>, no_pending: bool) -> Poll<()> {
        self.turn.set(Some(cx.waker().clone()));
        if self.shrunk.take() || !no_pending || self.table.borrow().needs_flush() {
            return Poll::Ready(());
        }
        if self.node.fanout().queue(self.id).poll_ready(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.stopping.get() && self.table.borrow().sizes().0 == 0 {
            return Poll::Ready(());
        }
        let Some(deadline) = self.timers.borrow().next() else { return Poll::Pending };
        let deadline = tokio::time::Instant::from_std(deadline);
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.poll(cx)
    }

    /// Wakes the clients whose deadline has passed.
    fn fire_timers(&self) {
        let now = now();
        let mut table = self.table.borrow_mut();
        let mut timers = self.timers.borrow_mut();
        while let Some(slot) = timers.pop(now) {
            if let Some(conn) = table.attachment_mut(slot) {
                conn.deadline = None;
                conn.fired = true;
                conn.waker.wake_by_ref();
            }
        }
    }

    /// Writes what is in the outboxes, and wakes the tasks of clients to whom something happened on the way.
    fn flush(&self) {
        let mut table = self.table.borrow_mut();
        if !table.needs_flush() {
            return;
        }
        table.flush_held(write, |conn| conn.stream.borrow().held());
        drop(table);
        self.notify_changed();
    }

    /// Gives an order to clients' tasks.
    fn pass_on(&self, slots: &[Slot], order: &Order, obeyed: &Obeyed) {
        /// Orders that a client's task may be behind; whoever gives more is told that they were not taken.
        const MOST: usize = 1_024;

        let is_last = matches!(order, Order::Disconnect { .. });
        let mut table = self.table.borrow_mut();
        for slot in slots {
            if let Some(conn) = table.attachment_mut(*slot) {
                let orders = conn.orders.get_or_insert_default();
                if is_last && orders.len() >= MOST {
                    // They mean nothing to a connection that ends, and must not keep it from ending.
                    orders.clear();
                }
                if orders.len() < MOST {
                    orders.push_back(Addressed { order: order.clone(), obeyed: obeyed.clone() });
                } else {
                    obeyed.refuse();
                }
                conn.waker.wake_by_ref();
            }
        }
    }

    fn channels(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<(ChannelName, usize)> {
        let is_room = |name: &ChannelName| name.as_str().starts_with(RELAY_NAMESPACE);
        let table = self.table.borrow();
        let counts = table.channel_counts().filter(|(name, _)| !is_room(name) && wanted(name.as_str()));
        counts.map(|(name, count)| (name.clone(), count)).collect()
    }

    fn deepest(&self, count: usize) -> Vec<(ClientId, OutboxDepth)> {
        let table = self.table.borrow();
        let named = |(slot, depth)| {
            let member = table.attachment(slot)?.member.as_ref()?;
            Some((member.client, depth))
        };
        table.deepest(count).into_iter().filter_map(named).collect()
    }

    /// Asks every client's task to close its connection.
    fn stop(&self) {
        self.stopping.set(true);
        let mut table = self.table.borrow_mut();
        let slots: Vec<_> = table.slots().collect();
        for slot in slots {
            if let Some(conn) = table.attachment_mut(slot) {
                conn.stop = Some(DisconnectCode::Shutdown);
                conn.waker.wake_by_ref();
            }
        }
    }

    fn publish_metrics(&self) {
        let table = self.table.borrow();
        let metrics = &self.node.metrics.shards[self.id.index()];
        let counters = table.counters();
        metrics.deliveries.set(counters.deliveries);
        metrics.writes.set(counters.writes);
        metrics.bytes_sent.set(counters.bytes_written);
        metrics.slow.set(counters.slow);
        let (clients, channels, subscriptions) = table.sizes();
        metrics.clients.set(clients as u64);
        metrics.channels.set(channels as u64);
        metrics.subscriptions.set(subscriptions as u64);
        metrics.backlog_bytes.set(table.backlog_bytes() as u64);
        metrics.set_dropped(table.dropped());
    }
}

/// Writes to a client's stream. When it is full, the client's own task is woken once it is writable.
fn write(conn: &mut Conn, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    let mut cx = Context::from_waker(&conn.waker);
    let mut stream = conn.stream.borrow_mut();
    let stream = Pin::new(&mut *stream);
    match slices {
        [one] => stream.poll_write(&mut cx, one),
        several => stream.poll_write_vectored(&mut cx, several),
    }
}
