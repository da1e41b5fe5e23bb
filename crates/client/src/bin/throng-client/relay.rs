use std::{io::IsTerminal as _, pin::pin};

use futures_util::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use throng_client::{RelayBuilder, RelayClient, RelayEvent, RelayMessage, RelaySender};

use crate::{
    args::{ChatArguments, RelayArguments},
    connection::Connection,
    failure::{End, Failure, chain},
    input,
    interrupt::Interrupt,
    output::Output,
    text::hex,
};

/// What happens in a room as a JSON line.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// How lines of stdin become messages. None: the line is not sent.
type Encode = dyn Fn(Vec<u8>) -> Result<Option<RelayMessage>, Failure>;

/// Talks in a room: lines of text, with the name in front.
pub(crate) async fn chat(
    connection: &Connection,
    arguments: ChatArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let ChatArguments { room, name, stay, wait } = arguments;
    let greeting = match &name {
        Some(name) => format!("you are in {room} as {name}; type a line and press Enter, Ctrl-D leaves"),
        None => format!("you are in {room}; type a line and press Enter, Ctrl-D leaves"),
    };
    let encode = move |line: Vec<u8>| {
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(match &name {
            Some(name) => RelayMessage::Text(format!("{name}: {text}")),
            None => RelayMessage::Text(text.into_owned()),
        }))
    };
    let room = Room { builder: connection.room(&room)?, greeting, stay, wait: wait.wait, connection };
    room.join(&encode, output, interrupt).await
}

/// Connects stdin and stdout to a room.
pub(crate) async fn raw(
    connection: &Connection,
    arguments: RelayArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let RelayArguments { room, binary, stay, wait } = arguments;
    let greeting = format!("connected to {room}; every line is a message, Ctrl-D ends");
    let encode = move |line: Vec<u8>| {
        if binary {
            return Ok(Some(line.into()));
        }
        String::from_utf8(line)
            .map(|text| Some(text.into()))
            .map_err(|_| Failure::other("a line of stdin is not UTF-8 text; --binary sends any bytes"))
    };
    let room = Room { builder: connection.room(&room)?, greeting, stay, wait: wait.wait, connection };
    room.join(&encode, output, interrupt).await
}

struct Room<'a> {
    builder: RelayBuilder,
    greeting: String,
    /// Go on when stdin ends.
    stay: bool,
    /// Begin before there is a connection.
    wait: bool,
    connection: &'a Connection,
}

impl Room<'_> {
    async fn join(
        self,
        encode: &Encode,
        output: &mut Output,
        interrupt: &mut Interrupt,
    ) -> Result<End, Failure> {
        let mut room = if self.wait {
            self.builder.build().map_err(|error| Failure::build(&error))?
        } else {
            let Some(room) = interrupt.or(self.builder.connect()).await else { return Ok(End::Interrupted) };
            room.map_err(|error| Failure::connect(&error, &self.connection.url))?
        };
        if std::io::stdin().is_terminal() {
            output.inform(&self.greeting);
        }
        talk(&mut room, encode, self.stay, output, interrupt).await?;
        output.flush()?;
        match interrupt.or(room.close()).await {
            Some(Err(error)) => Err(Failure::close(&error)),
            Some(Ok(())) => Ok(End::Done),
            None => Ok(End::Interrupted),
        }
    }
}

/// Sends what is typed and prints what arrives, until stdin ends or it is interrupted.
async fn talk(
    room: &mut RelayClient,
    encode: &Encode,
    stay: bool,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<(), Failure> {
    let mut typing = pin!(send_lines(room.sender(), encode).fuse());
    let mut connection = Told::Fresh;
    loop {
        let event = match room.next().now_or_never() {
            Some(event) => event,
            None => {
                output.flush()?;
                tokio::select! {
                    event = room.next() => event,
                    ended = &mut typing => match ended {
                        Ok(()) if stay => continue,
                        ended => return ended,
                    },
                    () = interrupt.wait() => return Ok(()),
                }
            }
        };
        match event {
            Some(event) => connection.show(event, output)?,
            None => return Ok(()),
        }
    }
}

async fn send_lines(sender: RelaySender, encode: &Encode) -> Result<(), Failure> {
    let mut lines = input::stdin();
    while let Some(line) = lines.next().await.map_err(|error| Failure::input(&error))? {
        if let Some(message) = encode(line)? {
            sender.send(message).await.map_err(|error| Failure::send(&error))?;
        }
    }
    Ok(())
}

/// What was said of the connection so far.
enum Told {
    /// Nothing.
    Fresh,
    Up,
    Lost,
}

impl Told {
    fn show(&mut self, event: RelayEvent, output: &mut Output) -> Result<(), Failure> {
        match event {
            RelayEvent::Text(text) => {
                return if output.is_json() {
                    output.object(&Line { text: Some(&text), ..Line::new("text") })
                } else {
                    output.line(&text)
                };
            }
            RelayEvent::Binary(bytes) => {
                return if output.is_json() {
                    output.object(&Line { hex: Some(hex(&bytes)), ..Line::new("binary") })
                } else {
                    output.binary(&bytes)
                };
            }
            RelayEvent::Missed(count) => {
                output.warn(&format!("{count} messages were dropped, because stdout is read too slowly"));
                return announce(output, Line { count: Some(count), ..Line::new("missed") });
            }
            RelayEvent::Stopped(reason) => return Err(Failure::disconnect(&reason)),
            RelayEvent::Disconnected(reason) if !matches!(self, Self::Lost) => {
                let what = if matches!(self, Self::Fresh) { "cannot connect yet" } else { "connection lost" };
                *self = Self::Lost;
                output.warn(&format!("{what}, trying again: {}", chain(&reason)));
                return announce(output, Line { reason: Some(chain(&reason)), ..Line::new("disconnected") });
            }
            RelayEvent::Connected => {
                if matches!(self, Self::Lost) {
                    output.warn("connection is back");
                }
                *self = Self::Up;
                return announce(output, Line::new("connected"));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Line<'_> {
    const fn new(event: &'static str) -> Self {
        Self { event, text: None, hex: None, count: None, reason: None }
    }
}

fn announce(output: &mut Output, line: Line<'_>) -> Result<(), Failure> {
    if output.is_json() { output.object(&line) } else { Ok(()) }
}
