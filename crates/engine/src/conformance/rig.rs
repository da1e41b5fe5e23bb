//! One engine, one channel, and short words for what the checks do with them.

use std::sync::Arc;
use std::time::Instant;

use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, ClientInfo, Payload, Publication, StreamPosition};

use crate::conformance::{Harness, Recorder};
use crate::{
    Delivery, Engine, EngineError, Epoch, Event, History, HistoryOptions, HistoryQuery, Message, Position,
    PublishOptions, Published, Sequence, Snapshot,
};

pub(super) struct Rig<'h, H: Harness> {
    pub(super) harness: &'h H,
    pub(super) engine: H::Engine,
    pub(super) recorder: Recorder,
    pub(super) channel: ChannelName,
}

/// A channel that no run before has used, whatever the engine keeps.
pub(super) fn fresh_channel() -> ChannelName {
    let name = format!("conformance:{}", Epoch::random());
    name.parse().expect("letters and a colon make a channel name")
}

pub(super) fn event(text: &str) -> Event {
    let publication = Publication { data: Payload::from(text.to_owned()), ..Publication::default() };
    Event::new(Message::Publication(Arc::new(publication)))
}

pub(super) fn relay(text: &'static str) -> Event {
    Event::new(Message::Relay { kind: MessageKind::Text, data: Payload::from(text) })
}

pub(super) fn info(user: &str, client: &str) -> Arc<ClientInfo> {
    Arc::new(ClientInfo { user: user.into(), client: client.into(), ..ClientInfo::default() })
}

pub(super) fn since(offset: u64, epoch: &str) -> Option<StreamPosition> {
    Some(StreamPosition { offset, epoch: epoch.into() })
}

/// The text of an event that has one.
pub(super) fn text(event: &Event) -> String {
    match &event.message {
        Message::Publication(publication) => words(&publication.data),
        Message::Relay { data, .. } => words(data),
        Message::Join(info) => format!("+{}", info.client),
        Message::Leave(info) => format!("-{}", info.client),
    }
}

pub(super) fn words(data: &Payload) -> String {
    String::from_utf8_lossy(data.as_bytes()).into_owned()
}

impl<'h, H: Harness> Rig<'h, H> {
    pub(super) fn new(harness: &'h H) -> Self {
        let recorder = Recorder::default();
        let engine = harness.engine(recorder.clone());
        Self { harness, engine, recorder, channel: fresh_channel() }
    }

    /// A rig whose node is subscribed to the channel.
    pub(super) fn subscribed(harness: &'h H) -> Self {
        let rig = Self::new(harness);
        rig.subscribe();
        rig
    }

    /// History that is long enough for checks that are not about its bounds.
    pub(super) fn history_options(&self) -> HistoryOptions {
        HistoryOptions { size: 100, ttl: self.harness.unit() * 4, meta_ttl: self.harness.unit() * 10 }
    }

    pub(super) fn stored(&self) -> PublishOptions {
        PublishOptions { history: Some(self.history_options()), ..PublishOptions::default() }
    }

    pub(super) fn try_publish(
        &self,
        event: Event,
        options: &PublishOptions,
    ) -> Result<Published, EngineError> {
        self.harness.block_on(self.engine.publish(&self.channel, event, options))
    }

    pub(super) fn publish(&self, text: &str, options: &PublishOptions) -> Published {
        self.try_publish(event(text), options).expect("publishing works")
    }

    /// Publishes what no stream keeps.
    pub(super) fn pass(&self, text: &str) {
        let published = self.publish(text, &PublishOptions::default());
        assert_eq!(published, Published::default(), "an event that is not stored has no position");
    }

    /// Publishes into the stream.
    pub(super) fn store(&self, text: &str) -> Position {
        let published = self.publish(text, &self.stored());
        assert!(!published.suppressed, "nothing suppresses {text:?}");
        published.position.expect("a stored publication has a position")
    }

    pub(super) fn store_all(&self, texts: &[&str]) -> Position {
        let positions: Vec<_> = texts.iter().map(|text| self.store(text)).collect();
        *positions.last().expect("at least one text")
    }

    pub(super) fn subscribe(&self) -> Sequence {
        self.harness.block_on(self.engine.subscribe(&self.channel)).expect("subscribing works")
    }

    pub(super) fn unsubscribe(&self) {
        self.engine.unsubscribe(&self.channel);
    }

    pub(super) fn position(&self, options: Option<&HistoryOptions>) -> Snapshot {
        self.harness.block_on(self.engine.position(&self.channel, options)).expect("asking works")
    }

    /// Where the stream is.
    pub(super) fn top(&self) -> Position {
        let snapshot = self.position(Some(&self.history_options()));
        snapshot.position.expect("the stream's position was asked for")
    }

    pub(super) fn history(&self, query: &HistoryQuery) -> History {
        let options = self.history_options();
        let history = self.engine.history(&self.channel, &options, query);
        self.harness.block_on(history).expect("reading works")
    }

    /// The texts that a query reads. Each offset must be the one that its text was published with: texts are compared, so a
    /// publication in a wrong place shows.
    pub(super) fn read(&self, query: &HistoryQuery) -> Vec<String> {
        let publications = self.history(query).publications.expect("the epoch is the stream's");
        publications.iter().map(|publication| words(&publication.data)).collect()
    }

    /// Everything that is kept.
    pub(super) fn kept(&self) -> Vec<String> {
        self.read(&HistoryQuery::default())
    }

    pub(super) fn remove_history(&self) {
        self.harness.block_on(self.engine.remove_history(&self.channel)).expect("removing works");
    }

    /// Lets so many units of time pass.
    pub(super) fn pass_time(&self, units: u32) {
        self.harness.advance(&self.engine, self.harness.unit() * units);
    }

    /// What the channel has had, once that is as much as this. Sequences must follow each other without a hole.
    pub(super) fn delivered(&self, count: usize) -> Vec<Delivery> {
        self.await_count(count);
        let deliveries = self.recorder.deliveries(&self.channel);
        let texts: Vec<_> = deliveries.iter().map(|delivery| text(&delivery.event)).collect();
        assert_eq!(deliveries.len(), count, "{count} events were published, delivered were {texts:?}");
        for pair in deliveries.windows(2) {
            let [first, second] = [pair[0].sequence, pair[1].sequence];
            assert_eq!(second, first.next(), "sequences of {texts:?} follow each other");
        }
        deliveries
    }

    /// The texts of what the channel has had. The last of them must be one that is delivered in any case, so that what must
    /// not be delivered had its time to show.
    pub(super) fn delivered_texts(&self, count: usize) -> Vec<String> {
        self.delivered(count).iter().map(|delivery| text(&delivery.event)).collect()
    }

    /// What the channel has had up to a publication with this text, which must come.
    pub(super) fn delivered_until(&self, last: &str) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        self.wait(|| {
            deliveries = self.recorder.deliveries(&self.channel);
            let has_come = deliveries.last().is_some_and(|delivery| text(&delivery.event) == last);
            has_come.then_some(()).ok_or_else(|| format!("{last:?} has not come"))
        });
        deliveries
    }

    fn await_count(&self, count: usize) {
        self.wait(|| {
            let have = self.recorder.count(&self.channel);
            if have < count { Err(format!("{have} of {count} deliveries have come")) } else { Ok(()) }
        });
    }

    /// Waits until something is so, no longer than the harness has patience.
    pub(super) fn wait(&self, mut condition: impl FnMut() -> Result<(), String>) {
        let start = Instant::now();
        while let Err(why) = condition() {
            assert!(start.elapsed() < self.harness.patience(), "{why}");
            self.harness.idle();
        }
    }
}
