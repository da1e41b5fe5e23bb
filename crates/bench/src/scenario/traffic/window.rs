//! How many messages are outstanding in a closed loop.

use std::collections::VecDeque;

/// Deliveries that each outstanding message still lacks, oldest first.
pub(super) struct Window {
    size: usize,
    first: u32,
    lacking: VecDeque<usize>,
    receivers: usize,
}

impl Window {
    pub(super) fn new(size: usize, receivers: usize) -> Self {
        Self { size, first: 0, lacking: VecDeque::with_capacity(size), receivers }
    }

    /// The next message has been sent.
    pub(super) fn sent(&mut self) {
        self.lacking.push_back(self.receivers);
    }

    pub(super) fn is_full(&self) -> bool {
        self.lacking.len() >= self.size
    }

    pub(super) fn delivered(&mut self, sequence: u32) {
        if let Some(lacking) = self.lacking.get_mut(sequence.wrapping_sub(self.first) as usize) {
            *lacking = lacking.saturating_sub(1);
        }
        self.advance();
    }

    /// A subscriber that awaited `next` is gone: nobody waits for it any more.
    pub(super) fn lost_receiver(&mut self, next: u32) {
        self.receivers = self.receivers.saturating_sub(1);
        let received = next.saturating_sub(self.first) as usize;
        for lacking in self.lacking.iter_mut().skip(received) {
            *lacking = lacking.saturating_sub(1);
        }
        self.advance();
    }

    fn advance(&mut self) {
        while self.lacking.front() == Some(&0) {
            self.lacking.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(sent: usize) -> Window {
        let mut window = Window::new(2, 2);
        (0..sent).for_each(|_| window.sent());
        window
    }

    #[test]
    fn a_message_leaves_when_all_subscribers_have_it() {
        let mut window = window(2);
        assert!(window.is_full());
        window.delivered(0);
        window.delivered(1);
        assert!(window.is_full());
        window.delivered(0);
        assert!(!window.is_full());
        window.sent();
        window.delivered(2);
        window.delivered(1);
        assert_eq!((window.first, window.lacking.len()), (2, 1));
    }

    #[test]
    fn nobody_waits_for_a_subscriber_that_is_gone() {
        let mut window = window(2);
        window.delivered(0);
        window.delivered(1);
        window.lost_receiver(0);
        assert_eq!((window.first, window.lacking.len()), (2, 0));
        window.sent();
        window.delivered(2);
        assert_eq!(window.first, 3);
    }

    #[test]
    fn what_is_not_outstanding_changes_nothing() {
        let mut window = window(1);
        window.delivered(7);
        window.delivered(u32::MAX);
        assert_eq!(window.lacking, [2]);
    }
}
