//! What the server API may do with channels. Reference sections 3.12 and 6.4.

use std::collections::BTreeMap;
use std::sync::Arc;

use throng_engine::{
    Engine, Event, History, HistoryQuery, Message, PresenceStats, PublishOptions, Published,
};
use throng_protocol::{ChannelName, ClientInfo, ErrorCode, HistoryResult, Limits, Payload, Publication};
use throng_registry::ClientId;

use super::{Namespace, Node};
use crate::config::DataFormat;

/// How an application publishes, beside what.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishHow {
    /// Delivered, but not kept.
    pub(crate) skip_history: bool,
    pub(crate) idempotency_key: String,
    /// May be sent as a patch, also where the namespace does not say so.
    pub(crate) delta: bool,
    pub(crate) version: u64,
    pub(crate) version_epoch: String,
}

impl Namespace {
    /// Whether the namespace takes this payload. One that was decoded from JSON is JSON.
    pub(crate) fn takes(&self, data: &Payload, from_json: bool) -> bool {
        let is_json = || from_json || data.is_json_within(Limits::default().nesting);
        match self.data_format {
            DataFormat::Binary => true,
            DataFormat::Json => !data.is_empty() && is_json(),
            DataFormat::JsonObject => data.as_bytes().trim_ascii_start().starts_with(b"{") && is_json(),
        }
    }
}

impl Node {
    /// Publishes for the application.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownChannel`], [`ErrorCode::BadRequest`] for data that the namespace refuses or too long a key, and
    /// [`ErrorCode::TooManyRequests`] when the queues stayed full; nothing was published.
    pub(crate) async fn publish_publication(
        &self,
        channel: &str,
        publication: Publication,
        how: PublishHow,
    ) -> Result<Published, ErrorCode> {
        let (channel, namespace) = self.channel(channel)?;
        if !namespace.takes(&publication.data, false)
            || how.idempotency_key.len() > PublishOptions::MAX_KEY_BYTES
        {
            return Err(ErrorCode::BadRequest);
        }
        let options = PublishOptions {
            history: namespace.history.filter(|_| !how.skip_history),
            idempotency_key: (!how.idempotency_key.is_empty()).then(|| how.idempotency_key.into_boxed_str()),
            version: how.version,
            version_epoch: how.version_epoch,
            delta: how.delta || namespace.options.delta_publish,
        };
        let event = Event::new(Message::Publication(Arc::new(publication)));
        let wait = self.settings.shards.publish_wait;
        self.publish(&channel, event, &options, wait).await.map_err(|_| ErrorCode::TooManyRequests)
    }

    /// Who is in a channel.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotAvailable`] where the namespace keeps no presence.
    pub(crate) async fn presence_of(&self, channel: &str) -> Result<BTreeMap<String, ClientInfo>, ErrorCode> {
        let (channel, _) = self.channel_with(channel, |namespace| namespace.options.presence)?;
        let members = self.engine.presence(&channel).await.map_err(|_| ErrorCode::Internal)?;
        let entry = |(origin, info): (throng_engine::Origin, Arc<ClientInfo>)| {
            (ClientId::from_u128(origin.0).to_string(), info.as_ref().clone())
        };
        Ok(members.into_iter().map(entry).collect())
    }

    /// How many are in a channel.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotAvailable`] where the namespace keeps no presence.
    pub(crate) async fn presence_stats_of(&self, channel: &str) -> Result<PresenceStats, ErrorCode> {
        let (channel, _) = self.channel_with(channel, |namespace| namespace.options.presence)?;
        self.engine.presence_stats(&channel).await.map_err(|_| ErrorCode::Internal)
    }

    /// What was published to a channel.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotAvailable`] where the namespace keeps no history, [`ErrorCode::BadRequest`] for a backward query from
    /// the very beginning, [`ErrorCode::UnrecoverablePosition`] for a position in another epoch.
    pub(crate) async fn history_of(
        &self,
        channel: &str,
        query: &HistoryQuery,
    ) -> Result<HistoryResult, ErrorCode> {
        let (channel, namespace) = self.channel_with(channel, |namespace| namespace.history.is_some())?;
        let options = namespace.history.ok_or(ErrorCode::NotAvailable)?;
        if query.reverse && query.since.as_ref().is_some_and(|since| since.offset == 0) {
            return Err(ErrorCode::BadRequest);
        }
        let history =
            self.engine.history(&channel, &options, query).await.map_err(|_| ErrorCode::Internal)?;
        let History { position, publications, .. } = history;
        let publications = publications.map_err(|_| ErrorCode::UnrecoverablePosition)?;
        Ok(HistoryResult {
            publications: publications.into_iter().map(Arc::unwrap_or_clone).collect(),
            epoch: position.epoch.as_str().to_owned(),
            offset: position.offset,
        })
    }

    /// Bytes of payloads that one reply may carry, so that it fits into an outbox with room for what comes beside it.
    pub(crate) const fn largest_reply(&self) -> usize {
        self.settings.client.queue_max_size / 2
    }

    /// Forgets what was published to a channel; its position stays.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotAvailable`] where the namespace keeps no history.
    pub(crate) async fn remove_history_of(&self, channel: &str) -> Result<(), ErrorCode> {
        let (channel, _) = self.channel_with(channel, |namespace| namespace.history.is_some())?;
        self.engine.remove_history(&channel).await.map_err(|_| ErrorCode::Internal)
    }

    /// A channel as the application may name it: the rules for names that clients choose do not apply.
    fn channel(&self, channel: &str) -> Result<(ChannelName, &Arc<Namespace>), ErrorCode> {
        let name = channel.parse().map_err(|_| ErrorCode::BadRequest)?;
        Ok((name, self.namespaces.of(channel)?))
    }

    fn channel_with(
        &self,
        channel: &str,
        has: impl FnOnce(&Namespace) -> bool,
    ) -> Result<(ChannelName, &Arc<Namespace>), ErrorCode> {
        let (name, namespace) = self.channel(channel)?;
        if has(namespace) { Ok((name, namespace)) } else { Err(ErrorCode::NotAvailable) }
    }
}
