//! A subscriber: it follows its plan, comes back after every loss, and writes down all it sees.

use std::{collections::HashMap, sync::Arc, time::Duration};

use throng_protocol::{
    Command, ConnectRequest, FilterNode, Outcome, Push, PushEvent, Reply, Request, SubscribeRequest,
    SubscribeResult, UnsubscribeRequest,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    log::{Body, Channel, Position, Promise, Seen, Start, What},
    namespace::{TAG, TAGGED},
    plan::{Action, SubscriberPlan},
    stage::{MARKS, Stage},
    standing::Standing,
    wire::{Arrived, Link},
};

/// `flag` of a subscribe: error 112 rather than an unrecovered subscription.
const REJECT_UNRECOVERED: i64 = 2;
/// Wait before a refused subscribe is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// One subscriber of a run.
pub(super) struct Subscriber {
    plan: SubscriberPlan,
    stage: Stage,
    standings: Vec<Standing>,
    log: Vec<Seen>,
    /// Actions of the plan that happened.
    acted: usize,
    /// Connections so far.
    connections: usize,
    /// Asked and not yet answered, on this connection.
    asked: HashMap<u32, Ask>,
}

/// What an answer will be about.
enum Ask {
    /// With where it stood in its personal channel.
    Connect {
        from: Option<Position>,
    },
    Subscribe {
        standing: usize,
        from: Option<Position>,
    },
    Unsubscribe {
        standing: usize,
    },
}

/// What a connection's loop turns to next.
enum Next {
    Arrived(Arrived),
    Act(Action),
    /// A channel that was left, or refused, is due again.
    Due,
    Late,
}

/// How a connection came to its end.
enum End {
    Lost(Option<u16>),
    Reset,
    Close,
    Vanish,
    /// All is seen.
    Finished,
    /// Time is up.
    Late,
}

impl Subscriber {
    pub(super) fn new(plan: SubscriberPlan, channels: &[Channel], stage: Stage) -> Self {
        let asked = plan.channels.iter().map(|number| (*number, false));
        let served = plan.user.iter().map(|(_, number)| (*number, true));
        let standings = asked.chain(served).map(|(number, served)| {
            let Channel { name, promise } = &channels[number];
            let recovers = matches!(promise, Promise::Announced { kept } if *kept > 0);
            let filtered = plan.filter && name.starts_with(TAGGED);
            Standing::new(number, name.clone(), recovers, served, filtered)
        });
        Self {
            standings: standings.collect(),
            plan,
            stage,
            log: Vec::new(),
            acted: 0,
            connections: 0,
            asked: HashMap::new(),
        }
    }

    /// Lives until it has seen the last publications, or until the time for that is over.
    pub(super) async fn run(mut self) -> Vec<Seen> {
        while Instant::now() < self.stage.end() {
            let user = self.plan.user.as_ref().map(|(user, _)| user.as_str());
            let Ok(mut link) = Link::dial(self.stage.address, self.plan.format, user).await else {
                sleep(self.backoff()).await;
                continue;
            };
            let end = self.converse(&mut link).await;
            let code = match end {
                End::Finished => {
                    link.close().await;
                    self.note(What::Finished);
                    return self.log;
                }
                End::Late => break,
                End::Lost(code) => code,
                End::Reset => {
                    link.reset();
                    None
                }
                End::Close => {
                    link.close().await;
                    None
                }
                End::Vanish => {
                    drop(link);
                    None
                }
            };
            self.note(What::Disconnected { code });
            sleep(self.backoff()).await;
        }
        let missing: Vec<_> = self.standings.iter().filter(|standing| !standing.marked).collect();
        let stuck: Vec<_> =
            missing.iter().map(|standing| What::Stuck { channel: standing.channel }).collect();
        stuck.into_iter().for_each(|what| self.note(what));
        self.log
    }

    fn backoff(&mut self) -> Duration {
        self.connections += 1;
        let waits = &self.plan.backoff;
        Duration::from_millis(waits[self.connections % waits.len()])
    }

    fn note(&mut self, what: What) {
        self.log.push(Seen { at: self.stage.now(), what });
    }

    /// One connection, from its connect to its end.
    async fn converse(&mut self, link: &mut Link) -> End {
        self.asked.clear();
        self.standings.iter_mut().for_each(Standing::disconnected);
        let served = self.standings.iter().find(|standing| standing.served);
        let from = served.and_then(|standing| standing.position.clone());
        let subs = served.zip(from.as_ref()).map(|(standing, from)| {
            let (epoch, offset) = (from.epoch.to_string(), from.offset);
            let known = SubscribeRequest { recover: true, epoch, offset, ..Default::default() };
            (standing.name.clone(), known)
        });
        let connect = ConnectRequest { subs: subs.into_iter().collect(), ..Default::default() };
        let (id, connect) = link.command(Request::Connect(connect));
        self.asked.insert(id, Ask::Connect { from });
        let mut commands = vec![connect];
        if self.plan.eager {
            self.subscribe_due(link, &mut commands);
        }
        if link.send(&commands).await.is_err() {
            return End::Lost(None);
        }
        loop {
            let end = match self.next(link).await {
                Next::Arrived(arrived) => self.arrived(link, arrived).await,
                Next::Act(action) => self.act(link, action).await,
                Next::Due => self.due(link).await,
                Next::Late => Some(End::Late),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Waits for whatever comes first.
    async fn next(&mut self, link: &mut Link) -> Next {
        let action = self.plan.actions.get(self.acted).copied().filter(|_| self.stage.is_running());
        let act_at = action.map_or(self.stage.end(), |(time, _)| self.stage.began + time);
        let due_at = self.next_due();
        tokio::select! {
            arrived = link.receive() => Next::Arrived(arrived),
            () = sleep_until(act_at), if action.is_some() => {
                self.acted += 1;
                action.map_or(Next::Due, |(_, action)| Next::Act(action))
            }
            () = sleep_until(due_at.unwrap_or_else(Instant::now)), if due_at.is_some() => Next::Due,
            () = sleep_until(self.stage.end()) => Next::Late,
        }
    }

    /// When the next channel is to be subscribed to; once connected.
    fn next_due(&self) -> Option<Instant> {
        let wanted = self.standings.iter().filter(|standing| standing.wants());
        wanted.map(|standing| standing.due).min().filter(|_| self.is_connected())
    }

    fn is_connected(&self) -> bool {
        !self.asked.values().any(|ask| matches!(ask, Ask::Connect { .. }))
    }

    async fn act(&mut self, link: &mut Link, action: Action) -> Option<End> {
        match action {
            Action::Reset => {
                self.note(What::Did("resets the connection"));
                Some(End::Reset)
            }
            Action::Close => {
                self.note(What::Did("closes the connection"));
                Some(End::Close)
            }
            Action::Vanish => {
                self.note(What::Did("drops the connection"));
                Some(End::Vanish)
            }
            Action::Pause(time) => {
                self.note(What::Did("stops reading"));
                sleep(time).await;
                self.note(What::Did("reads again"));
                None
            }
            Action::Leave { channel, away, recover } => {
                let standing = &mut self.standings[channel];
                if !standing.live {
                    return None;
                }
                standing.leaves(Instant::now() + away, recover);
                let request = Request::Unsubscribe(UnsubscribeRequest { channel: standing.name.clone() });
                self.ask(link, request, Ask::Unsubscribe { standing: channel }).await
            }
        }
    }

    async fn ask(&mut self, link: &mut Link, request: Request, ask: Ask) -> Option<End> {
        let (id, command) = link.command(request);
        self.asked.insert(id, ask);
        link.send(&[command]).await.is_err().then_some(End::Lost(None))
    }

    /// Subscribes to what is due.
    async fn due(&mut self, link: &mut Link) -> Option<End> {
        if !self.is_connected() {
            return None;
        }
        let mut commands = Vec::new();
        self.subscribe_due(link, &mut commands);
        if !commands.is_empty() && link.send(&commands).await.is_err() {
            return Some(End::Lost(None));
        }
        None
    }

    fn subscribe_due(&mut self, link: &mut Link, commands: &mut Vec<Command>) {
        let now = Instant::now();
        let due = |standing: &Standing| standing.wants() && standing.due <= now;
        for (number, standing) in self.standings.iter_mut().enumerate().filter(|(_, standing)| due(standing))
        {
            standing.asking = true;
            let from = standing.position.clone();
            let request = SubscribeRequest {
                channel: standing.name.clone(),
                recover: from.is_some(),
                epoch: from.as_ref().map(|position| position.epoch.to_string()).unwrap_or_default(),
                offset: from.as_ref().map_or(0, |position| position.offset),
                delta: if self.plan.delta { "fossil".to_owned() } else { String::new() },
                tf: standing.filtered.then(|| Box::new(filter())),
                flag: if self.plan.strict { REJECT_UNRECOVERED } else { 0 },
                ..Default::default()
            };
            let (id, command) = link.command(Request::Subscribe(request));
            self.asked.insert(id, Ask::Subscribe { standing: number, from });
            commands.push(command);
        }
    }

    async fn arrived(&mut self, link: &mut Link, arrived: Arrived) -> Option<End> {
        let replies = match arrived {
            Arrived::Replies(replies) => replies,
            Arrived::End(code) => return Some(End::Lost(code)),
            Arrived::Broken(text) => {
                self.note(What::Broken { channel: None, text });
                return Some(End::Vanish);
            }
        };
        for reply in replies {
            let end = match reply {
                Reply::Ping => link.send(&[Command::Pong]).await.is_err().then_some(End::Lost(None)),
                Reply::Push(push) => self.push(push),
                Reply::Answer { id, outcome } => self.answer(id, outcome),
            };
            if end.is_some() {
                return end;
            }
        }
        self.due(link).await
    }

    fn push(&mut self, push: Push) -> Option<End> {
        let Some(channel) = self.stage.channel(&push.channel) else {
            let text = format!("a push for the channel {:?}", push.channel);
            self.note(What::Broken { channel: None, text });
            return None;
        };
        let standing = self.standings.iter_mut().find(|standing| standing.channel == channel);
        match (push.event, standing) {
            (PushEvent::Publication(publication), Some(standing)) => {
                let epoch = (!publication.epoch.is_empty()).then(|| Arc::from(publication.epoch.as_str()));
                match standing.live(self.plan.format, &publication) {
                    Ok(item) => {
                        let last = matches!(item.body, Body::Sent(id) if id.publisher == MARKS);
                        standing.marked |= last;
                        self.note(What::Publication { channel, item, epoch });
                    }
                    Err(text) => {
                        self.note(What::Broken { channel: Some(channel), text });
                        return Some(End::Vanish);
                    }
                }
                self.standings.iter().all(|standing| standing.marked).then_some(End::Finished)
            }
            (PushEvent::Unsubscribe(unsubscribe), Some(standing)) => {
                standing.unsubscribed(Instant::now());
                self.note(What::Unsubscribed { channel, code: unsubscribe.code });
                None
            }
            (event, _) => {
                self.note(What::Broken { channel: Some(channel), text: format!("unexpected: {event:?}") });
                None
            }
        }
    }

    fn answer(&mut self, id: u32, outcome: Result<Outcome, throng_protocol::ErrorReply>) -> Option<End> {
        match (self.asked.remove(&id), outcome) {
            (Some(Ask::Connect { from }), Ok(Outcome::Connect(result))) => {
                self.note(What::Connected);
                let served = self.standings.iter().position(|standing| standing.served)?;
                match result.subs.get(&self.standings[served].name) {
                    Some(result) => self.subscribed(served, from, result),
                    None => {
                        let channel = Some(self.standings[served].channel);
                        let text = "the personal channel is not there".to_owned();
                        self.note(What::Broken { channel, text });
                        Some(End::Vanish)
                    }
                }
            }
            (Some(Ask::Subscribe { standing, from }), Ok(Outcome::Subscribe(result))) => {
                self.subscribed(standing, from, &result)
            }
            (Some(Ask::Subscribe { standing, .. }), Err(error)) => {
                let standing = &mut self.standings[standing];
                standing.refused(Instant::now() + RETRY);
                let channel = standing.channel;
                self.note(What::Refused { channel, code: error.code });
                None
            }
            (Some(Ask::Unsubscribe { standing }), Ok(Outcome::Unsubscribe(_))) => {
                let channel = self.standings[standing].left();
                self.note(What::Left { channel });
                None
            }
            (_, outcome) => {
                let text = format!("an answer {id} that fits no question: {outcome:?}");
                self.note(What::Broken { channel: None, text });
                Some(End::Vanish)
            }
        }
    }

    fn subscribed(&mut self, number: usize, from: Option<Position>, result: &SubscribeResult) -> Option<End> {
        let standing = &mut self.standings[number];
        let channel = standing.channel;
        match standing.subscribed(self.plan.format, from.as_ref(), result) {
            Ok(publications) => {
                let marked = |body: &Body| matches!(body, Body::Sent(id) if id.publisher == MARKS);
                standing.marked |= publications.iter().any(|item| marked(&item.body));
                let positioned = result.positioned || result.recoverable;
                let position = positioned
                    .then(|| Position { epoch: Arc::from(result.epoch.as_str()), offset: result.offset });
                let (was_recovering, recovered) = (result.was_recovering, result.recovered);
                let filtered = standing.filtered;
                let start =
                    Start { asked: from, was_recovering, recovered, filtered, position, publications };
                self.note(What::Subscribed { channel, start: Box::new(start) });
                self.standings.iter().all(|standing| standing.marked).then_some(End::Finished)
            }
            Err(text) => {
                self.note(What::Broken { channel: Some(channel), text });
                Some(End::Vanish)
            }
        }
    }
}

/// Lets through what has the tag.
fn filter() -> FilterNode {
    let (key, val) = (TAG.0.to_owned(), TAG.1.to_owned());
    FilterNode { key, cmp: "eq".to_owned(), val, ..Default::default() }
}
