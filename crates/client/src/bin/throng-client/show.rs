//! What is printed of channels: as text for people and pipes, as JSON lines for programs.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use throng_client::{ClientInfo, Payload, Publication, StreamPosition};

use crate::{failure::Failure, format::Template, output::Output, text::Shown};

/// What happened, as a JSON line. What there is nothing to say of is left out.
#[derive(Default, Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<&'a str>,
    #[serde(flatten)]
    pub(crate) data: Data,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) conn_info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chan_info: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// A payload in a JSON line: under a name that tells what it is.
#[derive(Default, Serialize)]
pub(crate) struct Data {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// A place in a stream in a JSON line.
#[derive(Serialize)]
pub(crate) struct Place<'a> {
    offset: u64,
    epoch: &'a str,
}

/// A place in a stream as it is typed: `OFFSET:EPOCH`.
#[derive(Clone, Copy)]
pub(crate) struct Typed<'a>(pub(crate) &'a StreamPosition);

/// How publications are printed.
#[derive(Clone, Default)]
pub(crate) struct Columns {
    /// The channel comes first.
    pub(crate) channel: bool,
    /// The place in the stream comes before the data.
    pub(crate) position: bool,
    /// As this line, whatever the columns are.
    pub(crate) format: Option<Template>,
}

/// Prints a publication, which stands at this place.
pub(crate) fn publication(
    channel: &str,
    publication: &Publication,
    position: Option<&StreamPosition>,
    columns: &Columns,
    output: &mut Output,
) -> Result<(), Failure> {
    if let Some(format) = &columns.format {
        return output.line(&format.line(channel, publication, position));
    }
    let shown = Shown::new(&publication.data);
    if !output.is_json() {
        let mut line = String::new();
        if columns.channel {
            line.push_str(channel);
            line.push('\t');
        }
        if columns.position {
            // What is in no stream has no place, and yet its column.
            line.push_str(&position.map_or_else(|| "-".to_owned(), |position| Typed(position).to_string()));
            line.push('\t');
        }
        line.push_str(shown.as_str());
        return output.line(&line);
    }
    let mut line = Line::new("publication", Some(channel));
    line.data = Data::new(shown)?;
    line.offset = (publication.offset > 0).then_some(publication.offset);
    line.epoch = position.map(|position| position.epoch.as_str());
    if let Some(info) = &publication.info {
        line.user = Some(&info.user);
        line.client = Some(&info.client);
    }
    output.object(&line)
}

/// Prints who is in a channel: a line for each, client and user with a tab between them.
pub(crate) fn member(channel: &str, info: &ClientInfo, output: &mut Output) -> Result<(), Failure> {
    if !output.is_json() {
        let mut line = format!("{}\t{}", info.client, info.user);
        for attached in [&info.conn_info, &info.chan_info] {
            if !attached.is_empty() {
                line.push('\t');
                line.push_str(Shown::new(attached).as_str());
            }
        }
        return output.line(&line);
    }
    output.object(&Line {
        conn_info: json(&info.conn_info)?,
        chan_info: json(&info.chan_info)?,
        ..Line::of("member", channel, info)
    })
}

/// Prints how many are in a channel.
pub(crate) fn stats(channel: &str, clients: u32, users: u32, output: &mut Output) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Stats<'a> {
        event: &'static str,
        channel: &'a str,
        clients: u32,
        users: u32,
    }
    if output.is_json() {
        return output.object(&Stats { event: "stats", channel, clients, users });
    }
    output.line(&format!("clients\t{clients}"))?;
    output.line(&format!("users\t{users}"))
}

/// Prints a message outside of channels, as JSON.
pub(crate) fn message(data: &Payload, output: &mut Output) -> Result<(), Failure> {
    output.object(&Line { data: Data::new(Shown::new(data))?, ..Line::new("message", None) })
}

/// Prints what a method has answered.
pub(crate) fn answer(method: &str, answer: &Payload, output: &mut Output) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Answer<'a> {
        event: &'static str,
        method: &'a str,
        #[serde(flatten)]
        data: Data,
    }
    let shown = Shown::new(answer);
    if output.is_json() {
        return output.object(&Answer { event: "rpc", method, data: Data::new(shown)? });
    }
    output.line(shown.as_str())
}

/// Says where a reader stands, so that it can go on from there.
pub(crate) fn position(channel: &str, position: &StreamPosition, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let line = Line::new("position", Some(channel));
        return output.object(&Line { offset: Some(position.offset), epoch: Some(&position.epoch), ..line });
    }
    output.warn(&format!("{channel}: to go on from here: --since {}", Typed(position)));
    Ok(())
}

/// A payload that is attached to something: JSON as it is, anything else as a JSON string.
pub(crate) fn json(payload: &Payload) -> Result<Option<Box<RawValue>>, Failure> {
    if payload.is_empty() {
        return Ok(None);
    }
    match Shown::new(payload) {
        Shown::Json(text) => raw(text),
        Shown::Text(text) | Shown::Hex(text) => raw(serde_json::Value::from(text).to_string()),
    }
    .map(Some)
}

impl Data {
    fn new(shown: Shown) -> Result<Self, Failure> {
        Ok(match shown {
            Shown::Json(text) => Self { data: Some(raw(text)?), ..Self::default() },
            Shown::Text(text) => Self { text: Some(text), ..Self::default() },
            Shown::Hex(digits) => Self { hex: Some(digits), ..Self::default() },
        })
    }
}

impl<'a> Line<'a> {
    pub(crate) fn new(event: &'static str, channel: Option<&'a str>) -> Self {
        Self { event, channel, ..Self::default() }
    }

    /// Something that a client of a channel does or is.
    pub(crate) fn of(event: &'static str, channel: &'a str, info: &'a ClientInfo) -> Self {
        Self { user: Some(&info.user), client: Some(&info.client), ..Self::new(event, Some(channel)) }
    }
}

impl<'a> From<&'a StreamPosition> for Place<'a> {
    fn from(position: &'a StreamPosition) -> Self {
        Self { offset: position.offset, epoch: &position.epoch }
    }
}

impl fmt::Display for Typed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.0.offset, self.0.epoch)
    }
}

fn raw(text: String) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(text)
        .map_err(|error| Failure::other(format!("the server sent data that is no JSON: {error}")))
}
