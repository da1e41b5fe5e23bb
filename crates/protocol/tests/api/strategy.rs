//! Any request and any response. Payloads are JSON without superfluous white space, so that they survive unchanged.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use throng_protocol::api::*;
use throng_protocol::{
    ClientInfo, ErrorCode, Payload, PresenceRequest, PresenceResult, PresenceStatsRequest,
    PresenceStatsResult, RpcResult, StreamPosition,
};

fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[a-z:#$]{1,8}", any::<String>()].boxed()
}

fn payload() -> BoxedStrategy<Payload> {
    let texts = text().prop_map(|text| serde_json::Value::from(text).to_string());
    prop_oneof![
        Just(Payload::default()),
        Just(Payload::from("null")),
        any::<i64>().prop_map(|number| number.to_string().into()),
        texts.clone().prop_map(Payload::from),
        vec(texts, 0..3).prop_map(|texts| format!("[{}]", texts.join(",")).into()),
    ]
    .boxed()
}

fn map<V: std::fmt::Debug>(value: impl Strategy<Value = V>) -> impl Strategy<Value = BTreeMap<String, V>> {
    btree_map(text(), value, 0..3)
}

fn position() -> impl Strategy<Value = Option<StreamPosition>> {
    option::of((any::<u64>(), text()).prop_map(|(offset, epoch)| StreamPosition { offset, epoch }))
}

/// Numbers that serde_json, which is not exact without being asked, reads as they are.
fn double() -> impl Strategy<Value = Double> {
    any::<i32>().prop_map(|eighths| Double(f64::from(eighths) / 8.0))
}

prop_compose! {
    fn publish()(
        (channel, data, b64data, skip_history) in (text(), payload(), text(), any::<bool>()),
        (tags, idempotency_key, delta, version) in (map(text()), text(), any::<bool>(), any::<u64>()),
        (version_epoch, key) in (text(), text()),
    ) -> PublishRequest {
        PublishRequest {
            channel, data, b64data, skip_history, tags, idempotency_key, delta, version, version_epoch, key,
        }
    }
}

fn broadcast() -> impl Strategy<Value = BroadcastRequest> {
    (vec(text(), 0..4), publish()).prop_map(|(channels, publish)| BroadcastRequest {
        channels,
        data: publish.data,
        b64data: publish.b64data,
        skip_history: publish.skip_history,
        tags: publish.tags,
        idempotency_key: publish.idempotency_key,
        delta: publish.delta,
        version: publish.version,
        version_epoch: publish.version_epoch,
        key: publish.key,
    })
}

fn choice() -> impl Strategy<Value = Option<BoolValue>> {
    option::of(any::<bool>().prop_map(|value| BoolValue { value }))
}

prop_compose! {
    fn overrides()(
        presence in choice(), join_leave in choice(), force_recovery in choice(), force_positioning in choice(),
        force_push_join_leave in choice(),
    ) -> Override {
        Override { presence, join_leave, force_recovery, force_positioning, force_push_join_leave }
    }
}

prop_compose! {
    fn subscribe()(
        (channel, user, expire_at, info) in (text(), text(), any::<i64>(), payload()),
        (b64info, client, data, b64data) in (text(), text(), payload(), text()),
        (recover_since, overrides, session) in (position(), option::of(overrides()), text()),
    ) -> SubscribeRequest {
        SubscribeRequest {
            channel, user, expire_at, info, b64info, client, data, b64data, recover_since, overrides, session,
        }
    }
}

fn disconnect() -> impl Strategy<Value = DisconnectRequest> {
    let disconnect = (any::<u32>(), text()).prop_map(|(code, reason)| Disconnect { code, reason });
    (text(), option::of(disconnect), text(), vec(text(), 0..3), text()).prop_map(
        |(user, disconnect, client, whitelist, session)| DisconnectRequest {
            user,
            disconnect,
            client,
            whitelist,
            session,
        },
    )
}

fn revocation() -> BoxedStrategy<ApiCommand> {
    let named = || (text(), any::<i64>());
    prop_oneof![
        named().prop_map(|(uid, expire_at)| RevokeTokenRequest { uid, expire_at }.into()),
        (text(), any::<i64>(), any::<i64>()).prop_map(|(user, issued_before, expire_at)| {
            InvalidateUserTokensRequest { user, issued_before, expire_at }.into()
        }),
        any::<(i64, i64)>().prop_map(|(issued_before, expire_at)| {
            InvalidateTokensRequest { issued_before, expire_at }.into()
        }),
        named().prop_map(|(user, expire_at)| RevokeUserRequest { user, expire_at }.into()),
        (text(), named()).prop_map(|(channel, (user, expire_at))| {
            RevokeChannelRequest { user, channel, expire_at }.into()
        }),
        named().prop_map(|(user, expire_at)| BlockUserRequest { user, expire_at }.into()),
        text().prop_map(|user| UnblockUserRequest { user }.into()),
        (text(), text(), text(), any::<bool>()).prop_map(|(uid, user, channel, issued_before)| {
            PardonRequest { uid, user, channel, issued_before }.into()
        }),
        (text(), any::<u32>()).prop_map(|(user, limit)| RevocationsRequest { user, limit }.into()),
    ]
    .boxed()
}

fn command() -> BoxedStrategy<ApiCommand> {
    prop_oneof![
        publish().prop_map(ApiCommand::from),
        broadcast().prop_map(ApiCommand::from),
        subscribe().prop_map(ApiCommand::from),
        (text(), text(), text(), text()).prop_map(|(channel, user, client, session)| {
            UnsubscribeRequest { channel, user, client, session }.into()
        }),
        disconnect().prop_map(ApiCommand::from),
        text().prop_map(|channel| PresenceRequest { channel }.into()),
        text().prop_map(|channel| PresenceStatsRequest { channel }.into()),
        (text(), any::<i32>(), position(), any::<bool>()).prop_map(|(channel, limit, since, reverse)| {
            HistoryRequest { channel, limit, since, reverse }.into()
        }),
        text().prop_map(|channel| HistoryRemoveRequest { channel }.into()),
        Just(InfoRequest {}.into()),
        (text(), payload()).prop_map(|(method, params)| RpcRequest { method, params }.into()),
        (text(), text(), any::<bool>(), any::<i64>(), payload(), text()).prop_map(
            |(user, client, expired, expire_at, info, session)| {
                RefreshRequest { user, client, expired, expire_at, info, session }.into()
            }
        ),
        text().prop_map(|pattern| ChannelsRequest { pattern }.into()),
        any::<u32>().prop_map(|limit| SlowClientsRequest { limit }.into()),
        revocation(),
    ]
    .boxed()
}

pub(crate) fn request() -> BoxedStrategy<ApiRequest> {
    let entry = prop_oneof![
        8 => command().prop_map(Ok),
        1 => Just(Err(ErrorCode::MethodNotFound)),
        1 => Just(Err(ErrorCode::BadRequest)),
    ];
    prop_oneof![
        8 => command().prop_map(ApiRequest::from),
        1 => (vec(entry, 0..5), any::<bool>())
            .prop_map(|(commands, parallel)| BatchRequest { commands, parallel }.into()),
    ]
    .boxed()
}

fn error() -> impl Strategy<Value = ApiError> {
    (any::<u32>(), text()).prop_map(|(code, message)| ApiError { code, message: message.into() })
}

fn published() -> impl Strategy<Value = PublishResult> {
    (any::<u64>(), text()).prop_map(|(offset, epoch)| PublishResult { offset, epoch })
}

fn response() -> impl Strategy<Value = PublishResponse> {
    prop_oneof![published().prop_map(PublishResponse::from), error().prop_map(PublishResponse::from)]
}

fn info() -> impl Strategy<Value = ClientInfo> {
    (text(), text(), payload(), payload()).prop_map(|(user, client, conn_info, chan_info)| ClientInfo {
        user,
        client,
        conn_info,
        chan_info,
    })
}

fn publication() -> impl Strategy<Value = Publication> {
    (payload(), option::of(info()), any::<u64>(), map(text()), text())
        .prop_map(|(data, info, offset, tags, b64data)| Publication { data, info, offset, tags, b64data })
}

prop_compose! {
    fn node()(
        (uid, name, version) in (text(), text(), text()),
        (num_clients, num_users, num_channels, uptime, num_subs) in any::<(u32, u32, u32, u32, u32)>(),
        metrics in option::of((double(), map(double())).prop_map(|(interval, items)| Metrics { interval, items })),
        process in option::of((double(), any::<i64>()).prop_map(|(cpu, rss)| Process { cpu, rss })),
    ) -> NodeInfo {
        NodeInfo { uid, name, version, num_clients, num_users, num_channels, uptime, metrics, process, num_subs }
    }
}

fn slow() -> impl Strategy<Value = SlowClient> {
    (text(), text(), any::<(u64, u64)>()).prop_map(|(client, user, (bytes, messages))| SlowClient {
        client,
        user,
        bytes,
        messages,
    })
}

fn revoked() -> impl Strategy<Value = RevocationInfo> {
    (text(), text(), text(), text(), any::<(i64, i64)>()).prop_map(
        |(kind, uid, user, channel, (issued_before, expire_at))| RevocationInfo {
            kind,
            uid,
            user,
            channel,
            issued_before,
            expire_at,
        },
    )
}

fn reply() -> BoxedStrategy<ApiReply> {
    prop_oneof![
        error().prop_map(ApiReply::from),
        published().prop_map(ApiReply::from),
        vec(response(), 0..4).prop_map(|responses| BroadcastResult { responses }.into()),
        Just(SubscribeResult {}.into()),
        Just(UnsubscribeResult {}.into()),
        Just(DisconnectResult {}.into()),
        map(info()).prop_map(|presence| PresenceResult { presence }.into()),
        any::<(u32, u32)>()
            .prop_map(|(num_clients, num_users)| { PresenceStatsResult { num_clients, num_users }.into() }),
        (vec(publication(), 0..3), text(), any::<u64>())
            .prop_map(|(publications, epoch, offset)| HistoryResult { publications, epoch, offset }.into()),
        Just(HistoryRemoveResult {}.into()),
        vec(node(), 0..3).prop_map(|nodes| InfoResult { nodes }.into()),
        payload().prop_map(|data| RpcResult { data }.into()),
        Just(RefreshResult {}.into()),
        map(any::<u32>().prop_map(|num_clients| ChannelInfo { num_clients }))
            .prop_map(|channels| ChannelsResult { channels }.into()),
        vec(slow(), 0..3).prop_map(|clients| SlowClientsResult { clients }.into()),
        Just(RevokeTokenResult {}.into()),
        Just(InvalidateUserTokensResult {}.into()),
        Just(InvalidateTokensResult {}.into()),
        Just(RevokeUserResult {}.into()),
        Just(RevokeChannelResult {}.into()),
        Just(BlockUserResult {}.into()),
        Just(UnblockUserResult {}.into()),
        any::<bool>().prop_map(|pardoned| PardonResult { pardoned }.into()),
        (vec(revoked(), 0..3), any::<u32>()).prop_map(|(revocations, total)| RevocationsResult {
            revocations,
            total
        }
        .into()),
    ]
    .boxed()
}

/// A response, and a method that it may answer.
pub(crate) fn answer() -> BoxedStrategy<(&'static str, ApiResponse)> {
    let methods: Vec<_> = ApiRequest::methods().collect();
    prop_oneof![
        8 => (reply(), prop::sample::select(methods)).prop_map(|(reply, method)| match reply {
            ApiReply::Error(_) => (method, reply.into()),
            _ => (reply.name(), reply.into()),
        }),
        1 => vec(reply(), 0..5).prop_map(|replies| ("batch", BatchResult { replies }.into())),
    ]
    .boxed()
}
