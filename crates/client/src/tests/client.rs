use futures_util::{StreamExt as _, future::join_all};
use throng_protocol::{Command, ConnectResult, ErrorCode, Format, Reply};

use super::*;
use crate::{Backoff, Disconnect, Event, QueueBounds, RequestError, State, SubscribeError};

/// A client and the server's end of its first connection.
pub(super) async fn connected(network: &mut Network, builder: ClientBuilder) -> (Client, Peer<DuplexStream>) {
    let server = async {
        let mut peer = network.accept().await;
        peer.welcome().await;
        peer
    };
    let (client, peer) = tokio::join!(builder.connect(), server);
    (client.unwrap(), peer)
}

/// The same, with one subscription.
async fn subscribed(client: &Client, peer: &mut Peer<DuplexStream>, channel: &str) -> crate::Subscription {
    let (subscription, ()) = tokio::join!(client.subscribe(channel), peer.confirm(channel));
    subscription.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_connects_subscribes_publishes_and_receives_in_both_formats() {
    for format in [Format::Json, Format::Protobuf] {
        let mut network = Network::new();
        let builder = network.client().format(format);
        let (client, mut peer) = connected(&mut network, builder).await;
        assert_eq!(peer.path(), "/connection/websocket");
        let mut news = subscribed(&client, &mut peer, "news").await;
        let (published, payload) =
            tokio::join!(client.publish("news", "{\"n\":1}"), peer.acknowledge(Ok(())));
        published.unwrap();
        assert_eq!(payload, "{\"n\":1}");
        peer.publish("news", "{\"n\":1}").await;
        assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), "{\"n\":1}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_reconnects_after_the_ping_interval_and_ten_seconds() {
    let mut network = Network::new();
    let client = network.client().backoff(Backoff::new(Duration::ZERO, Duration::ZERO)).build().unwrap();
    let mut first = network.accept().await;
    first
        .welcome_with(ConnectResult { client: "c".to_owned(), ping: 25, pong: true, ..Default::default() })
        .await;
    client.connected().await.unwrap();
    // One ping is answered and starts the time again; then the server falls silent.
    tokio::time::sleep(20 * SECOND).await;
    first.reply(&[Reply::Ping]).await;
    assert_eq!(first.command().await, Command::Pong);
    let (mut second, waited) = timed(network.accept()).await;
    assert_eq!(waited, 35 * SECOND);
    second.welcome().await;
    client.connected().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attempts_are_spaced_by_the_backoff_and_the_client_gives_up_after_the_maximum() {
    let mut network = Network::new();
    let backoff = Backoff::default();
    let client = network.client().backoff(backoff).max_attempts(6).build().unwrap();
    network.attempt().await.refuse();
    for attempt in 0..5 {
        let (arrival, waited) = timed(network.attempt()).await;
        // Tokio's timers have a resolution of a millisecond.
        assert!(
            waited <= backoff.ceiling(attempt) + Duration::from_millis(1),
            "attempt {attempt}: {waited:?}"
        );
        arrival.refuse();
    }
    let reason = client.connected().await.unwrap_err();
    assert!(matches!(reason, Disconnect::GaveUp { attempts: 6, .. }), "{reason:?}");
    assert!(matches!(
        client.publish("news", "1").await,
        Err(RequestError::Stopped(Disconnect::GaveUp { .. }))
    ));
    assert!(matches!(
        client.subscribe("news").await,
        Err(SubscribeError::Stopped(Disconnect::GaveUp { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_given_up_after_the_connect_timeout() {
    let mut network = Network::new();
    let connect = network.client().connect_timeout(3 * SECOND).connect();
    let (connected, stream) = tokio::join!(timed(connect), async { network.attempt().await.connect() });
    let (client, waited) = connected;
    assert_eq!(waited, 3 * SECOND);
    let error = client.unwrap_err();
    assert!(
        matches!(error, crate::ConnectError::Failed(Disconnect::ConnectTimedOut { waited, .. }) if waited == 3 * SECOND)
    );
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn publishes_that_are_under_way_together_share_a_frame() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let publishes = join_all((0..100).map(|number| client.publish("news", number.to_string())));
    let server = async {
        let frame = peer.frame().await;
        let count = frame.len();
        for command in frame {
            let Command::Request { id, .. } = command else { panic!("no request: {command:?}") };
            let outcome = throng_protocol::Outcome::Publish(throng_protocol::PublishResult::default());
            peer.answer(id, Ok(outcome)).await;
        }
        count
    };
    let ((outcomes, count), waited) = timed(async { tokio::join!(publishes, server) }).await;
    assert_eq!(count, 100);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(waited, Duration::ZERO, "batching adds no delay");
}

#[tokio::test(start_paused = true)]
async fn publishes_keep_the_order_of_their_first_poll_however_many_there_are() {
    let mut network = Network::new();
    let builder = network.client().max_pending(10_000);
    let (client, mut peer) = connected(&mut network, builder).await;
    let publishes = join_all((0..2_000).map(|number| client.publish("news", number.to_string())));
    let server = async {
        for number in 0..2_000 {
            assert_eq!(peer.acknowledge(Ok(())).await, number.to_string());
        }
    };
    let (outcomes, ()) = tokio::join!(publishes, server);
    assert!(outcomes.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_a_publish_fails_after_the_command_timeout() {
    let mut network = Network::new();
    let client = network.client().build().unwrap();
    let attempt = network.attempt().await;
    let (published, waited) = timed(client.publish("news", "1")).await;
    assert!(matches!(published, Err(RequestError::NotSent { .. })));
    assert_eq!(waited, 5 * SECOND);
    attempt.refuse();
}

#[tokio::test(start_paused = true)]
async fn a_publish_without_an_answer_fails_after_the_command_timeout() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, peer) = connected(&mut network, builder).await;
    let (published, waited) = timed(client.publish("news", "1")).await;
    assert!(matches!(published, Err(RequestError::TimedOut { .. })));
    assert_eq!(waited, 5 * SECOND);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_is_not_json_is_refused_on_a_json_connection_only() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, _peer) = connected(&mut network, builder).await;
    assert!(matches!(client.publish("news", "plain text").await, Err(RequestError::NotJson)));
    assert!(matches!(client.publish("", "1").await, Err(RequestError::EmptyChannel)));

    let builder = network.client().format(Format::Protobuf);
    let (client, mut peer) = connected(&mut network, builder).await;
    let (published, payload) = tokio::join!(client.publish("news", "plain text"), peer.acknowledge(Ok(())));
    published.unwrap();
    assert_eq!(payload, "plain text");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_is_left_after_ten_seconds() {
    let mut network = Network::new();
    let builder = network.client().command_timeout(60 * SECOND);
    let (client, peer) = connected(&mut network, builder).await;
    let payload = format!("\"{}\"", "x".repeat(50_000));
    let (published, waited) = timed(client.publish("news", payload)).await;
    let error = published.unwrap_err();
    assert!(matches!(error, RequestError::Unknown(Disconnect::WriteTimedOut { .. })), "{error:?}");
    assert_eq!(waited, 10 * SECOND);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn two_sides_that_write_more_than_the_stream_holds_do_not_wait_for_each_other() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let mut news = subscribed(&client, &mut peer, "news").await;
    let payload = format!("\"{}\"", "x".repeat(20 * STREAM_BYTES / 4));
    let publish = client.publish("news", payload.clone());
    let server = async {
        // Writes first; a client that only reads once its own write is done would be stuck.
        peer.publish("news", &payload).await;
        peer.acknowledge(Ok(())).await
    };
    let (published, received, waited) = tokio::join!(publish, news.next_publication(), timed(server));
    published.unwrap();
    assert_eq!(received.unwrap().data.as_bytes(), &payload);
    assert_eq!(waited, (payload, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_subscription_unsubscribes_and_the_channel_can_be_taken_again() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let news = subscribed(&client, &mut peer, "news").await;
    drop(news);
    let again = async {
        peer.release("news").await;
        peer.confirm("news").await;
    };
    let (news, ()) = tokio::join!(client.subscribe("news"), again);
    assert_eq!(news.unwrap().channel(), "news");
}

#[tokio::test(start_paused = true)]
async fn giving_up_on_a_subscription_takes_the_wish_back() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let wish = tokio::time::timeout(SECOND, client.subscribe("news"));
    let (wish, asked) = tokio::join!(wish, peer.request());
    assert!(wish.is_err());
    assert!(matches!(asked.1, throng_protocol::Request::Subscribe(_)));
    peer.release("news").await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_what_it_missed_and_holds_nobody_up() {
    let mut network = Network::new();
    let builder = network.client().queue(QueueBounds { events: 3, bytes: 1_000 });
    let (client, mut peer) = connected(&mut network, builder).await;
    let mut slow = subscribed(&client, &mut peer, "slow").await;
    let mut quick = subscribed(&client, &mut peer, "quick").await;
    for number in 0..10 {
        peer.publish("slow", &number.to_string()).await;
    }
    peer.publish("quick", "1").await;
    assert_eq!(quick.next_publication().await.unwrap().data.as_bytes(), "1");
    assert!(matches!(slow.next().await, Some(Event::Missed(7))));
    assert_eq!(slow.next_publication().await.unwrap().data.as_bytes(), "7");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_gets_its_subscriptions_back() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let mut news = subscribed(&client, &mut peer, "news").await;
    let mut state = client.watch();
    assert!(matches!(state.current(), State::Connected { .. }));
    peer.close(3001, "shutdown").await;
    assert!(matches!(
        state.changed().await,
        Some(State::Connecting { failures: 0, last: Some(Disconnect::Closed { code: 3001, .. }) })
    ));
    network.attempt().await.refuse();
    assert!(matches!(state.changed().await, Some(State::Connecting { failures: 1, .. })));
    let mut peer = network.accept().await;
    peer.welcome().await;
    peer.confirm("news").await;
    peer.publish("news", "1").await;
    assert!(matches!(news.next().await, Some(Event::Subscribing)));
    assert!(matches!(news.next().await, Some(Event::Subscribed)));
    assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), "1");
    assert!(matches!(state.current(), State::Connected { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_refused_publish_carries_the_servers_error() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    for code in ErrorCode::ALL {
        let (published, _) = tokio::join!(client.publish("news", "1"), peer.acknowledge(Err((*code).into())));
        let error = published.unwrap_err();
        assert!(matches!(&error, RequestError::Refused(reply) if reply.code == code.code()), "{error:?}");
        assert_eq!(error.to_string(), format!("refused by the server: {code}"));
    }
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_servers_close_frame_and_for_five_seconds_at_most() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let mut news = subscribed(&client, &mut peer, "news").await;
    let (closed, code) = tokio::join!(timed(client.close()), peer.closed());
    assert_eq!((closed.1, code), (Duration::ZERO, Some(1000)));
    assert!(matches!(client.state(), State::Disconnected(Disconnect::ByApplication)));
    assert!(matches!(news.next().await, Some(Event::Unsubscribed(_))));
    assert!(news.next().await.is_none());

    let builder = network.client();
    let (client, peer) = connected(&mut network, builder).await;
    let ((), waited) = timed(client.close()).await;
    assert_eq!(waited, 5 * SECOND);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_task_and_its_socket() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let other = client.clone();
    drop(client);
    let (published, _) = tokio::join!(other.publish("news", "1"), peer.acknowledge(Ok(())));
    published.unwrap();
    drop(other);
    assert_eq!(peer.message().await, None);
}

#[test]
fn a_client_without_a_runtime_is_refused_and_does_not_panic() {
    let error = Client::builder("ws://test").build().unwrap_err();
    assert!(matches!(error, crate::BuildError::NoRuntime));
}
