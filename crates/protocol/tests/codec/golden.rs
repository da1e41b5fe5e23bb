//! One JSON line for each message, in both directions: first with every field set, then with none.

use std::collections::BTreeMap;

use throng_protocol::*;

use crate::{answer, commands, encoded_command, encoded_reply, push, replies, request};

fn info() -> ClientInfo {
    ClientInfo {
        user: "42".into(),
        client: "c1".into(),
        conn_info: r#"{"n":1}"#.into(),
        chan_info: "[]".into(),
    }
}

fn publication() -> Publication {
    Publication {
        data: r#"{"n":6}"#.into(),
        info: Some(info()),
        offset: 6,
        tags: BTreeMap::from([("k".into(), "v".into())]),
        delta: true,
        time: -1,
        channel: "news:1".into(),
        key: "key".into(),
        removed: true,
        score: -2,
        epoch: "xyz".into(),
        version: u64::MAX,
    }
}

const PUBLICATION: &str = r#"{"data":{"n":6},"info":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":[]},"offset":6,"tags":{"k":"v"},"delta":true,"time":-1,"channel":"news:1","key":"key","removed":true,"score":-2,"epoch":"xyz","version":18446744073709551615}"#;

fn subscribe_request() -> SubscribeRequest {
    let leaf = FilterNode {
        key: "k".into(),
        cmp: "in".into(),
        val: "v".into(),
        vals: vec!["a".into(), "b".into()],
        ..Default::default()
    };
    SubscribeRequest {
        channel: "news".into(),
        token: "t".into(),
        recover: true,
        epoch: "xyz".into(),
        offset: 4,
        data: "1".into(),
        positioned: true,
        recoverable: true,
        join_leave: true,
        delta: "fossil".into(),
        tf: Some(Box::new(FilterNode { op: "not".into(), nodes: vec![leaf], ..Default::default() })),
        flag: 3,
        kind: 1,
    }
}

const SUBSCRIBE_REQUEST: &str = r#"{"channel":"news","token":"t","recover":true,"epoch":"xyz","offset":4,"data":1,"positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","tf":{"op":"not","nodes":[{"key":"k","cmp":"in","val":"v","vals":["a","b"]}]},"flag":3,"type":1}"#;

fn subscribe_result() -> SubscribeResult {
    SubscribeResult {
        expires: true,
        ttl: 60,
        recoverable: true,
        epoch: "xyz".into(),
        publications: vec![Publication { data: "5".into(), offset: 5, ..Default::default() }],
        recovered: true,
        offset: 4,
        positioned: true,
        data: "\"s\"".into(),
        was_recovering: true,
        delta: true,
        kind: 4,
    }
}

const SUBSCRIBE_RESULT: &str = r#"{"expires":true,"ttl":60,"recoverable":true,"epoch":"xyz","publications":[{"data":5,"offset":5}],"recovered":true,"offset":4,"positioned":true,"data":"s","was_recovering":true,"delta":true,"type":4}"#;

fn check_command(body: impl Into<Request>, json: &str) {
    let (command, line) = (request(7, body), format!(r#"{{"id":7,{json}}}"#));
    assert_eq!(encoded_command(Format::Json, &command), line);
    assert_eq!(commands(Format::Json, line.as_bytes()), Ok(vec![command]));
}

fn check_reply(reply: &Reply, line: &str) {
    assert_eq!(encoded_reply(Format::Json, reply), line);
    assert_eq!(replies(Format::Json, line.as_bytes()).as_deref(), Ok(std::slice::from_ref(reply)));
}

fn check_outcome(outcome: impl Into<Outcome>, json: &str) {
    check_reply(&answer(7, outcome), &format!(r#"{{"id":7,{json}}}"#));
}

fn check_push(event: impl Into<PushEvent>, json: &str) {
    check_reply(&push("news", event), &format!(r#"{{"push":{{"channel":"news",{json}}}}}"#));
}

#[test]
fn connect_request() {
    let full = ConnectRequest {
        token: "t".into(),
        data: "{}".into(),
        subs: BTreeMap::from([("news".into(), subscribe_request()), ("old".into(), Default::default())]),
        name: "js".into(),
        version: "5".into(),
        headers: BTreeMap::from([("X-A".into(), "b".into())]),
        flag: 1,
        dict: "d".into(),
        profile: "p".into(),
    };
    let line = format!(
        r#""connect":{{"token":"t","data":{{}},"subs":{{"news":{SUBSCRIBE_REQUEST},"old":{{}}}},"name":"js","version":"5","headers":{{"X-A":"b"}},"flag":1,"dict":"d","profile":"p"}}"#
    );
    check_command(full, &line);
    check_command(ConnectRequest::default(), r#""connect":{}"#);
}

#[test]
fn requests_about_a_channel() {
    let channel = || "news".to_owned();
    check_command(subscribe_request(), &format!(r#""subscribe":{SUBSCRIBE_REQUEST}"#));
    check_command(UnsubscribeRequest { channel: channel() }, r#""unsubscribe":{"channel":"news"}"#);
    let publish =
        PublishRequest { channel: channel(), data: "[1]".into(), kind: 1, key: "k".into(), removed: true };
    check_command(publish, r#""publish":{"channel":"news","data":[1],"type":1,"key":"k","removed":true}"#);
    check_command(PresenceRequest { channel: channel() }, r#""presence":{"channel":"news"}"#);
    check_command(PresenceStatsRequest { channel: channel() }, r#""presence_stats":{"channel":"news"}"#);
    let since = Some(StreamPosition { offset: 2, epoch: "xyz".into() });
    let history = HistoryRequest { channel: channel(), limit: -1, since, reverse: true };
    check_command(
        history,
        r#""history":{"channel":"news","limit":-1,"since":{"offset":2,"epoch":"xyz"},"reverse":true}"#,
    );
    let refresh = SubRefreshRequest { channel: channel(), token: "t".into(), kind: 2 };
    check_command(refresh, r#""sub_refresh":{"channel":"news","token":"t","type":2}"#);
}

#[test]
fn requests_about_no_channel() {
    let rpc = RpcRequest { data: "[1,2]".into(), method: "sum".into() };
    check_command(rpc, r#""rpc":{"data":[1,2],"method":"sum"}"#);
    check_command(RefreshRequest { token: "t".into() }, r#""refresh":{"token":"t"}"#);
    let send = Command::Send(SendRequest { data: "{}".into() });
    assert_eq!(encoded_command(Format::Json, &send), r#"{"send":{"data":{}}}"#);
    assert_eq!(encoded_command(Format::Json, &Command::Pong), "{}");
}

#[test]
fn connect_result() {
    let full = ConnectResult {
        client: "c1".into(),
        version: "0.1".into(),
        expires: true,
        ttl: 60,
        data: "{}".into(),
        subs: BTreeMap::from([("news".into(), subscribe_result()), ("old".into(), Default::default())]),
        ping: 25,
        pong: true,
        session: "s".into(),
        node: "n".into(),
        time: 1,
        flag: 1,
        dict: Some(Dictionary { id: "d".into(), data: "1".into(), data_b64: "MQ==".into() }),
    };
    let line = format!(
        r#""connect":{{"client":"c1","version":"0.1","expires":true,"ttl":60,"data":{{}},"subs":{{"news":{SUBSCRIBE_RESULT},"old":{{}}}},"ping":25,"pong":true,"session":"s","node":"n","time":1,"flag":1,"dict":{{"id":"d","data":1,"data_b64":"MQ=="}}}}"#
    );
    check_outcome(full, &line);
    check_outcome(ConnectResult::default(), r#""connect":{}"#);
}

#[test]
fn results_about_a_channel() {
    check_outcome(subscribe_result(), &format!(r#""subscribe":{SUBSCRIBE_RESULT}"#));
    check_outcome(SubscribeResult::default(), r#""subscribe":{}"#);
    check_outcome(UnsubscribeResult {}, r#""unsubscribe":{}"#);
    check_outcome(PublishResult {}, r#""publish":{}"#);
    let presence = BTreeMap::from([("c1".into(), info()), ("c2".into(), ClientInfo::default())]);
    check_outcome(
        PresenceResult { presence },
        r#""presence":{"presence":{"c1":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":[]},"c2":{"user":"","client":""}}}"#,
    );
    check_outcome(PresenceResult::default(), r#""presence":{"presence":{}}"#);
    let stats = PresenceStatsResult { num_clients: 3, num_users: 2 };
    check_outcome(stats, r#""presence_stats":{"num_clients":3,"num_users":2}"#);
    check_outcome(PresenceStatsResult::default(), r#""presence_stats":{"num_clients":0,"num_users":0}"#);
    let history = HistoryResult { publications: vec![publication()], epoch: "xyz".into(), offset: 6 };
    check_outcome(
        history,
        &format!(r#""history":{{"publications":[{PUBLICATION}],"epoch":"xyz","offset":6}}"#),
    );
    check_outcome(HistoryResult::default(), r#""history":{"publications":[],"epoch":"","offset":0}"#);
    check_outcome(SubRefreshResult { expires: true, ttl: 60 }, r#""sub_refresh":{"expires":true,"ttl":60}"#);
    check_outcome(SubRefreshResult::default(), r#""sub_refresh":{}"#);
}

#[test]
fn results_about_no_channel() {
    check_outcome(RpcResult { data: "3".into() }, r#""rpc":{"data":3}"#);
    check_outcome(RpcResult::default(), r#""rpc":{}"#);
    let refresh = RefreshResult { client: "c1".into(), version: "0.1".into(), expires: true, ttl: 60 };
    check_outcome(refresh, r#""refresh":{"client":"c1","version":"0.1","expires":true,"ttl":60}"#);
    check_outcome(RefreshResult::default(), r#""refresh":{}"#);
}

#[test]
fn errors() {
    let error = |code: ErrorCode| Reply::Answer { id: 7, outcome: Err(code.into()) };
    check_reply(
        &error(ErrorCode::Internal),
        r#"{"id":7,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
    );
    check_reply(
        &error(ErrorCode::NotAvailable),
        r#"{"id":7,"error":{"code":108,"message":"not available"}}"#,
    );
}

#[test]
fn pushes_about_a_channel() {
    check_push(publication(), &format!(r#""pub":{PUBLICATION}"#));
    check_push(Publication::default(), r#""pub":{}"#);
    let who = r#"{"info":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":[]}}"#;
    check_push(Join { info: Some(info()) }, &format!(r#""join":{who}"#));
    check_push(Leave { info: Some(info()) }, &format!(r#""leave":{who}"#));
    check_push(Leave { info: None }, r#""leave":{}"#);
    check_push(
        Unsubscribe::from(UnsubscribeCode::Server),
        r#""unsubscribe":{"code":2000,"reason":"server unsubscribe"}"#,
    );
    let subscribe =
        Subscribe { recoverable: true, epoch: "xyz".into(), offset: 6, positioned: true, data: "{}".into() };
    check_push(
        subscribe,
        r#""subscribe":{"recoverable":true,"epoch":"xyz","offset":6,"positioned":true,"data":{}}"#,
    );
    check_push(Subscribe::default(), r#""subscribe":{}"#);
}

#[test]
fn pushes_about_the_connection() {
    let check = |event: PushEvent, json: &str| {
        check_reply(&push("", event), &format!(r#"{{"push":{{{json}}}}}"#));
    };
    check(Message { data: r#"{"hi":1}"#.into() }.into(), r#""message":{"data":{"hi":1}}"#);
    let connect = Connect {
        client: "c1".into(),
        version: "0.1".into(),
        data: "1".into(),
        subs: BTreeMap::from([("news".into(), subscribe_result())]),
        expires: true,
        ttl: 60,
        ping: 25,
        pong: true,
        session: "s".into(),
        node: "n".into(),
        time: 1,
    };
    check(
        connect.into(),
        &format!(
            r#""connect":{{"client":"c1","version":"0.1","data":1,"subs":{{"news":{SUBSCRIBE_RESULT}}},"expires":true,"ttl":60,"ping":25,"pong":true,"session":"s","node":"n","time":1}}"#
        ),
    );
    let disconnect = Disconnect { code: 3001, reason: "shutdown".into(), reconnect: true };
    check(disconnect.into(), r#""disconnect":{"code":3001,"reason":"shutdown","reconnect":true}"#);
    check(Refresh { expires: true, ttl: 300 }.into(), r#""refresh":{"expires":true,"ttl":300}"#);
    check(Refresh::default().into(), r#""refresh":{}"#);
    check_reply(&Reply::Ping, "{}");
}
