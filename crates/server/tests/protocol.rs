//! The Centrifuge protocol over a real socket. What a command is answered is decided, and tested case by case, in the session;
//! here is what needs a connection: order, pushes, closing codes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "the test awaits its tasks itself")]

mod support;

use serde_json::json;
use support::TestServer;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_publication_reaches_all_subscribers_of_its_channel() {
    let server = TestServer::start().await;
    let (mut ann, mut bob, mut eve) =
        (server.connected().await, server.connected().await, server.connected().await);
    for client in [&mut ann, &mut bob] {
        let reply = client.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
        assert!(reply["subscribe"].is_object(), "{reply}");
    }
    assert_eq!(
        eve.ask(r#"{"id":2,"publish":{"channel":"news","data":{"a":[1,"ü"]}}}"#).await,
        json!({"id":2,"publish":{}})
    );
    for client in [&mut ann, &mut bob] {
        let push = client.json().await;
        assert_eq!(push["push"]["channel"], "news");
        assert_eq!(push["push"]["pub"]["data"], json!({"a":[1,"ü"]}));
        assert_eq!(push["push"]["pub"]["info"]["user"], "");
        assert!(push["push"]["pub"]["info"]["client"].is_string());
    }
    eve.assert_silent().await;
    server.stop_with([ann, bob, eve]).await;
}

#[tokio::test]
async fn the_client_id_is_the_request_id_of_the_handshake() {
    let server = TestServer::start().await;
    let mut client = server.client("/connection/websocket").await;
    let reply = client.ask(r#"{"id":1,"connect":{}}"#).await;
    assert_eq!(reply["connect"]["client"], client.request_id);
    assert_eq!((&reply["connect"]["ping"], &reply["connect"]["pong"]), (&json!(25), &json!(true)));
}

#[tokio::test]
async fn commands_of_one_frame_are_answered_in_order() {
    let server = TestServer::start().await;
    let mut client = server.client("/connection/websocket").await;
    let frame = [
        r#"{"id":1,"connect":{}}"#,
        r#"{"id":2,"subscribe":{"channel":"a"}}"#,
        r#"{"id":3,"rpc":{"method":"x","data":{}}}"#,
        r#"{"id":4,"unsubscribe":{"channel":"a"}}"#,
        r#"{"id":5,"history":{"channel":"a"}}"#,
    ];
    client.send(frame.join("\n")).await;
    let mut ids = Vec::new();
    while ids.len() < frame.len() {
        for line in client.text().await.lines() {
            let reply: serde_json::Value = serde_json::from_str(line).unwrap();
            ids.push(reply["id"].as_u64().unwrap());
        }
    }
    assert_eq!(ids, [1, 2, 3, 4, 5]);
}

/// Small commands with large answers: more than a frame may hold, and twenty times what an outbox may.
#[tokio::test]
async fn a_frame_of_commands_with_large_answers_is_answered_whole_in_many_frames() {
    const COMMANDS: usize = 200;
    const PUBLICATIONS: usize = 100;
    let server = TestServer::start().await;
    let mut client = server.connected().await;
    for id in 0..PUBLICATIONS {
        let publish = json!({"channel": "news", "data": "x".repeat(1_000)});
        client.ask(&json!({"id": id + 2, "publish": publish}).to_string()).await;
    }
    client.ask(r#"{"id":500,"subscribe":{"channel":"news"}}"#).await;
    let history =
        |id: usize| json!({"id": id, "history": {"channel": "news", "limit": PUBLICATIONS}}).to_string();
    client.send((0..COMMANDS).map(|id| history(1_000 + id)).collect::<Vec<_>>().join("\n")).await;
    let (mut frames, mut ids) = (0, Vec::new());
    while ids.len() < COMMANDS {
        frames += 1;
        for line in client.text().await.lines() {
            let reply: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(reply["history"]["publications"].as_array().unwrap().len(), PUBLICATIONS);
            ids.push(reply["id"].as_u64().unwrap());
        }
    }
    assert!(ids.is_sorted() && frames > 1, "{frames} frames");
    server.stop_with([client]).await;
}

#[tokio::test]
async fn nothing_of_a_channel_follows_the_answer_to_unsubscribe() {
    let server = TestServer::start().await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    for round in 0..50 {
        ann.ask(&json!({"id": 2 * round + 2, "subscribe": {"channel": "news"}}).to_string()).await;
        for id in 0..20 {
            bob.send(
                json!({"id": 100 * round + id + 2, "publish": {"channel": "news", "data": id}}).to_string(),
            )
            .await;
        }
        ann.send(json!({"id": 2 * round + 3, "unsubscribe": {"channel": "news"}}).to_string()).await;
        while ann.json().await.get("unsubscribe").is_none() {}
        for _ in 0..20 {
            assert!(bob.json().await.get("publish").is_some());
        }
        ann.assert_silent().await;
    }
    assert_eq!(server.running.channel_count(), 0, "nobody is subscribed any more");
}

#[tokio::test]
async fn a_protobuf_client_and_a_json_client_read_each_other() {
    use throng_protocol::{
        Command, ConnectRequest, Format, Limits, PublishRequest, Reply, Request, SubscribeRequest,
    };

    let server = TestServer::start().await;
    let mut json_client = server.connected().await;
    json_client.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
    let mut client = server
        .client_with("/connection/websocket", &[("sec-websocket-protocol", "centrifuge-protobuf")])
        .await;
    let request = |id, request| Command::Request { id, request };
    let mut frame = bytes::BytesMut::new();
    let data = throng_protocol::Payload::from(r#"{"p":1}"#);
    for command in [
        request(1, Request::Connect(ConnectRequest::default())),
        request(2, Request::Subscribe(SubscribeRequest { channel: "news".into(), ..Default::default() })),
        request(3, Request::Publish(PublishRequest { channel: "news".into(), data, ..Default::default() })),
        request(
            4,
            Request::Publish(PublishRequest {
                channel: "news".into(),
                data: "no JSON".into(),
                ..Default::default()
            }),
        ),
    ] {
        Format::Protobuf.encode_command(&command, &mut frame);
    }
    client.send_message(Message::Binary(frame.freeze())).await;
    let mut answers = Vec::new();
    let mut pushes = Vec::new();
    while answers.len() < 4 || pushes.is_empty() {
        let Message::Binary(frame) = client.message().await else {
            panic!("Protobuf comes in binary messages")
        };
        for reply in Format::Protobuf.decode_replies(frame, &Limits::default()) {
            match reply.unwrap() {
                Reply::Answer { id, outcome } => {
                    answers.push((id, outcome.map_err(|error| error.code).err()))
                }
                Reply::Push(push) => pushes.push(push),
                Reply::Ping => panic!("no ping is due"),
            }
        }
    }
    assert_eq!(answers, [(1, None), (2, None), (3, None), (4, Some(107))]);
    assert_eq!(pushes.len(), 1);
    assert_eq!(json_client.json().await["push"]["pub"]["data"], json!({"p":1}));
    json_client.assert_silent().await;
}

#[tokio::test]
async fn violations_close_with_the_codes_of_the_protocol() {
    let server = TestServer::start().await;
    for (connect_first, message, code, reason) in [
        (false, r#"{"id":1,"subscribe":{"channel":"a"}}"#, 3501, "bad request"),
        (true, r#"{"id":2,"connect":{}}"#, 3501, "bad request"),
        (true, "{}", 3501, "bad request"),
        (true, "not JSON", 3501, "bad request"),
        (true, "", 3501, "bad request"),
        (true, r#"{"id":2,"subscribe":{"channel":""}}"#, 3501, "bad request"),
        (true, r#"{"id":2}"#, 3501, "bad request"),
        (true, r#"{"send":{"data":{}}}"#, 3508, "not available"),
    ] {
        let mut client = if connect_first {
            server.connected().await
        } else {
            server.client("/connection/websocket").await
        };
        client.send(message).await;
        assert_eq!(client.closed().await, (code, reason.to_owned()), "{message}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let server = TestServer::start().await;
    let mut client = server.connected().await;
    client.send("x".repeat(65_537)).await;
    assert_eq!(client.closed().await.0, 1009);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_as_slow_and_the_others_get_everything() {
    const COUNT: usize = 1_000;
    let server = TestServer::with(|settings| settings.client.queue_max_size = 64 * 1024).await;
    let (mut lazy, mut ann, mut bob) =
        (server.connected().await, server.connected().await, server.connected().await);
    for client in [&mut lazy, &mut ann] {
        client.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
    }
    let data = "x".repeat(16_000);
    let reading = tokio::spawn(async move {
        for number in 0..COUNT {
            assert_eq!(ann.json().await["push"]["pub"]["data"][0], number);
        }
    });
    let mut lazy = Some(lazy);
    for number in 0..COUNT {
        let publish = json!({"id": number + 2, "publish": {"channel": "news", "data": [number, data]}});
        assert!(bob.ask(&publish.to_string()).await.get("publish").is_some());
        if number % 50 == 0
            && server.metric("throng_slow_disconnects_total").await == 1
            && let Some(mut lazy) = lazy.take()
        {
            assert_eq!(lazy.closed().await, (3008, "slow".to_owned()));
        }
    }
    reading.await.unwrap();
    assert!(lazy.is_none(), "16 MB are more than the sockets' buffers and the outbox hold");
    assert_eq!(server.metric("throng_slow_disconnects_total").await, 1);
}
