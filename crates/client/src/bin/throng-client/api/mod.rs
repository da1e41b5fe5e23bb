//! What a backend does: one method of the HTTP server API each time.

mod args;
mod http;
mod print;
mod revocation;

use bytes::{Bytes, BytesMut};
use throng_client::Payload;
use throng_protocol::{
    PresenceRequest, PresenceStatsRequest,
    api::{
        ApiCommand, ApiRequest, ApiResponse, BroadcastRequest, ChannelsRequest, Disconnect,
        DisconnectRequest, HistoryRemoveRequest, HistoryRequest, InfoRequest, PublishRequest, RefreshRequest,
        RpcRequest, SlowClientsRequest, SubscribeRequest, UnsubscribeRequest,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

pub(crate) use self::args::ApiArguments;
use self::{
    args::{Command, Method, PublishArguments, SubscribeArguments, WhoArguments},
    http::{ApiKey, Http},
};
use crate::{
    args::{ChannelArguments, QueryArguments},
    connection::Connection,
    failure::{End, Failure},
    interrupt::Interrupt,
    output::Output,
    text::json_payload,
};

/// Longest input, in bytes. Servers take less; this bounds the memory.
const MAX_INPUT_BYTES: u64 = 64 << 20;

/// Asks, prints the answer, and ends.
pub(crate) async fn run(
    connection: &Connection,
    arguments: ApiArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let ApiArguments { api_key, method } = arguments;
    let key = api_key.filter(|key| !key.0.is_empty()).map(|key| ApiKey::new(&key.0)).transpose()?;
    let http = Http::new(&connection.url, key, connection.tls()?);
    let positions = matches!(method, Method::One(Command::History { positions: true, .. }));
    let work = async {
        let (request, body) = prepare(method).await?;
        let answer = http.post(request.method(), body).await?;
        let response = ApiResponse::decode(request.method(), &answer)
            .map_err(|error| Failure::unreachable(format!("the answer is not of the server API: {error}")))?;
        Ok((request, answer, response))
    };
    let Some(answered) = interrupt.or(work).await else { return Ok(End::Interrupted) };
    let (request, answer, response) = answered?;
    print::response(&request, &answer, response, positions, output)?;
    Ok(End::Done)
}

/// The request, and its body.
async fn prepare(method: Method) -> Result<(ApiRequest, Bytes), Failure> {
    let command = match method {
        Method::Batch { commands, parallel } => return batch(&input(commands).await?, parallel),
        Method::One(command) => command,
    };
    let request = ApiRequest::Command(api_command(command).await?);
    let mut body = BytesMut::new();
    request.encode_json(&mut body);
    Ok((request, body.freeze()))
}

async fn api_command(command: Command) -> Result<ApiCommand, Failure> {
    Ok(match command {
        Command::Publish { channel: ChannelArguments { channel }, data, options } => {
            publish(channel, payload(input(data).await?)?, options).into()
        }
        Command::Broadcast { channels, data, options } => {
            broadcast(channels, payload(input(data).await?)?, options).into()
        }
        Command::Subscribe(arguments) => subscribe(arguments)?.into(),
        Command::Unsubscribe { channel, all: _, who: WhoArguments { user, client } } => {
            let channel = channel.unwrap_or_default();
            UnsubscribeRequest { channel, user, client, ..UnsubscribeRequest::default() }.into()
        }
        Command::Disconnect { who: WhoArguments { user, client }, code, reason, keep: whitelist } => {
            let disconnect = code.map(|code| Disconnect { code, reason: reason.unwrap_or_default() });
            DisconnectRequest { user, client, disconnect, whitelist, ..DisconnectRequest::default() }.into()
        }
        Command::Refresh { who: WhoArguments { user, client }, expired, expire_at, info } => {
            let (expire_at, info) = (expire_at.unwrap_or_default(), optional(info)?);
            RefreshRequest { user, client, expired, expire_at, info, ..RefreshRequest::default() }.into()
        }
        Command::Presence(ChannelArguments { channel }) => PresenceRequest { channel }.into(),
        Command::PresenceStats(ChannelArguments { channel }) => PresenceStatsRequest { channel }.into(),
        Command::History { channel: ChannelArguments { channel }, query, positions: _ } => {
            let QueryArguments { limit, since, reverse } = query;
            let limit = limit.map_or(-1, |limit| i32::try_from(limit).unwrap_or(i32::MAX));
            HistoryRequest { channel, limit, since, reverse }.into()
        }
        Command::HistoryRemove(ChannelArguments { channel }) => HistoryRemoveRequest { channel }.into(),
        Command::Channels { pattern } => ChannelsRequest { pattern: pattern.unwrap_or_default() }.into(),
        Command::Info => InfoRequest {}.into(),
        Command::SlowClients { limit } => SlowClientsRequest { limit: limit.unwrap_or_default() }.into(),
        Command::Revocation(command) => revocation::api_command(command),
        Command::Rpc { method, params } => RpcRequest { method, params: optional(params)? }.into(),
    })
}

fn publish(channel: String, data: Payload, options: PublishArguments) -> PublishRequest {
    let PublishArguments { tags, skip_history, idempotency_key, delta, version, version_epoch, key } =
        options;
    let tags = tags.into_iter().collect();
    PublishRequest {
        channel,
        data,
        b64data: String::new(),
        skip_history,
        tags,
        idempotency_key,
        delta,
        version,
        version_epoch,
        key,
    }
}

fn broadcast(channels: Vec<String>, data: Payload, options: PublishArguments) -> BroadcastRequest {
    let PublishArguments { tags, skip_history, idempotency_key, delta, version, version_epoch, key } =
        options;
    let tags = tags.into_iter().collect();
    BroadcastRequest {
        channels,
        data,
        b64data: String::new(),
        skip_history,
        tags,
        idempotency_key,
        delta,
        version,
        version_epoch,
        key,
    }
}

fn subscribe(arguments: SubscribeArguments) -> Result<SubscribeRequest, Failure> {
    let SubscribeArguments { channel, who, expire_at, info, data, since } = arguments;
    Ok(SubscribeRequest {
        channel: channel.channel,
        user: who.user,
        client: who.client,
        expire_at: expire_at.unwrap_or_default(),
        info: optional(info)?,
        data: optional(data)?,
        recover_since: since,
        ..SubscribeRequest::default()
    })
}

/// A list of commands, or the whole body of the method. It is sent as it is, so that the server judges it.
fn batch(input: &[u8], parallel: bool) -> Result<(ApiRequest, Bytes), Failure> {
    let body = match input.trim_ascii_start().first() {
        Some(b'[') => {
            let parallel: &[u8] = if parallel { b",\"parallel\":true" } else { b"" };
            Bytes::from([b"{\"commands\":", input, parallel, b"}"].concat())
        }
        Some(b'{') if parallel => {
            return Err(Failure::other(
                "--parallel goes with a list of commands; in an object it is \"parallel\"",
            ));
        }
        _ => Bytes::copy_from_slice(input),
    };
    let request = ApiRequest::decode("batch", &body).map_err(|error| {
        Failure::other(format!("a batch is a list such as [{{\"publish\":{{…}}}}], in JSON: {error}"))
    })?;
    Ok((request, body))
}

/// What was typed, or all of stdin without its last line end.
async fn input(typed: Option<String>) -> Result<Vec<u8>, Failure> {
    match typed {
        Some(text) => Ok(text.into_bytes()),
        None => all_of(tokio::io::stdin()).await,
    }
}

async fn all_of(reader: impl AsyncRead + Unpin) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    reader.take(MAX_INPUT_BYTES + 1).read_to_end(&mut all).await.map_err(|error| Failure::input(&error))?;
    if all.len() as u64 > MAX_INPUT_BYTES {
        return Err(Failure::other(format!("stdin has more than {MAX_INPUT_BYTES} bytes")));
    }
    if all.last() == Some(&b'\n') {
        all.pop();
        all.pop_if(|last| *last == b'\r');
    }
    Ok(all)
}

fn payload(data: Vec<u8>) -> Result<Payload, Failure> {
    json_payload(data).map_err(|problem| Failure::other(format!("the data is {problem}")))
}

fn optional(data: Option<String>) -> Result<Payload, Failure> {
    data.map_or_else(|| Ok(Payload::default()), |data| payload(data.into_bytes()))
}
