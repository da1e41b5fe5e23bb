use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use throng_protocol::{
    Format, Payload, Publication, StreamPosition, Subscribe, SubscribeRequest, SubscribeResult, Unsubscribe,
};

use super::{
    delta::{DeltaChain, DeltaFault},
    track::{Told, Track},
};
use crate::{Event, ServerEvent, UnsubscribeReason, mailbox::MailboxSender};

/// Most server-side subscriptions that are followed. Far more than servers give one client; a server that goes beyond
/// is not allowed to fill this program's memory.
const MAX_CHANNELS: usize = 16_384;

/// The channels that the server has subscribed this client to, if the application wants to know.
///
/// They live with the connection: on the next one the server sets them up again, and this client tells it how far each
/// was read.
#[derive(Debug)]
pub(crate) struct ServerSubscriptions {
    /// None when nobody reads: then nothing is followed, and nothing is asked back.
    events: Option<MailboxSender<ServerEvent>>,
    channels: HashMap<Arc<str>, Channel>,
    format: Format,
    max_payload_bytes: usize,
}

#[derive(Debug)]
struct Channel {
    track: Track,
    /// False between two connections.
    live: bool,
}

impl ServerSubscriptions {
    pub(crate) fn new(
        events: Option<MailboxSender<ServerEvent>>,
        format: Format,
        max_payload_bytes: usize,
    ) -> Self {
        Self { events, channels: HashMap::new(), format, max_payload_bytes }
    }

    /// What to tell the server in the connect command: where each channel was read to.
    pub(crate) fn recoveries(&self) -> BTreeMap<String, SubscribeRequest> {
        let request = |(name, channel): (&Arc<str>, &Channel)| {
            let StreamPosition { offset, epoch } = channel.track.recovery()?;
            let request = SubscribeRequest { recover: true, offset, epoch, ..SubscribeRequest::default() };
            Some((name.as_ref().to_owned(), request))
        };
        self.channels.iter().filter_map(request).collect()
    }

    /// The connection works, with these subscriptions. One that was there before and is not among them is over.
    pub(crate) fn connected(&mut self, results: BTreeMap<String, SubscribeResult>) {
        let gone: Vec<Arc<str>> =
            self.channels.keys().filter(|channel| !results.contains_key(channel.as_ref())).cloned().collect();
        for channel in gone {
            self.end(&channel, UnsubscribeReason::Withdrawn);
        }
        for (channel, result) in results {
            self.confirmed(&channel, result);
        }
    }

    /// The server has subscribed this client.
    pub(crate) fn added(&mut self, channel: &str, push: Subscribe) {
        let Subscribe { recoverable, epoch, offset, positioned, data } = push;
        let result =
            SubscribeResult { recoverable, epoch, offset, positioned, data, ..SubscribeResult::default() };
        self.confirmed(channel, result);
    }

    /// The server has removed a subscription.
    pub(crate) fn removed(&mut self, channel: &str, push: Unsubscribe) {
        self.end(channel, UnsubscribeReason::Server { code: push.code, reason: push.reason });
    }

    /// A publication in a channel that the application has no subscription of its own to.
    pub(crate) fn publication(&mut self, channel: &str, publication: Publication) {
        self.follow(channel, |channel, tell| channel.track.publication(publication, tell));
    }

    /// Another event of such a channel.
    pub(crate) fn event(&mut self, channel: &str, event: Event) {
        self.follow(channel, |channel, tell| {
            tell(channel.track.other(event));
            Ok(())
        });
    }

    /// A message outside of channels.
    pub(crate) fn message(&self, data: Payload) {
        if let Some(events) = &self.events {
            let bytes = data.len();
            events.push(ServerEvent::Message(data), bytes);
        }
    }

    /// The connection is gone and will be tried again. `void`: what this client remembers of the streams is of no use.
    pub(crate) fn connection_lost(&mut self, void: bool) {
        let Some(events) = &self.events else { return };
        for (name, channel) in &mut self.channels {
            if void {
                channel.track.forget();
            }
            if std::mem::take(&mut channel.live) {
                put(events, name, Event::Subscribing);
            }
        }
    }

    /// The client has stopped: there will be no more events.
    pub(crate) fn stop(&mut self) {
        self.channels.clear();
        self.events = None;
    }

    fn confirmed(&mut self, name: &str, result: SubscribeResult) {
        if self.events.is_none() {
            return;
        }
        if !self.channels.contains_key(name) {
            if self.channels.len() >= MAX_CHANNELS {
                tracing::warn!(max = MAX_CHANNELS, "too many server-side subscriptions; one is not followed");
                return;
            }
            let chain = DeltaChain::new(false, self.format, self.max_payload_bytes);
            self.channels.insert(name.into(), Channel { track: Track::new(None, false, chain), live: false });
        }
        self.follow(name, |channel, tell| {
            channel.live = true;
            channel.track.confirmed(result, tell)
        });
    }

    /// Lets something happen in a channel that is followed, and passes on what it tells.
    fn follow(
        &mut self,
        name: &str,
        happen: impl FnOnce(&mut Channel, &mut dyn FnMut(Told)) -> Result<(), DeltaFault>,
    ) {
        let (Some(events), Some((key, _))) = (&self.events, self.channels.get_key_value(name)) else {
            return;
        };
        let key = Arc::clone(key);
        let Some(channel) = self.channels.get_mut(name) else { return };
        let mut tell = |told: Told| put(events, &key, told.event);
        if let Err(fault) = happen(channel, &mut tell) {
            // Compression was not asked for. The next publication that can be read tells that this one is missing.
            tracing::warn!(%fault, "a publication of a server-side subscription cannot be read");
        }
    }

    fn end(&mut self, name: &str, reason: UnsubscribeReason) {
        if let (Some(events), Some((name, _))) = (&self.events, self.channels.remove_entry(name)) {
            put(events, &name, Event::Unsubscribed(reason));
        }
    }
}

/// Gives the reader an event with what it weighs.
fn put(events: &MailboxSender<ServerEvent>, channel: &Arc<str>, event: Event) {
    let bytes = event.payload_bytes();
    events.push(ServerEvent::Channel { channel: Arc::clone(channel), event }, bytes);
}
