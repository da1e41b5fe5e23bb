use futures_util::{FutureExt as _, StreamExt as _, future::try_join_all, stream::select_all};
use serde::Serialize;
use serde_json::value::RawValue;
use throng_client::{Client, Event, Publication, State, StateWatch, Subscription};

use crate::{
    args::{ConnectionArguments, SubArguments},
    failure::{End, Failure, chain},
    interrupt::Interrupt,
    output::Output,
    text::Shown,
};

/// What happens on a channel, or to the connection, as a JSON line.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Subscribes to the channels and prints what is published, until enough is, or it is interrupted.
pub(crate) async fn run(
    connection: &ConnectionArguments,
    arguments: SubArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let start = subscribed(connection, arguments.channels);
    let Some(started) = interrupt.or(Box::pin(start)).await else { return Ok(End::Interrupted) };
    let (client, subscriptions) = started?;
    let channels: Vec<&str> = subscriptions.iter().map(Subscription::channel).collect();
    output.inform(&format!("subscribed to {} on {}; Ctrl-C ends", channels.join(", "), connection.url));
    for channel in channels {
        announce(output, "subscribed", Some(channel))?;
    }
    let end = print(&client, subscriptions, arguments.count, output, interrupt).await;
    interrupt.or(client.close()).await;
    end
}

async fn subscribed(
    connection: &ConnectionArguments,
    mut channels: Vec<String>,
) -> Result<(Client, Vec<Subscription>), Failure> {
    channels.sort();
    channels.dedup();
    let client =
        connection.client().connect().await.map_err(|error| Failure::connect(&error, &connection.url))?;
    let subscribe = async |channel: &String| {
        client.subscribe(channel).await.map_err(|error| Failure::subscribe(&error, channel))
    };
    let subscriptions = try_join_all(channels.iter().map(subscribe)).await?;
    Ok((client, subscriptions))
}

async fn print(
    client: &Client,
    subscriptions: Vec<Subscription>,
    count: Option<u64>,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let several = subscriptions.len() > 1;
    let mut connection = Watch { states: client.watch(), lost: false };
    connection.states.current();
    let mut events = select_all(subscriptions.into_iter().map(|subscription| {
        let channel = subscription.channel().to_owned();
        subscription.map(move |event| (channel.clone(), event))
    }));
    let mut left = count;
    loop {
        let next = match events.next().now_or_never() {
            Some(next) => next,
            None => {
                output.flush()?;
                tokio::select! {
                    next = events.next() => next,
                    state = connection.states.changed() => {
                        connection.tell(state, output)?;
                        continue;
                    }
                    () = interrupt.wait() => return Ok(End::Done),
                }
            }
        };
        let Some((channel, event)) = next else { return Ok(End::Done) };
        let published = matches!(event, Event::Publication(_));
        show(&channel, event, several, output)?;
        if let (true, Some(left)) = (published, &mut left) {
            *left -= 1;
            if *left == 0 {
                output.flush()?;
                return Ok(End::Done);
            }
        }
    }
}

fn show(channel: &str, event: Event, several: bool, output: &mut Output) -> Result<(), Failure> {
    match event {
        Event::Publication(publication) => return show_publication(channel, &publication, several, output),
        Event::Missed(count) => {
            output
                .warn(&format!("{channel}: {count} events were dropped, because stdout is read too slowly"));
            let line = Line { count: Some(count), ..Line::new("missed", Some(channel)) };
            if output.is_json() {
                output.object(&line)?;
            }
        }
        Event::Unsubscribed(reason) => return Err(Failure::unsubscribed(&reason, channel)),
        Event::Subscribing => announce(output, "subscribing", Some(channel))?,
        Event::Subscribed => announce(output, "subscribed", Some(channel))?,
        Event::Join(info) | Event::Leave(info) if !output.is_json() => drop(info),
        Event::Join(info) => {
            let line = Line {
                user: Some(&info.user),
                client: Some(&info.client),
                ..Line::new("join", Some(channel))
            };
            output.object(&line)?;
        }
        Event::Leave(info) => {
            let line = Line {
                user: Some(&info.user),
                client: Some(&info.client),
                ..Line::new("leave", Some(channel))
            };
            output.object(&line)?;
        }
        _ => {}
    }
    Ok(())
}

fn show_publication(
    channel: &str,
    publication: &Publication,
    several: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let shown = Shown::new(&publication.data);
    if !output.is_json() {
        return if several {
            output.line(&format!("{channel}\t{}", shown.as_str()))
        } else {
            output.line(shown.as_str())
        };
    }
    let mut line = Line::new("publication", Some(channel));
    let data;
    match &shown {
        Shown::Json(json) => {
            data = RawValue::from_string(json.clone())
                .map_err(|error| Failure::other(format!("the server sent data that is no JSON: {error}")))?;
            line.data = Some(&data);
        }
        Shown::Text(text) => line.text = Some(text),
        Shown::Hex(digits) => line.hex = Some(digits),
    }
    line.offset = (publication.offset > 0).then_some(publication.offset);
    if let Some(info) = &publication.info {
        line.user = Some(&info.user);
        line.client = Some(&info.client);
    }
    output.object(&line)
}

fn announce(output: &mut Output, event: &'static str, channel: Option<&str>) -> Result<(), Failure> {
    if output.is_json() { output.object(&Line::new(event, channel)) } else { Ok(()) }
}

/// Follows the connection, and says when it is lost and when it is back.
struct Watch {
    states: StateWatch,
    lost: bool,
}

impl Watch {
    fn tell(&mut self, state: Option<State>, output: &mut Output) -> Result<(), Failure> {
        match state {
            Some(State::Connecting { last: Some(reason), .. }) if !self.lost => {
                self.lost = true;
                output.warn(&format!("connection lost, trying again: {}", chain(&reason)));
                if output.is_json() {
                    let reason = Some(chain(&reason));
                    output.object(&Line { reason, ..Line::new("disconnected", None) })?;
                }
                Ok(())
            }
            Some(State::Connected { .. }) if self.lost => {
                self.lost = false;
                output.warn("connection is back");
                announce(output, "connected", None)
            }
            Some(State::Disconnected(reason)) => Err(Failure::disconnect(&reason)),
            None => Err(Failure::other("the client has ended")),
            Some(_) => Ok(()),
        }
    }
}

impl<'a> Line<'a> {
    const fn new(event: &'static str, channel: Option<&'a str>) -> Self {
        Self {
            event,
            channel,
            data: None,
            text: None,
            hex: None,
            offset: None,
            user: None,
            client: None,
            count: None,
            reason: None,
        }
    }
}
