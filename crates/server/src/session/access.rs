//! What a client may do: by its namespace's options, and by the capabilities of its token. Reference sections 3.5 (step 5)
//! and 3.12.

use throng_protocol::ChannelName;

use super::Subscriptions;
use crate::auth::{Capabilities, Operation};
use crate::node::{Namespace, PRIVATE_PREFIX, USER_BOUNDARY};

/// Separates the users that a channel is limited to.
const USER_SEPARATOR: char = ',';

/// Who a client is, as far as permissions go.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Who<'a> {
    /// Empty for an anonymous client.
    pub(super) user: &'a str,
    pub(super) capabilities: Option<&'a Capabilities>,
}

impl Who<'_> {
    fn is_able(self, operation: Operation, channel: &ChannelName) -> bool {
        self.capabilities.is_some_and(|capabilities| capabilities.allows(channel.as_str(), operation))
    }
}

/// Who asks.
pub(super) struct Person<'a, S> {
    pub(super) who: Who<'a>,
    pub(super) subscriptions: &'a S,
}

/// What the options allow to clients, to subscribers, and to anonymous ones among them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Feature {
    Publish,
    Presence,
    History,
}

impl Feature {
    /// Whether the namespace has it at all.
    pub(super) const fn is_on(self, namespace: &Namespace) -> bool {
        match self {
            Self::Publish => true,
            Self::Presence => namespace.options.presence,
            Self::History => namespace.history.is_some(),
        }
    }

    pub(super) const fn operation(self) -> Operation {
        match self {
            Self::Publish => Operation::Publish,
            Self::Presence => Operation::Presence,
            Self::History => Operation::History,
        }
    }
}

/// Whether the client may use the feature in this channel. Neither an option nor a capability opens a guarded channel to those
/// who are not in it.
pub(super) fn may(
    feature: Feature,
    namespace: &Namespace,
    channel: &ChannelName,
    person: &Person<'_, impl Subscriptions>,
) -> bool {
    let options = &namespace.options;
    let (client, subscriber, anonymous) = match feature {
        Feature::Publish => (
            options.allow_publish_for_client,
            options.allow_publish_for_subscriber,
            options.allow_publish_for_anonymous,
        ),
        Feature::Presence => (
            options.allow_presence_for_client,
            options.allow_presence_for_subscriber,
            options.allow_presence_for_anonymous,
        ),
        Feature::History => (
            options.allow_history_for_client,
            options.allow_history_for_subscriber,
            options.allow_history_for_anonymous,
        ),
    };
    let known = !person.who.user.is_empty() || anonymous;
    let is_able = || person.who.is_able(feature.operation(), channel);
    let from_outside = !is_guarded(channel, person.who.user) && (known && client || is_able());
    from_outside || (person.subscriptions.contains(channel) && (known && subscriber || is_able()))
}

/// Whether the client would have the feature once it is subscribed.
pub(super) fn would(feature: Feature, namespace: &Namespace, channel: &ChannelName, who: Who<'_>) -> bool {
    struct Subscribed;
    impl Subscriptions for Subscribed {
        fn contains(&self, _: &ChannelName) -> bool {
            true
        }
        fn count(&self) -> usize {
            1
        }
    }
    may(feature, namespace, channel, &Person { who, subscriptions: &Subscribed })
}

/// Whether the client may subscribe without a subscription token.
///
/// A `$` channel needs one, whatever the client is able to. A name with `#` lists the users that may, and a capability opens it
/// to nobody else; upstream reads it so only where `allow_user_limited_channels` is on, and lets everybody in otherwise, which
/// would open personal channels: here it is closed.
pub(super) fn may_subscribe(namespace: &Namespace, channel: &ChannelName, who: Who<'_>) -> bool {
    let options = &namespace.options;
    let name = channel.as_str();
    if name.starts_with(PRIVATE_PREFIX) {
        return false;
    }
    let is_able = || who.is_able(Operation::Subscribe, channel);
    if name.contains(USER_BOUNDARY) {
        return is_listed(name, who.user) && (options.allow_user_limited_channels || is_able());
    }
    let known = !who.user.is_empty() || options.allow_subscribe_for_anonymous;
    options.allow_subscribe_for_client && known || is_able()
}

/// Whether a channel is not for everybody who may use its namespace.
fn is_guarded(channel: &ChannelName, user: &str) -> bool {
    let name = channel.as_str();
    name.starts_with(PRIVATE_PREFIX) || (name.contains(USER_BOUNDARY) && !is_listed(name, user))
}

fn is_listed(name: &str, user: &str) -> bool {
    let listed = name.rsplit_once(USER_BOUNDARY).map_or("", |(_, users)| users);
    !user.is_empty() && listed.split(USER_SEPARATOR).any(|one| one == user)
}
