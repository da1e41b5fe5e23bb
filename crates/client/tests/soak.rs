//! A subscriber whose connection is cut over and over, by chance and from a seed, and a publisher beside it: afterwards the subscriber
//! has exactly what was published, once and in order.
//!
//! `cargo test -p throng-client --test soak` makes 300 cuts in each format. `THRONG_SOAK_CUTS=10000` makes more of them, and
//! `THRONG_SOAK_SEED` other ones.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{cell::Cell, env, ops::RangeInclusive, time::Duration};

use futures_util::{StreamExt as _, future::try_join_all};
use throng_client::{Backoff, Client, Event, Format, SubscribeOptions, Subscription};
use throng_testkit::{Cutter, Link, PATIENCE, TestServer};
use tokio::{sync::watch, time::timeout};

/// Publications that the subscriber may be behind: fewer than the server keeps, and than it gives back in one go.
const AHEAD: u64 = 20;
/// Requests that leave together.
const BATCH: u64 = 5;
/// Some cuts fall into the opening handshake, most behind the subscription, whose answer with what is recovered is shorter.
const BYTES: RangeInclusive<u64> = 1..=6_000;
/// The last publication.
const END: &str = "\"end\"";

/// What a subscriber has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    publications: u64,
    interruptions: u64,
}

#[tokio::test]
async fn after_many_cuts_a_json_subscriber_has_all_that_was_published_once_and_in_order() {
    soak(Format::Json).await;
}

#[tokio::test]
async fn after_many_cuts_a_protobuf_subscriber_has_all_that_was_published_once_and_in_order() {
    soak(Format::Protobuf).await;
}

#[expect(clippy::print_stdout, reason = "how much was done is the result of a long run")]
async fn soak(format: Format) {
    let (cuts, seed) = (variable("THRONG_SOAK_CUTS", 300), variable("THRONG_SOAK_SEED", 1));
    let server = TestServer::start().await;
    let link = Link::to(server.address()).await;
    let quick = Backoff::new(Duration::from_micros(100), Duration::from_millis(2));
    let client = Client::builder(link.url()).format(format).backoff(quick).connect().await.unwrap();
    let options = SubscribeOptions { recoverable: true, ..SubscribeOptions::default() };
    let subscription = client.subscribe_with("news", options).await.unwrap();
    let publisher = Client::builder(server.url()).format(format).connect().await.unwrap();

    let is_over = Cell::new(false);
    let (progress, seen) = watch::channel(Seen::default());
    let cutting = async {
        let mut cutter = Cutter::new(seed, BYTES);
        for number in 0..cuts {
            let cut = timeout(PATIENCE, cutter.cut(&link)).await;
            assert!(cut.is_ok(), "seed {seed}: cut {number} does not happen: {:?}", client.state());
        }
        is_over.set(true);
    };
    let asking = async {
        // For traffic in the other direction. Whether there is an answer depends on the cuts.
        while !is_over.get() {
            let _ = try_join_all((0..BATCH).map(|_| client.presence_stats("news"))).await;
        }
    };
    let (total, seen, (), ()) =
        tokio::join!(publish(&publisher, &is_over, seen), read(subscription, progress), cutting, asking);
    println!("{format}, seed {seed}: {cuts} cuts, {seen:?}, {:?}", link.counts());
    assert_eq!(seen.publications, total);
    assert!(seen.interruptions > cuts / 4, "{seen:?}");
    client.close().await;
    publisher.close().await;
    server.stop().await;
}

/// Publishes numbers until the cuts are over, never too far ahead of the subscriber. Returns the last one.
async fn publish(publisher: &Client, is_over: &Cell<bool>, mut seen: watch::Receiver<Seen>) -> u64 {
    let mut number = 0;
    while !is_over.get() {
        let batch = number + 1..=number + BATCH;
        number += BATCH;
        try_join_all(batch.map(|number| publisher.publish("news", number.to_string()))).await.unwrap();
        let close = timeout(PATIENCE, seen.wait_for(|seen| seen.publications + AHEAD > number)).await;
        assert!(close.is_ok(), "the subscriber gets no further");
    }
    publisher.publish("news", END).await.unwrap();
    number
}

/// Reads numbers until the end, each of which has to be the next one.
async fn read(mut subscription: Subscription, progress: watch::Sender<Seen>) -> Seen {
    let mut seen = Seen::default();
    loop {
        match timeout(PATIENCE, subscription.next()).await {
            Ok(Some(Event::Publication(publication))) if publication.data.as_bytes() == END => return seen,
            Ok(Some(Event::Publication(publication))) => {
                seen.publications += 1;
                let found = String::from_utf8_lossy(publication.data.as_bytes()).into_owned();
                assert_eq!((found, publication.offset), (seen.publications.to_string(), seen.publications));
            }
            Ok(Some(Event::Subscribing)) => seen.interruptions += 1,
            Ok(Some(Event::Subscribed)) => {}
            other => panic!("after {seen:?}: {other:?}"),
        }
        progress.send_replace(seen);
    }
}

fn variable(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |value| value.parse().expect("a number"))
}
