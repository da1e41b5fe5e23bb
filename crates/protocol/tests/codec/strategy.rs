//! Any command and any reply. Payloads are JSON without superfluous white space, so that they survive both formats
//! and a trip through serde_json unchanged. The strategies are boxed where their value trees would fill the stack.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use throng_protocol::*;

pub(crate) fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[a-z:#$]{1,8}", any::<String>(), r#"["\\\n\r\t\x00-\x20/é😀]{1,6}"#]
        .boxed()
}

pub(crate) fn payload() -> BoxedStrategy<Payload> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        text().prop_map(Into::into),
    ];
    let json = leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Into::into),
            btree_map(text(), inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    });
    option::of(json)
        .prop_map(|json| json.map_or_else(Payload::default, |json| json.to_string().into()))
        .boxed()
}

fn map<V: std::fmt::Debug>(value: impl Strategy<Value = V>) -> impl Strategy<Value = BTreeMap<String, V>> {
    btree_map(text(), value, 0..3)
}

prop_compose! {
    fn info()(user in text(), client in text(), conn_info in payload(), chan_info in payload()) -> ClientInfo {
        ClientInfo { user, client, conn_info, chan_info }
    }
}

prop_compose! {
    pub(crate) fn publication()(
        (data, info, offset, tags) in (payload(), option::of(info()), any::<u64>(), map(text())),
        (delta, time, channel, key) in (any::<bool>(), any::<i64>(), text(), text()),
        (removed, score, epoch, version) in (any::<bool>(), any::<i64>(), text(), any::<u64>()),
    ) -> Publication {
        Publication { data, info, offset, tags, delta, time, channel, key, removed, score, epoch, version }
    }
}

fn filter() -> impl Strategy<Value = FilterNode> {
    let leaf = (text(), text(), text(), vec(text(), 0..3)).prop_map(|(key, cmp, val, vals)| FilterNode {
        key,
        cmp,
        val,
        vals,
        ..Default::default()
    });
    leaf.prop_recursive(5, 12, 3, |inner| {
        (text(), vec(inner, 0..3)).prop_map(|(op, nodes)| FilterNode { op, nodes, ..Default::default() })
    })
}

prop_compose! {
    fn subscribe_request()(
        (channel, token, recover, epoch) in (text(), text(), any::<bool>(), text()),
        (offset, data, positioned, recoverable) in (any::<u64>(), payload(), any::<bool>(), any::<bool>()),
        (join_leave, delta, tf, flag, kind) in
            (any::<bool>(), text(), option::of(filter().prop_map(Box::new)), any::<i64>(), any::<i32>()),
    ) -> SubscribeRequest {
        SubscribeRequest {
            channel, token, recover, epoch, offset, data, positioned, recoverable, join_leave, delta, tf, flag, kind,
        }
    }
}

prop_compose! {
    fn connect_request()(
        (token, data, subs, name) in (text(), payload(), map(subscribe_request()), text()),
        (version, headers, flag, dict, profile) in (text(), map(text()), any::<i64>(), text(), text()),
    ) -> ConnectRequest {
        ConnectRequest { token, data, subs, name, version, headers, flag, dict, profile }
    }
}

prop_compose! {
    fn publish_request()(
        channel in text(), data in payload(), kind in any::<i32>(), key in text(), removed in any::<bool>(),
    ) -> PublishRequest {
        PublishRequest { channel, data, kind, key, removed }
    }
}

prop_compose! {
    fn history_request()(
        channel in text(), limit in any::<i32>(), since in option::of((any::<u64>(), text())), reverse in any::<bool>(),
    ) -> HistoryRequest {
        let since = since.map(|(offset, epoch)| StreamPosition { offset, epoch });
        HistoryRequest { channel, limit, since, reverse }
    }
}

fn any_request() -> BoxedStrategy<Request> {
    prop_oneof![
        connect_request().prop_map(Request::from),
        subscribe_request().prop_map(Request::from),
        text().prop_map(|channel| UnsubscribeRequest { channel }.into()),
        publish_request().prop_map(Request::from),
        text().prop_map(|channel| PresenceRequest { channel }.into()),
        text().prop_map(|channel| PresenceStatsRequest { channel }.into()),
        history_request().prop_map(Request::from),
        (payload(), text()).prop_map(|(data, method)| RpcRequest { data, method }.into()),
        text().prop_map(|token| RefreshRequest { token }.into()),
        (text(), text(), any::<i32>()).prop_map(|(channel, token, kind)| SubRefreshRequest {
            channel,
            token,
            kind
        }
        .into()),
    ]
    .boxed()
}

pub(crate) fn command() -> BoxedStrategy<Command> {
    prop_oneof![
        1 => Just(Command::Pong),
        1 => payload().prop_map(|data| Command::Send(SendRequest { data })),
        20 => (1..=u32::MAX, any_request()).prop_map(|(id, request)| Command::Request { id, request }),
    ]
    .boxed()
}

prop_compose! {
    fn subscribe_result()(
        (expires, ttl, recoverable, epoch) in (any::<bool>(), any::<u32>(), any::<bool>(), text()),
        (publications, recovered, offset, positioned) in
            (vec(publication(), 0..3), any::<bool>(), any::<u64>(), any::<bool>()),
        (data, was_recovering, delta, kind) in (payload(), any::<bool>(), any::<bool>(), any::<i32>()),
    ) -> SubscribeResult {
        SubscribeResult {
            expires, ttl, recoverable, epoch, publications, recovered, offset, positioned, data, was_recovering, delta,
            kind,
        }
    }
}

prop_compose! {
    fn connect()(
        (client, version, data, subs) in (text(), text(), payload(), map(subscribe_result())),
        (expires, ttl, ping, pong) in (any::<bool>(), any::<u32>(), any::<u32>(), any::<bool>()),
        (session, node, time) in (text(), text(), any::<i64>()),
    ) -> Connect {
        Connect { client, version, data, subs, expires, ttl, ping, pong, session, node, time }
    }
}

prop_compose! {
    fn connect_result()(
        welcome in connect(), flag in any::<i64>(), dict in option::of((text(), payload(), text())),
    ) -> ConnectResult {
        let Connect { client, version, data, subs, expires, ttl, ping, pong, session, node, time } = welcome;
        let dict = dict.map(|(id, data, data_b64)| Dictionary { id, data, data_b64 });
        ConnectResult { client, version, expires, ttl, data, subs, ping, pong, session, node, time, flag, dict }
    }
}

fn outcome() -> BoxedStrategy<Outcome> {
    prop_oneof![
        connect_result().prop_map(Outcome::from),
        subscribe_result().prop_map(Outcome::from),
        Just(UnsubscribeResult {}.into()),
        Just(PublishResult {}.into()),
        map(info()).prop_map(|presence| PresenceResult { presence }.into()),
        any::<(u32, u32)>().prop_map(|(num_clients, num_users)| PresenceStatsResult {
            num_clients,
            num_users
        }
        .into()),
        (vec(publication(), 0..3), text(), any::<u64>())
            .prop_map(|(publications, epoch, offset)| HistoryResult { publications, epoch, offset }.into()),
        payload().prop_map(|data| RpcResult { data }.into()),
        (text(), text(), any::<bool>(), any::<u32>()).prop_map(|(client, version, expires, ttl)| {
            RefreshResult { client, version, expires, ttl }.into()
        }),
        any::<(bool, u32)>().prop_map(|(expires, ttl)| SubRefreshResult { expires, ttl }.into()),
    ]
    .boxed()
}

fn event() -> BoxedStrategy<PushEvent> {
    prop_oneof![
        4 => publication().prop_map(PushEvent::from),
        1 => option::of(info()).prop_map(|info| Join { info }.into()),
        1 => option::of(info()).prop_map(|info| Leave { info }.into()),
        1 => (any::<u32>(), text()).prop_map(|(code, reason)| Unsubscribe { code, reason }.into()),
        1 => payload().prop_map(|data| Message { data }.into()),
        1 => (any::<bool>(), text(), any::<u64>(), any::<bool>(), payload()).prop_map(
            |(recoverable, epoch, offset, positioned, data)| {
                Subscribe { recoverable, epoch, offset, positioned, data }.into()
            }
        ),
        1 => connect().prop_map(PushEvent::from),
        1 => (any::<u32>(), text(), any::<bool>())
            .prop_map(|(code, reason, reconnect)| Disconnect { code, reason, reconnect }.into()),
        1 => any::<(bool, u32)>().prop_map(|(expires, ttl)| Refresh { expires, ttl }.into()),
    ]
    .boxed()
}

fn error() -> impl Strategy<Value = ErrorReply> {
    (any::<u32>(), text(), any::<bool>()).prop_map(|(code, message, temporary)| ErrorReply {
        code,
        message: message.into(),
        temporary,
    })
}

pub(crate) fn reply() -> BoxedStrategy<Reply> {
    prop_oneof![
        1 => Just(Reply::Ping),
        10 => (text(), event()).prop_map(|(channel, event)| Reply::Push(Push { channel, event })),
        10 => (1..=u32::MAX, outcome()).prop_map(|(id, outcome)| Reply::Answer { id, outcome: Ok(outcome) }),
        2 => (1..=u32::MAX, error()).prop_map(|(id, error)| Reply::Answer { id, outcome: Err(error) }),
    ]
    .boxed()
}
