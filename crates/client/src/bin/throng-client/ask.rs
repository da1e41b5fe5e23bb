//! Questions about a channel: what was published, who is there, how many.

use throng_client::{Client, HistoryQuery, StreamPosition};

use crate::{
    args::{ChannelArguments, ConnectionArguments, HistoryArguments, QueryArguments},
    failure::{End, Failure},
    interrupt::Interrupt,
    output::Output,
    show::{self, Columns},
};

/// What is asked.
pub(crate) enum Question {
    /// What was published?
    History(HistoryArguments),
    /// Who is there?
    Presence(ChannelArguments),
    /// How many are there?
    Stats(ChannelArguments),
}

/// Asks, prints the answer, and ends.
pub(crate) async fn run(
    connection: &ConnectionArguments,
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
        Question::History(HistoryArguments { channel: ChannelArguments { channel }, query, positions }) => {
            let QueryArguments { limit, since, reverse } = query;
            let query = HistoryQuery { limit, since, reverse };
            let history = client.history(&channel, query).await;
            let history = history.map_err(|error| Failure::request(&error, &channel))?;
            for publication in &history.publications {
                let epoch = history.position.epoch.clone();
                let position = StreamPosition { offset: publication.offset, epoch };
                let columns = Columns { channel: false, position: positions };
                show::publication(&channel, publication, Some(&position), columns, output)?;
            }
            stands(&channel, &history.position, output)?;
        }
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
    }
    output.flush()
}

/// Says where the stream stands: to programs, and to whoever watches.
pub(crate) fn stands(channel: &str, position: &StreamPosition, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return show::position(channel, position, output);
    }
    output.inform(&format!("{channel} stands at {}", show::Typed(position)));
    Ok(())
}
