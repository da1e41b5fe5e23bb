//! One body for each method, in both directions: first with every field set, then with none.

use std::collections::BTreeMap;

use throng_protocol::api::*;
use throng_protocol::{
    ClientInfo, ErrorCode, ErrorReply, PresenceRequest, PresenceResult, PresenceStatsRequest,
    PresenceStatsResult, RpcResult, StreamPosition,
};

use crate::{encoded, request, response};

fn check_request(expected: impl Into<ApiCommand>, body: &str) {
    let expected = ApiRequest::from(expected.into());
    assert_eq!(encoded(|out| expected.encode_json(out)), body);
    assert_eq!(request(expected.method(), body), Ok(expected));
}

fn check_result(expected: impl Into<ApiReply>, result: &str) {
    let (reply, body) = (expected.into(), format!("{{\"result\":{result}}}"));
    let (method, expected) = (reply.name(), ApiResponse::from(reply));
    assert_eq!(encoded(|out| expected.encode_json(out)), body);
    assert_eq!(response(method, &body), Ok(expected));
}

fn position() -> StreamPosition {
    StreamPosition { offset: 2, epoch: "xyz".into() }
}

fn info() -> ClientInfo {
    ClientInfo {
        user: "42".into(),
        client: "c1".into(),
        conn_info: r#"{"n":1}"#.into(),
        chan_info: "[]".into(),
    }
}

#[test]
fn publish_and_broadcast() {
    let tags = || BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    let full = PublishRequest {
        channel: "news".into(),
        data: r#"{"n":1}"#.into(),
        b64data: "MQ==".into(),
        skip_history: true,
        tags: tags(),
        idempotency_key: "once".into(),
        delta: true,
        version: 7,
        version_epoch: "e".into(),
        key: "row".into(),
    };
    let rest = r#""data":{"n":1},"b64data":"MQ==","skip_history":true,"tags":{"k":"v"},"idempotency_key":"once","delta":true,"version":7,"version_epoch":"e","key":"row""#;
    check_request(full, &format!(r#"{{"channel":"news",{rest}}}"#));
    check_request(PublishRequest::default(), "{}");
    let full = BroadcastRequest {
        channels: vec!["a".into(), "b:1".into()],
        data: r#"{"n":1}"#.into(),
        b64data: "MQ==".into(),
        skip_history: true,
        tags: tags(),
        idempotency_key: "once".into(),
        delta: true,
        version: 7,
        version_epoch: "e".into(),
        key: "row".into(),
    };
    check_request(full, &format!(r#"{{"channels":["a","b:1"],{rest}}}"#));
    check_request(BroadcastRequest::default(), "{}");

    let published = || PublishResult { offset: 4, epoch: "nmxq".into() };
    check_result(published(), r#"{"offset":4,"epoch":"nmxq"}"#);
    check_result(PublishResult::default(), "{}");
    let responses =
        vec![Ok(published()), Ok(PublishResult::default()), Err(ErrorCode::UnknownChannel)].into_iter();
    check_result(
        BroadcastResult { responses: responses.map(PublishResponse::from).collect() },
        r#"{"responses":[{"result":{"offset":4,"epoch":"nmxq"}},{"result":{}},{"error":{"code":102,"message":"unknown channel"}}]}"#,
    );
    check_result(BroadcastResult::default(), r#"{"responses":[]}"#);
}

#[test]
fn requests_about_connections() {
    let yes = || Some(BoolValue { value: true });
    let subscribe = SubscribeRequest {
        channel: "news".into(),
        user: "42".into(),
        expire_at: 1_900_000_000,
        info: "1".into(),
        b64info: "MQ==".into(),
        client: "c1".into(),
        data: "2".into(),
        b64data: "Mg==".into(),
        recover_since: Some(position()),
        overrides: Some(Override {
            presence: yes(),
            join_leave: Some(BoolValue::default()),
            force_recovery: yes(),
            force_positioning: yes(),
            force_push_join_leave: yes(),
        }),
        session: "s".into(),
    };
    check_request(
        subscribe,
        r#"{"channel":"news","user":"42","expire_at":1900000000,"info":1,"b64info":"MQ==","client":"c1","data":2,"b64data":"Mg==","recover_since":{"offset":2,"epoch":"xyz"},"override":{"presence":{"value":true},"join_leave":{},"force_recovery":{"value":true},"force_positioning":{"value":true},"force_push_join_leave":{"value":true}},"session":"s"}"#,
    );
    check_request(SubscribeRequest::default(), "{}");
    let unsubscribe = UnsubscribeRequest {
        channel: "news".into(),
        user: "42".into(),
        client: "c1".into(),
        session: "s".into(),
    };
    check_request(unsubscribe, r#"{"channel":"news","user":"42","client":"c1","session":"s"}"#);
    let disconnect = DisconnectRequest {
        user: "42".into(),
        disconnect: Some(Disconnect { code: 4000, reason: "bye".into() }),
        client: "c1".into(),
        whitelist: vec!["c2".into(), "c3".into()],
        session: "s".into(),
    };
    check_request(
        disconnect,
        r#"{"user":"42","disconnect":{"code":4000,"reason":"bye"},"client":"c1","whitelist":["c2","c3"],"session":"s"}"#,
    );
    let refresh = RefreshRequest {
        user: "42".into(),
        client: "c1".into(),
        expired: true,
        expire_at: -1,
        info: "[]".into(),
        session: "s".into(),
    };
    check_request(
        refresh,
        r#"{"user":"42","client":"c1","expired":true,"expire_at":-1,"info":[],"session":"s"}"#,
    );
    check_result(SubscribeResult {}, "{}");
    check_result(UnsubscribeResult {}, "{}");
    check_result(DisconnectResult {}, "{}");
    check_result(RefreshResult {}, "{}");
}

#[test]
fn questions_about_a_channel() {
    let channel = || "news".to_owned();
    check_request(PresenceRequest { channel: channel() }, r#"{"channel":"news"}"#);
    check_request(PresenceStatsRequest { channel: channel() }, r#"{"channel":"news"}"#);
    let history = HistoryRequest { channel: channel(), limit: -1, since: Some(position()), reverse: true };
    check_request(
        history,
        r#"{"channel":"news","limit":-1,"since":{"offset":2,"epoch":"xyz"},"reverse":true}"#,
    );
    check_request(HistoryRemoveRequest { channel: channel() }, r#"{"channel":"news"}"#);

    let presence = BTreeMap::from([("c1".into(), info()), ("c2".into(), ClientInfo::default())]);
    check_result(
        PresenceResult { presence },
        r#"{"presence":{"c1":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":[]},"c2":{"user":"","client":""}}}"#,
    );
    check_result(PresenceResult::default(), r#"{"presence":{}}"#);
    check_result(PresenceStatsResult::default(), r#"{"num_clients":0,"num_users":0}"#);
    let full = Publication {
        data: "1".into(),
        info: Some(info()),
        offset: 6,
        tags: BTreeMap::from([("k".into(), "v".into())]),
        b64data: "/w==".into(),
    };
    check_result(
        HistoryResult { publications: vec![full, Publication::default()], epoch: "xyz".into(), offset: 6 },
        r#"{"publications":[{"data":1,"info":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":[]},"offset":6,"tags":{"k":"v"},"b64data":"/w=="},{}],"epoch":"xyz","offset":6}"#,
    );
    check_result(HistoryResult::default(), r#"{"publications":[],"epoch":"","offset":0}"#);
    check_result(HistoryRemoveResult {}, "{}");
}

#[test]
fn questions_about_no_channel() {
    check_request(ChannelsRequest { pattern: "news:*".into() }, r#"{"pattern":"news:*"}"#);
    check_request(ChannelsRequest::default(), "{}");
    check_request(InfoRequest {}, "{}");
    check_request(
        RpcRequest { method: "sum".into(), params: "[1,2]".into() },
        r#"{"method":"sum","params":[1,2]}"#,
    );

    let channels = BTreeMap::from([("news".into(), ChannelInfo { num_clients: 3 })]);
    check_result(ChannelsResult { channels }, r#"{"channels":{"news":{"num_clients":3}}}"#);
    check_result(ChannelsResult::default(), r#"{"channels":{}}"#);
    check_result(RpcResult { data: "3".into() }, r#"{"data":3}"#);
    let full = NodeInfo {
        uid: "u".into(),
        name: "n".into(),
        version: "0.1".into(),
        num_clients: 1,
        num_users: 2,
        num_channels: 3,
        uptime: 4,
        metrics: Some(Metrics {
            interval: Double(60.0),
            items: BTreeMap::from([("m".into(), Double(-1.5))]),
        }),
        process: Some(Process { cpu: Double(12.25), rss: 5 }),
        num_subs: 6,
    };
    check_result(
        InfoResult { nodes: vec![full, NodeInfo::default()] },
        r#"{"nodes":[{"uid":"u","name":"n","version":"0.1","num_clients":1,"num_users":2,"num_channels":3,"uptime":4,"metrics":{"interval":60,"items":{"m":-1.5}},"process":{"cpu":12.25,"rss":5},"num_subs":6},{"uid":"","name":"","version":"","num_clients":0,"num_users":0,"num_channels":0,"num_subs":0}]}"#,
    );
    check_result(InfoResult::default(), r#"{"nodes":[]}"#);

    check_request(SlowClientsRequest { limit: 3 }, r#"{"limit":3}"#);
    let slow = SlowClient { client: "c1".into(), user: "42".into(), bytes: 9, messages: 2 };
    check_result(
        SlowClientsResult { clients: vec![slow, SlowClient::default()] },
        r#"{"clients":[{"client":"c1","user":"42","bytes":9,"messages":2},{"client":"","user":"","bytes":0,"messages":0}]}"#,
    );
    check_result(SlowClientsResult::default(), r#"{"clients":[]}"#);
}

#[test]
fn batches() {
    let commands = vec![
        Ok(PublishRequest { channel: "a".into(), data: "{}".into(), ..Default::default() }.into()),
        Ok(InfoRequest {}.into()),
        Err(ErrorCode::MethodNotFound),
        Err(ErrorCode::BadRequest),
    ];
    let expected = ApiRequest::from(BatchRequest { commands, parallel: true });
    let body = r#"{"commands":[{"publish":{"channel":"a","data":{}}},{"info":{}},{},null],"parallel":true}"#;
    assert_eq!(encoded(|out| expected.encode_json(out)), body);
    assert_eq!(request("batch", body), Ok(expected));

    let replies = vec![
        PublishResult::default().into(),
        PresenceResult::default().into(),
        ErrorCode::MethodNotFound.into(),
        ErrorCode::BadRequest.into(),
    ];
    let expected = ApiResponse::from(BatchResult { replies });
    let body = r#"{"replies":[{"publish":{}},{"presence":{"presence":{}}},{"error":{"code":104,"message":"not found"}},{"error":{"code":107,"message":"bad request"}}]}"#;
    assert_eq!(encoded(|out| expected.encode_json(out)), body);
    assert_eq!(response("batch", body), Ok(expected));
    let empty = ApiResponse::from(BatchResult::default());
    assert_eq!(encoded(|out| empty.encode_json(out)), r#"{"replies":[]}"#);
}

#[test]
fn errors_have_code_and_message_and_answer_any_method() {
    let application = ErrorReply { code: 1000, message: "no".into(), temporary: true };
    for (error, json) in [
        (ApiError::from(ErrorCode::Internal), r#"{"code":100,"message":"internal server error"}"#),
        (ErrorCode::MethodNotFound.into(), r#"{"code":104,"message":"not found"}"#),
        (application.into(), r#"{"code":1000,"message":"no"}"#),
    ] {
        let (expected, body) =
            (ApiResponse::from(ApiReply::from(error.clone())), format!("{{\"error\":{json}}}"));
        assert_eq!(encoded(|out| expected.encode_json(out)), body);
        for method in ApiRequest::methods() {
            assert_eq!(response(method, &body), Ok(expected.clone()));
        }
        let failed = ApiReply::from(Err::<PublishResult, _>(error.clone()));
        assert_eq!(ApiResponse::from(failed), expected);
        assert_eq!(error.to_string(), format!("{} ({})", error.message, error.code));
    }
}

#[test]
fn requests_about_revocations() {
    let (uid, user, channel) = ("t1".to_owned(), "42".to_owned(), "news".to_owned());
    let revoke = RevokeTokenRequest { uid: uid.clone(), expire_at: 9 };
    check_request(revoke, r#"{"uid":"t1","expire_at":9}"#);
    check_request(RevokeTokenRequest::default(), "{}");
    let invalidate = InvalidateUserTokensRequest { user: user.clone(), issued_before: 5, expire_at: 9 };
    check_request(invalidate, r#"{"user":"42","issued_before":5,"expire_at":9}"#);
    let invalidate = InvalidateTokensRequest { issued_before: 5, expire_at: 9 };
    check_request(invalidate, r#"{"issued_before":5,"expire_at":9}"#);
    check_request(RevokeUserRequest { user: user.clone(), expire_at: 9 }, r#"{"user":"42","expire_at":9}"#);
    let revoke = RevokeChannelRequest { user: user.clone(), channel: channel.clone(), expire_at: 9 };
    check_request(revoke, r#"{"user":"42","channel":"news","expire_at":9}"#);
    check_request(BlockUserRequest { user: user.clone(), expire_at: 9 }, r#"{"user":"42","expire_at":9}"#);
    check_request(UnblockUserRequest { user: user.clone() }, r#"{"user":"42"}"#);
    let pardon = PardonRequest { uid, user: user.clone(), channel, issued_before: true };
    check_request(pardon, r#"{"uid":"t1","user":"42","channel":"news","issued_before":true}"#);
    check_request(RevocationsRequest { user, limit: 7 }, r#"{"user":"42","limit":7}"#);

    check_result(RevokeTokenResult {}, "{}");
    check_result(InvalidateUserTokensResult {}, "{}");
    check_result(InvalidateTokensResult {}, "{}");
    check_result(RevokeUserResult {}, "{}");
    check_result(RevokeChannelResult {}, "{}");
    check_result(BlockUserResult {}, "{}");
    check_result(UnblockUserResult {}, "{}");
    check_result(PardonResult::default(), r#"{"pardoned":false}"#);
    let token = RevocationInfo {
        kind: "token".into(),
        uid: "t1".into(),
        user: "42".into(),
        channel: "news".into(),
        issued_before: 5,
        expire_at: 9,
    };
    check_result(
        RevocationsResult { revocations: vec![token], total: 1 },
        r#"{"revocations":[{"kind":"token","uid":"t1","user":"42","channel":"news","issued_before":5,"expire_at":9}],"total":1}"#,
    );
    check_result(RevocationsResult::default(), r#"{"revocations":[],"total":0}"#);
}
