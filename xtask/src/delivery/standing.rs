//! Where a subscriber stands in one of its channels.

use std::sync::Arc;

use throng_protocol::{Format, Publication, SubscribeResult, fossil};
use tokio::time::Instant;

use super::log::{Body, ChannelId, Item, Position};

/// Longest payload that a patch may make.
const MAX_PAYLOAD: usize = 1 << 20;

/// One channel of one subscriber.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) channel: ChannelId,
    pub(super) name: String,
    /// Subscribed, as far as the server has said.
    pub(super) live: bool,
    /// A subscribe is on its way.
    pub(super) asking: bool,
    /// When to subscribe again.
    pub(super) due: Instant,
    /// Where to recover from, if it can.
    pub(super) position: Option<Position>,
    /// The server subscribes it with the connection.
    pub(super) served: bool,
    /// It asks for publications with the tag only.
    pub(super) filtered: bool,
    /// It has seen the last publication.
    pub(super) marked: bool,
    /// The namespace lets subscribers recover.
    recovers: bool,
    /// Forgets its position once the unsubscribe on its way is answered.
    forgets: bool,
    delta: bool,
    /// The last payload, which the next patch is against.
    base: Option<Vec<u8>>,
}

impl Standing {
    pub(super) fn new(
        channel: ChannelId,
        name: String,
        recovers: bool,
        served: bool,
        filtered: bool,
    ) -> Self {
        Self {
            channel,
            name,
            live: false,
            asking: false,
            due: Instant::now(),
            position: None,
            served,
            filtered,
            marked: false,
            recovers,
            forgets: false,
            delta: false,
            base: None,
        }
    }

    /// It is neither subscribed nor about to be, and has to ask for it.
    pub(super) const fn wants(&self) -> bool {
        !self.live && !self.asking && !self.served
    }

    /// The connection is a new one.
    pub(super) const fn disconnected(&mut self) {
        (self.live, self.asking) = (false, false);
    }

    /// An unsubscribe goes out; until its answer, publications still come.
    pub(super) const fn leaves(&mut self, due: Instant, recover: bool) {
        self.due = due;
        self.forgets = !recover;
    }

    /// The unsubscribe was answered.
    pub(super) fn left(&mut self) -> ChannelId {
        self.live = false;
        if self.forgets {
            self.position = None;
        }
        self.channel
    }

    /// The server took the subscription away: it may be asked for again at once.
    pub(super) const fn unsubscribed(&mut self, now: Instant) {
        self.live = false;
        self.due = now;
    }

    /// The server refused a subscribe, in a recovery because it cannot serve it.
    pub(super) fn refused(&mut self, due: Instant) {
        self.asking = false;
        self.position = None;
        self.due = due;
    }

    /// The server answered a subscribe.
    ///
    /// # Errors
    ///
    /// Says which recovered publication cannot be read.
    pub(super) fn subscribed(
        &mut self,
        format: Format,
        from: Option<&Position>,
        result: &SubscribeResult,
    ) -> Result<Vec<Item>, String> {
        (self.live, self.asking) = (true, false);
        self.delta = result.delta;
        self.base = None;
        let start = match from {
            Some(from) if result.recovered => from.clone(),
            _ => Position { epoch: Arc::from(result.epoch.as_str()), offset: result.offset },
        };
        self.position = (self.recovers && result.recoverable).then_some(start);
        result.publications.iter().map(|publication| self.take(format, publication)).collect()
    }

    /// A publication came.
    ///
    /// # Errors
    ///
    /// Says why it cannot be read.
    pub(super) fn live(&mut self, format: Format, publication: &Publication) -> Result<Item, String> {
        self.take(format, publication)
    }

    fn take(&mut self, format: Format, publication: &Publication) -> Result<Item, String> {
        let payload = self.payload(format, publication)?;
        let item = Item { offset: publication.offset, body: Body::read(&payload) };
        if self.delta {
            self.base = Some(payload);
        }
        if let Some(position) = &mut self.position {
            position.offset = publication.offset;
        }
        Ok(item)
    }

    /// What was published. With delta compression, JSON clients get texts, and a patch needs the payload before it.
    fn payload(&self, format: Format, publication: &Publication) -> Result<Vec<u8>, String> {
        let data = publication.data.as_bytes();
        if !self.delta {
            return if publication.delta {
                Err("a patch that nobody asked for".to_owned())
            } else {
                Ok(data.to_vec())
            };
        }
        let bytes = match format {
            Format::Protobuf => data.to_vec(),
            Format::Json => serde_json::from_slice::<String>(data)
                .map_err(|error| format!("no text: {error}"))?
                .into_bytes(),
        };
        if !publication.delta {
            return Ok(bytes);
        }
        let base = self.base.as_ref().ok_or("a patch before any full payload")?;
        fossil::apply(base, &bytes, MAX_PAYLOAD)
            .map_err(|error| format!("a patch that does not fit: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use throng_protocol::Payload;

    use super::*;
    use crate::delivery::log::Id;

    fn publication(offset: u64, data: Vec<u8>, delta: bool) -> Publication {
        Publication { offset, data: Payload::from(data), delta, ..Default::default() }
    }

    fn subscribed(delta: bool) -> Standing {
        let mut standing = Standing::new(0, "delta:1".to_owned(), true, false, false);
        let result = SubscribeResult {
            recoverable: true,
            epoch: "e".to_owned(),
            offset: 4,
            delta,
            ..Default::default()
        };
        standing.subscribed(Format::Protobuf, None, &result).unwrap();
        standing
    }

    #[test]
    fn a_patch_becomes_the_payload_and_moves_the_position() {
        let mut standing = subscribed(true);
        let [first, second] = [1, 2].map(|number| Id { publisher: 0, number });
        let full = first.payload().into_bytes();
        let patch = fossil::diff(&full, second.payload().as_bytes());
        standing.live(Format::Protobuf, &publication(5, full, false)).unwrap();
        let item = standing.live(Format::Protobuf, &publication(6, patch, true)).unwrap();
        assert_eq!(item, Item { offset: 6, body: Body::Sent(second) });
        assert_eq!(standing.position.unwrap().offset, 6);
    }

    #[test]
    fn a_patch_without_a_payload_before_it_is_told() {
        let patch = fossil::diff(b"a", b"b");
        let mut standing = subscribed(true);
        assert!(standing.live(Format::Protobuf, &publication(5, patch.clone(), true)).is_err());
        let mut plain = subscribed(false);
        assert!(plain.live(Format::Protobuf, &publication(5, patch, true)).is_err());
    }

    #[test]
    fn json_clients_of_deltas_get_texts() {
        let mut standing = subscribed(true);
        let id = Id { publisher: 0, number: 1 };
        let text = serde_json::to_vec(&id.payload()).unwrap();
        let item = standing.live(Format::Json, &publication(5, text, false)).unwrap();
        assert_eq!(item.body, Body::Sent(id));
        assert!(standing.live(Format::Json, &publication(6, id.payload().into_bytes(), false)).is_err());
    }
}
