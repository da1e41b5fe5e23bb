//! A subscriber that stops reading, under each policy: the others get everything, memory stays within its bounds, and what is
//! lost is counted and announced.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use support::{Client, TestServer};
use throng_server::config::{ChannelOptions, Namespace, SlowConsumer};
use tokio_tungstenite::tungstenite::Message;

/// More than the buffers of a loopback connection take, in messages of this size.
const MESSAGES: u64 = 400;
const PADDING: usize = 60_000;
const OUTBOX: usize = 1 << 20;

async fn server(policy: SlowConsumer, positioned: bool) -> TestServer {
    TestServer::with(|settings| {
        let mut options = ChannelOptions { slow_consumer: policy, ..ChannelOptions::open() };
        options.join_leave = false;
        if !positioned {
            options.history_size = 0;
            options.history_ttl = Duration::ZERO;
            options.force_recovery = false;
            options.allow_recovery = false;
            options.allow_positioning = false;
            options.allowed_delta_types.clear();
        }
        settings.channel.namespaces = vec![Namespace { name: "slow".into(), options }];
        settings.client.queue_max_size = OUTBOX;
        // A client that stops reading answers no pings, and on a busy machine the test may take longer than these allow.
        settings.client.ping_interval = None;
        settings.client.pong_timeout = None;
    })
    .await
}

async fn subscribed(server: &TestServer) -> Client {
    let mut client = server.connected().await;
    let reply = client.ask(r#"{"id":2,"subscribe":{"channel":"slow:a"}}"#).await;
    assert!(reply["subscribe"].is_object(), "{reply}");
    client
}

/// Publishes all messages while one subscriber reads and another does not. Returns the one that does not.
async fn stall(server: &TestServer) -> Client {
    let (stalled, mut reader) = (subscribed(server).await, subscribed(server).await);
    let mut publisher = server.connected().await;
    let padding = "x".repeat(PADDING);
    let mut deepest = 0;
    for number in 1..=MESSAGES {
        let data = json!({"number": number, "padding": padding});
        publisher.send(json!({"id": 3, "publish": {"channel": "slow:a", "data": data}}).to_string()).await;
        assert_eq!(publisher.json().await, json!({"id": 3, "publish": {}}));
        assert_eq!(number_of(&reader.json().await), number, "the other subscriber gets everything, in order");
        if number % 20 == 0 {
            deepest = deepest.max(server.metric("throng_outbox_bytes").await);
        }
    }
    assert!(deepest > 0, "the connection took everything: the test proves nothing");
    let most = (OUTBOX + 2 * PADDING) as u64;
    assert!(deepest <= most, "{deepest} bytes wait for one client, at most {most} are allowed");
    drop((reader, publisher));
    stalled
}

fn number_of(message: &Value) -> u64 {
    message["push"]["pub"]["data"]["number"].as_u64().unwrap_or_else(|| panic!("no publication"))
}

async fn dropped(server: &TestServer, policy: &str) -> u64 {
    let page = server.get("/metrics").await;
    let sample = format!("throng_publications_dropped_total{{namespace=\"slow\",policy=\"{policy}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&sample)).unwrap().parse().unwrap()
}

/// Reads what waits until a message is no publication; returns the numbers and that message.
async fn drain(client: &mut Client) -> (Vec<u64>, Value) {
    client.send(r#"{"id":9,"presence_stats":{"channel":"slow:a"}}"#).await;
    let mut numbers = Vec::new();
    loop {
        let message = client.json().await;
        match message["push"]["pub"]["data"]["number"].as_u64() {
            Some(number) => numbers.push(number),
            None => return (numbers, message),
        }
    }
}

fn is_increasing(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] < pair[1])
}

#[tokio::test]
async fn a_positioned_subscriber_is_told_what_the_policy_took_from_it() {
    let server = server(SlowConsumer::DropOldest, true).await;
    let mut stalled = stall(&server).await;
    let (numbers, end) = drain(&mut stalled).await;
    assert_eq!(
        numbers,
        (1..=numbers.len() as u64).collect::<Vec<_>>(),
        "nothing is missing before the word of it"
    );
    assert_eq!(end["push"]["unsubscribe"]["code"], 2500, "{end}");
    assert!(dropped(&server, "drop_oldest").await > 0);
    // The answer to what was asked above, on a connection that lives on, and everything that is still kept.
    assert_eq!(stalled.json().await["id"], 9);
    let request = json!({"channel": "slow:a", "recover": true, "offset": MESSAGES - 3});
    let back = stalled.ask(&json!({"id": 10, "subscribe": request}).to_string()).await;
    assert_eq!(
        (&back["subscribe"]["recovered"], back["subscribe"]["publications"].as_array().unwrap().len()),
        (&json!(true), 3)
    );
    server.stop_with([stalled]).await;
}

#[tokio::test]
async fn drop_oldest_keeps_what_came_last() {
    let server = server(SlowConsumer::DropOldest, false).await;
    let mut stalled = stall(&server).await;
    let (numbers, _) = drain(&mut stalled).await;
    assert!(is_increasing(&numbers) && numbers.last() == Some(&MESSAGES), "{numbers:?}");
    let missing = MESSAGES - numbers.len() as u64;
    assert_eq!((missing > 0, dropped(&server, "drop_oldest").await), (true, missing));
    server.stop_with([stalled]).await;
}

#[tokio::test]
async fn drop_newest_keeps_what_came_first() {
    let server = server(SlowConsumer::DropNewest, false).await;
    let mut stalled = stall(&server).await;
    let (numbers, _) = drain(&mut stalled).await;
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let missing = MESSAGES - numbers.len() as u64;
    assert_eq!((missing > 0, dropped(&server, "drop_newest").await), (true, missing));
    server.stop_with([stalled]).await;
}

#[tokio::test]
async fn keep_latest_has_one_message_waiting_and_it_is_the_newest() {
    let server = server(SlowConsumer::KeepLatest, false).await;
    let mut stalled = stall(&server).await;
    let (numbers, _) = drain(&mut stalled).await;
    assert!(is_increasing(&numbers) && numbers.last() == Some(&MESSAGES), "{numbers:?}");
    let missing = MESSAGES - numbers.len() as u64;
    assert_eq!((missing > 0, dropped(&server, "keep_latest").await), (true, missing));
    server.stop_with([stalled]).await;
}

#[tokio::test]
async fn disconnect_ends_the_client_as_slow() {
    let server = server(SlowConsumer::Disconnect, true).await;
    let mut stalled = stall(&server).await;
    assert_eq!(server.metric("throng_slow_disconnects_total").await, 1);
    // Its close frame is there if it began to read in time; the connection ends in any case.
    let mut last = 0;
    while let Some(Ok(message)) =
        tokio::time::timeout(support::PATIENCE, stalled.socket.next()).await.unwrap()
    {
        match message {
            Message::Text(text) => {
                let number = number_of(&serde_json::from_str(&text).unwrap());
                assert_eq!(number, last + 1);
                last = number;
            }
            Message::Close(frame) => assert_eq!(u16::from(frame.unwrap().code), 3008),
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert!(last < MESSAGES);
    server.stop_with([stalled]).await;
}
