//! The sending half: when to publish, and who does it.

use std::time::Duration;

use super::{Driver, Layout, receiver::Receiver, window::Window};
use crate::{
    clock::nanos,
    measure::Schedule,
    net::Net,
    scenario::{LONGEST_TURN, Run},
    wire::stamp::Stamp,
};

/// Messages that one turn may send before it reads again.
const SENDS_PER_TURN: usize = 256;
/// Bytes that may wait for one socket before the schedule is held up.
const MAX_BACKLOG: usize = 1 << 20;

/// Decides when to publish and who does it.
pub(super) struct Sender {
    pub(super) pacer: Pacer,
    /// Connection, room and publisher number of each publisher, in the order in which they take turns.
    publishers: Vec<(usize, u32, u32)>,
    turn: usize,
    limit: u64,
    drain_ns: u64,
    /// Messages that were due while the socket took no more.
    pub(super) held_up: u64,
    holding: bool,
    pub(super) stalled: bool,
    progress: (u64, u64),
}

pub(super) enum Pacer {
    Clock(Schedule),
    Window,
}

impl Sender {
    pub(super) fn new(run: &Run<'_>, driver: &Driver, layout: &Layout, start_ns: u64) -> Self {
        let publishers = layout
            .members
            .iter()
            .enumerate()
            .filter_map(|(id, member)| Some((id, member.room, member.publisher?)))
            .collect();
        let pacer = match driver {
            Driver::Clock { messages_per_s } => Pacer::Clock(Schedule::new(start_ns, *messages_per_s)),
            Driver::Window { .. } => Pacer::Window,
        };
        Self {
            pacer,
            publishers,
            turn: 0,
            limit: run.plan.messages.unwrap_or(u64::MAX),
            drain_ns: nanos(run.plan.drain),
            held_up: 0,
            holding: false,
            stalled: false,
            progress: (0, start_ns),
        }
    }

    /// All messages are sent and there, or nothing has moved for as long as a drain may take.
    pub(super) fn is_over(&mut self, receiver: &Receiver, now_ns: u64) -> bool {
        let sent_all = receiver.messages >= self.limit;
        if sent_all && receiver.outstanding() == 0 {
            return true;
        }
        let waits = sent_all || matches!(self.pacer, Pacer::Window);
        let delivered = receiver.ledger.integrity.delivered;
        if !waits || delivered != self.progress.0 || receiver.outstanding() == 0 {
            self.progress = (delivered, now_ns);
            return false;
        }
        let still = now_ns - self.progress.1 > self.drain_ns;
        self.stalled |= still && !sent_all;
        still
    }

    /// Publishes what is due and says how long the next turn may wait.
    pub(super) fn send_due(&mut self, net: &mut Net, receiver: &mut Receiver) -> Duration {
        for _ in 0..SENDS_PER_TURN {
            let now_ns = net.clock.now_ns();
            if receiver.messages >= self.limit {
                return LONGEST_TURN;
            }
            let due_ns = match &self.pacer {
                Pacer::Clock(schedule) => schedule.due_ns(),
                Pacer::Window => now_ns,
            };
            if due_ns > now_ns {
                return Duration::from_nanos(due_ns - now_ns).min(LONGEST_TURN);
            }
            if receiver.window.as_ref().is_some_and(Window::is_full) {
                return LONGEST_TURN;
            }
            let (id, room, publisher) = self.publishers[self.turn % self.publishers.len()];
            if net.backlog(id) > MAX_BACKLOG {
                self.holding = true;
                return Duration::from_millis(1);
            }
            let stamp = Stamp { room, publisher, sequence: receiver.next_number(room, publisher), due_ns };
            net.publish(id, &stamp);
            receiver.sent(&stamp);
            self.turn += 1;
            if let Pacer::Clock(schedule) = &mut self.pacer {
                schedule.sent(now_ns, self.holding);
                self.held_up += u64::from(self.holding);
                self.holding &= schedule.due_ns() <= now_ns;
            }
        }
        Duration::ZERO
    }
}
