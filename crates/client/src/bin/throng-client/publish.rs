use std::io::IsTerminal as _;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use throng_client::{Client, Payload};

use crate::{
    args::PubArguments,
    connection::Connection,
    failure::{End, Failure},
    input,
    interrupt::Interrupt,
    output::Output,
    pace::Pace,
    text::json_payload,
};

/// Lines that are under way at once.
const PIPELINE: usize = 64;

/// An acknowledged publication as a JSON line.
#[derive(Serialize)]
struct Published<'a> {
    event: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

/// How data becomes a payload.
#[derive(Clone, Copy)]
enum Encoding {
    /// What is not JSON becomes a JSON string.
    Convenient,
    /// What is not JSON is refused.
    RawJson,
    /// Anything goes as it is.
    RawBytes,
}

/// Publishes the data, or stdin line by line, and returns when all is acknowledged.
pub(crate) async fn run(
    connection: &Connection,
    arguments: PubArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let encoding = match (arguments.raw, connection.protobuf) {
        (false, _) => Encoding::Convenient,
        (true, false) => Encoding::RawJson,
        (true, true) => Encoding::RawBytes,
    };
    let Some(client) = interrupt.or(connection.connected()).await else { return Ok(End::Interrupted) };
    let client = client?;
    let work = async {
        match arguments.data {
            Some(data) => publish_one(&client, &arguments.channel, data, encoding, output).await,
            None => {
                let pace = arguments.rate.map(Pace::new);
                publish_lines(&client, &arguments.channel, encoding, pace, output).await
            }
        }
    };
    let end = interrupt.or(work).await;
    interrupt.or(client.close()).await;
    match end {
        Some(result) => result.map(|()| End::Done),
        None => Ok(End::Interrupted),
    }
}

async fn publish_one(
    client: &Client,
    channel: &str,
    data: String,
    encoding: Encoding,
    output: &mut Output,
) -> Result<(), Failure> {
    publish(client, channel, data.into_bytes(), encoding, channel).await?;
    acknowledged(output, channel, None)?;
    output.flush()
}

/// Several lines are under way at once, so that a pipe is not slowed down by the way to the server and back. The server
/// gets them in order.
async fn publish_lines(
    client: &Client,
    channel: &str,
    encoding: Encoding,
    pace: Option<Pace>,
    output: &mut Output,
) -> Result<(), Failure> {
    if std::io::stdin().is_terminal() {
        output.inform(&format!("every line is published to {channel}; Ctrl-D ends"));
    }
    let lines = stream::unfold((input::stdin(), pace, 0_u64), |(mut lines, mut pace, number)| async move {
        let number = number + 1;
        let line = lines.next().await.transpose()?;
        if let Some(pace) = &mut pace {
            pace.turn().await;
        }
        Some(((number, line), (lines, pace, number)))
    });
    let publications = lines.map(|(number, line)| async move {
        let line = line.map_err(|error| Failure::input(&error))?;
        publish(client, channel, line, encoding, &format!("line {number}")).await?;
        Ok(number)
    });
    let mut answers = std::pin::pin!(publications.buffered(PIPELINE));
    while let Some(answer) = answers.next().await {
        acknowledged(output, channel, Some(answer?))?;
        output.flush()?;
    }
    Ok(())
}

async fn publish(
    client: &Client,
    channel: &str,
    data: Vec<u8>,
    encoding: Encoding,
    what: &str,
) -> Result<(), Failure> {
    let payload = match encoding {
        Encoding::Convenient => {
            json_payload(data).map_err(|problem| Failure::other(format!("{what}: {problem}")))?
        }
        Encoding::RawJson | Encoding::RawBytes => Payload::from(data),
    };
    client.publish(channel, payload).await.map_err(|error| Failure::request(&error, what))
}

fn acknowledged(output: &mut Output, channel: &str, line: Option<u64>) -> Result<(), Failure> {
    if output.is_json() {
        return output.object(&Published { event: "published", channel, line });
    }
    if line.is_none() {
        output.inform(&format!("published to {channel}"));
    }
    Ok(())
}
