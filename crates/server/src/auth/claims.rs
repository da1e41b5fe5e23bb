//! What tokens say, once they are verified. Reference sections 5.2 and 5.3.

use std::borrow::Cow;
use std::sync::Arc;

use throng_protocol::Payload;

use crate::node::Overrides;

/// What a connection token says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectionToken {
    /// Empty for an anonymous client.
    pub(crate) user: String,
    /// When the connection expires unless it is refreshed, in Unix seconds; `None` for never.
    pub(crate) expires: Option<i64>,
    /// What other clients see beside the user.
    pub(crate) info: Payload,
    /// Attached to the connection, for the backend; never sent to clients.
    pub(crate) meta: Payload,
    /// Subscriptions that come with the connection.
    pub(crate) subs: Vec<TokenSubscription>,
    /// What the client may do beside what the namespaces allow.
    pub(crate) capabilities: Option<Arc<Capabilities>>,
    pub(crate) credential: Credential,
}

/// A subscription that a connection token gives.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenSubscription {
    pub(crate) channel: String,
    /// What other clients see beside the connection's.
    pub(crate) info: Payload,
    /// For the client.
    pub(crate) data: Payload,
    pub(crate) overrides: Overrides,
}

/// What a subscription token says.
#[derive(Clone, Debug, Default)]
pub(crate) struct SubscriptionToken {
    pub(crate) channel: String,
    /// The connection it is for; empty for any.
    pub(crate) client: String,
    /// When the subscription expires unless it is refreshed, in Unix seconds; `None` for never.
    pub(crate) expires: Option<i64>,
    /// What other clients see beside the connection's.
    pub(crate) info: Payload,
    /// For the client.
    pub(crate) data: Payload,
    pub(crate) overrides: Overrides,
    pub(crate) credential: Credential,
}

/// By what a token, and a connection that came with it, can be revoked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Credential {
    /// Claim `sub`; empty for an anonymous client.
    pub(crate) user: Arc<str>,
    /// Claim `jti`.
    pub(crate) id: Option<Box<str>>,
    /// Claim `iat`, in Unix seconds.
    pub(crate) issued: Option<i64>,
    /// Claim `exp`, in Unix seconds.
    pub(crate) expires: Option<i64>,
}

/// What a client may do beside what the namespaces allow: claim `caps`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capabilities(pub(crate) Vec<Capability>);

/// Operations that are allowed in some channels.
#[derive(Clone, Debug)]
pub(crate) struct Capability {
    pub(crate) channels: Vec<ChannelMatch>,
    pub(crate) allow: Vec<Operation>,
}

/// Which channels are meant.
#[derive(Clone, Debug)]
pub(crate) enum ChannelMatch {
    /// This one.
    Exact(Box<str>),
    /// Those that the pattern covers whole; `*` stands for any characters.
    Wildcard(Box<str>),
    /// Those that the expression covers whole.
    Regex(Arc<regex_lite::Regex>),
}

/// What can be done in a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    /// `sub`
    Subscribe,
    /// `pub`
    Publish,
    /// `prs`
    Presence,
    /// `hst`
    History,
}

impl Operation {
    /// How many there are.
    pub(crate) const COUNT: usize = 4;

    /// What logs and metrics call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Presence => "presence",
            Self::History => "history",
        }
    }
}

/// Why a token is not accepted. The texts are for the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Its time is over: the client should get a new one (error 109).
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours.
    #[error("the token is not valid: {0}")]
    Invalid(Cow<'static, str>),
    /// It could not be checked, because the keys cannot be had now (error 100, temporary).
    #[error("the token cannot be checked now: {0}")]
    Unavailable(Cow<'static, str>),
}
