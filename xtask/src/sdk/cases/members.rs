//! Who is there: presence, joins and leaves, and subscriptions that the server makes.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Case, Party, nothing_left, subscribe_all};
use crate::sdk::{KINDS, agent::Agent};

pub(super) const CASES: &[(&str, Case)] = &[
    ("presence and its stats tell who is subscribed", presence_tells_who_is_there),
    ("joins and leaves are told, one's own join too", joins_and_leaves_are_told),
    ("joins are told to those who ask, where they are not told to all", joins_are_told_to_who_asks),
    ("a user's personal channel is there with the connection, and recovers", personal_channels_are_there),
    ("the API subscribes and unsubscribes clients", the_api_subscribes_and_unsubscribes),
    ("the API ends a client's own subscription with 2000", the_api_ends_a_subscription),
];

fn presence_tells_who_is_there(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "presence:room";
    let parameters = [("channel", json!(CHANNEL))];
    party.agents[0].refused("presence", &parameters, 103)?;
    subscribe_all(party, CHANNEL)?;
    let everybody = |party: &Party<'_>| -> BTreeMap<String, Value> {
        let of = |agent: &Agent| (agent.client().to_owned(), json!(agent.user()));
        party.agents.iter().map(of).collect()
    };
    for reader in 0..party.agents.len() {
        let expected = json!(everybody(party));
        let agent = &mut party.agents[reader];
        let there = agent.ask("presence", &parameters)?;
        ensure!(there == expected, "{} sees {there}, not {expected}", agent.name());
        let counts = agent.ask("presence_stats", &parameters)?;
        ensure!(counts == json!({ "clients": 4, "users": 4 }), "{} counts {counts}", agent.name());
    }
    party.agents[3].call("unsubscribe", &parameters)?;
    let counts = party.agents[0].ask("presence_stats", &parameters)?;
    ensure!(counts == json!({ "clients": 3, "users": 3 }), "after one has left there are {counts}");
    Ok(())
}

fn joins_and_leaves_are_told(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "presence:joins";
    for joiner in 0..party.agents.len() {
        party.agents[joiner].call("subscribe", &[("channel", json!(CHANNEL))])?;
        let (client, user) =
            (party.agents[joiner].client().to_owned(), party.agents[joiner].user().to_owned());
        for agent in &mut party.agents[..=joiner] {
            let join = agent.event("join", CHANNEL)?;
            let told = (join.from.as_deref(), join.user.as_deref());
            ensure!(told == (Some(&*client), Some(&*user)), "{} was told of {told:?}", agent.name());
        }
    }
    for leaver in (1..party.agents.len()).rev() {
        let client = party.agents[leaver].client().to_owned();
        // One goes by unsubscribing, the next by ending its connection.
        match leaver {
            2 => party.agents[leaver].call("disconnect", &[])?,
            _ => party.agents[leaver].call("unsubscribe", &[("channel", json!(CHANNEL))])?,
        }
        for agent in &mut party.agents[..leaver] {
            let leave = agent.event("leave", CHANNEL)?;
            ensure!(leave.from.as_deref() == Some(&*client), "{} was told of {:?}", agent.name(), leave.from);
        }
        let own = |event: &crate::sdk::agent::Event| event.is("leave", Some(CHANNEL));
        party.agents[leaver].never("its own leave", std::time::Duration::ZERO, own)?;
    }
    party.agents[2].call("connect", &[])?;
    party.agents.iter_mut().try_for_each(|agent| {
        // The one whose connection was ended is subscribed again; the others have left.
        agent.never("one more leave", std::time::Duration::ZERO, |event| event.is("leave", Some(CHANNEL)))
    })
}

fn joins_are_told_to_who_asks(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "quiet:room";
    let channel = ("channel", json!(CHANNEL));
    party.agents[0].call("subscribe", &[channel.clone(), ("join_leave", json!(true))])?;
    party.agents[2].call("subscribe", &[channel.clone(), ("join_leave", json!(true))])?;
    party.agents[1].call("subscribe", std::slice::from_ref(&channel))?;
    party.agents[3].call("subscribe", &[channel])?;
    let last = party.agents[3].client().to_owned();
    for asker in [0, 2] {
        party.agents[asker].wait("the last join", |event| {
            event.is("join", Some(CHANNEL)) && event.from.as_deref() == Some(&*last)
        })?;
    }
    party.api("publish", &json!({ "channel": CHANNEL, "data": "mark" }))?;
    for quiet in [1, 3] {
        let agent = &mut party.agents[quiet];
        agent.publication(CHANNEL)?;
        agent.never("a join", std::time::Duration::ZERO, |event| event.is("join", Some(CHANNEL)))?;
    }
    Ok(())
}

fn personal_channels_are_there(party: &mut Party<'_>) -> Result<()> {
    let url = party.url();
    for (number, (sdk, format)) in KINDS.iter().enumerate() {
        let user = format!("single{number}");
        let channel = format!("personal:#{user}");
        let mut agent = party.installed.agent(*sdk, format, &user, &url)?;
        agent.call("connect", &[])?;
        agent.event("server_subscribed", &channel)?;
        party.api("publish", &json!({ "channel": channel, "data": 1 }))?;
        agent.expect(&channel, &[json!(1)])?;
        agent.call("disconnect", &[])?;
        for missed in [2, 3] {
            party.api("publish", &json!({ "channel": channel, "data": missed }))?;
        }
        agent.call("connect", &[])?;
        let again = agent.event("server_subscribed", &channel)?;
        ensure!(again.recovered == Some(true), "{} was told recovered {:?}", agent.name(), again.recovered);
        party.api("publish", &json!({ "channel": channel, "data": 4 }))?;
        agent.expect(&channel, &[json!(2), json!(3), json!(4)])?;
    }
    for agent in &mut party.agents {
        let strange = |event: &crate::sdk::agent::Event| {
            event.channel.as_ref().is_some_and(|channel| channel.starts_with("personal:#single"))
        };
        agent.never("another user's channel", std::time::Duration::ZERO, strange)?;
    }
    Ok(())
}

fn the_api_subscribes_and_unsubscribes(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "recovery:pushed";
    for number in 0..party.agents.len() {
        let (user, client) =
            (party.agents[number].user().to_owned(), party.agents[number].client().to_owned());
        let whom = json!({ "user": user, "client": client, "channel": CHANNEL, "data": { "by": "api" } });
        party.api("subscribe", &whom)?;
        let subscribed = party.agents[number].event("server_subscribed", CHANNEL)?;
        ensure!(subscribed.data == Some(json!({ "by": "api" })), "the data was {:?}", subscribed.data);
        ensure!(subscribed.offset.is_some(), "no position was told");
        party.api("publish", &json!({ "channel": CHANNEL, "data": number }))?;
        party.agents[number].expect(CHANNEL, &[json!(number)])?;
        party.api("unsubscribe", &json!({ "user": user, "client": client, "channel": CHANNEL }))?;
        party.agents[number].event("server_unsubscribed", CHANNEL)?;
        party.api("publish", &json!({ "channel": CHANNEL, "data": "after" }))?;
    }
    // Whatever came after an unsubscribe would come before this.
    subscribe_all(party, "mark")?;
    nothing_left(party, "mark")?;
    for agent in &mut party.agents {
        ensure!(
            agent.take_publications(CHANNEL).is_empty(),
            "{} got more after the unsubscribe",
            agent.name()
        );
    }
    Ok(())
}

fn the_api_ends_a_subscription(party: &mut Party<'_>) -> Result<()> {
    const CHANNEL: &str = "recovery:ended";
    subscribe_all(party, CHANNEL)?;
    for number in 0..party.agents.len() {
        let user = party.agents[number].user().to_owned();
        party.api("unsubscribe", &json!({ "user": user, "channel": CHANNEL }))?;
        let agent = &mut party.agents[number];
        let code = agent.event("unsubscribed", CHANNEL)?.code;
        ensure!(code == Some(2000), "{} was told {code:?}", agent.name());
        party.api("publish", &json!({ "channel": CHANNEL, "data": number }))?;
        for (other, agent) in party.agents.iter_mut().enumerate() {
            if other > number {
                agent.expect(CHANNEL, &[json!(number)])?;
            } else {
                ensure!(agent.take_publications(CHANNEL).is_empty(), "{} still gets some", agent.name());
            }
        }
    }
    Ok(())
}
