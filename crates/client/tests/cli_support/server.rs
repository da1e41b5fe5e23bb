//! A real server, in the test's own process and on a free port.

use std::time::Duration;

use throng_client::Client;
use throng_server::{
    Running, Server,
    config::{ChannelOptions, Settings},
};

/// A server whose channels have all that a first try needs, and what the test adds.
pub async fn server(change: impl FnOnce(&mut ChannelOptions)) -> Running {
    let mut options = ChannelOptions::open();
    change(&mut options);
    let mut settings = settings();
    settings.channel.without_namespace = Some(options);
    Server::builder().settings(settings).start().await.expect("the server starts")
}

/// Channels that keep nothing, and so have nothing that needs something kept.
pub fn forgetful(options: &mut ChannelOptions) {
    options.presence = false;
    options.join_leave = false;
    (options.history_size, options.history_ttl) = (0, Duration::ZERO);
    (options.force_recovery, options.allow_recovery, options.allow_positioning) = (false, false, false);
    options.allowed_delta_types.clear();
}

pub fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.http_server.port = 0;
    settings.shards.count = 2;
    settings
}

pub async fn client(server: &Running) -> Client {
    Client::builder(server.url("")).connect().await.expect("the server is there")
}
