//! Real sockets: how connections come about, and what is said when they do not.

mod support;

use std::{io, time::Duration};

use support::{Listener, bounded};
use throng_client::{
    Backoff, Client, ConnectError, Disconnect, Event, Format, RelayClient, RelayEvent, State, SubscribeError,
};
use throng_protocol::ErrorCode;

const AT_ONCE: Backoff = Backoff::new(Duration::ZERO, Duration::ZERO);

fn reason(error: &ConnectError) -> &Disconnect {
    match error {
        ConnectError::Failed(reason) => reason,
        other => panic!("not a failed attempt: {other:?}"),
    }
}

#[tokio::test]
async fn a_client_follows_its_server_through_a_restart_in_both_formats() {
    for format in [Format::Json, Format::Protobuf] {
        bounded(async {
            let listener = Listener::start().await;
            let builder = Client::builder(listener.url()).format(format).backoff(AT_ONCE);
            let server = async {
                let mut peer = listener.accept().await;
                peer.welcome().await;
                peer.confirm("news").await;
                peer.publish("news", "1").await;
                peer
            };
            let client = async {
                let client = builder.connect().await.unwrap();
                let news = client.subscribe("news").await.unwrap();
                (client, news)
            };
            let (peer, (client, mut news)) = tokio::join!(server, client);
            assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), "1");

            peer.close(3001, "shutdown").await;
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.confirm("news").await;
            peer.publish("news", "2").await;
            assert!(matches!(next(&mut news).await, Some(Event::Subscribing)));
            assert!(matches!(next(&mut news).await, Some(Event::Subscribed)));
            assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), "2");
            let (published, payload) = tokio::join!(client.publish("news", "3"), peer.acknowledge(Ok(())));
            published.unwrap();
            assert_eq!(payload, "3");
            let ((), code) = tokio::join!(client.close(), peer.closed());
            assert_eq!(code, Some(1000));
        })
        .await;
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_without_a_word_is_renewed() {
    bounded(async {
        let listener = Listener::start().await;
        let client = Client::builder(listener.url()).backoff(AT_ONCE).build().unwrap();
        for _ in 0..5 {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            client.connected().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn terminal_close_codes_end_the_client_with_the_servers_reason() {
    for code in [1009, 3500, 3999, 4500, 4999] {
        bounded(async {
            let listener = Listener::start().await;
            let server = async {
                let mut peer = listener.accept().await;
                peer.welcome().await;
                peer
            };
            let (peer, client) = tokio::join!(server, Client::builder(listener.url()).connect());
            let client = client.unwrap();
            let mut state = client.watch();
            peer.close(code, "because").await;
            let end = async {
                loop {
                    if let State::Disconnected(reason) = state.changed().await.unwrap() {
                        return reason;
                    }
                }
            };
            let told = end.await;
            assert!(
                matches!(&told, Disconnect::Closed { code: c, reason } if *c == code && reason == "because"),
                "{told:?}"
            );
            let refused = client.subscribe("news").await.unwrap_err();
            assert!(matches!(refused, SubscribeError::Stopped(Disconnect::Closed { .. })), "{refused:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_http_status_is_reported_and_decides_whether_it_is_tried_again() {
    bounded(async {
        let listener = Listener::start().await;
        let url = listener.url();
        let refused = async |status, body| {
            let connect = Client::builder(&url).connect();
            let (client, ()) = tokio::join!(connect, listener.refuse(status, body));
            let error = client.unwrap_err();
            reason(&error).clone()
        };
        let denied = refused(403, "this origin is not allowed").await;
        assert!(!denied.reconnects());
        assert_eq!(
            denied.to_string(),
            format!("{url}/connection/websocket answers the WebSocket handshake with HTTP status 403: this origin is not allowed")
        );
        let full = refused(503, "<html>full</html>").await;
        assert!(full.reconnects());
        assert!(matches!(full, Disconnect::Http { status: 503, detail, .. } if detail.is_empty()));

        // In the background 503 is tried again, and 404 is the end.
        let client = Client::builder(&url).backoff(AT_ONCE).build().unwrap();
        listener.refuse(503, "").await;
        listener.refuse(503, "").await;
        listener.refuse(404, "no such thing").await;
        let reason = client.connected().await.unwrap_err();
        assert!(matches!(reason, Disconnect::Http { status: 404, .. }), "{reason:?}");
    })
    .await;
}

#[tokio::test]
async fn a_refused_connect_command_is_reported_with_the_servers_error() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            let (id, _) = peer.request().await;
            peer.answer(id, Err(ErrorCode::Unauthorized.into())).await;
            peer
        };
        let (client, _peer) = tokio::join!(Client::builder(listener.url()).connect(), server);
        let error = client.unwrap_err();
        assert!(matches!(reason(&error), Disconnect::Refused(reply) if reply.code == 101), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn nobody_listening_is_unreachable_with_the_systems_reason() {
    bounded(async {
        let url = format!("ws://{}", Listener::nobody().await);
        let error = Client::builder(&url).connect().await.unwrap_err();
        let reason = reason(&error);
        assert!(reason.is_unreachable());
        assert_eq!(reason.to_string(), format!("cannot reach {url}/connection/websocket"));
        let kind = match reason {
            Disconnect::Unreachable { source, .. } => source.kind(),
            other => panic!("not unreachable: {other:?}"),
        };
        assert_eq!(kind, io::ErrorKind::ConnectionRefused);
    })
    .await;
}

#[tokio::test]
async fn something_that_is_no_websocket_server_is_told_apart() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            use tokio::io::AsyncWriteExt as _;
            let mut stream = listener.stream().await;
            stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            stream
        };
        let (client, _stream) = tokio::join!(Client::builder(listener.url()).connect(), server);
        let error = client.unwrap_err();
        assert!(matches!(reason(&error), Disconnect::Handshake { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_message_over_the_limit_ends_the_client() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.publish("news", &format!("\"{}\"", "x".repeat(2_000))).await;
            peer
        };
        let client = Client::builder(listener.url()).max_message_bytes(1_000).build().unwrap();
        let peer = server.await;
        let mut state = client.watch();
        let told = loop {
            match state.current() {
                State::Disconnected(reason) => break reason,
                _ => state.changed().await.unwrap(),
            };
        };
        assert!(matches!(told, Disconnect::MessageTooLong { max: 1_000 }), "{told:?}");
        drop(peer);
    })
    .await;
}

#[tokio::test]
async fn a_relay_follows_its_server_through_a_restart() {
    bounded(async {
        let listener = Listener::start().await;
        let builder = RelayClient::builder(format!("{}/relay/lobby", listener.url())).backoff(AT_ONCE);
        let (client, peer) = tokio::join!(builder.connect(), listener.accept());
        let mut client = client.unwrap();
        assert!(matches!(next(&mut client).await, Some(RelayEvent::Connected)));
        assert_eq!(peer.path(), "/relay/lobby");
        peer.close(1001, "going away").await;
        assert!(matches!(next(&mut client).await, Some(RelayEvent::Disconnected(_))));
        let mut peer = listener.accept().await;
        assert!(matches!(next(&mut client).await, Some(RelayEvent::Connected)));
        client.send("back").await.unwrap();
        let message = peer.message().await.unwrap();
        assert_eq!(message.into_text().unwrap().as_str(), "back");
    })
    .await;
}

async fn next<S: futures_util::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    futures_util::StreamExt::next(stream).await
}
