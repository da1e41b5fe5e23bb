//! How a client of this shard comes into a channel.

use std::sync::Arc;

use bytes::BytesMut;
use throng_engine::{Engine, Message, Origin, Snapshot};
use throng_protocol::{DisconnectCode, ErrorCode, Format, Publication, SubscribeResult};
use throng_registry::{Slot, StreamMark, Subscription};

use super::{Shard, now};
use crate::config::DataFormat;
use crate::metrics::Recovery as Outcome;
use crate::session::{Expiry, Plan, Recovered, Refusal, patched};

/// What the shard notes with a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Marks(u8);

impl Marks {
    /// The client did not ask for it.
    const SERVER_SIDE: u8 = 1;
    /// The client is listed in the channel's presence.
    const PRESENT: u8 = 2;
    /// Others have heard that the client joined and must hear that it leaves.
    const ANNOUNCED: u8 = 4;

    fn of(plan: &Plan) -> Self {
        let bit = |on, bit| if on { bit } else { 0 };
        Self(
            bit(plan.server_side, Self::SERVER_SIDE)
                | bit(plan.presence, Self::PRESENT)
                | bit(plan.announced, Self::ANNOUNCED),
        )
    }

    /// The marks that [`bits`](Self::bits) came from.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// As the table keeps them.
    const fn bits(self) -> u8 {
        self.0
    }

    /// Whether the client did not ask for the subscription.
    pub(crate) const fn server_side(self) -> bool {
        self.0 & Self::SERVER_SIDE != 0
    }

    /// Whether the client is listed in the channel's presence.
    pub(super) const fn present(self) -> bool {
        self.0 & Self::PRESENT != 0
    }

    /// Whether others must hear that the client leaves.
    pub(super) const fn announced(self) -> bool {
        self.0 & Self::ANNOUNCED != 0
    }
}

/// A subscription whose position is known and which is still to be completed; until then what is published is held for it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) result: SubscribeResult,
    subscription: Subscription,
}

impl Shard {
    /// Enters the channel and reads where the client starts, with what it has missed. Must be followed by
    /// [`complete`](Self::complete).
    ///
    /// # Errors
    ///
    /// The subscription is refused, and nothing has changed.
    pub(crate) async fn prepare(&self, slot: Slot, plan: Plan, format: Format) -> Result<Prepared, Refusal> {
        let channel = plan.channel.clone();
        let first = self.table.borrow_mut().enter(slot, &channel, plan.namespace.rules);
        let joined = self.node.join(&channel, self.id, first).await;
        let is_in = joined.is_ok();
        let read = match joined {
            Ok(()) => self.read(plan, format).await,
            Err(_) => Err(ErrorCode::Internal.into()),
        };
        if read.is_err() && self.table.borrow_mut().abandon(slot, &channel) && (is_in || !first) {
            self.node.leave(&channel, self.id);
        }
        read
    }

    /// Makes a prepared subscription, with `reply` in the client's outbox before anything of the channel. The client is in the
    /// channel's presence before the reply, and the others hear of it after.
    pub(crate) async fn complete(
        &self,
        slot: Slot,
        prepared: Prepared,
        reply: impl FnOnce(&mut BytesMut, SubscribeResult),
    ) {
        let Prepared { plan, result, subscription } = prepared;
        let channel = &plan.channel;
        let grace = self.node.settings.client.expired_sub_close_delay;
        let member = self.with_member(slot, |member| {
            member.note(channel, &plan.info);
            member.hold(channel, plan.credential.clone());
            member.expire_subscription(channel, plan.expiry.and_then(|expiry| expiry.deadline(now(), grace)));
            (member.client, Arc::new(member.info(channel)))
        });
        if let Some((client, info)) = &member
            && plan.presence
        {
            let origin = Origin(client.as_u128());
            if let Err(error) = self.node.engine().add_presence(channel, origin, Arc::clone(info)).await {
                tracing::warn!(connection = %client, %error, "the client is not listed in a channel's presence");
            }
        }
        let subscribed = {
            let mut table = self.table.borrow_mut();
            table.subscribe(slot, channel, subscription, |out| reply(out, result))
        };
        self.wake_turn();
        // A client that has gone meanwhile took its entry along.
        if subscribed.is_err() {
            return;
        }
        self.keep_out(slot, channel);
        if let Some((_, info)) = member
            && plan.announced
        {
            // Who joined is told again in no other way, but it is counted.
            let _ = self.node.announce(channel, Message::Join(info)).await;
        }
    }

    async fn read(&self, plan: Plan, format: Format) -> Result<Prepared, Refusal> {
        let options = plan.namespace.history.filter(|_| plan.positioned);
        let ttl = plan.expiry.and_then(Expiry::ttl);
        let mut result = SubscribeResult {
            expires: ttl.is_some(),
            ttl: ttl.unwrap_or_default(),
            positioned: plan.positioned,
            recoverable: plan.recoverable,
            data: plan.data.clone(),
            delta: plan.delta,
            ..SubscribeResult::default()
        };
        let engine = self.node.engine();
        let (snapshot, has_base) = match (&plan.recovery, &options) {
            (Some(recovery), Some(options)) => {
                let history = engine.history(&plan.channel, options, &recovery.query()).await;
                let history = history.map_err(|_| ErrorCode::Internal)?;
                let snapshot = Snapshot { sequence: history.sequence, position: Some(history.position) };
                let recovered = recovery.judge(history).within(self.node.largest_reply());
                self.node.metrics.recovered(match (recovery.since.is_some(), recovered.complete) {
                    (false, _) => Outcome::Cached,
                    (true, true) => Outcome::Complete,
                    (true, false) => Outcome::Failed,
                });
                if !recovered.complete && recovery.or_error {
                    return Err(ErrorCode::UnrecoverablePosition.into());
                }
                let has_base = fill(&mut result, &plan, recovered, format)?;
                result.was_recovering = recovery.since.is_some();
                (snapshot, has_base)
            }
            (Some(_) | None, _) => {
                let snapshot = engine.position(&plan.channel, options.as_ref()).await;
                let snapshot = snapshot.map_err(|_| ErrorCode::Internal)?;
                result.offset = snapshot.position.map_or(0, |position| position.offset);
                (snapshot, false)
            }
        };
        if let Some(position) = snapshot.position {
            result.epoch = position.epoch.as_str().to_owned();
        }
        let subscription = Subscription {
            sequence: snapshot.sequence.get(),
            stream: snapshot
                .position
                .map(|position| StreamMark { epoch: position.epoch.id(), offset: position.offset }),
            positioned: plan.positioned,
            join_leave: plan.join_leave,
            delta: plan.delta,
            has_base,
            filter: plan.filter.clone(),
            marks: Marks::of(&plan).bits(),
        };
        Ok(Prepared { plan, result, subscription })
    }
}

/// Puts what was recovered into the reply. True if the client then holds the newest publication as it was published, so that
/// the next one may be a patch against it.
fn fill(
    result: &mut SubscribeResult,
    plan: &Plan,
    recovered: Recovered,
    format: Format,
) -> Result<bool, Refusal> {
    let wanted = |publication: &Arc<Publication>| {
        plan.filter.as_ref().is_none_or(|filter| filter.matches(&publication.tags))
    };
    let publications: Vec<_> =
        recovered.publications.into_iter().filter(wanted).map(Arc::unwrap_or_clone).collect();
    if plan.namespace.data_format == DataFormat::Binary
        && format == Format::Json
        && publications.iter().any(|publication| !publication.data.is_json())
    {
        return Err(Refusal::Close(DisconnectCode::InappropriateProtocol));
    }
    let has_base = plan.delta && !publications.is_empty();
    result.publications = if plan.delta { patched(publications, format) } else { publications };
    result.recovered = recovered.complete;
    result.offset = recovered.offset;
    Ok(has_base)
}
