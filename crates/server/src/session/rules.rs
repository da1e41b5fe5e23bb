use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::Settings;
use crate::handlers::Handlers;
use crate::node::Namespaces;

/// What applies to every session of a server.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(super) namespaces: Arc<Namespaces>,
    /// Whether a client without a token may connect.
    pub(super) anonymous: bool,
    /// Whether a token is ignored: without any key to check it, but only where nobody from outside can connect.
    pub(super) ignore_tokens: bool,
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
}

/// Which handlers the application has set.
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) connect: bool,
    pub(super) subscribe: bool,
    pub(super) publish: bool,
    pub(super) message: bool,
    pub(super) rpc: bool,
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
            ignore_tokens: settings.listens_on_loopback(),
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
            },
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
