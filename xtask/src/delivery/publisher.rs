//! A publisher: over WebSocket with several publications on the way, or over the HTTP API one call after the other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Deserialize;
use throng_protocol::{Command, ConnectRequest, ErrorCode, Payload, PublishRequest, Reply, Request};
use tokio::time::{sleep, sleep_until};

use super::{
    log::{Attempt, Channel, ChannelId, Id, Outcome, Position},
    namespace::{API_KEY, TAG},
    plan::{Door, PublisherPlan, Step, Steps},
    stage::{MARKS, Stage},
    wire::{Arrived, Link},
};
use crate::api::{Api, Failure, Refusal};

/// Most publications that are on the way at once.
const WINDOW: usize = 16;
/// Wait before a lost connection is made anew.
const BACKOFF: Duration = Duration::from_millis(50);
/// Wait for the answers that are still due when a publisher stops.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// One publisher of a run.
#[derive(Debug)]
pub(super) struct Publisher {
    number: u16,
    plan: PublisherPlan,
    stage: Stage,
    names: Vec<String>,
    steps: Steps,
    next: u32,
    connections: u32,
    /// Resets of the plan that happened.
    cut: usize,
    log: Vec<Attempt>,
    /// Publications without an answer yet: the number of the command, and where they stand in the log.
    open: HashMap<u32, usize>,
}

/// What the API answers to a publish.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    offset: u64,
    epoch: String,
}

/// What it answers to a batch.
#[derive(Debug, Deserialize)]
struct Batch {
    replies: Vec<BatchReply>,
}

#[derive(Debug, Deserialize)]
struct BatchReply {
    publish: Option<Place>,
    error: Option<Refusal>,
}

impl Publisher {
    pub(super) fn new(number: u16, plan: PublisherPlan, channels: &[Channel], stage: Stage) -> Self {
        Self {
            number,
            steps: plan.steps(),
            plan,
            stage,
            names: channels.iter().map(|channel| channel.name.clone()).collect(),
            next: 0,
            connections: 0,
            cut: 0,
            log: Vec::new(),
            open: HashMap::new(),
        }
    }

    /// Publishes until the run settles.
    pub(super) async fn run(mut self) -> Vec<Attempt> {
        match self.plan.door {
            Door::Http => self.over_http().await,
            Door::WebSocket(format) => {
                while self.stage.is_running() {
                    self.connections += 1;
                    if let Ok(mut link) = Link::dial(self.stage.server, format, None).await
                        && link.ask(Request::Connect(ConnectRequest::default())).await.is_ok()
                    {
                        self.over_websocket(link).await;
                    }
                    self.open.clear();
                    sleep(BACKOFF).await;
                }
            }
        }
        self.log
    }

    /// Notes a publication that is about to be sent. Only the API takes tags; there, half of them get one.
    fn attempt(&mut self, channel: ChannelId) -> Id {
        let tagged = self.plan.door == Door::Http && self.next.is_multiple_of(2);
        let id = Id { publisher: self.number, number: self.next };
        self.next += 1;
        self.log.push(Attempt {
            id,
            channel,
            connection: self.connections,
            tagged,
            sent: self.stage.now(),
            outcome: Outcome::Unknown,
        });
        id
    }

    fn settle(&mut self, number: usize, outcome: Outcome) {
        if let Some(attempt) = self.log.get_mut(number) {
            attempt.outcome = outcome;
        }
    }

    fn accepted(&self, position: Option<Position>) -> Outcome {
        Outcome::Accepted { at: self.stage.now(), position }
    }

    /// Whether the plan wants this connection cut by now.
    fn is_due_to_cut(&mut self) -> bool {
        let due = self.plan.resets.get(self.cut).is_some_and(|time| *time <= self.stage.now());
        self.cut += usize::from(due);
        due
    }

    async fn over_websocket(&mut self, mut link: Link) {
        while self.stage.is_running() {
            let Some(step) = self.steps.next() else { return };
            let until = tokio::time::Instant::now() + step.wait;
            for _ in 0..step.count {
                while self.open.len() >= WINDOW {
                    if !self.answers(&mut link).await {
                        return;
                    }
                }
                if !self.publish(&mut link, step.channel).await {
                    return;
                }
            }
            loop {
                tokio::select! {
                    arrived = link.receive() => if !self.arrived(&mut link, arrived).await { return },
                    () = sleep_until(until) => break,
                }
            }
            if self.is_due_to_cut() {
                return link.reset();
            }
        }
        let last = async { while !self.open.is_empty() && self.answers(&mut link).await {} };
        // What is not answered by then stays unknown.
        let _ = tokio::time::timeout(LAST_ANSWERS, last).await;
        link.close().await;
    }

    async fn publish(&mut self, link: &mut Link, channel: ChannelId) -> bool {
        let id = self.attempt(channel);
        let data = Payload::from(id.payload());
        let request = PublishRequest { channel: self.names[channel].clone(), data, ..Default::default() };
        let (number, command) = link.command(Request::Publish(request));
        self.open.insert(number, self.log.len() - 1);
        link.send(&[command]).await.is_ok()
    }

    async fn answers(&mut self, link: &mut Link) -> bool {
        let arrived = link.receive().await;
        self.arrived(link, arrived).await
    }

    /// Notes what became of publications. False when the connection is over.
    async fn arrived(&mut self, link: &mut Link, arrived: Arrived) -> bool {
        let Arrived::Replies(replies) = arrived else { return false };
        for reply in replies {
            match reply {
                Reply::Ping => {
                    if link.send(&[Command::Pong]).await.is_err() {
                        return false;
                    }
                }
                Reply::Answer { id, outcome } => {
                    let Some(number) = self.open.remove(&id) else { continue };
                    let outcome = outcome.map_or_else(|error| refused(error.code), |_| self.accepted(None));
                    self.settle(number, outcome);
                }
                Reply::Push(_) => {}
            }
        }
        true
    }

    async fn over_http(&mut self) {
        let mut api = Api::new(self.stage.server, API_KEY);
        while self.stage.is_running() {
            let Some(step) = self.steps.next() else { return };
            let until = tokio::time::Instant::now() + step.wait;
            if !self.call(&mut api, step).await {
                self.connections += 1;
                sleep(BACKOFF).await;
            }
            sleep_until(until).await;
            if self.is_due_to_cut() {
                api.cut();
                self.connections += 1;
            }
        }
    }

    /// One publication, one publication twice with one key, or several in a batch. False when nothing was learned.
    async fn call(&mut self, api: &mut Api, step: Step) -> bool {
        let first = self.log.len();
        for _ in 0..step.count {
            self.attempt(step.channel);
        }
        let name = self.names[step.channel].clone();
        match step.count {
            // In one request, so that both meet the same server, which alone knows the key.
            1 if step.twice => {
                self.log.extend_from_within(first..);
                let publication = publish(&name, &self.log[first], true);
                self.batch(api, first, &[publication.clone(), publication]).await
            }
            1 => self.single(api, first, publish(&name, &self.log[first], false)).await,
            _ => {
                let publications: Vec<_> =
                    self.log[first..].iter().map(|attempt| publish(&name, attempt, false)).collect();
                self.batch(api, first, &publications).await
            }
        }
    }

    async fn single(&mut self, api: &mut Api, number: usize, body: String) -> bool {
        let outcome = match api.call::<Place>("publish", body).await {
            Ok(place) => self.accepted(place.position()),
            Err(Failure::Refused { code, .. }) => refused(code),
            Err(Failure::Unknown(_)) => return false,
        };
        self.settle(number, outcome);
        true
    }

    async fn batch(&mut self, api: &mut Api, first: usize, publications: &[String]) -> bool {
        let commands: Vec<_> = publications.iter().map(|body| format!(r#"{{"publish":{body}}}"#)).collect();
        let body = format!(r#"{{"commands":[{}]}}"#, commands.join(","));
        let Ok(bytes) = api.post("batch", body).await else { return false };
        let Ok(batch) = serde_json::from_slice::<Batch>(&bytes) else { return false };
        for (number, reply) in batch.replies.into_iter().take(publications.len()).enumerate() {
            let outcome = match reply {
                BatchReply { error: Some(error), .. } => refused(error.code),
                BatchReply { publish: Some(place), .. } => self.accepted(place.position()),
                BatchReply { .. } => Outcome::Unknown,
            };
            self.settle(first + number, outcome);
        }
        true
    }
}

/// Publishes the last publication of a channel: one more each time.
pub(super) async fn mark(
    api: &mut Api,
    stage: &Stage,
    channels: &[Channel],
    number: &mut u32,
) -> Vec<Attempt> {
    let mut log = Vec::new();
    for (channel, declared) in channels.iter().enumerate() {
        let id = Id { publisher: MARKS, number: *number };
        *number += 1;
        let (sent, outcome) = (stage.now(), Outcome::Unknown);
        let attempt = Attempt { id, channel, connection: 0, tagged: true, sent, outcome };
        let outcome = match api.call::<Place>("publish", publish(&declared.name, &attempt, false)).await {
            Ok(place) => Outcome::Accepted { at: stage.now(), position: place.position() },
            Err(Failure::Refused { code, .. }) => refused(code),
            Err(Failure::Unknown(_)) => Outcome::Unknown,
        };
        log.push(Attempt { outcome, ..attempt });
    }
    log
}

impl Place {
    fn position(self) -> Option<Position> {
        (self.offset > 0).then(|| Position { epoch: Arc::from(self.epoch), offset: self.offset })
    }
}

/// The body of an API publish, with an idempotency key if it is `keyed`.
fn publish(channel: &str, attempt: &Attempt, keyed: bool) -> String {
    let Attempt { id, tagged, .. } = attempt;
    let key = if keyed { format!(r#","idempotency_key":"{id}""#) } else { String::new() };
    let tags = if *tagged { format!(r#","tags":{{"{}":"{}"}}"#, TAG.0, TAG.1) } else { String::new() };
    format!(r#"{{"channel":"{channel}","data":{}{key}{tags}}}"#, id.payload())
}

/// What an error means: after an internal one the publication may be there or not.
const fn refused(code: u32) -> Outcome {
    if code == ErrorCode::Internal.code() { Outcome::Unknown } else { Outcome::Refused { code } }
}
