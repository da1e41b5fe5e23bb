//! Who may not come in any more, and who must go.

use std::collections::BTreeMap;
use std::sync::Arc;

use throng_engine::{Barred, Bearer, Engine, EngineError, Revocation, Subject};
use throng_protocol::{ChannelName, DisconnectCode};
use throng_registry::{Fanout, ShardId, Slot};

use super::Node;
use crate::auth::Credential;
use crate::metrics::{Number, Page};
use crate::shard::{ShardCommand, Whom};

/// Why something was not revoked, or not pardoned, as was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum RevokeError {
    /// A name is empty or longer than [`Subject::MAX_TEXT_BYTES`].
    #[error("a name is empty or too long")]
    Name,
    /// The end has passed.
    #[error("its end has passed")]
    Past,
    /// The end lies further ahead than `client.revocation.ttl` allows.
    #[error("its end is further ahead than client.revocation.ttl allows")]
    TooLong,
    /// The engine does not do it, or not wholly.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What revocations have done.
#[derive(Debug, Default)]
pub(crate) struct RevocationCounts {
    pub(crate) refused_connections: Number,
    pub(crate) refused_subscriptions: Number,
    pub(crate) ended_connections: Number,
    pub(crate) ended_subscriptions: Number,
    pub(crate) failed: Number,
}

impl RevocationCounts {
    /// Writes the numbers, and how many revocations there are.
    pub(crate) fn render(&self, page: &mut Page, held: usize) {
        page.single("throng_revocations", "gauge", "Revocations that hold.", held as u64);
        for (name, help, count) in [
            (
                "throng_revocations_failed_total",
                "Revocations and pardons that were refused at the bound, or could not be kept on disk.",
                &self.failed,
            ),
            (
                "throng_revocation_refused_connections_total",
                "Connections that were not let in because of a revocation.",
                &self.refused_connections,
            ),
            (
                "throng_revocation_refused_subscriptions_total",
                "Subscriptions that were not made because of a revocation.",
                &self.refused_subscriptions,
            ),
            (
                "throng_revocation_ended_connections_total",
                "Connections that were ended by a revocation.",
                &self.ended_connections,
            ),
            (
                "throng_revocation_ended_subscriptions_total",
                "Subscriptions that were ended by a revocation.",
                &self.ended_subscriptions,
            ),
        ] {
            page.single(name, "counter", help, count.get());
        }
    }
}

impl Credential {
    fn bearer(&self) -> Bearer<'_> {
        Bearer { user: &self.user, token: self.id.as_deref(), issued: self.issued }
    }

    /// Whether a revocation of this subject means it.
    pub(crate) fn is_meant(&self, subject: &Subject) -> bool {
        subject.means(&self.bearer())
    }
}

impl Node {
    /// Whether a client with this credential may be here. Ask once before it is entered, so that nothing is done for it in vain, and
    /// once after: who is revoked in between is then noticed by one of both sides.
    ///
    /// # Errors
    ///
    /// The code to end the connection with.
    pub(crate) fn admits(&self, credential: &Credential) -> Result<(), DisconnectCode> {
        let Some(barred) = self.engine.revocations().judge(&credential.bearer()) else { return Ok(()) };
        self.metrics.revocations.refused_connections.add(1);
        tracing::debug!(user = ?credential.user, ?barred, "the client is not let in");
        Err(match barred {
            Barred::Revoked => DisconnectCode::InvalidToken,
            Barred::Blocked => DisconnectCode::ForceDisconnect,
        })
    }

    /// Whether a subscription token with this credential still counts.
    pub(crate) fn honours(&self, credential: &Credential) -> bool {
        let barred = self.engine.revocations().judge(&credential.bearer());
        if let Some(barred) = barred {
            self.metrics.revocations.refused_subscriptions.add(1);
            tracing::debug!(user = ?credential.user, ?barred, "the subscription token does not count any more");
        }
        barred.is_none()
    }

    /// Whether the user was not kept out of the channel by a revocation; other permissions are not looked at. Ask before the client
    /// is subscribed and once after.
    pub(crate) fn may_subscribe_at_all(&self, user: &str, channel: &ChannelName) -> bool {
        let barred = self.engine.revocations().bars(user, channel.as_str());
        if barred {
            self.metrics.revocations.refused_subscriptions.add(1);
            tracing::debug!(?user, %channel, "the user is kept out of the channel");
        }
        !barred
    }

    /// Revokes until `expires`, in Unix seconds; 0 for as long as is allowed. Whoever is meant and connected is told to go before
    /// this returns.
    ///
    /// # Errors
    ///
    /// [`RevokeError`].
    pub(crate) async fn revoke(&self, subject: Subject, expires: i64) -> Result<(), RevokeError> {
        if !is_named(&subject) {
            return Err(RevokeError::Name);
        }
        let now = self.engine.revocations().now();
        let most = i64::try_from(self.settings.client.revocation.ttl.as_secs()).unwrap_or(i64::MAX);
        let latest = now.saturating_add(most);
        let expires = match expires {
            0 => latest,
            past if past <= now => return Err(RevokeError::Past),
            ahead if ahead > latest => return Err(RevokeError::TooLong),
            expires => expires,
        };
        let revoked = self.engine.revoke(Revocation { subject, expires }).await;
        if let Err(error) = &revoked {
            self.metrics.revocations.failed.add(1);
            tracing::error!(%error, "a revocation failed");
        }
        Ok(revoked?)
    }

    /// Takes a revocation back; false if there was none.
    ///
    /// # Errors
    ///
    /// [`RevokeError::Engine`] if it will come back after a restart.
    pub(crate) async fn pardon(&self, subject: &Subject) -> Result<bool, RevokeError> {
        if !is_named(subject) {
            return Err(RevokeError::Name);
        }
        let pardoned = self.engine.pardon(subject).await;
        if let Err(error) = &pardoned {
            self.metrics.revocations.failed.add(1);
            tracing::error!(%error, "a revocation could not be taken back for good");
        }
        Ok(pardoned?)
    }

    /// Revocations that hold, at most so many, and how many there are in all.
    pub(crate) fn revocations(&self, user: Option<&str>, limit: usize) -> (Vec<Revocation>, usize) {
        let revocations = self.engine.revocations();
        (revocations.list(user, limit), revocations.len())
    }

    /// The time by which revocations end, in Unix seconds.
    pub(crate) fn revocation_time(&self) -> i64 {
        self.engine.revocations().now()
    }
}

/// Whether all that must be named is named, in no more bytes than are allowed.
fn is_named(subject: &Subject) -> bool {
    let good = |text: &str| (1..=Subject::MAX_TEXT_BYTES).contains(&text.len());
    match subject {
        Subject::Token(id) => good(id),
        Subject::User(user) | Subject::Blocked(user) => good(user),
        Subject::Channel { user, channel } => good(user) && good(channel),
        Subject::Issued { user, .. } => user.as_deref().is_none_or(good),
    }
}

/// Tells the shards whom a revocation may mean: of a user's, only those that have clients of the user.
pub(super) fn tell_shards(fanout: &Fanout<ShardCommand>, revocation: &Revocation) {
    let revocation = Arc::new(revocation.clone());
    let tell = |shard, whom| {
        let revocation = Arc::clone(&revocation);
        fanout.queue(shard).control(ShardCommand::Expel { whom, revocation });
    };
    let Some(user) = revocation.subject.user() else {
        return fanout.shards().for_each(|shard| tell(shard, Whom::ALL));
    };
    let mut by_shard: BTreeMap<usize, (ShardId, Vec<Slot>)> = BTreeMap::new();
    let directory = fanout.directory();
    for key in directory.clients_of(user).into_iter().filter_map(|client| directory.locate(client)) {
        by_shard.entry(key.shard.index()).or_insert_with(|| (key.shard, Vec::new())).1.push(key.slot);
    }
    by_shard.into_values().for_each(|(shard, slots)| tell(shard, Whom::These(slots)));
}
