//! One SDK client in a process of its own.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    io::Write,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Sdk;
use crate::process;

/// Longest wait for anything: an SDK's own limit for a command is 5 seconds.
const LIMIT: Duration = Duration::from_secs(20);

/// What an agent writes: an answer to a command, or something that happened.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Answer { id: u64, ok: Option<Value>, error: Option<Refusal> },
    Event(Box<Event>),
}

/// Why an SDK says that a command failed.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    /// Code of the server's error; 0 when the SDK gave none.
    pub(super) code: u32,
    pub(super) message: String,
}

/// Something that happened in a client.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) event: String,
    pub(super) code: Option<u32>,
    pub(super) channel: Option<String>,
    /// Id that the server gave to the connection.
    pub(super) client: Option<String>,
    pub(super) data: Option<Value>,
    /// Id of the connection that published, joined or left.
    pub(super) from: Option<String>,
    /// User of the one that joined or left.
    pub(super) user: Option<String>,
    pub(super) offset: Option<u64>,
    pub(super) recovered: Option<bool>,
    pub(super) was_recovering: Option<bool>,
}

/// A driven client; its process ends when this is dropped.
pub(super) struct Agent {
    sdk: Sdk,
    format: String,
    user: String,
    process: process::Running,
    input: ChildStdin,
    output: Receiver<String>,
    last_id: u64,
    answers: HashMap<u64, Result<Value, Refusal>>,
    events: VecDeque<Event>,
    client: String,
}

impl Agent {
    /// Starts a client of that user.
    pub(super) fn start(sdk: Sdk, format: &str, user: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = process::Running::start("an SDK client", command)?;
        let input = process.child().stdin.take().context("the client's input is piped")?;
        let output = process::lines(process.child().stdout.take().context("the client's output is piped")?);
        Ok(Self {
            sdk,
            format: format.to_owned(),
            user: user.to_owned(),
            process,
            input,
            output,
            last_id: 0,
            answers: HashMap::new(),
            events: VecDeque::new(),
            client: String::new(),
        })
    }

    /// What this client is, for messages.
    pub(super) fn name(&self) -> String {
        format!("{:?} over {}", self.sdk, self.format)
    }

    pub(super) const fn sdk(&self) -> Sdk {
        self.sdk
    }

    pub(super) fn is_protobuf(&self) -> bool {
        self.format == "protobuf"
    }

    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The id that the server gave to its latest connection.
    pub(super) fn client(&self) -> &str {
        &self.client
    }

    /// Gives a command without waiting for its answer; returns the number to wait for.
    pub(super) fn send(&mut self, op: &str, parameters: &[(&str, Value)]) -> Result<u64> {
        self.last_id += 1;
        let mut line = Map::from_iter([("id".to_owned(), json!(self.last_id)), ("op".to_owned(), json!(op))]);
        line.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        writeln!(self.input, "{}", Value::Object(line))
            .with_context(|| format!("{} has ended", self.name()))?;
        Ok(self.last_id)
    }

    /// Waits for the answer to a command.
    pub(super) fn answer(&mut self, id: u64) -> Result<Result<Value, Refusal>> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(answer) = self.answers.remove(&id) {
                return Ok(answer);
            }
            ensure!(self.receive(deadline)?, "{} did not answer within {} s", self.name(), LIMIT.as_secs());
        }
    }

    /// Gives a command that must succeed.
    pub(super) fn call(&mut self, op: &str, parameters: &[(&str, Value)]) -> Result<()> {
        self.ask(op, parameters).map(drop)
    }

    /// Gives a command that must succeed, and returns its result.
    pub(super) fn ask(&mut self, op: &str, parameters: &[(&str, Value)]) -> Result<Value> {
        let id = self.send(op, parameters)?;
        match self.answer(id)? {
            Ok(result) => Ok(result),
            Err(Refusal { code, message }) => bail!("{}: {op} was refused: {code} {message}", self.name()),
        }
    }

    /// Gives a command that the server must refuse with `code`.
    pub(super) fn refused(&mut self, op: &str, parameters: &[(&str, Value)], code: u32) -> Result<()> {
        let id = self.send(op, parameters)?;
        match self.answer(id)? {
            Ok(_) => bail!("{}: {op} succeeded instead of being refused with {code}", self.name()),
            Err(refusal) if refusal.code == code => Ok(()),
            Err(Refusal { code: other, message }) => {
                bail!("{}: {op} was refused with {other} {message} instead of {code}", self.name())
            }
        }
    }

    /// Waits for the first event that fits, which is taken; events before it are kept.
    pub(super) fn wait(&mut self, what: &str, fits: impl Fn(&Event) -> bool) -> Result<Event> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.events.iter().position(&fits) {
                return self.events.remove(at).context("the event was just found");
            }
            if !self.receive(deadline)? {
                let saw: Vec<_> = self.events.iter().rev().take(8).map(ToString::to_string).collect();
                let (name, seconds) = (self.name(), LIMIT.as_secs());
                bail!("{name} did not see {what} within {seconds} s; the last it saw: {}", saw.join(", "));
            }
        }
    }

    /// Waits for the next publication in a channel.
    pub(super) fn publication(&mut self, channel: &str) -> Result<Event> {
        self.wait(&format!("a publication in {channel}"), |event| event.is_publication(channel))
    }

    /// Waits for that event in a channel.
    pub(super) fn event(&mut self, event: &str, channel: &str) -> Result<Event> {
        self.wait(&format!("{event} in {channel}"), |seen| seen.is(event, Some(channel)))
    }

    /// Waits for that event of the client as a whole.
    pub(super) fn event_of_client(&mut self, event: &str) -> Result<Event> {
        self.wait(event, |seen| seen.is(event, None))
    }

    /// Waits for publications of a channel with these data, in this order.
    pub(super) fn expect(&mut self, channel: &str, all: &[Value]) -> Result<()> {
        for expected in all {
            let data = self.publication(channel)?.data.unwrap_or_default();
            ensure!(data == *expected, "{} got {data} in {channel}, not {expected}", self.name());
        }
        Ok(())
    }

    /// All publications of a channel that have arrived and were not taken.
    pub(super) fn take_publications(&mut self, channel: &str) -> Vec<Event> {
        let all = std::mem::take(&mut self.events);
        let (taken, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|event| event.is_publication(channel));
        self.events = kept.into();
        taken
    }

    /// Fails if an event that fits has happened, or happens within `time`.
    pub(super) fn never(&mut self, what: &str, time: Duration, fits: impl Fn(&Event) -> bool) -> Result<()> {
        let deadline = Instant::now() + time;
        loop {
            if let Some(event) = self.events.iter().find(|event| fits(event)) {
                bail!("{} saw {what}: {event}", self.name());
            }
            if !self.receive(deadline)? {
                return Ok(());
            }
        }
    }

    /// Forgets the events so far.
    pub(super) fn forget(&mut self) {
        self.events.clear();
    }

    /// Files the next line of the client. False when none came before the deadline.
    fn receive(&mut self, deadline: Instant) -> Result<bool> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        let line = match self.output.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(Timeout) => return Ok(false),
            Err(Disconnected) => {
                let status = self.process.wait(LIMIT)?;
                bail!("{} ended ({status}); what it said is above", self.name())
            }
        };
        match serde_json::from_str(&line).with_context(|| format!("{} wrote {line:?}", self.name()))? {
            Line::Answer { id, ok, error } => {
                self.answers.insert(id, error.map_or(Ok(ok.unwrap_or_default()), Err));
            }
            Line::Event(event) => {
                if let Some(client) = &event.client {
                    self.client.clone_from(client);
                }
                self.events.push_back(*event);
            }
        }
        Ok(true)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.event)?;
        self.channel.iter().try_for_each(|channel| write!(f, " in {channel}"))?;
        self.code.iter().try_for_each(|code| write!(f, " with code {code}"))
    }
}

impl Event {
    fn is_publication(&self, channel: &str) -> bool {
        self.event == "publication" && self.channel.as_deref() == Some(channel)
    }

    /// Whether this is the event of that name, in that channel if one is given.
    pub(super) fn is(&self, event: &str, channel: Option<&str>) -> bool {
        self.event == event && (channel.is_none() || self.channel.as_deref() == channel)
    }
}
