//! The API describes itself, and the description is true.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::caller::{Caller, KEY, server};

#[tokio::test]
async fn the_description_is_read_without_a_key() {
    let server = server().await;
    let page = server.get("/api/openapi.json").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("content-type: application/json"));
    let text = server.get("/api").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("openapi.json"), "{text}");
    assert!(server.get("/api/").await.starts_with("HTTP/1.1 200"));
    let head =
        server.http("HEAD /api/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

async fn description() -> (crate::support::TestServer, Value) {
    let server = server().await;
    let page = server.get("/api/openapi.json").await;
    let document = serde_json::from_str(page.split_once("\r\n\r\n").unwrap().1).unwrap();
    (server, document)
}

#[tokio::test]
async fn every_method_that_is_described_exists_and_every_method_is_described() {
    let (server, document) = description().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let described: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.rsplit('/').next().unwrap().to_owned())
        .collect();
    let known: BTreeSet<_> = [
        "publish",
        "broadcast",
        "subscribe",
        "unsubscribe",
        "disconnect",
        "refresh",
        "presence",
        "presence_stats",
        "history",
        "history_remove",
        "channels",
        "info",
        "rpc",
        "slow_clients",
        "revoke_token",
        "invalidate_user_tokens",
        "invalidate_tokens",
        "revoke_user",
        "revoke_channel",
        "block_user",
        "unblock_user",
        "pardon",
        "revocations",
        "batch",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(described, known);
    let mut caller = Caller::of(&server).await;
    for method in described {
        let answer = caller.ask(&method, "{}").await;
        assert_eq!(answer.status, 200, "{method}");
        let answer = answer.json();
        assert!(
            answer.get("result").is_some()
                || answer.get("error").is_some()
                || answer.get("replies").is_some()
        );
    }
}

#[tokio::test]
async fn every_way_to_send_the_key_that_is_described_opens_the_api() {
    let (server, document) = description().await;
    for scheme in document["components"]["securitySchemes"].as_object().unwrap().values() {
        let [place, name] = ["in", "name"].map(|member| scheme[member].as_str().unwrap());
        let (query, header) = match (place, name) {
            ("query", name) => (format!("?{name}={KEY}"), String::new()),
            ("header", "Authorization") => (String::new(), format!("Authorization: apikey {KEY}\r\n")),
            ("header", name) => (String::new(), format!("{name}: {KEY}\r\n")),
            (place, _) => panic!("a key in the {place}"),
        };
        let rest = "Host: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
        let answer = server.http(&format!("POST /api/info{query} HTTP/1.1\r\n{header}{rest}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }
}

#[tokio::test]
async fn statuses_of_what_is_no_call_are_described() {
    let (server, document) = description().await;
    let described = document["paths"]["/info"]["post"]["responses"].as_object().unwrap();
    for (request, status) in [("POST /api/nothing", "404"), ("GET /api/info", "405")] {
        let rest =
            format!("X-API-Key: {KEY}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        let answer = server.http(&format!("{request} HTTP/1.1\r\n{rest}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(described.contains_key(status));
    }
}
