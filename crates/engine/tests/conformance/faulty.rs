use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use throng_engine::conformance::Recorder;
use throng_engine::{
    Busy, Delivery, Engine, EngineError, Epoch, Event, History, HistoryOptions, HistoryQuery, MemoryEngine,
    Message, Origin, PresenceStats, PublishOptions, Published, Revocation, Revocations, Sequence, Sink,
    Snapshot, Subject,
};
use throng_protocol::{ChannelName, ClientInfo, Payload};

/// What an engine may do wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Every tenth delivery never comes.
    LosesDeliveries,
    /// Every tenth delivery comes twice.
    DoublesDeliveries,
    /// Every tenth delivery comes after the one that follows it.
    SwapsDeliveries,
    /// What is refused is published all the same.
    PublishesWhenBusy,
    /// Every delivery has a base for a patch, also those that did not ask for it.
    AlwaysDelta,
    /// Publications skip the history if they carry a delta.
    StoresNoDelta,
    IgnoresKeys,
    /// The second of two publishers with one key does not find the first one's result yet.
    ForgetsSimultaneousKeys,
    IgnoresVersions,
    /// The epoch is another one each time.
    ForgetsEpochs,
    /// History reads the position itself, too.
    ReadsSince,
    /// History does not look at the epoch.
    IgnoresEpochs,
    /// The position is read first, and the sequence with what was published meanwhile.
    TearsSnapshots,
    /// Nothing ever expires.
    ForgetsTime,
    /// Removal takes nothing.
    KeepsRemoved,
    /// A node that subscribes twice is out after it unsubscribes once.
    CountsNoSubscriptions,
    /// Every client is a user of its own.
    CountsUsersByClient,
    /// Revocations are accepted and do not hold.
    RevokesNothing,
    /// Who is connected stays so.
    RevokesSilently,
    /// Revocations of channels keep a user out altogether.
    RevokesTooMuch,
    PardonsNobody,
}

/// Each fault, and one check that must notice it.
pub(crate) const NOTICED_BY: &[(Fault, &str)] = &[
    (Fault::LosesDeliveries, "concurrent_publishers_share_one_order"),
    (Fault::LosesDeliveries, "history_and_what_is_delivered_after_it_fit_together"),
    (Fault::DoublesDeliveries, "concurrent_publishers_share_one_order"),
    (Fault::DoublesDeliveries, "a_position_and_what_is_delivered_after_it_fit_together"),
    (Fault::SwapsDeliveries, "concurrent_publishers_share_one_order"),
    (Fault::PublishesWhenBusy, "a_refused_event_leaves_nothing_behind"),
    (Fault::PublishesWhenBusy, "a_refused_event_does_not_use_up_its_key"),
    (Fault::AlwaysDelta, "no_base_is_given_unless_asked_for"),
    (Fault::AlwaysDelta, "a_publication_that_is_not_stored_breaks_the_chain"),
    (Fault::StoresNoDelta, "a_delta_is_made_against_the_publication_before"),
    (Fault::IgnoresKeys, "a_repeated_key_publishes_once"),
    (Fault::ForgetsSimultaneousKeys, "threads_with_one_key_publish_once"),
    (Fault::IgnoresVersions, "a_stale_version_is_dropped"),
    (Fault::ForgetsEpochs, "an_epoch_exists_before_the_first_publication"),
    (Fault::ReadsSince, "since_leaves_its_own_publication_out"),
    (Fault::IgnoresEpochs, "a_foreign_epoch_is_told"),
    (Fault::TearsSnapshots, "history_and_what_is_delivered_after_it_fit_together"),
    (Fault::ForgetsTime, "publications_expire_and_the_position_stays"),
    (Fault::ForgetsTime, "an_idle_stream_is_forgotten_with_its_epoch"),
    (Fault::ForgetsTime, "a_key_may_be_used_again_when_its_time_is_over"),
    (Fault::KeepsRemoved, "removal_takes_the_publications_and_leaves_the_position"),
    (Fault::CountsNoSubscriptions, "subscriptions_are_counted"),
    (Fault::CountsUsersByClient, "users_are_counted_once"),
    (Fault::RevokesNothing, "whoever_is_revoked_is_barred_until_pardoned"),
    (Fault::RevokesNothing, "what_was_issued_before_is_revoked_and_what_was_issued_since_is_not"),
    (Fault::RevokesSilently, "the_sink_hears_of_every_revocation"),
    (Fault::RevokesTooMuch, "a_user_is_kept_out_of_one_channel"),
    (Fault::RevokesTooMuch, "a_revocation_means_nobody_else"),
    (Fault::PardonsNobody, "whoever_is_revoked_is_barred_until_pardoned"),
    (Fault::ForgetsTime, "a_revocation_ends_with_its_time"),
];

/// A memory engine with one fault.
pub(crate) struct Faulty {
    inner: MemoryEngine<Leaky>,
    fault: Fault,
    /// By idempotency key, where the memory engine's own are not used.
    results: Mutex<HashMap<Box<str>, Published>>,
}

pub(crate) struct Leaky {
    recorder: Recorder,
    fault: Fault,
    count: AtomicUsize,
    /// A delivery that waits for the one after it.
    late: Mutex<Option<Delivery>>,
    /// The payload before, for patches that nobody asked for.
    last: Mutex<Option<Payload>>,
}

impl Faulty {
    pub(crate) fn new(
        recorder: Recorder,
        fault: Fault,
        memory: impl FnOnce(Leaky) -> MemoryEngine<Leaky>,
    ) -> Self {
        let (late, last) = (Mutex::default(), Mutex::default());
        let inner = memory(Leaky { recorder, fault, count: AtomicUsize::new(0), late, last });
        Self { inner, fault, results: Mutex::default() }
    }
}

impl Faulty {
    async fn publish_and_then_note(
        &self,
        channel: &ChannelName,
        event: Event,
        options: PublishOptions,
        key: Box<str>,
    ) -> Result<Published, EngineError> {
        let known = self.results.lock().get(&key).copied();
        if let Some(published) = known {
            return Ok(Published { suppressed: true, ..published });
        }
        (0..100).for_each(|_| std::thread::yield_now());
        let published = self.inner.publish(channel, event, &options).await?;
        self.results.lock().insert(key, published);
        Ok(published)
    }
}

impl Sink for Leaky {
    type Ticket = ();

    fn reserve(&self, channel: &ChannelName) -> Result<(), Busy> {
        if self.fault == Fault::PublishesWhenBusy { Ok(()) } else { self.recorder.reserve(channel) }
    }

    fn deliver(&self, (): (), channel: &ChannelName, mut delivery: Delivery) {
        let is_tenth = self.count.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        if let (Fault::AlwaysDelta, Message::Publication(publication)) = (self.fault, &delivery.event.message)
        {
            delivery.previous = self.last.lock().replace(publication.data.clone());
        }
        if !is_tenth {
            self.recorder.deliver((), channel, delivery);
            if let Some(late) = self.late.lock().take() {
                self.recorder.deliver((), channel, late);
            }
        } else if self.fault == Fault::SwapsDeliveries {
            *self.late.lock() = Some(delivery);
        } else if self.fault == Fault::DoublesDeliveries {
            self.recorder.deliver((), channel, delivery.clone());
            self.recorder.deliver((), channel, delivery);
        } else if self.fault != Fault::LosesDeliveries {
            self.recorder.deliver((), channel, delivery);
        }
    }

    fn revoked(&self, revocation: &Revocation) {
        if self.fault != Fault::RevokesSilently {
            self.recorder.revoked(revocation);
        }
    }
}

impl Engine for Faulty {
    async fn publish(
        &self,
        channel: &ChannelName,
        event: Event,
        options: &PublishOptions,
    ) -> Result<Published, EngineError> {
        let mut options = options.clone();
        if self.fault == Fault::IgnoresKeys {
            options.idempotency_key = None;
        } else if self.fault == Fault::IgnoresVersions {
            options.version = 0;
        } else if self.fault == Fault::StoresNoDelta && options.delta {
            options.history = None;
        } else if self.fault == Fault::ForgetsSimultaneousKeys
            && let Some(key) = options.idempotency_key.take()
        {
            return self.publish_and_then_note(channel, event, options, key).await;
        }
        let published = self.inner.publish(channel, event, &options).await?;
        if self.fault == Fault::PublishesWhenBusy {
            self.inner.sink().recorder.reserve(channel)?;
        }
        Ok(published)
    }

    async fn subscribe(&self, channel: &ChannelName) -> Result<Sequence, EngineError> {
        self.inner.subscribe(channel).await
    }

    fn unsubscribe(&self, channel: &ChannelName) {
        self.inner.unsubscribe(channel);
        if self.fault == Fault::CountsNoSubscriptions {
            self.inner.unsubscribe(channel);
        }
    }

    async fn position(
        &self,
        channel: &ChannelName,
        history: Option<&HistoryOptions>,
    ) -> Result<Snapshot, EngineError> {
        let mut snapshot = self.inner.position(channel, history).await?;
        if let (Fault::ForgetsEpochs, Some(position)) = (self.fault, &mut snapshot.position) {
            position.epoch = Epoch::random();
        }
        Ok(snapshot)
    }

    async fn history(
        &self,
        channel: &ChannelName,
        options: &HistoryOptions,
        query: &HistoryQuery,
    ) -> Result<History, EngineError> {
        let mut query = query.clone();
        if let Some(since) = &mut query.since {
            if self.fault == Fault::ReadsSince {
                since.offset = since.offset.saturating_sub(1);
            } else if self.fault == Fault::IgnoresEpochs {
                since.epoch = String::new();
            }
        }
        let mut history = self.inner.history(channel, options, &query).await?;
        if self.fault == Fault::TearsSnapshots {
            std::thread::yield_now();
            history.sequence = self.inner.position(channel, None).await?.sequence.next();
        }
        Ok(history)
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        if self.fault == Fault::KeepsRemoved { Ok(()) } else { self.inner.remove_history(channel).await }
    }

    async fn add_presence(
        &self,
        channel: &ChannelName,
        client: Origin,
        info: Arc<ClientInfo>,
    ) -> Result<(), EngineError> {
        self.inner.add_presence(channel, client, info).await
    }

    async fn remove_presence(&self, channel: &ChannelName, client: Origin) -> Result<(), EngineError> {
        self.inner.remove_presence(channel, client).await
    }

    async fn presence(&self, channel: &ChannelName) -> Result<Vec<(Origin, Arc<ClientInfo>)>, EngineError> {
        self.inner.presence(channel).await
    }

    async fn presence_stats(&self, channel: &ChannelName) -> Result<PresenceStats, EngineError> {
        let mut stats = self.inner.presence_stats(channel).await?;
        if self.fault == Fault::CountsUsersByClient {
            stats.users = stats.clients;
        }
        Ok(stats)
    }
    fn revocations(&self) -> &Revocations {
        self.inner.revocations()
    }

    async fn revoke(&self, mut revocation: Revocation) -> Result<(), EngineError> {
        match (self.fault, &revocation.subject) {
            (Fault::RevokesNothing, _) => return Ok(()),
            (Fault::RevokesTooMuch, Subject::Channel { user, .. }) => {
                revocation.subject = Subject::User(user.clone());
            }
            (Fault::RevokesTooMuch, Subject::Issued { before, .. }) => {
                revocation.subject = Subject::Issued { user: None, before: *before };
            }
            _ => {}
        }
        self.inner.revoke(revocation).await
    }

    async fn pardon(&self, subject: &Subject) -> Result<bool, EngineError> {
        if self.fault == Fault::PardonsNobody { Ok(true) } else { self.inner.pardon(subject).await }
    }
}
