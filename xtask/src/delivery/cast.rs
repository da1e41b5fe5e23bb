//! Those who take part in a run, and how it comes to rest.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

use super::{
    log::{Attempt, Audit, Body, Item, Log, Position, Promise, Seen},
    namespace,
    plan::Plan,
    publisher::{self, Publisher},
    stage::Stage,
    subscriber::Subscriber,
};
use crate::api::Api;

/// Time in which publishers must stop after they were told to.
const PUBLISHERS_STOP: Duration = Duration::from_secs(20);
/// Time between two rounds of last publications.
const ROUND: Duration = Duration::from_secs(1);

/// The tasks of a run; they end when this is dropped.
#[derive(Debug)]
pub(super) struct Cast {
    subscribers: JoinSet<(usize, Vec<Seen>)>,
    publishers: JoinSet<Vec<Attempt>>,
}

/// What the API answers to a history.
#[derive(Deserialize)]
struct History {
    publications: Vec<Stored>,
    epoch: String,
    offset: u64,
}

#[derive(Deserialize)]
struct Stored {
    data: Box<RawValue>,
    #[serde(default)]
    offset: u64,
}

impl Cast {
    /// Starts everybody.
    pub(super) fn enter(plan: &Plan, stage: &Stage, runtime: &Runtime) -> Self {
        let mut cast = Self { subscribers: JoinSet::new(), publishers: JoinSet::new() };
        for (number, own) in plan.subscribers.iter().enumerate() {
            let subscriber = Subscriber::new(own.clone(), &plan.channels, stage.clone());
            cast.subscribers.spawn_on(async move { (number, subscriber.run().await) }, runtime.handle());
        }
        for (number, own) in (0_u16..).zip(&plan.publishers) {
            let publisher = Publisher::new(number, own.clone(), &plan.channels, stage.clone());
            cast.publishers.spawn_on(publisher.run(), runtime.handle());
        }
        cast
    }

    /// Waits until the publishers have stopped and the subscribers have seen the last publication of each channel, then
    /// reads what the server has stored.
    ///
    /// # Errors
    ///
    /// When the publishers do not stop, or the server does not tell its history.
    pub(super) async fn settle(&mut self, plan: &Plan, stage: &Stage) -> Result<Log> {
        let mut log = Log { channels: plan.channels.clone(), ..Log::default() };
        log.subscribers.resize(plan.subscribers.len(), Vec::new());
        let publishers = async {
            while let Some(attempts) = self.publishers.join_next().await {
                log.attempts.extend(attempts?);
            }
            anyhow::Ok(())
        };
        timeout(PUBLISHERS_STOP, publishers).await.context("the publishers do not stop")??;
        let mut api = Api::new(stage.server, namespace::API_KEY);
        let mut number = 0;
        while !self.subscribers.is_empty() {
            log.attempts.extend(publisher::mark(&mut api, stage, &plan.channels, &mut number).await);
            let all = async {
                while let Some(ended) = self.subscribers.join_next().await {
                    let (number, seen) = ended?;
                    log.subscribers[number] = seen;
                }
                anyhow::Ok(())
            };
            // A round that is over is followed by the next one.
            if let Ok(ended) = timeout(ROUND, all).await {
                ended?;
            }
        }
        log.audits = audits(&mut api, plan).await?;
        Ok(log)
    }
}

/// The history of every channel that has one.
async fn audits(api: &mut Api, plan: &Plan) -> Result<Vec<Audit>> {
    let mut audits = Vec::new();
    for (channel, declared) in plan.channels.iter().enumerate() {
        if !matches!(declared.promise, Promise::Announced { .. }) {
            continue;
        }
        let body = format!(r#"{{"channel":"{}","limit":-1}}"#, declared.name);
        let history: History = api.call("history", body).await?;
        let items = history
            .publications
            .into_iter()
            .map(|stored| Item { offset: stored.offset, body: Body::read(stored.data.get().as_bytes()) });
        let position = Position { epoch: history.epoch.into(), offset: history.offset };
        audits.push(Audit { channel, position, publications: items.collect() });
    }
    Ok(audits)
}
