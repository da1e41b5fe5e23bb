//! What must hold for every SDK, in every wire format and between them.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    KINDS, Party, Sdk,
    agent::{Agent, Event},
};

mod members;
mod streams;
mod tokens;

pub(super) use tokens::check as tokens;

/// A check of all clients; its channels are its own.
type Case = fn(&mut Party<'_>) -> Result<()>;

/// The checks in their order; those that restart the server come last.
pub(super) fn all() -> impl Iterator<Item = &'static (&'static str, Case)> {
    BASIC.iter().chain(streams::CASES).chain(members::CASES).chain(RESTARTS)
}

const BASIC: &[(&str, Case)] = &[
    ("every client has an id of its own", every_client_has_an_id),
    ("publications reach all subscribers in order, the publisher too", all_receive_in_order),
    ("four publishers at once: all subscribers see one order", all_see_one_order),
    ("messages stay in their channel", messages_stay_in_their_channel),
    ("nothing arrives after unsubscribing, and subscribing again works", unsubscribing_is_final),
    ("a batch of commands in one frame is answered", a_batch_is_answered),
    ("payloads arrive as they were sent", payloads_arrive_as_sent),
    (
        "what is not configured is refused: rpc, history and presence with 108, a namespace with 102",
        what_does_not_exist_is_refused,
    ),
    ("bad channel names are refused with 107", bad_channels_are_refused),
    ("a payload that is no JSON is refused with 107 and disturbs nobody", binary_payloads_are_refused),
    ("a message over the limit closes its sender with 1009", an_oversized_message_closes),
];

const RESTARTS: &[(&str, Case)] = &[
    ("all come back by themselves after the server stopped and started", all_come_back_after_a_stop),
    ("all come back by themselves after the server was killed", all_come_back_after_a_kill),
    ("after the server was killed streams are told as not recovered", a_killed_server_has_forgotten),
];

/// How many publications one publisher sends in a row.
const MANY: usize = 500;

fn every_client_has_an_id(party: &mut Party<'_>) -> Result<()> {
    let ids: BTreeSet<_> = party.agents.iter().map(|agent| agent.client().to_owned()).collect();
    ensure!(ids.len() == KINDS.len() && !ids.contains(""), "the ids are {ids:?}");
    Ok(())
}

fn all_receive_in_order(party: &mut Party<'_>) -> Result<()> {
    subscribe_all(party, "order")?;
    for publisher in 0..party.agents.len() {
        let messages: Vec<_> = (0..MANY).map(|n| json!({ "publisher": publisher, "n": n })).collect();
        publish(&mut party.agents[publisher], "order", &messages)?;
        let client = party.agents[publisher].client().to_owned();
        for agent in &mut party.agents {
            for expected in &messages {
                let Event { data, from, .. } = agent.publication("order")?;
                ensure!(data.as_ref() == Some(expected), "{} got {data:?}, not {expected}", agent.name());
                ensure!(from.as_ref() == Some(&client), "{} was told publisher {from:?}", agent.name());
            }
        }
    }
    nothing_left(party, "order")
}

fn all_see_one_order(party: &mut Party<'_>) -> Result<()> {
    subscribe_all(party, "together")?;
    let mut sent = Vec::new();
    for (number, agent) in party.agents.iter_mut().enumerate() {
        let messages: Vec<_> = (0..200).map(|n| json!([number, n])).collect();
        sent.push(agent.send("publish", &[("channel", json!("together")), ("messages", json!(messages))])?);
    }
    let mut seen = Vec::new();
    for (agent, id) in party.agents.iter_mut().zip(sent) {
        ensure!(agent.answer(id)?.is_ok(), "{} could not publish", agent.name());
        let all: Result<Vec<_>> = (0..200 * KINDS.len()).map(|_| agent.publication("together")).collect();
        seen.push(all?.into_iter().map(|event| event.data.unwrap_or_default()).collect::<Vec<Value>>());
    }
    ensure!(seen.windows(2).all(|pair| pair[0] == pair[1]), "two subscribers saw different orders");
    for publisher in 0..KINDS.len() {
        let own: Vec<_> =
            seen[0].iter().filter(|data| data[0] == json!(publisher)).map(|data| &data[1]).collect();
        ensure!(
            own.iter().enumerate().all(|(n, data)| **data == json!(n)),
            "publisher {publisher} was reordered"
        );
    }
    nothing_left(party, "together")
}

fn messages_stay_in_their_channel(party: &mut Party<'_>) -> Result<()> {
    let channels: Vec<_> = (0..20).map(|n| format!("room-{n}")).collect();
    let takes = |agent: usize, channel: usize| (agent + channel).is_multiple_of(2);
    subscribe_all(party, "last")?;
    for (number, agent) in party.agents.iter_mut().enumerate() {
        for (_, channel) in channels.iter().enumerate().filter(|(n, _)| takes(number, *n)) {
            agent.call("subscribe", &[("channel", json!(channel))])?;
        }
    }
    for channel in &channels {
        publish(&mut party.agents[0], channel, &[json!(channel)])?;
    }
    publish(&mut party.agents[0], "last", &[json!("last")])?;
    for (number, agent) in party.agents.iter_mut().enumerate() {
        agent.publication("last")?;
        for (n, channel) in channels.iter().enumerate() {
            let got: Vec<_> =
                agent.take_publications(channel).into_iter().filter_map(|event| event.data).collect();
            let expected = if takes(number, n) { vec![json!(channel)] } else { Vec::new() };
            ensure!(got == expected, "{} got {got:?} in {channel}, not {expected:?}", agent.name());
        }
    }
    Ok(())
}

fn unsubscribing_is_final(party: &mut Party<'_>) -> Result<()> {
    for leaver in 0..party.agents.len() {
        let publisher = (leaver + 1) % party.agents.len();
        let (left, mark) = (format!("left-{leaver}"), format!("mark-{leaver}"));
        for channel in [&left, &mark] {
            party.agents[leaver].call("subscribe", &[("channel", json!(channel))])?;
        }
        publish(&mut party.agents[publisher], &left, &[json!("before")])?;
        party.agents[leaver].publication(&left)?;
        party.agents[leaver].call("unsubscribe", &[("channel", json!(left))])?;
        publish(&mut party.agents[publisher], &left, &vec![json!("after"); 50])?;
        publish(&mut party.agents[publisher], &mark, &[json!("mark")])?;
        let agent = &mut party.agents[leaver];
        agent.publication(&mark)?;
        ensure!(agent.take_publications(&left).is_empty(), "{} got more after unsubscribing", agent.name());
        agent.call("subscribe", &[("channel", json!(left))])?;
        publish(&mut party.agents[publisher], &left, &[json!("again")])?;
        let data = party.agents[leaver].publication(&left)?.data;
        ensure!(data == Some(json!("again")), "after subscribing again came {data:?}");
    }
    Ok(())
}

/// Only the JavaScript SDK has batches: a subscribe and its publications leave in one frame.
fn a_batch_is_answered(party: &mut Party<'_>) -> Result<()> {
    for (number, agent) in party.agents.iter_mut().enumerate().filter(|(_, agent)| agent.sdk() == Sdk::Js) {
        let channel = format!("batch-{number}");
        let messages: Vec<_> = (0..100).map(|n| json!(n)).collect();
        agent.call("batch", &[("channel", json!(channel)), ("messages", json!(messages))])?;
        for expected in &messages {
            let data = agent.publication(&channel)?.data;
            ensure!(data.as_ref() == Some(expected), "{} got {data:?}, not {expected}", agent.name());
        }
    }
    Ok(())
}

fn payloads_arrive_as_sent(party: &mut Party<'_>) -> Result<()> {
    subscribe_all(party, "payloads")?;
    let nested = (0..50).fold(json!("deep"), |inner, _| json!([inner]));
    let messages = [
        json!(null),
        json!(true),
        json!(0),
        json!(-9_007_199_254_740_991_i64),
        json!(0.1),
        json!(""),
        json!("line\nbreak, tab\t, quote\" and \u{0}"),
        json!("Grüße, 世界, 🦀, \u{2028}"),
        json!({ "": {}, "push": { "channel": "payloads" }, "id": 1 }),
        json!([]),
        json!("x".repeat(60_000)),
        nested,
    ];
    for publisher in 0..party.agents.len() {
        publish(&mut party.agents[publisher], "payloads", &messages)?;
        for agent in &mut party.agents {
            for expected in &messages {
                let data = agent.publication("payloads")?.data.unwrap_or_default();
                ensure!(data == *expected, "{} got {data}, not {expected}", agent.name());
            }
        }
    }
    // A client of Protobuf may send line breaks between tokens; in JSON frames they separate messages.
    let spread = b"{\n  \"a\": [1,\r\n 2]\n}\n";
    for publisher in (0..party.agents.len()).filter(|n| KINDS[*n].1 == "protobuf") {
        publish_bytes(&mut party.agents[publisher], "payloads", spread)?;
        for agent in &mut party.agents {
            let data = agent.publication("payloads")?.data;
            ensure!(data == Some(json!({ "a": [1, 2] })), "{} got {data:?}", agent.name());
        }
    }
    nothing_left(party, "payloads")
}

fn what_does_not_exist_is_refused(party: &mut Party<'_>) -> Result<()> {
    subscribe_all(party, "plain")?;
    for agent in &mut party.agents {
        agent.refused("rpc", &[("method", json!("sum"))], 108)?;
        for op in ["history", "presence", "presence_stats"] {
            agent.refused(op, &[("channel", json!("plain"))], 108)?;
        }
        agent.refused("subscribe", &[("channel", json!("nowhere:room"))], 102)?;
        agent.refused("publish", &[("channel", json!("nowhere:room")), ("messages", json!([1]))], 102)?;
    }
    Ok(())
}

fn bad_channels_are_refused(party: &mut Party<'_>) -> Result<()> {
    for agent in &mut party.agents {
        for channel in ["x".repeat(256), "café".to_owned()] {
            agent.refused("subscribe", &[("channel", json!(channel))], 107)?;
            agent.refused("publish", &[("channel", json!(channel)), ("messages", json!([1]))], 107)?;
        }
        agent.call("subscribe", &[("channel", json!("x".repeat(255)))])?;
    }
    Ok(())
}

fn binary_payloads_are_refused(party: &mut Party<'_>) -> Result<()> {
    subscribe_all(party, "binary")?;
    for bytes in [&[0xff, 0x00][..], b"", b"{\"a\":", b"1 2"] {
        for agent in party.agents.iter_mut().filter(|agent| agent.is_protobuf()) {
            agent.refused("publish_bytes", &[("channel", json!("binary")), ("bytes", json!(bytes))], 107)?;
        }
    }
    publish(&mut party.agents[0], "binary", &[json!("still here")])?;
    for agent in &mut party.agents {
        let data = agent.publication("binary")?.data;
        ensure!(data == Some(json!("still here")), "{} got {data:?}", agent.name());
        agent.never("a lost connection", Duration::ZERO, |event| {
            event.is("connecting", None) && event.code != Some(0)
        })?;
    }
    nothing_left(party, "binary")
}

/// Both SDKs show close code 1009 as their own code 3; with it JavaScript stays away, and Python 0.7.0 comes back.
fn an_oversized_message_closes(party: &mut Party<'_>) -> Result<()> {
    let url = party.url();
    for (sdk, format) in KINDS {
        let mut agent = party.installed.agent(*sdk, format, "verbose", &url)?;
        agent.call("connect", &[])?;
        let message = json!(["x".repeat(70_000)]);
        agent.send("publish", &[("channel", json!("big")), ("messages", message)])?;
        let end = match sdk {
            Sdk::Js => "disconnected",
            Sdk::Python => "connecting",
        };
        agent.wait("close code 1009", |event| event.is(end, None) && event.code == Some(3))?;
    }
    Ok(())
}

fn all_come_back_after_a_stop(party: &mut Party<'_>) -> Result<()> {
    all_come_back(party, "stopped", true)
}

fn all_come_back_after_a_kill(party: &mut Party<'_>) -> Result<()> {
    all_come_back(party, "killed", false)
}

fn all_come_back(party: &mut Party<'_>, channel: &str, kindly: bool) -> Result<()> {
    subscribe_all(party, channel)?;
    party.agents.iter_mut().for_each(Agent::forget);
    party.restart(kindly)?;
    for agent in &mut party.agents {
        let code = agent.wait("the loss", |event| event.is("connecting", None))?.code;
        ensure!(!kindly || code == Some(3001), "{} was told {code:?}, not 3001", agent.name());
        agent.wait("a new connection", |event| event.is("connected", None))?;
        agent.wait("its subscription", |event| event.is("subscribed", Some(channel)))?;
    }
    for publisher in 0..party.agents.len() {
        publish(&mut party.agents[publisher], channel, &[json!(publisher)])?;
        for agent in &mut party.agents {
            let data = agent.publication(channel)?.data;
            ensure!(data == Some(json!(publisher)), "{} got {data:?} from {publisher}", agent.name());
        }
    }
    Ok(())
}

/// What a client knew of a stream is of no use to the new server, and it is told so.
fn a_killed_server_has_forgotten(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "recovery:killed";
    subscribe_all(party, CHANNEL)?;
    publish(&mut party.agents[0], CHANNEL, &[json!(1), json!(2)])?;
    for agent in &mut party.agents {
        agent.expect(CHANNEL, &[json!(1), json!(2)])?;
        agent.forget();
    }
    party.restart(false)?;
    for agent in &mut party.agents {
        let told = agent.event("subscribed", CHANNEL)?;
        ensure!(
            (told.was_recovering, told.recovered) == (Some(true), Some(false)),
            "{} was told recovered {:?}",
            agent.name(),
            told.recovered
        );
    }
    nothing_left(party, CHANNEL)
}

/// For several ping intervals no client loses its connection; then all still receive.
pub(super) fn stays_connected(party: &mut Party<'_>) -> Result<()> {
    subscribe_all(party, "quiet")?;
    party.agents.iter_mut().for_each(Agent::forget);
    let lost = |event: &Event| event.is("connecting", None) || event.is("disconnected", None);
    // The others' events are queued meanwhile, so that looking at the first one watches them all.
    party.agents[0].never("a lost connection", Duration::from_secs(5), lost)?;
    publish(&mut party.agents[0], "quiet", &[json!("awake")])?;
    for agent in &mut party.agents {
        agent.publication("quiet")?;
        agent.never("a lost connection", Duration::ZERO, lost)?;
    }
    Ok(())
}

fn subscribe_all(party: &mut Party<'_>, channel: &str) -> Result<()> {
    party.agents.iter_mut().try_for_each(|agent| agent.call("subscribe", &[("channel", json!(channel))]))
}

fn publish(agent: &mut Agent, channel: &str, messages: &[Value]) -> Result<()> {
    agent.call("publish", &[("channel", json!(channel)), ("messages", json!(messages))])
}

fn publish_bytes(agent: &mut Agent, channel: &str, bytes: &[u8]) -> Result<()> {
    agent.call("publish_bytes", &[("channel", json!(channel)), ("bytes", json!(bytes))])
}

/// A last publication: when all have it, nothing else may have come before it.
fn nothing_left(party: &mut Party<'_>, channel: &str) -> Result<()> {
    publish(&mut party.agents[0], channel, &[json!("end")])?;
    for agent in &mut party.agents {
        match agent.publication(channel)?.data {
            Some(data) if data == json!("end") => {}
            other => bail!("{} got one more than was sent: {other:?}", agent.name()),
        }
    }
    Ok(())
}
