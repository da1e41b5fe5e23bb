//! What a subscription will be: the namespace's options, and what the client asked for. Reference section 3.5.

use std::sync::Arc;

use throng_protocol::{
    ChannelName, ChannelNameError, ErrorCode, FilterNode, Payload, StreamPosition, SubscribeRequest,
    TagsFilter,
};

use super::access::{self, Feature, Person, Who};
use super::expiry::Expiry;
use super::{Decision, Judge, Refusal, Session, Subscriptions};
use crate::auth::{Credential, Operation};
use crate::config::RecoveryMode;
use crate::node::{Namespace, Overrides, ServerSubscription, is_past};

/// Bit of [`SubscribeRequest::flag`]: a failed recovery is to be an error.
const REJECT_UNRECOVERED: i64 = 2;

/// A subscription that was granted and is still to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) channel: ChannelName,
    pub(crate) namespace: Arc<Namespace>,
    /// The client did not ask for it.
    pub(crate) server_side: bool,
    /// The client is told when it lost a publication.
    pub(crate) positioned: bool,
    pub(crate) recoverable: bool,
    /// The client hears who joins and leaves.
    pub(crate) join_leave: bool,
    /// The client is listed in the channel's presence.
    pub(crate) presence: bool,
    /// Others hear that the client joins and leaves.
    pub(crate) announced: bool,
    pub(crate) delta: bool,
    pub(crate) filter: Option<Arc<TagsFilter>>,
    pub(crate) recovery: Option<Recovery>,
    /// What other clients see beside the connection's.
    pub(crate) info: Payload,
    /// For the client.
    pub(crate) data: Payload,
    /// When it is over; `None` for never.
    pub(crate) expiry: Option<Expiry>,
    /// By what it can be revoked beside the connection's.
    pub(crate) credential: Option<Credential>,
}

/// What is to be recovered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recovery {
    pub(crate) mode: RecoveryMode,
    /// Where the client stands; `None` if it did not ask.
    pub(crate) since: Option<StreamPosition>,
    /// A failure is to be error 112.
    pub(crate) or_error: bool,
    /// Most publications.
    pub(crate) limit: usize,
}

/// What a subscription is granted with, beside what the namespace says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// What other clients see beside the connection's.
    pub(crate) info: Payload,
    /// For the client.
    pub(crate) data: Payload,
    pub(crate) overrides: Overrides,
    pub(crate) expiry: Option<Expiry>,
    pub(crate) credential: Option<Credential>,
}

impl Plan {
    /// The plan for a subscription that the server gives; `asked` may hold the position of an earlier one.
    pub(super) fn granted(
        channel: ChannelName,
        namespace: &Arc<Namespace>,
        asked: &SubscribeRequest,
        terms: Terms,
        limit: usize,
    ) -> Self {
        let asked = SubscribeRequest {
            recover: asked.recover,
            offset: asked.offset,
            epoch: asked.epoch.clone(),
            ..SubscribeRequest::default()
        };
        let mut plan = Self::new(channel, namespace, &asked, terms, Who::default(), limit);
        plan.server_side = true;
        plan
    }

    /// The plan for a subscription that the application gives to a connection which is open.
    pub(crate) fn ordered(order: &ServerSubscription, namespace: &Arc<Namespace>, limit: usize) -> Self {
        let since = order.recover_since.clone();
        let asked = SubscribeRequest {
            recover: since.is_some(),
            offset: since.as_ref().map_or(0, |since| since.offset),
            epoch: since.map(|since| since.epoch).unwrap_or_default(),
            ..SubscribeRequest::default()
        };
        let terms = Terms {
            info: order.info.clone(),
            data: order.data.clone(),
            overrides: order.overrides,
            expiry: order.expire_at.map(|at| Expiry { at, told: false }),
            credential: None,
        };
        let mut plan = Self::granted(order.channel.clone(), namespace, &asked, terms, limit);
        // Nothing is recovered that was not asked for.
        plan.recovery.take_if(|recovery| recovery.since.is_none());
        plan
    }

    fn new(
        channel: ChannelName,
        namespace: &Arc<Namespace>,
        asked: &SubscribeRequest,
        terms: Terms,
        who: Who<'_>,
        limit: usize,
    ) -> Self {
        let options = &namespace.options;
        let Terms { info, data, overrides, expiry, credential } = terms;
        let has_history = namespace.history.is_some();
        let may_history = || access::would(Feature::History, namespace, &channel, who);
        let announced = overrides.join_leave.unwrap_or(options.join_leave);
        let recoverable = has_history
            && (overrides.force_recovery.unwrap_or(options.force_recovery)
                || (asked.recoverable && options.allow_recovery && may_history()));
        let positioned = has_history
            && (recoverable
                || overrides.force_positioning.unwrap_or(options.force_positioning)
                || (asked.positioned && options.allow_positioning && may_history()));
        let join_leave = announced
            && (overrides.force_push_join_leave.unwrap_or(options.force_push_join_leave)
                || (asked.join_leave && access::would(Feature::Presence, namespace, &channel, who)));
        let since =
            asked.recover.then(|| StreamPosition { offset: asked.offset, epoch: asked.epoch.clone() });
        let cached = options.force_recovery_mode == RecoveryMode::Cache;
        let recovers = recoverable && (since.is_some() || (cached && options.auto_cache_recover));
        let recovery = recovers.then(|| Recovery {
            mode: options.force_recovery_mode,
            or_error: since.is_some() && asked.flag & REJECT_UNRECOVERED != 0,
            since,
            limit,
        });
        Self {
            namespace: Arc::clone(namespace),
            server_side: false,
            positioned,
            recoverable,
            join_leave,
            presence: overrides.presence.unwrap_or(options.presence),
            announced,
            // What a filter hides would be missing from the chain of patches.
            delta: asked.delta == FOSSIL && asked.tf.is_none() && has_history && options.allows_fossil(),
            filter: None,
            recovery,
            info,
            data,
            expiry,
            credential,
            channel,
        }
    }
}

const FOSSIL: &str = "fossil";

impl Session {
    /// The checks of reference section 3.5, in its order.
    pub(super) fn subscribe(
        &self,
        id: u32,
        request: SubscribeRequest,
        person: &Person<'_, impl Subscriptions>,
    ) -> Result<Decision, Refusal> {
        if request.channel.is_empty() {
            return Err(Refusal::BAD_REQUEST);
        }
        match self.rules.namespaces.parse(&request.channel) {
            Err(ChannelNameError::TooLong { .. }) => return Err(ErrorCode::BadRequest.into()),
            Ok(name) if person.subscriptions.contains(&name) => {
                return Err(ErrorCode::AlreadySubscribed.into());
            }
            Ok(_) | Err(_) => {}
        }
        if person.subscriptions.count() >= self.rules.channel_limit {
            return Err(ErrorCode::LimitExceeded.into());
        }
        if !matches!(request.delta.as_str(), "" | FOSSIL) {
            return Err(Refusal::BAD_REQUEST);
        }
        let (channel, namespace) = self.channel(&request.channel)?;
        if request.kind != 0 {
            return Err(wrong_kind(request.kind).into());
        }
        if self.rules.asks.subscribe {
            return Ok(Decision::Consent { id, request: Box::new(request), judge: Judge::Application });
        }
        if !request.token.is_empty() && !self.rules.ignore_tokens {
            if self.rules.tokens {
                return Ok(Decision::Consent { id, request: Box::new(request), judge: Judge::Token });
            }
            // A check that cannot be made is a refusal.
            tracing::debug!(connection = %self.client, "a subscription token cannot be checked: no key is configured");
            return Err(self.deny(Operation::Subscribe, &channel));
        }
        if !access::may_subscribe(namespace, &channel, person.who) {
            return Err(self.deny(Operation::Subscribe, &channel));
        }
        let plan = self.plan_in(channel, namespace, &request, Terms::default())?;
        Ok(Decision::Subscribe { id, plan: Box::new(plan) })
    }

    /// Plans a subscription that was agreed to.
    pub(crate) fn plan(&self, request: &SubscribeRequest, terms: Terms) -> Result<Plan, Refusal> {
        let (channel, namespace) = self.channel(&request.channel)?;
        self.plan_in(channel, namespace, request, terms)
    }

    fn plan_in(
        &self,
        channel: ChannelName,
        namespace: &Arc<Namespace>,
        request: &SubscribeRequest,
        terms: Terms,
    ) -> Result<Plan, Refusal> {
        let filter = request.tf.as_deref().map(|filter| compiled(filter, namespace)).transpose()?;
        if terms.expiry.is_some_and(|expiry| is_past(expiry.at)) {
            return Err(ErrorCode::Expired.into());
        }
        let who = self.identity().map(|identity| identity.who()).unwrap_or_default();
        let mut plan = Plan::new(channel, namespace, request, terms, who, self.rules.recovery_limit);
        plan.filter = filter;
        Ok(plan)
    }
}

fn compiled(filter: &FilterNode, namespace: &Namespace) -> Result<Arc<TagsFilter>, ErrorCode> {
    if !namespace.options.allow_tags_filter {
        return Err(ErrorCode::BadRequest);
    }
    TagsFilter::compile(filter).map(Arc::new).map_err(|_| ErrorCode::BadRequest)
}

/// Why a stream cannot be subscribed to as something else: a map (1 to 3) or a shared poll (4).
const fn wrong_kind(kind: i32) -> ErrorCode {
    match kind {
        1..=3 => ErrorCode::PermissionDenied,
        4 => ErrorCode::NotAvailable,
        _ => ErrorCode::BadRequest,
    }
}
