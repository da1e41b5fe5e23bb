//! Streams: recovery, history, deltas, filters.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{Case, Party, nothing_left, publish, subscribe_all};
use crate::sdk::agent::{Agent, Event};

pub(super) const CASES: &[(&str, Case)] = &[
    ("what was missed during a cut comes by itself, in order and once", a_cut_is_recovered),
    ("a stream that was trimmed is told as not recovered, and goes on", a_trimmed_stream_goes_on),
    ("after a disconnect with 3011 clients come back and miss nothing", a_forced_reconnect_is_recovered),
    ("after a disconnect with 3503 a client stays away", a_terminal_disconnect_is_final),
    ("history gives pages forwards and backwards", history_gives_pages),
    ("of similar payloads the first comes whole, and then patches", deltas_follow_a_full_payload),
    ("deltas go on after a cut", deltas_go_on_after_a_cut),
    ("a tags filter lets through what fits, also in a recovery", filters_let_through_what_fits),
];

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<Value> {
    range.map(|number| json!({ "number": number })).collect()
}

/// Cuts all connections, does something, and lets the clients come back.
fn while_cut(party: &mut Party<'_>, act: impl FnOnce(&mut Party<'_>) -> Result<()>) -> Result<()> {
    party.gate.shut();
    let acted = party
        .agents
        .iter_mut()
        .try_for_each(|agent| agent.wait("the cut", |event| event.is("connecting", None)).map(drop))
        .and_then(|()| act(party));
    party.gate.open();
    acted
}

fn publish_by_api(party: &mut Party<'_>, channel: &str, messages: &[Value]) -> Result<()> {
    messages.iter().try_for_each(|data| party.api("publish", &json!({ "channel": channel, "data": data })))
}

/// The next subscribed event of a channel, which must tell this of its recovery.
fn recovery(agent: &mut Agent, event: &str, channel: &str, recovered: bool) -> Result<()> {
    let Event { recovered: told, was_recovering, .. } = agent.event(event, channel)?;
    ensure!(
        (was_recovering, told) == (Some(true), Some(recovered)),
        "{} was told was_recovering {was_recovering:?} and recovered {told:?} in {channel}",
        agent.name()
    );
    Ok(())
}

fn a_cut_is_recovered(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "recovery:cut";
    subscribe_all(party, CHANNEL)?;
    publish(&mut party.agents[0], CHANNEL, &numbers(1..=3))?;
    party.agents.iter_mut().try_for_each(|agent| agent.expect(CHANNEL, &numbers(1..=3)))?;
    for first in [4, 9] {
        party.agents.iter_mut().for_each(Agent::forget);
        let missed = numbers(first..=first + 4);
        while_cut(party, |party| publish_by_api(party, CHANNEL, &missed))?;
        for agent in &mut party.agents {
            recovery(agent, "subscribed", CHANNEL, true)?;
            agent.expect(CHANNEL, &missed)?;
        }
    }
    nothing_left(party, CHANNEL)
}

fn a_trimmed_stream_goes_on(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "smallhistory:trimmed";
    subscribe_all(party, CHANNEL)?;
    publish(&mut party.agents[0], CHANNEL, &numbers(1..=3))?;
    for agent in &mut party.agents {
        agent.expect(CHANNEL, &numbers(1..=3))?;
        agent.forget();
    }
    while_cut(party, |party| publish_by_api(party, CHANNEL, &numbers(4..=8)))?;
    for agent in &mut party.agents {
        recovery(agent, "subscribed", CHANNEL, false)?;
    }
    nothing_left(party, CHANNEL)?;
    // Where they stand now, they can recover from.
    party.agents.iter_mut().for_each(Agent::forget);
    while_cut(party, |party| publish_by_api(party, CHANNEL, &numbers(20..=21)))?;
    for agent in &mut party.agents {
        recovery(agent, "subscribed", CHANNEL, true)?;
        agent.expect(CHANNEL, &numbers(20..=21))?;
    }
    nothing_left(party, CHANNEL)
}

fn a_forced_reconnect_is_recovered(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "recovery:forced";
    subscribe_all(party, CHANNEL)?;
    for agent in 0..party.agents.len() {
        let (user, client) = (party.agents[agent].user().to_owned(), party.agents[agent].client().to_owned());
        let sent = numbers(1..=20);
        publish_by_api(party, CHANNEL, &sent[..10])?;
        let disconnect = json!({ "code": 3011, "reason": "force reconnect" });
        party.api("disconnect", &json!({ "user": user, "client": client, "disconnect": disconnect }))?;
        publish_by_api(party, CHANNEL, &sent[10..])?;
        let own = &mut party.agents[agent];
        let code =
            own.wait("the disconnect", |event| event.is("connecting", None) && event.code != Some(0))?.code;
        ensure!(code == Some(3011), "{} was told {code:?}", own.name());
        for agent in &mut party.agents {
            agent.expect(CHANNEL, &sent)?;
        }
        ensure!(party.agents[agent].client() != client, "the connection is still the old one");
    }
    nothing_left(party, CHANNEL)
}

fn a_terminal_disconnect_is_final(party: &mut Party<'_>) -> Result<()> {
    let url = party.url();
    for (number, (sdk, format)) in super::KINDS.iter().enumerate() {
        let user = format!("banned{number}");
        let mut agent = party.installed.agent(*sdk, format, &user, &url)?;
        agent.call("connect", &[])?;
        party.api("disconnect", &json!({ "user": user }))?;
        let code = agent.wait("the end", |event| event.is("disconnected", None))?.code;
        ensure!(code == Some(3503), "{} was told {code:?}", agent.name());
    }
    Ok(())
}

fn history_gives_pages(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "recovery:history";
    publish_by_api(party, CHANNEL, &numbers(1..=5))?;
    for agent in &mut party.agents {
        let mut page = |parameters: &[(&str, Value)], expected: &[u64]| {
            let all: Vec<_> =
                std::iter::once(("channel", json!(CHANNEL))).chain(parameters.to_vec()).collect();
            let result = agent.ask("history", &all)?;
            let offsets: Vec<_> = result["publications"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|publication| publication["data"]["number"] == publication["offset"])
                .filter_map(|publication| publication["offset"].as_u64())
                .collect();
            ensure!(offsets == expected, "{parameters:?} gave {offsets:?}, not {expected:?}: {result}");
            ensure!(result["offset"] == json!(5), "the stream's offset is {}", result["offset"]);
            Ok(result["epoch"].clone())
        };
        let epoch = page(&[("limit", json!(2))], &[1, 2])?;
        let since = |offset: u64| ("since", json!({ "offset": offset, "epoch": epoch }));
        page(&[("limit", json!(2)), since(2)], &[3, 4])?;
        page(&[("limit", json!(-1)), since(4)], &[5])?;
        page(&[("limit", json!(2)), ("reverse", json!(true))], &[5, 4])?;
        page(&[("limit", json!(10)), ("reverse", json!(true)), since(3)], &[2, 1])?;
        let other = json!({ "offset": 1, "epoch": "other" });
        let parameters = [("channel", json!(CHANNEL)), ("limit", json!(10)), ("since", other)];
        agent.refused("history", &parameters, 112)?;
    }
    Ok(())
}

/// Payloads that differ in little.
fn similar(range: std::ops::RangeInclusive<u32>) -> Vec<Value> {
    let filling = "what stays the same between two publications, so that a patch is short; ".repeat(4);
    range.map(|number| json!({ "number": number, "filling": filling })).collect()
}

fn subscribe_to_deltas(party: &mut Party<'_>, channel: &str) -> Result<()> {
    let parameters = [("channel", json!(channel)), ("delta", json!(true))];
    party.agents.iter_mut().try_for_each(|agent| agent.call("subscribe", &parameters))
}

/// How many payloads came whole, and how many as patches.
fn payloads(agent: &mut Agent, channel: &str) -> Result<(u64, u64)> {
    let counts = agent.ask("delta_stats", &[("channel", json!(channel))])?;
    match (counts["full"].as_u64(), counts["delta"].as_u64()) {
        (Some(full), Some(delta)) => Ok((full, delta)),
        _ => bail!("{} counted {counts}", agent.name()),
    }
}

fn deltas_follow_a_full_payload(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "delta:live";
    subscribe_to_deltas(party, CHANNEL)?;
    publish_by_api(party, CHANNEL, &similar(1..=10))?;
    for agent in &mut party.agents {
        agent.expect(CHANNEL, &similar(1..=10))?;
        let counts = payloads(agent, CHANNEL)?;
        ensure!(counts == (1, 9), "{} got {counts:?} full payloads and patches", agent.name());
    }
    // From a client, too, and with what a text may not be cut in.
    let texts: Vec<_> =
        ["Grüße 世界 🦀", "Grüsse 世界 🦀", "Grüße 世間 🦀"].map(|text| json!(text.repeat(20))).into();
    publish(&mut party.agents[1], CHANNEL, &texts)?;
    party.agents.iter_mut().try_for_each(|agent| agent.expect(CHANNEL, &texts))
}

fn deltas_go_on_after_a_cut(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "delta:cut";
    subscribe_to_deltas(party, CHANNEL)?;
    publish_by_api(party, CHANNEL, &similar(1..=3))?;
    for agent in &mut party.agents {
        agent.expect(CHANNEL, &similar(1..=3))?;
        agent.forget();
    }
    while_cut(party, |party| publish_by_api(party, CHANNEL, &similar(4..=6)))?;
    for agent in &mut party.agents {
        recovery(agent, "subscribed", CHANNEL, true)?;
        agent.expect(CHANNEL, &similar(4..=6))?;
    }
    publish_by_api(party, CHANNEL, &similar(7..=9))?;
    for agent in &mut party.agents {
        agent.expect(CHANNEL, &similar(7..=9))?;
        let (full, delta) = payloads(agent, CHANNEL)?;
        // Whether the first one after the recovery needs to be whole is the server's choice.
        ensure!(full + delta == 9 && (2..=3).contains(&full), "{} got {full} full payloads", agent.name());
    }
    Ok(())
}

fn filters_let_through_what_fits(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "tagged:prices";
    let leaf = |key: &str, cmp: &str, val: &str| json!({ "key": key, "cmp": cmp, "val": val });
    let filter = json!({ "op": "and", "nodes": [leaf("ticker", "eq", "A"), leaf("price", "gte", "9.5")] });
    let parameters = [("channel", json!(CHANNEL)), ("filter", filter)];
    party.agents.iter_mut().try_for_each(|agent| agent.call("subscribe", &parameters))?;
    let prices = |party: &mut Party<'_>| {
        for (ticker, price) in
            [("A", "10"), ("B", "10"), ("A", "9.49"), ("A", "9.50"), ("B", "9"), ("A", "100")]
        {
            let tags = json!({ "ticker": ticker, "price": price });
            party.api("publish", &json!({ "channel": CHANNEL, "data": [ticker, price], "tags": tags }))?;
        }
        Ok(())
    };
    let fitting = [json!(["A", "10"]), json!(["A", "9.50"]), json!(["A", "100"])];
    prices(party)?;
    for agent in &mut party.agents {
        agent.expect(CHANNEL, &fitting)?;
        agent.forget();
    }
    while_cut(party, prices)?;
    for agent in &mut party.agents {
        recovery(agent, "subscribed", CHANNEL, true)?;
        agent.expect(CHANNEL, &fitting)?;
    }
    let end = json!({ "channel": CHANNEL, "data": "end", "tags": { "ticker": "A", "price": "10" } });
    party.api("publish", &end)?;
    party.agents.iter_mut().try_for_each(|agent| agent.expect(CHANNEL, &[json!("end")]))
}
