//! The receiving half: what arrives, and what of it was sent.

use super::{Layout, Member, narrow, window::Window};
use crate::{
    link::LinkError,
    measure::Ledger,
    net::{Handler, Reply},
    scenario::Scene,
    wire::{dialect::Refusal, stamp::Stamp},
};

/// What arrives, and what of it was sent.
pub(super) struct Receiver {
    pub(super) layout: Layout,
    pub(super) ledger: Ledger,
    /// Messages sent, by room and publisher.
    sent: Vec<u32>,
    pub(super) messages: u64,
    pub(super) expected: u64,
    pub(super) window: Option<Window>,
    failure: Option<(usize, LinkError)>,
    pub(super) publisher_gone: bool,
}

impl Receiver {
    pub(super) fn new(layout: Layout, streams: usize, window: Option<Window>) -> Self {
        Self {
            ledger: Ledger::new(streams),
            sent: vec![0; layout.rooms * layout.publishers],
            layout,
            messages: 0,
            expected: 0,
            window,
            failure: None,
            publisher_gone: false,
        }
    }

    fn publisher_index(&self, room: u32, publisher: u32) -> usize {
        room as usize * self.layout.publishers + publisher as usize
    }

    pub(super) fn next_number(&self, room: u32, publisher: u32) -> u32 {
        self.sent[self.publisher_index(room, publisher)]
    }

    pub(super) fn sent(&mut self, stamp: &Stamp) {
        let index = self.publisher_index(stamp.room, stamp.publisher);
        self.sent[index] += 1;
        self.messages += 1;
        self.expected += self.layout.receivers as u64;
        if let Some(window) = &mut self.window {
            window.sent();
        }
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.expected.saturating_sub(self.ledger.integrity.delivered)
    }

    /// Whether the stamp is of a message that was sent to this member.
    fn is_for(&self, member: &Member, stamp: &Stamp) -> bool {
        stamp.room == member.room
            && (stamp.publisher as usize) < self.layout.publishers
            && (self.layout.own_too || member.publisher != Some(stamp.publisher))
            && stamp.sequence < self.next_number(stamp.room, stamp.publisher)
    }

    /// Every stream is settled against what its publisher sent.
    pub(super) fn settle(&mut self) {
        for member in &self.layout.members {
            let Some(first) = member.stream else { continue };
            for publisher in 0..self.layout.publishers {
                let own = member.publisher == Some(narrow(publisher));
                if self.layout.own_too || !own {
                    let sent = self.sent[self.publisher_index(member.room, narrow(publisher))];
                    self.ledger.settle(first + publisher, sent);
                }
            }
        }
    }
}

impl Scene for Receiver {
    fn failure(&mut self) -> Option<(usize, LinkError)> {
        self.failure.take()
    }
}

impl Handler for Receiver {
    fn opened(&mut self, _id: usize, _reply: &mut Reply<'_>) {}

    fn message(&mut self, id: usize, stamp: &Stamp, now_ns: u64, _reply: &mut Reply<'_>) {
        let member = &self.layout.members[id];
        let Some(first) = member.stream.filter(|_| self.is_for(member, stamp)) else {
            self.ledger.integrity.misrouted += 1;
            return;
        };
        let new = self.ledger.take(first + stamp.publisher as usize, stamp, now_ns);
        if let Some(window) = self.window.as_mut().filter(|_| new) {
            window.delivered(stamp.sequence);
        }
    }

    fn foreign(&mut self, _id: usize) {
        self.ledger.integrity.foreign += 1;
    }

    fn refused(&mut self, _id: usize, _refusal: Refusal) {
        self.ledger.integrity.refused += 1;
    }

    fn ended(&mut self, id: usize, was_open: bool, error: LinkError) {
        if !was_open {
            self.failure.get_or_insert((id, error));
            return;
        }
        self.ledger.integrity.disconnected += 1;
        let member = &self.layout.members[id];
        self.publisher_gone |= member.publisher.is_some();
        if let (Some(window), Some(stream)) = (&mut self.window, member.stream) {
            window.lost_receiver(self.ledger.next_of(stream));
        }
    }
}
