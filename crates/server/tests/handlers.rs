//! Servers whose application has its own say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use support::TestServer;
use throng_server::handlers::{ConnectReply, HandlerError, PublishReply, RefreshReply, SubscribeReply};
use tokio::sync::Notify;

#[tokio::test]
async fn a_connect_handler_says_who_the_client_is_and_what_it_gets() {
    let server = TestServer::built(|builder| {
        builder.on_connect(|event| async move {
            match event.token.as_str() {
                "ann" => Ok(ConnectReply {
                    user: "ann".into(),
                    info: r#"{"name":"Ann"}"#.into(),
                    data: r#"{"hello":1}"#.into(),
                    channels: vec!["news".into()],
                    ..ConnectReply::default()
                }),
                "busy" => Err(HandlerError::custom(1_000, "come back later")),
                _ => Err(HandlerError::Disconnect { code: 4_500, reason: "who are you".into() }),
            }
        })
    })
    .await;
    let mut ann = server.client("/connection/websocket").await;
    let reply = ann.ask(r#"{"id":1,"connect":{"token":"ann"}}"#).await["connect"].take();
    assert_eq!(reply["data"], json!({"hello": 1}));
    assert_eq!(reply["subs"]["news"]["positioned"], true);
    ann.send(r#"{"id":2,"publish":{"channel":"news","data":1}}"#).await;
    let mut messages = [ann.json().await, ann.json().await];
    messages.sort_by_key(|message| message.get("id").is_some());
    let publisher = &messages[0]["push"]["pub"]["info"];
    assert_eq!((&publisher["user"], &publisher["conn_info"]), (&json!("ann"), &json!({"name": "Ann"})));
    let mut busy = server.client("/connection/websocket").await;
    let reply = busy.ask(r#"{"id":1,"connect":{"token":"busy"}}"#).await;
    assert_eq!(reply["error"], json!({"code": 1_000, "message": "come back later"}));
    let mut stranger = server.client("/connection/websocket").await;
    stranger.send(r#"{"id":1,"connect":{}}"#).await;
    assert_eq!(stranger.closed().await, (4_500, "who are you".into()));
    server.stop_with([ann, busy, stranger]).await;
}

#[tokio::test]
async fn subscriptions_and_publications_need_the_handlers_word() {
    let server = TestServer::built(|builder| {
        builder
            .on_subscribe(|event| async move {
                if event.channel == "secret" {
                    return Err(HandlerError::permission_denied());
                }
                let data = r#""welcome""#.into();
                Ok(SubscribeReply { info: "7".into(), data, ..SubscribeReply::default() })
            })
            .on_publish(|event| async move {
                let data = (event.data.as_bytes() == "1").then(|| "2".into());
                Ok(PublishReply { data, skip_history: true })
            })
    })
    .await;
    let mut ann = server.connected().await;
    let refused = ann.ask(r#"{"id":2,"subscribe":{"channel":"secret"}}"#).await;
    assert_eq!(refused["error"]["code"], 103);
    let reply = ann.ask(r#"{"id":3,"subscribe":{"channel":"news"}}"#).await;
    assert_eq!(reply["subscribe"]["data"], "welcome");
    ann.send(r#"{"id":4,"publish":{"channel":"news","data":1}}"#).await;
    let mut messages = [ann.json().await, ann.json().await];
    messages.sort_by_key(|message| message.get("id").is_some());
    let publication = &messages[0]["push"]["pub"];
    assert_eq!((&publication["data"], &publication["info"]["chan_info"]), (&json!(2), &json!(7)));
    assert_eq!(publication.get("offset"), None, "it was not to be kept");
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn calls_and_messages_reach_the_application() {
    let heard = Arc::new(Notify::new());
    let hear = Arc::clone(&heard);
    let server = TestServer::built(|builder| {
        builder.on_rpc("double", |event| async move { Ok(event.data) }).on_message(move |_| {
            hear.notify_one();
            async { Ok(()) }
        })
    })
    .await;
    let mut ann = server.connected().await;
    let reply = ann.ask(r#"{"id":2,"rpc":{"method":"double","data":[21]}}"#).await;
    assert_eq!(reply, json!({"id": 2, "rpc": {"data": [21]}}));
    assert_eq!(ann.ask(r#"{"id":3,"rpc":{"method":"triple"}}"#).await["error"]["code"], 104);
    ann.send(r#"{"send":{"data":"hi"}}"#).await;
    tokio::time::timeout(support::PATIENCE, heard.notified()).await.unwrap();
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_handler_that_waits_delays_its_own_connection_alone_and_not_for_ever() {
    let started = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&started);
    let server = TestServer::built_with(
        |settings| settings.client.handler_timeout = Duration::from_millis(200),
        |builder| {
            builder.on_rpc("hang", move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                std::future::pending()
            })
        },
    )
    .await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    ann.send(r#"{"id":2,"rpc":{"method":"hang"}}"#).await;
    server.until("the handler runs", |_| started.load(Ordering::Relaxed) == 1).await;
    let reply = bob.ask(r#"{"id":2,"publish":{"channel":"news","data":1}}"#).await;
    assert_eq!(reply, json!({"id": 2, "publish": {}}));
    let reply = ann.json().await;
    assert_eq!((&reply["error"]["code"], &reply["error"]["temporary"]), (&json!(100), &json!(true)));
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn a_handler_that_panics_is_an_internal_error_of_one_command() {
    let server = TestServer::built(|builder| {
        builder.on_rpc("panic", |event| async move {
            assert!(event.method.is_empty(), "as the test asked");
            Ok(event.data)
        })
    })
    .await;
    let mut ann = server.connected().await;
    assert_eq!(ann.ask(r#"{"id":2,"rpc":{"method":"panic"}}"#).await["error"]["code"], 100);
    assert_eq!(
        ann.ask(r#"{"id":3,"publish":{"channel":"a","data":1}}"#).await,
        json!({"id": 3, "publish": {}})
    );
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn what_a_handler_gives_must_be_json_because_others_get_it_embedded() {
    let server = TestServer::built(|builder| {
        builder
            .on_connect(
                |event| async move { Ok(ConnectReply { info: event.data, ..ConnectReply::default() }) },
            )
            .on_rpc("forge", |_| async { Ok(r#"1},"user":"admin""#.into()) })
    })
    .await;
    let mut ann = server.client("/connection/websocket").await;
    ann.ask(r#"{"id":1,"connect":{"data":{"name":"Ann"}}}"#).await;
    assert_eq!(ann.ask(r#"{"id":2,"rpc":{"method":"forge"}}"#).await["error"]["code"], 100);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn what_a_connect_handler_attaches_comes_back_with_what_the_client_asks_for_later() {
    let server = TestServer::built(|builder| {
        builder
            .on_connect(|_| async {
                Ok(ConnectReply { meta: r#"{"plan":"gold"}"#.into(), ..ConnectReply::default() })
            })
            .on_rpc("meta", |event| async move { Ok(event.meta) })
    })
    .await;
    let mut ann = server.client("/connection/websocket").await;
    let welcome = ann.ask(r#"{"id":1,"connect":{}}"#).await;
    assert!(!welcome.to_string().contains("gold"), "{welcome}");
    let reply = ann.ask(r#"{"id":2,"rpc":{"method":"meta"}}"#).await;
    assert_eq!(reply["rpc"]["data"], json!({"plan": "gold"}));
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_connect_handler_says_how_long_and_a_refresh_handler_how_much_longer() {
    let soon = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_secs()).unwrap() + 2
    };
    let server = TestServer::built_with(
        |settings| settings.client.expired_close_delay = Duration::ZERO,
        |builder| {
            builder
                .on_connect(move |_| async move {
                    Ok(ConnectReply { expire_at: soon(), ..ConnectReply::default() })
                })
                .on_refresh(|event| async move {
                    match event.token.as_str() {
                        "good" => Ok(RefreshReply::default()),
                        _ => Err(HandlerError::permission_denied()),
                    }
                })
        },
    )
    .await;
    let (mut ann, mut bob) =
        (server.client("/connection/websocket").await, server.client("/connection/websocket").await);
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.ask(r#"{"id":1,"connect":{}}"#).await["connect"]["expires"], true);
    }
    assert_eq!(ann.ask(r#"{"id":2,"refresh":{"token":"good"}}"#).await, json!({"id": 2, "refresh": {}}));
    assert_eq!(bob.ask(r#"{"id":2,"refresh":{"token":"bad"}}"#).await["error"]["code"], 103);
    assert_eq!(bob.closed().await.0, 3005);
    assert_eq!(ann.ask(r#"{"id":3,"publish":{"channel":"a","data":1}}"#).await["id"], 3);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_connect_handler_is_authentication_enough_for_any_address() {
    let server = TestServer::built_with(
        |settings| settings.http_server.address = std::net::Ipv4Addr::UNSPECIFIED.into(),
        |builder| builder.on_connect(|_| async { Err(HandlerError::permission_denied()) }),
    )
    .await;
    server.stop().await;
}
