//! What is done to channels. Reference section 6.4.

use futures_util::{StreamExt, stream};
use throng_engine::{HistoryQuery, PublishOptions};
use throng_protocol::api::{
    BroadcastRequest, BroadcastResult, ChannelInfo, ChannelsRequest, ChannelsResult, HistoryRequest,
    HistoryResult, PublishRequest, PublishResult,
};
use throng_protocol::{ErrorCode, PresenceResult, PresenceStatsResult, Publication};
use tokio::time::{Instant, timeout_at};

use super::pattern::Pattern;
use super::{Api, SIDE_BY_SIDE, count, payload};
use crate::node::PublishHow;

/// Longest idempotency key, epoch of versions and key of a publication, in bytes: all of them are kept.
const MAX_KEY_BYTES: usize = PublishOptions::MAX_KEY_BYTES;

impl Api {
    pub(super) async fn publish(&self, request: PublishRequest) -> Result<PublishResult, ErrorCode> {
        let PublishRequest { channel, data, b64data, tags, .. } = request;
        let publication = Publication {
            data: payload::decoded(data, &b64data)?,
            tags,
            key: request.key,
            ..Publication::default()
        };
        let how = PublishHow {
            skip_history: request.skip_history,
            idempotency_key: request.idempotency_key,
            delta: request.delta,
            version: request.version,
            version_epoch: request.version_epoch,
        };
        check(&publication, &how)?;
        self.publish_to(&channel, publication, how).await
    }

    /// Publishes to every channel that it can. The channels that are left at the deadline get nothing, and their answers say so.
    pub(super) async fn broadcast(
        &self,
        request: BroadcastRequest,
        deadline: Instant,
    ) -> Result<BroadcastResult, ErrorCode> {
        let BroadcastRequest { channels, data, b64data, tags, .. } = request;
        if channels.is_empty() {
            return Err(ErrorCode::BadRequest);
        }
        let publication = Publication {
            data: payload::decoded(data, &b64data)?,
            tags,
            key: request.key,
            ..Publication::default()
        };
        let how = PublishHow {
            skip_history: request.skip_history,
            idempotency_key: request.idempotency_key,
            delta: request.delta,
            version: request.version,
            version_epoch: request.version_epoch,
        };
        check(&publication, &how)?;
        let publishing = stream::iter(channels).map(async |channel| {
            tokio::task::coop::consume_budget().await;
            let one = self.publish_to(&channel, publication.clone(), how.clone());
            timeout_at(deadline, one).await.unwrap_or(Err(ErrorCode::TooManyRequests))
        });
        let responses = publishing.buffered(SIDE_BY_SIDE).map(Into::into).collect().await;
        Ok(BroadcastResult { responses })
    }

    async fn publish_to(
        &self,
        channel: &str,
        publication: Publication,
        how: PublishHow,
    ) -> Result<PublishResult, ErrorCode> {
        let published = self.node.publish_publication(channel, publication, how).await?;
        Ok(published.position.map_or_else(PublishResult::default, |position| PublishResult {
            offset: position.offset,
            epoch: position.epoch.as_str().to_owned(),
        }))
    }

    pub(super) async fn presence(&self, channel: &str) -> Result<PresenceResult, ErrorCode> {
        let mut presence = self.node.presence_of(channel).await?;
        for info in presence.values_mut() {
            *info = payload::client(std::mem::take(info));
        }
        Ok(PresenceResult { presence })
    }

    pub(super) async fn presence_stats(&self, channel: &str) -> Result<PresenceStatsResult, ErrorCode> {
        let stats = self.node.presence_stats_of(channel).await?;
        Ok(PresenceStatsResult { num_clients: count(stats.clients), num_users: count(stats.users) })
    }

    pub(super) async fn history(&self, request: HistoryRequest) -> Result<HistoryResult, ErrorCode> {
        let HistoryRequest { channel, limit, since, reverse } = request;
        // A negative limit is none.
        let query = HistoryQuery { since, limit: usize::try_from(limit).ok(), reverse };
        let history = self.node.history_of(&channel, &query).await?;
        Ok(HistoryResult {
            publications: history.publications.into_iter().map(payload::publication).collect(),
            epoch: history.epoch,
            offset: history.offset,
        })
    }

    pub(super) async fn channels(&self, request: ChannelsRequest) -> Result<ChannelsResult, ErrorCode> {
        let pattern = Pattern::new(&request.pattern).ok_or(ErrorCode::BadRequest)?;
        let channels = self.node.channels(move |name| pattern.matches(name)).await?;
        let told = |(name, clients)| (name, ChannelInfo { num_clients: count(clients) });
        Ok(ChannelsResult { channels: channels.into_iter().map(told).collect() })
    }
}

fn check(publication: &Publication, how: &PublishHow) -> Result<(), ErrorCode> {
    let fits = |text: &String| text.len() <= MAX_KEY_BYTES;
    let all_fit = [&publication.key, &how.idempotency_key, &how.version_epoch].into_iter().all(fits);
    if all_fit { Ok(()) } else { Err(ErrorCode::BadRequest) }
}
