//! Several commands in one request.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::caller::{Caller, KEY, request, server_with};
use crate::channels::{plain, streams};
use crate::support::TestServer;

async fn served() -> (TestServer, Caller) {
    let server = server_with(|settings| settings.channel.namespaces = vec![streams(), plain()]).await;
    let caller = Caller::of(&server).await;
    (server, caller)
}

#[tokio::test]
async fn a_batch_answers_each_command_by_its_name_and_in_order() {
    let (_server, mut caller) = served().await;
    let commands = json!([
        {"publish": {"channel": "plain:a", "data": {}}},
        {"broadcast": {"channels": ["plain:a", "nowhere:x"], "data": {}}},
        {"subscribe": {"user": "u", "channel": "plain:a"}},
        {"unsubscribe": {"user": "u", "channel": "plain:a"}},
        {"disconnect": {"user": "u"}},
        {"refresh": {"user": "u"}},
        {"presence": {"channel": "streams:a"}},
        {"presence_stats": {"channel": "streams:a"}},
        {"history": {"channel": "streams:a"}},
        {"history_remove": {"channel": "streams:a"}},
        {"channels": {}},
        {"info": {}},
        {"rpc": {"method": "nobody"}},
        {"presence": {"channel": "plain:a"}},
        {"publish": {"channel": "nowhere:x", "data": {}}},
        {"map_publish": {"channel": "plain:a"}},
        {"batch": {"commands": []}},
        {},
        null,
    ]);
    for parallel in [false, true] {
        let answer = caller.call("batch", &json!({"commands": commands, "parallel": parallel})).await;
        assert_eq!(answer.as_object().unwrap().len(), 1, "no result around it");
        let replies = answer["replies"].as_array().unwrap();
        let error = |code: u64, message: &str| json!({"error": {"code": code, "message": message}});
        assert_eq!(replies[0], json!({"publish": {}}));
        assert_eq!(replies[1]["broadcast"]["responses"][0], json!({"result": {}}));
        assert_eq!(replies[1]["broadcast"]["responses"][1], error(102, "unknown channel"));
        assert_eq!(
            replies[2..6],
            [
                json!({"subscribe": {}}),
                json!({"unsubscribe": {}}),
                json!({"disconnect": {}}),
                json!({"refresh": {}})
            ]
        );
        assert_eq!(replies[6], json!({"presence": {"presence": {}}}));
        assert_eq!(replies[7], json!({"presence_stats": {"num_clients": 0, "num_users": 0}}));
        assert_eq!(replies[8]["history"]["publications"], json!([]));
        assert_eq!(replies[9..11], [json!({"history_remove": {}}), json!({"channels": {"channels": {}}})]);
        assert_eq!(replies[11]["info"]["nodes"].as_array().unwrap().len(), 1);
        assert_eq!(replies[12], error(104, "not found"));
        assert_eq!(replies[13], error(108, "not available"));
        assert_eq!(replies[14], error(102, "unknown channel"));
        assert_eq!(
            replies[15..18],
            [error(104, "not found"), error(104, "not found"), error(104, "not found")]
        );
        assert_eq!(replies[18], error(107, "bad request"));
        assert_eq!(replies.len(), 19);
    }
}

#[tokio::test]
async fn commands_of_a_batch_take_effect_in_order() {
    let (_server, mut caller) = served().await;
    let commands: Vec<_> =
        (1..=200).map(|n| json!({"publish": {"channel": "streams:a", "data": n}})).collect();
    let answer = caller.call("batch", &json!({"commands": commands})).await;
    let offsets: Vec<_> = answer["replies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reply| reply["publish"]["offset"].as_u64().unwrap())
        .collect();
    assert_eq!(offsets, (1..=200).collect::<Vec<_>>());
    let parallel = caller.call("batch", &json!({"commands": commands, "parallel": true})).await;
    assert_eq!(parallel["replies"].as_array().unwrap().len(), 200);
}

#[tokio::test]
async fn commands_of_a_parallel_batch_do_not_wait_for_each_other() {
    let meeting = Arc::new(Barrier::new(2));
    let server = TestServer::built_with(
        |settings| settings.http_api.key = KEY.into(),
        |builder| {
            builder.on_rpc("meet", move |_| {
                let meeting = Arc::clone(&meeting);
                async move {
                    meeting.wait().await;
                    Ok("1".into())
                }
            })
        },
    )
    .await;
    let meet = json!({"rpc": {"method": "meet"}});
    let body = json!({"commands": [meet, meet], "parallel": true});
    let answer = Caller::of(&server).await.call("batch", &body).await;
    let met = json!({"rpc": {"data": 1}});
    assert_eq!(answer["replies"], json!([met, met]));
}

#[tokio::test]
async fn what_is_left_of_a_batch_at_the_deadline_is_not_carried_out() {
    let server = TestServer::built_with(
        |settings| {
            settings.http_api.key = KEY.into();
            settings.http_api.request_timeout = Duration::from_millis(100);
        },
        |builder| builder.on_rpc("never", |_| std::future::pending()),
    )
    .await;
    let publish = json!({"publish": {"channel": "news", "data": 1}});
    let body = json!({"commands": [publish, {"rpc": {"method": "never"}}, publish]});
    let mut caller = Caller::of(&server).await;
    let answer = caller.call("batch", &body).await;
    let failed = json!({"error": {"code": 100, "message": "internal server error"}});
    assert_eq!(answer["replies"][0]["publish"]["offset"], 1);
    assert_eq!(answer["replies"].as_array().unwrap()[1..], [failed.clone(), failed]);
    let history = caller.result("history", &json!({"channel": "news"})).await;
    assert_eq!(history["offset"], 1);
}

#[tokio::test]
async fn an_empty_batch_has_no_replies() {
    let (_server, mut caller) = served().await;
    assert_eq!(caller.call("batch", &json!({})).await, json!({"replies": []}));
    assert_eq!(caller.ask("batch", r#"{"commands":1}"#).await.status, 400);
}

#[tokio::test]
async fn a_pipeline_of_old_is_answered_line_by_line() {
    let (_server, mut caller) = served().await;
    let lines = [
        r#"{"id":1,"method":"publish","params":{"channel":"streams:a","data":1}}"#,
        r#"{"id":2,"method":"PUBLISH","params":{"channel":"nowhere:x","data":1}}"#,
        r#"{"method":4,"params":{"channel":"streams:a"}}"#,
        r#"{"id":4,"method":"nonsense"}"#,
        r#"{"id":5,"method":99}"#,
        r#"{"id":6,"method":"info"}"#,
    ];
    caller.send(request("/api", &format!("X-API-Key: {KEY}\r\n"), &lines.join("\n"))).await;
    let answer = caller.answer().await;
    assert_eq!(answer.status, 200);
    let replies: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&replies[0]["id"], &replies[0]["result"]["offset"]), (&json!(1), &json!(1)));
    assert_eq!(replies[1], json!({"id": 2, "error": {"code": 102, "message": "unknown channel"}}));
    assert_eq!(replies[2], json!({"result": {"presence": {}}}));
    assert_eq!(replies[3], json!({"id": 4, "error": {"code": 104, "message": "not found"}}));
    assert_eq!(replies[4], json!({"id": 5, "error": {"code": 104, "message": "not found"}}));
    assert!(replies[5]["result"]["nodes"].is_array());
    assert_eq!(replies.len(), 6);

    for broken in ["", "\n", "nonsense", "{\"method\":\"info\"}\nnonsense"] {
        caller.send(request("/api", &format!("X-API-Key: {KEY}\r\n"), broken)).await;
        assert_eq!(caller.answer().await.status, 400, "{broken}");
    }
}
