//! Questions that are answered once: what was published, who is there, how many, what the application says.

use throng_client::{Client, HistoryQuery, StreamPosition};

use crate::{
    args::{ChannelArguments, HistoryArguments, QueryArguments, RpcArguments},
    connection::Connection,
    failure::{End, Failure},
    interrupt::Interrupt,
    output::Output,
    show::{self, Columns},
    text::json_payload,
};

/// What is asked.
pub(crate) enum Question {
    /// What was published?
    History(HistoryArguments),
    /// Who is there?
    Presence(ChannelArguments),
    /// How many are there?
    Stats(ChannelArguments),
    /// What does the application say?
    Rpc(RpcArguments),
}

/// Asks, prints the answer, and ends.
pub(crate) async fn run(
    connection: &Connection,
    question: Question,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let Some(client) = interrupt.or(connection.connected()).await else { return Ok(End::Interrupted) };
    let client = client?;
    let end = interrupt.or(ask(&client, question, output)).await;
    interrupt.or(client.close()).await;
    match end {
        Some(result) => result.map(|()| End::Done),
        None => Ok(End::Interrupted),
    }
}

async fn ask(client: &Client, question: Question, output: &mut Output) -> Result<(), Failure> {
    match question {
        Question::History(arguments) => history(client, arguments, output).await?,
        Question::Presence(ChannelArguments { channel }) => {
            let presence = client.presence(&channel).await;
            for info in presence.map_err(|error| Failure::request(&error, &channel))?.values() {
                show::member(&channel, info, output)?;
            }
        }
        Question::Stats(ChannelArguments { channel }) => {
            let stats = client.presence_stats(&channel).await;
            let stats = stats.map_err(|error| Failure::request(&error, &channel))?;
            show::stats(&channel, stats.clients, stats.users, output)?;
        }
        Question::Rpc(RpcArguments { method, data }) => {
            let data = data.map(|data| json_payload(data.into_bytes())).transpose();
            let data = data.map_err(|problem| Failure::other(format!("the data is {problem}")))?;
            let answer = client.rpc(&method, data.unwrap_or_default()).await;
            show::answer(&method, &answer.map_err(|error| Failure::request(&error, &method))?, output)?;
        }
    }
    output.flush()
}

/// Prints the history, page by page if more is wanted than the server gives at once.
async fn history(client: &Client, arguments: HistoryArguments, output: &mut Output) -> Result<(), Failure> {
    let HistoryArguments { channel: ChannelArguments { channel }, query, all, positions, format } = arguments;
    let QueryArguments { limit, since, reverse } = query;
    let columns = Columns { channel: false, position: positions, format };
    let mut query = HistoryQuery { limit, since, reverse };
    loop {
        let history = client.history(&channel, query.clone()).await;
        let history = history.map_err(|error| Failure::request(&error, &channel))?;
        let place = |offset| StreamPosition { offset, epoch: history.position.epoch.clone() };
        for publication in &history.publications {
            let position = place(publication.offset);
            show::publication(&channel, publication, Some(&position), &columns, output)?;
        }
        if let Some(limit) = &mut query.limit {
            let count = u32::try_from(history.publications.len()).unwrap_or(u32::MAX);
            *limit = limit.saturating_sub(count);
        }
        let more_wanted = all || query.limit.is_some_and(|limit| limit > 0);
        match history.publications.last() {
            Some(last) if more_wanted => query.since = Some(place(last.offset)),
            Some(_) | None => return stands(&channel, &history.position, output),
        }
    }
}

/// Says where the stream stands: to programs, and to whoever watches.
pub(crate) fn stands(channel: &str, position: &StreamPosition, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return show::position(channel, position, output);
    }
    output.inform(&format!("{channel} stands at {}", show::Typed(position)));
    Ok(())
}
