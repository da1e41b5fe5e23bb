//! Connections that end, and that are not let in, because of what was revoked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use support::{Client, TestServer};
use throng_server::config::Settings;
use throng_server::handlers::ConnectReply;
use throng_server::{Server, StartError};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Error;

const KEY: &str = "s3cret";

const INVALID_TOKEN: (u16, &str) = (3500, "invalid token");
const FORCED: (u16, &str) = (3503, "force disconnect");

/// A server whose clients are whom they name as their token.
async fn server() -> TestServer {
    server_with(|_| ()).await
}

async fn server_with(change: impl FnOnce(&mut Settings)) -> TestServer {
    let settings = |settings: &mut Settings| {
        settings.http_api.key = KEY.into();
        change(settings);
    };
    TestServer::built_with(settings, |builder| {
        builder.on_connect(|event| async { Ok(ConnectReply { user: event.token, ..Default::default() }) })
    })
    .await
}

async fn try_connect(server: &TestServer, user: &str) -> Client {
    let mut client = server.client("/connection/websocket").await;
    client.send(format!(r#"{{"id":1,"connect":{{"token":"{user}"}}}}"#)).await;
    client
}

async fn connect(server: &TestServer, user: &str) -> Client {
    let mut client = try_connect(server, user).await;
    assert!(client.json().await["connect"]["client"].is_string());
    client
}

async fn assert_refused(server: &TestServer, user: &str, code: (u16, &str)) {
    let (found, reason) = try_connect(server, user).await.closed().await;
    assert_eq!((found, &*reason), code, "{user}");
}

async fn assert_closed(client: &mut Client, code: (u16, &str)) {
    let (found, reason) = client.closed().await;
    assert_eq!((found, &*reason), code);
}

async fn done(server: &TestServer, method: &str, body: Value) -> Value {
    let mut answer = server.api(method, KEY, &body).await;
    assert!(answer.get("error").is_none(), "{method}: {answer}");
    answer["result"].take()
}

async fn error(server: &TestServer, method: &str, body: Value) -> (u64, String) {
    let answer = server.api(method, KEY, &body).await;
    let error = &answer["error"];
    (error["code"].as_u64().unwrap(), error["message"].as_str().unwrap().to_owned())
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn a_blocked_user_is_disconnected_and_kept_out_until_unblocked() {
    let server = server().await;
    let [mut ann, mut again, mut bob] =
        [connect(&server, "ann").await, connect(&server, "ann").await, connect(&server, "bob").await];
    done(&server, "block_user", json!({"user": "ann"})).await;
    assert_closed(&mut ann, FORCED).await;
    assert_closed(&mut again, FORCED).await;
    assert_refused(&server, "ann", FORCED).await;
    assert_eq!(bob.ask(r#"{"id":2,"publish":{"channel":"news","data":1}}"#).await["publish"], json!({}));
    done(&server, "unblock_user", json!({"user": "ann"})).await;
    let ann = connect(&server, "ann").await;
    assert_eq!(server.metric("throng_revocation_ended_connections_total").await, 2);
    assert_eq!(server.metric("throng_revocation_refused_connections_total").await, 1);
    assert_eq!(server.metric("throng_revocations").await, 0);
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn what_a_user_holds_is_revoked_with_the_code_of_an_invalid_token() {
    let server = server().await;
    let (mut ann, bob) = (connect(&server, "ann").await, connect(&server, "bob").await);
    done(&server, "revoke_user", json!({"user": "ann"})).await;
    assert_closed(&mut ann, INVALID_TOKEN).await;
    assert_refused(&server, "ann", INVALID_TOKEN).await;
    assert_eq!(done(&server, "pardon", json!({"user": "ann"})).await, json!({"pardoned": true}));
    assert_eq!(done(&server, "pardon", json!({"user": "ann"})).await, json!({"pardoned": false}));
    let ann = connect(&server, "ann").await;
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn those_who_came_before_a_time_must_go_and_those_who_come_after_may_stay() {
    let server = server().await;
    let (mut ann, mut bob) = (connect(&server, "ann").await, connect(&server, "bob").await);
    done(&server, "invalidate_user_tokens", json!({"user": "ann"})).await;
    assert_closed(&mut ann, INVALID_TOKEN).await;
    bob.assert_silent().await;
    done(&server, "invalidate_tokens", json!({"issued_before": unix_now() + 1_000})).await;
    assert_closed(&mut bob, INVALID_TOKEN).await;
    assert_refused(&server, "eve", INVALID_TOKEN).await;
    done(&server, "pardon", json!({"issued_before": true})).await;
    done(&server, "pardon", json!({"user": "ann", "issued_before": true})).await;
    // What is long past concerns nobody who is here.
    done(&server, "invalidate_tokens", json!({"issued_before": 1_000})).await;
    let (ann, bob) = (connect(&server, "ann").await, connect(&server, "bob").await);
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn a_user_is_taken_out_of_a_channel_and_cannot_come_back_into_it() {
    let server = server().await;
    let (mut ann, mut bob) = (connect(&server, "ann").await, connect(&server, "bob").await);
    for client in [&mut ann, &mut bob] {
        client.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
    }
    ann.ask(r#"{"id":3,"subscribe":{"channel":"sport"}}"#).await;
    done(&server, "revoke_channel", json!({"user": "ann", "channel": "news"})).await;
    let push = ann.json().await["push"].take();
    assert_eq!(
        push,
        json!({"channel": "news", "unsubscribe": {"code": 2000, "reason": "server unsubscribe"}})
    );
    let again = ann.ask(r#"{"id":4,"subscribe":{"channel":"news"}}"#).await;
    assert_eq!(again["error"]["code"], 103);
    // Neither can the application bring the user in.
    done(&server, "subscribe", json!({"user": "ann", "channel": "news"})).await;
    bob.send(r#"{"id":3,"publish":{"channel":"news","data":1}}"#).await;
    for _ in 0..2 {
        bob.json().await;
    }
    ann.assert_silent().await;
    done(&server, "pardon", json!({"user": "ann", "channel": "news"})).await;
    let again = ann.ask(r#"{"id":5,"subscribe":{"channel":"news"}}"#).await;
    assert!(again.get("subscribe").is_some(), "{again}");
    assert_eq!(server.metric("throng_revocation_ended_subscriptions_total").await, 1);
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn whoever_connects_while_it_is_revoked_is_gone_in_the_end() {
    let server = server().await;
    for round in 0..20 {
        let user = format!("user{round}");
        let coming = async {
            let mut clients = Vec::new();
            for _ in 0..5 {
                clients.push(try_connect(&server, &user).await);
            }
            clients
        };
        let (mut clients, _) = tokio::join!(coming, done(&server, "block_user", json!({"user": user})));
        for client in &mut clients {
            assert_closed(client, FORCED).await;
        }
    }
    server.until_metric("throng_clients", 0).await;
    server.stop().await;
}

#[tokio::test]
async fn faulty_requests_and_too_many_are_refused_with_a_reason() {
    let server = server_with(|settings| {
        settings.engine.memory.revocations = 2;
        settings.client.revocation.ttl = Duration::from_secs(60);
    })
    .await;
    let bad = [
        ("revoke_token", json!({})),
        ("block_user", json!({"user": ""})),
        ("block_user", json!({"user": "x".repeat(1_025)})),
        ("invalidate_tokens", json!({})),
        ("pardon", json!({})),
        ("pardon", json!({"uid": "a", "user": "b"})),
        ("revoke_channel", json!({"user": "ann", "channel": ""})),
    ];
    for (method, body) in bad {
        assert_eq!(error(&server, method, body.clone()).await.0, 107, "{method} {body}");
    }
    assert_eq!(error(&server, "block_user", json!({"user": "ann", "expire_at": 1})).await.0, 110);
    let far = error(&server, "block_user", json!({"user": "ann", "expire_at": unix_now() + 1_000})).await;
    assert_eq!(far.0, 107);
    assert!(far.1.contains("client.revocation.ttl"), "{far:?}");
    done(&server, "revoke_token", json!({"uid": "a"})).await;
    done(&server, "revoke_token", json!({"uid": "b", "expire_at": unix_now() + 50})).await;
    let full = error(&server, "revoke_token", json!({"uid": "c"})).await;
    assert_eq!(
        full,
        (
            106,
            "limit exceeded: 2 revocations hold, which is the bound, as engine.memory.revocations says"
                .into()
        )
    );
    done(&server, "revoke_token", json!({"uid": "a"})).await;
    let list = done(&server, "revocations", json!({})).await;
    assert_eq!((&list["total"], list["revocations"].as_array().unwrap().len()), (&json!(2), 2));
    let list = done(&server, "revocations", json!({"limit": 1})).await;
    assert_eq!((&list["total"], &list["revocations"][0]["kind"]), (&json!(2), &json!("token")));
    assert_eq!(server.metric("throng_revocations_failed_total").await, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_restart_brings_nobody_back_where_there_is_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data").to_str().unwrap().to_owned();
    let start = || server_with(|settings| settings.engine.memory.data_dir.clone_from(&path));
    let server = start().await;
    done(&server, "block_user", json!({"user": "ann"})).await;
    done(&server, "block_user", json!({"user": "bob"})).await;
    done(&server, "unblock_user", json!({"user": "bob"})).await;
    done(&server, "revoke_channel", json!({"user": "eve", "channel": "news"})).await;
    server.stop().await;
    let server = start().await;
    assert_refused(&server, "ann", FORCED).await;
    let (bob, mut eve) = (connect(&server, "bob").await, connect(&server, "eve").await);
    assert_eq!(eve.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await["error"]["code"], 103);
    server.stop_with([bob, eve]).await;
}

async fn start_in(directory: &Path) -> Result<(), StartError> {
    let mut settings = Settings::default();
    settings.http_server.port = 0;
    settings.engine.memory.data_dir = directory.to_str().unwrap().to_owned();
    Server::builder().settings(settings).start().await?.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_data_file_that_was_cut_stops_the_start_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    start_in(directory.path()).await.unwrap();
    let file = directory.path().join("revocations.redb");
    let length = fs::metadata(&file).unwrap().len();
    OpenOptions::new().write(true).open(&file).unwrap().set_len(length / 2).unwrap();
    let error = anyhow::Error::from(start_in(directory.path()).await.unwrap_err());
    let text = format!("{error:#}");
    assert!(text.contains("engine.memory.data_dir"), "{text}");
    assert!(text.contains("revocations.redb is damaged") && text.contains("move it away"), "{text}");
    fs::rename(&file, directory.path().join("away")).unwrap();
    start_in(directory.path()).await.unwrap();
}

#[tokio::test]
async fn two_servers_do_not_share_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let server = server_with(|settings| settings.engine.memory.data_dir = path).await;
    let error = start_in(directory.path()).await.unwrap_err();
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("in use"));
    server.stop().await;
    start_in(directory.path()).await.unwrap();
}

fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(b"secret");
    encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

async fn server_with_secret() -> TestServer {
    TestServer::with(|settings| {
        settings.http_api.key = KEY.into();
        settings.client.token.hmac_secret_key = "secret".into();
    })
    .await
}

fn in_an_hour() -> u64 {
    unix_now() + 3_600
}

#[tokio::test]
async fn a_token_is_revoked_by_its_id_wherever_it_is_shown() {
    let server = server_with_secret().await;
    let with_id = |id: &str| token(&json!({"sub": "ann", "jti": id, "iat": unix_now(), "exp": in_an_hour()}));
    let (stolen, own) = (with_id("stolen"), with_id("own"));
    let (mut thief, mut ann) = (connect(&server, &stolen).await, connect(&server, &own).await);
    let mut bare = server.client(&format!("/relay/lobby?token={stolen}")).await;
    done(&server, "revoke_token", json!({"uid": "stolen", "expire_at": in_an_hour()})).await;
    assert_closed(&mut thief, INVALID_TOKEN).await;
    assert_closed(&mut bare, INVALID_TOKEN).await;
    assert_refused(&server, &stolen, INVALID_TOKEN).await;
    assert_eq!(upgrade(&server, &format!("/relay/lobby?token={stolen}")).await, 401);
    // Nor does it prolong a connection that came with another.
    ann.send(json!({"id": 2, "refresh": {"token": stolen}}).to_string()).await;
    assert_closed(&mut ann, INVALID_TOKEN).await;
    let ann = connect(&server, &own).await;
    server.stop_with([ann]).await;
}

/// The answer to a request for a WebSocket.
async fn upgrade(server: &TestServer, path: &str) -> u16 {
    match client_async(server.running.url(path), server.tcp().await).await {
        Ok((_, answer)) => answer.status().as_u16(),
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("no answer: {other}"),
    }
}

#[tokio::test]
async fn the_relay_refuses_who_is_blocked_before_the_upgrade() {
    let server = server().await;
    assert_eq!(upgrade(&server, "/relay/lobby?token=ann").await, 101);
    done(&server, "block_user", json!({"user": "ann", "expire_at": in_an_hour()})).await;
    assert_eq!(upgrade(&server, "/relay/lobby?token=ann").await, 401);
    assert_eq!(upgrade(&server, "/relay/lobby?token=bob").await, 101);
    done(&server, "unblock_user", json!({"user": "ann"})).await;
    assert_eq!(upgrade(&server, "/relay/lobby?token=ann").await, 101);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_goes_by_the_token_that_prolonged_it() {
    let server = server_with_secret().await;
    let with_id = |id: &str| token(&json!({"sub": "ann", "jti": id, "exp": in_an_hour()}));
    let mut ann = connect(&server, &with_id("first")).await;
    let refreshed = ann.ask(&json!({"id": 2, "refresh": {"token": with_id("second")}}).to_string()).await;
    assert!(refreshed.get("refresh").is_some(), "{refreshed}");
    done(&server, "revoke_token", json!({"uid": "first"})).await;
    ann.assert_silent().await;
    done(&server, "revoke_token", json!({"uid": "second"})).await;
    assert_closed(&mut ann, INVALID_TOKEN).await;
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_subscription_token_opens_no_channel() {
    let server = server_with_secret().await;
    let mut ann = connect(&server, &token(&json!({"sub": "ann"}))).await;
    let pass = token(&json!({"sub": "ann", "channel": "$news", "jti": "pass", "exp": in_an_hour()}));
    done(&server, "revoke_token", json!({"uid": "pass"})).await;
    let reply =
        ann.ask(&json!({"id": 2, "subscribe": {"channel": "$news", "token": pass}}).to_string()).await;
    assert_eq!(reply["error"]["code"], 103);
    done(&server, "pardon", json!({"uid": "pass"})).await;
    let reply =
        ann.ask(&json!({"id": 3, "subscribe": {"channel": "$news", "token": pass}}).to_string()).await;
    assert!(reply.get("subscribe").is_some(), "{reply}");
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_subscription_goes_with_its_token_and_the_connection_stays() {
    let server = server_with_secret().await;
    let mut ann = connect(&server, &token(&json!({"sub": "ann"}))).await;
    for (id, channel) in [(2, "$news"), (3, "$sport")] {
        let claims = json!({"sub": "ann", "channel": channel, "jti": channel, "exp": in_an_hour()});
        let subscribe = json!({"channel": channel, "token": token(&claims)});
        assert!(
            ann.ask(&json!({"id": id, "subscribe": subscribe}).to_string()).await["subscribe"].is_object()
        );
    }
    done(&server, "revoke_token", json!({"uid": "$news"})).await;
    let push = ann.json().await["push"].take();
    let unsubscribed = json!({"code": 2000, "reason": "server unsubscribe"});
    assert_eq!(push, json!({"channel": "$news", "unsubscribe": unsubscribed}));
    // What prolonged a subscription counts for it from then on.
    let claims = json!({"sub": "ann", "channel": "$sport", "jti": "later", "exp": in_an_hour()});
    let refresh = json!({"channel": "$sport", "token": token(&claims)});
    ann.ask(&json!({"id": 4, "sub_refresh": refresh}).to_string()).await;
    done(&server, "revoke_token", json!({"uid": "$sport"})).await;
    ann.assert_silent().await;
    done(&server, "revoke_token", json!({"uid": "later"})).await;
    assert_eq!(ann.json().await["push"]["unsubscribe"], unsubscribed);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn tokens_of_old_are_void_and_those_that_do_not_tell_their_age_count_as_old() {
    let server = server_with_secret().await;
    let issued = |iat: Value| token(&json!({"sub": "ann", "iat": iat, "exp": in_an_hour()}));
    let now = unix_now();
    let (old, new) = (issued(json!(now - 100)), issued(json!(now - 10)));
    let ageless = token(&json!({"sub": "ann", "exp": in_an_hour()}));
    let (mut first, mut second, third) =
        (connect(&server, &old).await, connect(&server, &ageless).await, connect(&server, &new).await);
    done(&server, "invalidate_user_tokens", json!({"user": "ann", "issued_before": now - 50})).await;
    assert_closed(&mut first, INVALID_TOKEN).await;
    assert_closed(&mut second, INVALID_TOKEN).await;
    assert_refused(&server, &old, INVALID_TOKEN).await;
    assert_refused(&server, &ageless, INVALID_TOKEN).await;
    let fourth = connect(&server, &new).await;
    server.stop_with([third, fourth]).await;
}
