use serde::Deserialize;
use serde_json::value::RawValue;
use throng_client::{Publication, StreamPosition};
use throng_protocol::api::{
    ApiCommand, ApiError, ApiReply, ApiRequest, ApiResponse, ChannelsResult, HistoryResult, InfoResult,
    PublishResponse, PublishResult, SlowClient, SlowClientsResult,
};

use super::revocation;
use crate::{
    ask,
    failure::{Failure, remedy, with_remedy},
    output::Output,
    show::{self, Columns, Typed},
    text::Shown,
};

/// Prints what the server answered: with `--json` as it is, else as lines for people and pipes.
///
/// # Errors
///
/// What the server refused; if that is only a part, the rest is printed all the same.
pub(super) fn response(
    request: &ApiRequest,
    body: &[u8],
    response: ApiResponse,
    positions: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    if let ApiResponse::Reply(ApiReply::Error(error)) = &response {
        return Err(refusal(error));
    }
    let (refused, of) = parts(&response);
    match (request, response) {
        _ if output.is_json() => output.line(&String::from_utf8_lossy(body).replace(['\r', '\n'], ""))?,
        (_, ApiResponse::Batch(_)) => replies(body, output)?,
        (ApiRequest::Command(command), ApiResponse::Reply(reply)) => {
            lines(command, reply, positions, output)?
        }
        // The decoder lets nothing through that does not belong to the request.
        (ApiRequest::Batch(_), ApiResponse::Reply(_)) => {}
    }
    output.flush()?;
    if refused > 0 {
        return Err(Failure::refused(format!("{refused} of {of} refused by the server")));
    }
    Ok(())
}

fn refusal(error: &ApiError) -> Failure {
    Failure::refused(with_remedy(format!("refused by the server: {error}"), remedy(error.code)))
}

/// How many parts of an answer are errors, and how many parts there are.
fn parts(response: &ApiResponse) -> (usize, usize) {
    match response {
        ApiResponse::Batch(result) => {
            let failed = result.replies.iter().filter(|reply| matches!(reply, ApiReply::Error(_)));
            (failed.count(), result.replies.len())
        }
        ApiResponse::Reply(ApiReply::Broadcast(result)) => {
            let failed = result.responses.iter().filter(|reply| matches!(reply, PublishResponse::Error(_)));
            (failed.count(), result.responses.len())
        }
        ApiResponse::Reply(_) => (0, 1),
    }
}

/// A line for each answer to a batch.
fn replies(body: &[u8], output: &mut Output) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Batch<'a> {
        #[serde(borrow)]
        replies: Vec<&'a RawValue>,
    }
    let batch: Batch<'_> = serde_json::from_slice(body)
        .map_err(|error| Failure::unreachable(format!("the answer is not of the server API: {error}")))?;
    batch.replies.iter().try_for_each(|reply| output.line(&reply.get().replace(['\r', '\n'], "")))
}

fn lines(command: &ApiCommand, reply: ApiReply, positions: bool, output: &mut Output) -> Result<(), Failure> {
    let channel = channel(command);
    match reply {
        ApiReply::Publish(result) => match place(&result) {
            Some(place) => output.line(&place),
            None => done(command, output),
        },
        ApiReply::Broadcast(result) => broadcast(command, &result.responses, output),
        ApiReply::Presence(result) => {
            result.presence.values().try_for_each(|info| show::member(channel, info, output))
        }
        ApiReply::PresenceStats(result) => show::stats(channel, result.num_clients, result.num_users, output),
        ApiReply::History(result) => history(channel, result, positions, output),
        ApiReply::Channels(result) => channels(&result, output),
        ApiReply::Info(result) => info(&result, output),
        ApiReply::SlowClients(result) => slow_clients(&result, output),
        ApiReply::Revocations(result) => revocation::print(&result, output),
        ApiReply::Pardon(result) => {
            output.line(if result.pardoned { "pardoned" } else { "there was no such revocation" })
        }
        ApiReply::Rpc(result) => output.line(Shown::new(&result.data).as_str()),
        ApiReply::Error(error) => Err(refusal(&error)),
        ApiReply::Subscribe(_)
        | ApiReply::Unsubscribe(_)
        | ApiReply::Disconnect(_)
        | ApiReply::HistoryRemove(_)
        | ApiReply::RevokeToken(_)
        | ApiReply::InvalidateUserTokens(_)
        | ApiReply::InvalidateTokens(_)
        | ApiReply::RevokeUser(_)
        | ApiReply::RevokeChannel(_)
        | ApiReply::BlockUser(_)
        | ApiReply::UnblockUser(_)
        | ApiReply::Refresh(_) => done(command, output),
    }
}

/// The channel that a command is about, if it is about one.
fn channel(command: &ApiCommand) -> &str {
    match command {
        ApiCommand::Publish(request) => &request.channel,
        ApiCommand::Subscribe(request) => &request.channel,
        ApiCommand::Unsubscribe(request) => &request.channel,
        ApiCommand::Presence(request) => &request.channel,
        ApiCommand::PresenceStats(request) => &request.channel,
        ApiCommand::History(request) => &request.channel,
        ApiCommand::HistoryRemove(request) => &request.channel,
        ApiCommand::RevokeChannel(request) => &request.channel,
        ApiCommand::Broadcast(_)
        | ApiCommand::Disconnect(_)
        | ApiCommand::Info(_)
        | ApiCommand::Rpc(_)
        | ApiCommand::Refresh(_)
        | ApiCommand::SlowClients(_)
        | ApiCommand::RevokeToken(_)
        | ApiCommand::InvalidateUserTokens(_)
        | ApiCommand::InvalidateTokens(_)
        | ApiCommand::RevokeUser(_)
        | ApiCommand::BlockUser(_)
        | ApiCommand::UnblockUser(_)
        | ApiCommand::Pardon(_)
        | ApiCommand::Revocations(_)
        | ApiCommand::Channels(_) => "",
    }
}

/// Says to whoever watches that it is done, where there is nothing else to say.
#[expect(clippy::unnecessary_wraps, reason = "an arm among others that write and may fail")]
fn done(command: &ApiCommand, output: &Output) -> Result<(), Failure> {
    output.inform(&format!("{} {}: done", command.name().replace('_', "-"), channel(command)));
    Ok(())
}

fn place(result: &PublishResult) -> Option<String> {
    let PublishResult { offset, epoch } = result;
    (*offset > 0).then(|| Typed(&StreamPosition { offset: *offset, epoch: epoch.clone() }).to_string())
}

fn broadcast(
    command: &ApiCommand,
    responses: &[PublishResponse],
    output: &mut Output,
) -> Result<(), Failure> {
    let ApiCommand::Broadcast(request) = command else { return Ok(()) };
    request.channels.iter().zip(responses).try_for_each(|(channel, response)| {
        let told = match response {
            PublishResponse::Result(result) => place(result).unwrap_or_else(|| "-".to_owned()),
            PublishResponse::Error(error) => format!("error: {error}"),
        };
        output.line(&format!("{channel}\t{told}"))
    })
}

fn history(
    channel: &str,
    result: HistoryResult,
    positions: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let HistoryResult { publications, epoch, offset } = result;
    for publication in publications {
        let position = StreamPosition { offset: publication.offset, epoch: epoch.clone() };
        let columns = Columns { position: positions, ..Columns::default() };
        // What is not JSON comes as text, and is left so.
        let text = publication.b64data;
        let data = if text.is_empty() { publication.data } else { text.into() };
        let publication = Publication {
            data,
            info: publication.info,
            offset: publication.offset,
            tags: publication.tags,
            ..Publication::default()
        };
        show::publication(channel, &publication, Some(&position), &columns, output)?;
    }
    ask::stands(channel, &StreamPosition { offset, epoch }, output)
}

fn channels(result: &ChannelsResult, output: &mut Output) -> Result<(), Failure> {
    let ChannelsResult { channels } = result;
    channels.iter().try_for_each(|(name, info)| output.line(&format!("{name}\t{}", info.num_clients)))
}

fn slow_clients(result: &SlowClientsResult, output: &mut Output) -> Result<(), Failure> {
    result.clients.iter().try_for_each(|slow| {
        let SlowClient { client, user, bytes, messages } = slow;
        output.line(&format!("{client}\t{user}\t{messages}\t{bytes}"))
    })
}

fn info(result: &InfoResult, output: &mut Output) -> Result<(), Failure> {
    for node in &result.nodes {
        output.line(&format!("node\t{}", node.name))?;
        output.line(&format!("id\t{}", node.uid))?;
        output.line(&format!("version\t{}", node.version))?;
        output.line(&format!("uptime\t{} s", node.uptime))?;
        output.line(&format!("clients\t{}", node.num_clients))?;
        output.line(&format!("users\t{}", node.num_users))?;
        output.line(&format!("channels\t{}", node.num_channels))?;
        output.line(&format!("subscriptions\t{}", node.num_subs))?;
    }
    Ok(())
}
