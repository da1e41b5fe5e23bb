//! Who comes with a token: how it is let in, prolongs what it has, and is let in again.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::{
    api::Api,
    checks::Checks,
    sdk::{API_KEY, Installed, KINDS, SECRET, TOKENS, agent::Agent, agent::Event},
    server::Server,
};

/// A check of one client that has not connected yet.
type Case = fn(&mut Agent, &mut Host) -> Result<()>;

const CASES: &[(&str, Case)] = &[
    ("a token lets its user in, and a connection is prolonged before it is over", connections_are_prolonged),
    ("a token that has expired is exchanged for another (109)", an_expired_token_is_exchanged),
    ("a connection that nobody prolongs ends (3005) and comes back", connections_end_and_come_back),
    ("a token that is wrong lets nobody in (3500)", a_wrong_token_lets_nobody_in),
    ("a subscription token opens a private channel, and is exchanged in time", subscriptions_are_prolonged),
    ("a subscription that nobody prolongs ends (2501) and comes back", subscriptions_end_and_come_back),
    ("without a subscription token a private channel stays closed (103)", private_channels_are_closed),
];

const CHANNEL: &str = "$private";

/// The server of these checks.
struct Host {
    server: Server,
    api: Api,
    runtime: Runtime,
}

/// Performs each check with one client of each kind after the other.
///
/// # Errors
///
/// When the server cannot be started.
pub(in crate::sdk) fn check(installed: &Installed, checks: &mut Checks) -> Result<()> {
    let server = installed.serve("tokens", TOKENS)?;
    let api = Api::new(server.address(), API_KEY);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut host = Host { server, api, runtime };
    for (name, case) in CASES {
        checks.check(name, || {
            KINDS.iter().try_for_each(|(sdk, format)| {
                let url = format!("ws://{}/connection/websocket", host.server.address());
                let mut agent = installed.agent_with(*sdk, format, "ann", &url, Some(SECRET))?;
                case(&mut agent, &mut host).with_context(|| agent.name())
            })
        });
    }
    Ok(())
}

/// Connects, while tokens last as long as this says.
fn connect(agent: &mut Agent, lasting: Value) -> Result<()> {
    let lasting = lasting.as_object().context("kinds and seconds")?.clone();
    let lasting: Vec<_> = lasting.iter().map(|(kind, seconds)| (kind.as_str(), seconds.clone())).collect();
    agent.call("lasting", &lasting)?;
    agent.call("connect", &[])
}

fn subscribe(agent: &mut Agent) -> Result<()> {
    agent.call("subscribe", &[("channel", json!(CHANNEL))])
}

fn is_lost(event: &Event) -> bool {
    event.is("disconnected", None) || event.is("connecting", None)
}

impl Host {
    /// Publishes to the channel, which the client must get.
    fn reaches(&mut self, agent: &mut Agent, data: &str) -> Result<()> {
        let publication = json!({ "channel": CHANNEL, "data": data }).to_string();
        let call = self.api.call::<IgnoredAny>("publish", publication);
        self.runtime.block_on(call).map_err(|failure| anyhow!("API publish: {failure}"))?;
        agent.expect(CHANNEL, &[json!(data)])
    }
}

fn connections_are_prolonged(agent: &mut Agent, _: &mut Host) -> Result<()> {
    connect(agent, json!({ "connection": 2 }))?;
    agent.event_of_client("connection_token")?;
    agent.wait("the connection", |event| event.is("connected", None))?;
    agent.forget();
    for _ in 0..3 {
        agent.event_of_client("connection_token")?;
    }
    agent.never("a lost connection", Duration::ZERO, is_lost)?;
    // The grace of the first token has long been over.
    agent.never("a lost connection", Duration::from_secs(1), is_lost)
}

fn an_expired_token_is_exchanged(agent: &mut Agent, _: &mut Host) -> Result<()> {
    agent.call("lasting", &[("connection", json!(-10))])?;
    let connecting = agent.send("connect", &[])?;
    agent.event_of_client("connection_token")?;
    agent.call("lasting", &[])?;
    agent.event_of_client("connection_token")?;
    ensure!(agent.answer(connecting)?.is_ok(), "it did not connect");
    Ok(())
}

fn connections_end_and_come_back(agent: &mut Agent, _: &mut Host) -> Result<()> {
    connect(agent, json!({ "connection": 2 }))?;
    agent.call("lasting", &[("connection", Value::Null)])?;
    let lost = agent
        .wait("the end", |event| event.is("connecting", None) && event.code.is_some_and(|code| code > 0))?;
    ensure!(lost.code == Some(3005), "it was told {:?}", lost.code);
    agent.forget();
    agent.call("lasting", &[])?;
    agent.wait("a new connection", |event| event.is("connected", None)).map(drop)
}

fn a_wrong_token_lets_nobody_in(agent: &mut Agent, _: &mut Host) -> Result<()> {
    agent.call("lasting", &[("forged", json!(1))])?;
    agent.send("connect", &[])?;
    let end = agent.wait("the end", |event| event.is("disconnected", None))?;
    ensure!(end.code == Some(3500), "it was told {:?}", end.code);
    Ok(())
}

fn subscriptions_are_prolonged(agent: &mut Agent, host: &mut Host) -> Result<()> {
    connect(agent, json!({ "subscription": 2 }))?;
    subscribe(agent)?;
    for _ in 0..4 {
        agent.event("subscription_token", CHANNEL)?;
    }
    agent.forget();
    host.reaches(agent, "still here")?;
    agent.never("a lost subscription", Duration::from_secs(1), |event| {
        is_lost(event) || event.is("subscribing", Some(CHANNEL)) || event.is("unsubscribed", Some(CHANNEL))
    })
}

fn subscriptions_end_and_come_back(agent: &mut Agent, host: &mut Host) -> Result<()> {
    connect(agent, json!({ "subscription": 2 }))?;
    subscribe(agent)?;
    agent.call("lasting", &[("subscription", Value::Null)])?;
    agent.wait("2501", |event| event.is("subscribing", Some(CHANNEL)) && event.code == Some(2501))?;
    agent.forget();
    agent.call("lasting", &[])?;
    agent.event("subscribed", CHANNEL)?;
    host.reaches(agent, "again here")
}

fn private_channels_are_closed(agent: &mut Agent, _: &mut Host) -> Result<()> {
    connect(agent, json!({}))?;
    agent.refused("subscribe", &[("channel", json!(CHANNEL)), ("without_token", json!(true))], 103)
}
