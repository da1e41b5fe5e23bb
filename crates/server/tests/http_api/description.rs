//! The API describes itself, and the description is true.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::caller::{Caller, server};

#[tokio::test]
async fn the_description_is_read_without_a_key() {
    let server = server().await;
    let page = server.get("/api/openapi.json").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("content-type: application/json"));
    let text = server.get("/api").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("openapi.json"), "{text}");
    assert!(server.get("/api/").await.starts_with("HTTP/1.1 200"));
    let head = server.http("HEAD /api/openapi.json HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
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
