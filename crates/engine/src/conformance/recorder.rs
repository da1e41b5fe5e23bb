use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use throng_protocol::ChannelName;

use crate::{Busy, Delivery, Revocation, Sink};

/// A sink that writes down what it is handed; clones share what is written.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    busy: AtomicBool,
    deliveries: Mutex<HashMap<ChannelName, Vec<Delivery>>>,
    revoked: Mutex<Vec<Revocation>>,
}

impl Recorder {
    /// Whether reservations are refused from now on.
    pub fn set_busy(&self, busy: bool) {
        self.0.busy.store(busy, Ordering::SeqCst);
    }

    /// What the channel has had so far, in the order in which it came.
    #[must_use]
    pub fn deliveries(&self, channel: &ChannelName) -> Vec<Delivery> {
        self.0.deliveries.lock().get(channel).cloned().unwrap_or_default()
    }

    /// How much that is.
    #[must_use]
    pub fn count(&self, channel: &ChannelName) -> usize {
        self.0.deliveries.lock().get(channel).map_or(0, Vec::len)
    }

    /// The revocations it has heard of so far.
    #[must_use]
    pub fn revocations(&self) -> Vec<Revocation> {
        self.0.revoked.lock().clone()
    }
}

impl Sink for Recorder {
    type Ticket = ();

    fn reserve(&self, _: &ChannelName) -> Result<(), Busy> {
        if self.0.busy.load(Ordering::SeqCst) { Err(Busy) } else { Ok(()) }
    }

    fn deliver(&self, (): (), channel: &ChannelName, delivery: Delivery) {
        self.0.deliveries.lock().entry(channel.clone()).or_default().push(delivery);
    }

    fn revoked(&self, revocation: &Revocation) {
        self.0.revoked.lock().push(revocation.clone());
    }
}
