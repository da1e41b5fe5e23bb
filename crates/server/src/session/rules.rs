use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Counts, Judge};
use crate::config::Settings;
use crate::handlers::Handlers;
use crate::node::Namespaces;

/// What applies to every session of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(super) namespaces: Arc<Namespaces>,
    /// Whether a client without a token may connect.
    pub(super) anonymous: bool,
    /// Whether tokens can be verified.
    pub(super) tokens: bool,
    /// Whether a token is ignored: without any key to check it, but only where nobody from outside can connect.
    pub(super) ignore_tokens: bool,
    /// Whether a token that names no user lets its client in.
    pub(super) anonymous_tokens: bool,
    /// Whether the log says already that tokens are ignored.
    told_of_tokens: AtomicBool,
    pub(super) channel_limit: usize,
    pub(super) ping_seconds: u32,
    pub(super) pong: bool,
    pub(super) history_limit: usize,
    pub(super) recovery_limit: usize,
    pub(super) tells_time: bool,
    /// The namespace of the channels that users are subscribed to by themselves, empty for none; unset if they are not.
    pub(super) personal: Option<String>,
    /// The name of the RPC method that the server answers by itself.
    pub(super) rpc_ping: Option<String>,
    pub(super) asks: Asks,
    /// What the sessions have denied, and what of theirs was over.
    pub(crate) counts: Counts,
}

/// Which handlers the application has set.
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) connect: bool,
    pub(super) subscribe: bool,
    pub(super) publish: bool,
    pub(super) message: bool,
    pub(super) rpc: bool,
    pub(super) refresh: bool,
    pub(super) sub_refresh: bool,
}

impl Rules {
    pub(crate) fn new(settings: &Settings, namespaces: Arc<Namespaces>, handlers: &Handlers) -> Self {
        let client = &settings.client;
        let ping = client.ping_interval;
        let personal = &client.subscribe_to_user_personal_channel;
        let set = &handlers.set;
        Self {
            namespaces,
            anonymous: settings.anonymous_allowed(),
            tokens: settings.checks_tokens(),
            ignore_tokens: settings.listens_on_loopback() && !settings.checks_tokens(),
            anonymous_tokens: !settings.client.disallow_anonymous_connection_tokens,
            told_of_tokens: AtomicBool::new(false),
            channel_limit: client.channel_limit,
            ping_seconds: ping.map_or(0, |interval| u32::try_from(interval.as_secs()).unwrap_or(u32::MAX)),
            pong: ping.is_some() && client.pong_timeout.is_some(),
            history_limit: client.history_max_publication_limit,
            recovery_limit: client.recovery_max_publication_limit,
            tells_time: client.connect_include_server_time,
            personal: personal.enabled.then(|| personal.personal_channel_namespace.clone()),
            rpc_ping: settings.rpc.ping.enabled.then(|| settings.rpc.ping.method.clone()),
            asks: Asks {
                connect: set.connect.is_some(),
                subscribe: set.subscribe.is_some(),
                publish: set.publish.is_some(),
                message: set.message.is_some(),
                rpc: !set.rpc.is_empty(),
                refresh: set.refresh.is_some(),
                sub_refresh: set.sub_refresh.is_some(),
            },
            counts: Counts::default(),
        }
    }

    /// Whether the application decides who may connect.
    pub(crate) const fn asks_who_connects(&self) -> bool {
        self.asks.connect
    }

    /// Whether this token has to be valid. Without a key none can be, unless tokens are ignored, which is said once.
    pub(crate) fn is_token_checked(&self, token: &str) -> bool {
        if !token.is_empty() && self.ignore_tokens {
            self.warn_of_ignored_token();
        }
        !token.is_empty() && !self.ignore_tokens
    }

    /// Whether a client without a token may connect.
    pub(crate) const fn lets_strangers_in(&self) -> bool {
        self.anonymous
    }

    /// Whether a token that names no user lets its client in.
    pub(crate) const fn lets_anonymous_tokens_in(&self) -> bool {
        self.anonymous_tokens
    }

    /// Who prolongs connections, if somebody does. What a handler has let in no token can prolong.
    pub(super) fn refreshes(&self) -> Option<Judge> {
        match self.asks {
            Asks { refresh: true, .. } => Some(Judge::Application),
            Asks { connect: false, .. } if self.tokens => Some(Judge::Token),
            Asks { .. } => None,
        }
    }

    /// Who prolongs subscriptions, if somebody does.
    pub(super) fn sub_refreshes(&self) -> Option<Judge> {
        match self.asks {
            Asks { sub_refresh: true, .. } => Some(Judge::Application),
            Asks { subscribe: false, .. } if self.tokens => Some(Judge::Token),
            Asks { .. } => None,
        }
    }

    /// Says once that tokens are not looked at.
    pub(super) fn warn_of_ignored_token(&self) {
        if !self.told_of_tokens.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "tokens are ignored: no key to check them is configured, and only this machine can connect"
            );
        }
    }
}
