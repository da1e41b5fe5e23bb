//! How failures are told.

use serde_json::json;

use crate::caller::{Answer, Caller, KEY, server, server_with};

async fn raw(method: &str, path: &str) -> Answer {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    caller
        .send(format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {KEY}\r\nContent-Length: 0\r\n\r\n"
        ))
        .await;
    caller.answer().await
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_404() {
    for path in [
        "/api/nonsense",
        "/api/publish/",
        "/api/publish/x",
        "/api/Publish",
        "/api//publish",
        "/api/map_publish",
    ] {
        assert_eq!(raw("POST", path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn other_http_methods_are_405_and_name_the_right_one() {
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = raw(method, "/api/publish").await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: post"), "{answer:?}");
        assert!(answer.closes());
    }
    let answer = raw("POST", "/api/openapi.json").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: get, head"), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    for body in ["", "{", "nonsense", "[]", "\"text\"", r#"{"channel":1,"data":{}}"#, "{}{}", "{}x"] {
        let answer = caller.ask("publish", body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.body.trim_end(), "Bad Request");
        assert!(!answer.closes(), "the body was read, so that the connection goes on");
    }
    assert_eq!(
        caller.ask("publish", "\n {\"channel\":\"a\",\"data\":1,\"later\":[{}]} \n").await.status,
        200
    );
}

#[tokio::test]
async fn errors_are_200_by_default_and_have_a_status_where_asked() {
    let server = server().await;
    let mut caller = Caller::of(&server).await;
    let body = json!({"channel": "nowhere:x", "data": {}});
    let expected = (102, "unknown channel".to_owned());
    assert_eq!(caller.error("publish", &body).await, expected);

    let headers = format!("X-API-Key: {KEY}\r\nX-Centrifugo-Error-Mode: transport\r\n");
    let answer = caller.ask_with("publish", &headers, &body.to_string()).await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json(), json!({"code": 102, "message": "unknown channel"}));
    let ok = caller.ask_with("publish", &headers, r#"{"channel":"a","data":{}}"#).await;
    assert_eq!(ok.status, 200);
    assert!(ok.json().get("result").is_some());
}

#[tokio::test]
async fn errors_have_the_statuses_of_the_reference() {
    let server = server_with(|settings| {
        settings.http_api.error_mode_transport = true;
        settings.channel.namespaces = vec![crate::channels::streams(), crate::channels::plain()];
    })
    .await;
    let mut caller = Caller::of(&server).await;
    for (method, body, status, code) in [
        ("publish", json!({"channel": "nowhere:x", "data": {}}), 404, 102),
        ("rpc", json!({"method": "nobody"}), 404, 104),
        ("publish", json!({"channel": "", "data": {}}), 400, 107),
        ("presence", json!({"channel": "plain:x"}), 400, 108),
        ("history", json!({"channel": "streams:x", "since": {"offset": 1, "epoch": "other"}}), 416, 112),
    ] {
        let answer = caller.ask(method, &body.to_string()).await;
        assert_eq!(answer.status, status, "{method} {body}");
        assert_eq!(answer.json()["code"], code, "{method} {body}");
        assert_eq!(answer.json().as_object().unwrap().len(), 2);
    }
    let inside = json!({"channels": ["a", "nowhere:x"], "data": {}});
    assert_eq!(caller.ask("broadcast", &inside.to_string()).await.status, 200);
    let batch = json!({"commands": [{"rpc": {"method": "nobody"}}]});
    let answer = caller.ask("batch", &batch.to_string()).await;
    assert_eq!(answer.status, 200, "a batch has no status of its own");
    assert_eq!(answer.json(), json!({"replies": [{"error": {"code": 104, "message": "not found"}}]}));
}
