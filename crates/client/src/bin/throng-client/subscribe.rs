use std::collections::BTreeMap;

use futures_util::{FutureExt as _, Stream, StreamExt as _, future::try_join_all, stream};
use throng_client::{
    Client, ClientInfo, Event, FilterNode, State, StreamPosition, SubscribeOptions, Subscription,
};

use crate::{
    args::SubArguments,
    connection::Connection,
    failure::{End, Failure, chain},
    interrupt::Interrupt,
    output::Output,
    show::{self, Columns, Line, Typed},
    watch::{Watch, announce, tell},
};

/// Subscribes to the channels and prints what is published, until enough is, or it is interrupted.
pub(crate) async fn run(
    connection: &Connection,
    arguments: SubArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let start = subscribed(connection, &arguments, output);
    let Some(started) = interrupt.or(Box::pin(start)).await else { return Ok(End::Interrupted) };
    let (client, subscriptions) = started?;
    let channels: Vec<&str> = subscriptions.iter().map(Subscription::channel).collect();
    output.inform(&format!("subscribed to {} on {}; Ctrl-C ends", channels.join(", "), connection.url));
    for subscription in &subscriptions {
        announce(output, "subscribed", Some(subscription.channel()))?;
        if arguments.recovers() && !subscription.is_recoverable() {
            output.warn(&format!(
                "{}: the server does not grant recovery: what is published during an interruption is lost",
                subscription.channel()
            ));
        }
    }
    let mut printer = Printer::new(&subscriptions, &arguments);
    let end = printer.print(&client, subscriptions, output, interrupt).await;
    interrupt.or(client.close()).await;
    if arguments.recovers() {
        for (channel, position) in &printer.positions {
            show::position(channel, position, output)?;
        }
        output.flush()?;
    }
    end
}

async fn subscribed(
    connection: &Connection,
    arguments: &SubArguments,
    output: &Output,
) -> Result<(Client, Vec<Subscription>), Failure> {
    let client = connect(connection, arguments.wait.wait, output).await?;
    let mut channels = arguments.channels.clone();
    channels.sort();
    channels.dedup();
    let subscribe = async |channel: &String| {
        client
            .subscribe_with(channel, options(arguments))
            .await
            .map_err(|error| Failure::subscribe(&error, channel))
    };
    let subscriptions = try_join_all(channels.iter().map(subscribe)).await?;
    Ok((client, subscriptions))
}

/// Connects; with `wait`, tries until it works or is no use.
async fn connect(connection: &Connection, wait: bool, output: &Output) -> Result<Client, Failure> {
    if !wait {
        return connection.connected().await;
    }
    let client = connection.client()?.build().map_err(|error| Failure::build(&error))?;
    let mut states = client.watch();
    let mut state = states.current();
    loop {
        match state {
            State::Connected { .. } => return Ok(client),
            State::Connecting { last: Some(reason), failures: 1 } => {
                output.warn(&format!("cannot connect yet, trying again: {}", chain(&reason)));
            }
            State::Disconnected(reason) => return Err(Failure::first_connection(&reason, &connection.url)),
            _ => {}
        }
        state = states.changed().await.ok_or_else(|| Failure::other("the client has ended"))?;
    }
}

fn options(arguments: &SubArguments) -> SubscribeOptions {
    let mut conditions: Vec<FilterNode> = arguments.filters.clone();
    let tags_filter = if conditions.len() > 1 {
        Some(FilterNode { op: "and".to_owned(), nodes: conditions, ..FilterNode::default() })
    } else {
        conditions.pop()
    };
    SubscribeOptions {
        recoverable: arguments.recovers(),
        since: arguments.since.clone(),
        join_leave: arguments.join_leave,
        delta: arguments.delta,
        tags_filter,
        token: arguments.sub_token.clone().unwrap_or_default(),
        ..SubscribeOptions::default()
    }
}

/// Prints what happens, and keeps how far each channel was printed.
struct Printer {
    columns: Columns,
    /// Publications that are still to come, if there is an end.
    left: Option<u64>,
    positions: BTreeMap<String, StreamPosition>,
}

impl Printer {
    fn new(subscriptions: &[Subscription], arguments: &SubArguments) -> Self {
        let columns = Columns {
            channel: subscriptions.len() > 1,
            position: arguments.positions,
            format: arguments.format.clone(),
        };
        let position =
            |subscription: &Subscription| Some((subscription.channel().to_owned(), subscription.position()?));
        let positions = subscriptions.iter().filter_map(position).collect();
        Self { columns, left: arguments.count, positions }
    }

    async fn print(
        &mut self,
        client: &Client,
        subscriptions: Vec<Subscription>,
        output: &mut Output,
        interrupt: &mut Interrupt,
    ) -> Result<End, Failure> {
        let mut connection = Watch::new(client);
        let mut events = stream::select_all(subscriptions.into_iter().map(|events| Box::pin(placed(events))));
        loop {
            let next = match events.next().now_or_never() {
                Some(next) => next,
                None => {
                    output.flush()?;
                    tokio::select! {
                        next = events.next() => next,
                        state = connection.changed() => {
                            connection.tell(state, output)?;
                            continue;
                        }
                        () = interrupt.wait() => return Ok(End::Done),
                    }
                }
            };
            let Some((channel, event, position)) = next else { return Ok(End::Done) };
            let published = matches!(event, Event::Publication(_));
            self.show(&channel, event, position.as_ref(), output)?;
            if let Some(position) = position {
                self.positions.insert(channel, position);
            }
            if let (true, Some(left)) = (published, &mut self.left) {
                *left -= 1;
                if *left == 0 {
                    output.flush()?;
                    return Ok(End::Done);
                }
            }
        }
    }

    fn show(
        &self,
        channel: &str,
        event: Event,
        position: Option<&StreamPosition>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        match event {
            Event::Publication(publication) => {
                let position = position.filter(|position| position.offset == publication.offset);
                show::publication(channel, &publication, position, &self.columns, output)
            }
            Event::Gap { since, current } => {
                output.warn(&format!("{channel}: {}", missing(&since, current.as_ref())));
                let (since, current) = (Some((&since).into()), current.as_ref().map(Into::into));
                tell(output, &Line { since, current, ..Line::new("gap", Some(channel)) })
            }
            Event::Missed(count) => {
                output.warn(&format!(
                    "{channel}: {count} events were dropped, because stdout is read too slowly"
                ));
                tell(output, &Line { count: Some(count), ..Line::new("missed", Some(channel)) })
            }
            Event::Unsubscribed(reason) => Err(Failure::unsubscribed(&reason, channel)),
            Event::Subscribing => announce(output, "subscribing", Some(channel)),
            Event::Subscribed => announce(output, "subscribed", Some(channel)),
            Event::Join(info) => self.member(channel, "join", &info, output),
            Event::Leave(info) => self.member(channel, "leave", &info, output),
            _ => Ok(()),
        }
    }

    fn member(
        &self,
        channel: &str,
        event: &'static str,
        info: &ClientInfo,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if output.is_json() {
            return output.object(&Line::of(event, channel, info));
        }
        let ClientInfo { user, client, .. } = info;
        let front = if self.columns.channel { format!("{channel}\t") } else { String::new() };
        output.line(&format!("{front}{event}\t{client}\t{user}"))
    }
}

/// A subscription's events, each with its channel and the reader's place after it.
fn placed(events: Subscription) -> impl Stream<Item = (String, Event, Option<StreamPosition>)> {
    stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        let item = (events.channel().to_owned(), event, events.position());
        Some((item, events))
    })
}

/// What a gap means, in words.
fn missing(since: &StreamPosition, current: Option<&StreamPosition>) -> String {
    match current {
        None => "publications may be missing: the server keeps no stream of this channel any more".to_owned(),
        Some(current) if current.epoch == since.epoch && current.offset > since.offset => {
            let count = current.offset - since.offset;
            let what = if count == 1 { "publication is" } else { "publications are" };
            format!("{count} {what} missing: the server does not give them back")
        }
        Some(current) => format!(
            "publications may be missing: the stream that was read to {} is gone, the one now is at {}",
            Typed(since),
            Typed(current)
        ),
    }
}
