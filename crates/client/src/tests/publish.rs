//! Publishing through a handle: the queue's policies, cuts, and futures that are dropped.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use futures_util::future::join_all;
use throng_protocol::{Command, Format, Request};

use super::{client::connected, support::bounded, *};
use crate::{Backoff, Disconnect, RequestError, SendQueue, WhenFull};

fn queue(requests: usize, when_full: WhenFull) -> SendQueue {
    SendQueue { requests, when_full }
}

fn data_of(command: &Command) -> &str {
    match command {
        Command::Request { request: Request::Publish(publish), .. } => {
            std::str::from_utf8(publish.data.as_bytes()).expect("text")
        }
        other => panic!("no publish command: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_publish_and_tells_its_caller() {
    let mut network = Network::new();
    let client = network.client().send_queue(queue(2, WhenFull::DropOldest)).build().unwrap();
    let attempt = network.attempt().await;
    let publishes = join_all((0..4).map(|number| client.publish("news", number.to_string())));
    let server = async {
        let mut peer = Peer::accept(attempt.connect()).await;
        peer.welcome().await;
        [peer.acknowledge(Ok(())).await, peer.acknowledge(Ok(())).await]
    };
    let (outcomes, sent) = tokio::join!(publishes, server);
    assert_eq!(sent, ["2", "3"]);
    assert!(matches!(
        &outcomes[..],
        [
            Err(RequestError::Dropped { requests: 2 }),
            Err(RequestError::Dropped { requests: 2 }),
            Ok(()),
            Ok(())
        ]
    ));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_a_publish_at_once_where_that_was_chosen() {
    let mut network = Network::new();
    let client = network.client().send_queue(queue(2, WhenFull::Fail)).build().unwrap();
    let attempt = network.attempt().await;
    let (outcomes, waited) =
        timed(join_all((0..4).map(|number| client.publish("news", number.to_string())))).await;
    assert!(matches!(outcomes[..2], [Err(RequestError::NotSent { .. }), Err(RequestError::NotSent { .. })]));
    assert!(matches!(
        outcomes[2..],
        [Err(RequestError::QueueFull { requests: 2 }), Err(RequestError::QueueFull { requests: 2 })]
    ));
    assert_eq!(waited, 5 * SECOND);
    attempt.refuse();
}

#[tokio::test(start_paused = true)]
async fn what_was_in_flight_at_a_cut_is_unknown_and_what_waited_is_sent_on_the_next_connection() {
    for format in [Format::Json, Format::Protobuf] {
        let mut network = Network::new();
        let builder = network.client().format(format).max_pending(2);
        let builder = builder.backoff(Backoff::new(Duration::ZERO, Duration::ZERO));
        let (client, mut peer) = connected(&mut network, builder).await;
        let publishes = join_all((0..4).map(|number| client.publish("news", number.to_string())));
        let server = async {
            let frame = peer.frame().await;
            assert_eq!(frame.iter().map(data_of).collect::<Vec<_>>(), ["0", "1"]);
            drop(peer);
            let mut peer = network.accept().await;
            peer.welcome().await;
            [peer.acknowledge(Ok(())).await, peer.acknowledge(Ok(())).await]
        };
        let (outcomes, sent) = tokio::join!(publishes, server);
        assert_eq!(sent, ["2", "3"], "in the order of the calls, and none twice");
        assert!(
            matches!(
                &outcomes[..],
                [
                    Err(RequestError::Unknown(Disconnect::Closed { code: 1006, .. })),
                    Err(RequestError::Unknown(_)),
                    Ok(()),
                    Ok(())
                ]
            ),
            "{outcomes:?}"
        );
    }
}

/// Polls a publish so many times, letting everything else run in between, and drops it. True when it was over before.
async fn dropped_after(polls: usize, client: &Client, payload: &'static str) -> bool {
    let mut publish = pin!(client.publish("news", payload));
    for _ in 0..polls {
        if publish.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return true;
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    false
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_at_any_poll_leaves_nothing_behind_on_a_connection() {
    for when_full in [WhenFull::Wait, WhenFull::Fail, WhenFull::DropOldest] {
        let mut network = Network::new();
        let builder = network.client().send_queue(queue(1, when_full)).max_pending(1);
        let (client, mut peer) = connected(&mut network, builder).await;
        for polls in 0..8 {
            dropped_after(polls, &client, "\"dropped\"").await;
        }
        // Whatever was sent of those, at most one is under way, and one more call finds all the room that there is.
        let server = async {
            let mut count = 1;
            while peer.acknowledge(Ok(())).await != "\"last\"" {
                count += 1;
            }
            count
        };
        let (last, count) = bounded(async { tokio::join!(client.publish("news", "\"last\""), server) }).await;
        last.unwrap();
        assert!(count <= 2, "{when_full:?}: {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_at_any_poll_is_not_sent_when_there_was_no_connection() {
    for when_full in [WhenFull::Wait, WhenFull::Fail, WhenFull::DropOldest] {
        let mut network = Network::new();
        let client = network.client().send_queue(queue(1, when_full)).build().unwrap();
        let attempt = network.attempt().await;
        for polls in 0..8 {
            assert!(!dropped_after(polls, &client, "\"dropped\"").await);
        }
        // A publish fills the queue, another one waits or is refused; both leave.
        let first = client.publish("news", "\"first\"");
        poll_both(first, client.publish("news", "\"second\"")).await;
        let server = async {
            let mut peer = Peer::accept(attempt.connect()).await;
            peer.welcome().await;
            peer.acknowledge(Ok(())).await
        };
        let (last, sent) = bounded(async { tokio::join!(client.publish("news", "\"last\""), server) }).await;
        last.unwrap();
        assert_eq!(sent, "\"last\"", "{when_full:?}");
    }
}

/// Polls two futures once and drops them.
async fn poll_both(
    first: impl Future<Output = Result<(), RequestError>>,
    second: impl Future<Output = Result<(), RequestError>>,
) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    std::future::poll_fn(|context| {
        assert!(first.as_mut().poll(context).is_pending());
        let _ = second.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}
