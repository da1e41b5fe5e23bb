//! All that a connection receives: read by the client, or raw.

use futures_util::{FutureExt as _, Stream, StreamExt as _, future::try_join_all, stream};
use serde_json::json;
use throng_client::{Client, Endpoint, Event, RelayClient, RelayEvent, ServerEvent, ServerEvents};

use crate::{
    args::TailArguments,
    connection::Connection,
    failure::{End, Failure, chain},
    interrupt::Interrupt,
    output::Output,
    show::{self, Line},
    text::Shown,
    watch::{Watch, announce},
};

/// Prints what arrives until enough has, or it is interrupted.
pub(crate) async fn run(
    connection: &Connection,
    arguments: TailArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    if arguments.raw {
        return raw(connection, &arguments, output, interrupt).await;
    }
    let Some(started) = interrupt.or(Box::pin(start(connection, &arguments.channels))).await else {
        return Ok(End::Interrupted);
    };
    let (client, events) = started?;
    output.inform(&format!("connected to {}; Ctrl-C ends", connection.url));
    announce(output, "connected", None)?;
    let end = follow(&client, events, arguments.count, output, interrupt).await;
    interrupt.or(client.close()).await;
    end
}

async fn start(
    connection: &Connection,
    channels: &[String],
) -> Result<(Client, impl Stream<Item = ServerEvent> + Unpin + use<>), Failure> {
    let connected = connection.client()?.connect_with_events().await;
    let (client, events): (Client, ServerEvents) =
        connected.map_err(|error| Failure::connect(&error, &connection.url))?;
    let subscribe = async |channel: &String| {
        client.subscribe(channel).await.map_err(|error| Failure::subscribe(&error, channel))
    };
    let subscriptions = try_join_all(channels.iter().map(subscribe)).await?;
    let mut streams = vec![events.boxed()];
    for subscription in subscriptions {
        let channel: std::sync::Arc<str> = subscription.channel().into();
        streams.push(
            subscription.map(move |event| ServerEvent::Channel { channel: channel.clone(), event }).boxed(),
        );
    }
    Ok((client, stream::select_all(streams)))
}

async fn follow(
    client: &Client,
    mut events: impl Stream<Item = ServerEvent> + Unpin,
    mut left: Option<u64>,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let mut connection = Watch::new(client);
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
        let Some(event) = next else {
            // The streams end with the client, perhaps before its state says why.
            output.flush()?;
            let mut state = Some(client.state());
            loop {
                connection.tell(state, output)?;
                state = connection.changed().await;
            }
        };
        print(event, output)?;
        if enough(&mut left) {
            break;
        }
    }
    output.flush()?;
    Ok(End::Done)
}

/// Counts one more. True when that was the last.
fn enough(left: &mut Option<u64>) -> bool {
    left.as_mut().is_some_and(|left| {
        *left = left.saturating_sub(1);
        *left == 0
    })
}

fn print(event: ServerEvent, output: &mut Output) -> Result<(), Failure> {
    match event {
        ServerEvent::Channel { channel, event } => in_channel(&channel, event, output),
        ServerEvent::Message(data) if output.is_json() => show::message(&data, output),
        ServerEvent::Message(data) => output.line(&format!("message\t{}", Shown::new(&data).as_str())),
        ServerEvent::Missed(count) => missed(None, count, output),
        _ => Ok(()),
    }
}

fn in_channel(channel: &str, event: Event, output: &mut Output) -> Result<(), Failure> {
    let (word, rest) = match event {
        Event::Publication(publication) if output.is_json() => {
            return show::publication(channel, &publication, None, &show::Columns::default(), output);
        }
        Event::Publication(publication) => {
            ("publication", Some(Shown::new(&publication.data).as_str().to_owned()))
        }
        Event::Join(info) if output.is_json() => {
            return output.object(&Line::of("join", channel, &info));
        }
        Event::Leave(info) if output.is_json() => {
            return output.object(&Line::of("leave", channel, &info));
        }
        Event::Join(info) => ("join", Some(format!("{}\t{}", info.client, info.user))),
        Event::Leave(info) => ("leave", Some(format!("{}\t{}", info.client, info.user))),
        Event::Subscribing => ("subscribing", None),
        Event::Subscribed => ("subscribed", None),
        Event::Gap { .. } => ("gap", None),
        Event::Missed(count) => return missed(Some(channel), count, output),
        Event::Unsubscribed(reason) => ("unsubscribed", Some(chain(&reason))),
        _ => return Ok(()),
    };
    if output.is_json() {
        return output.object(&Line { reason: rest, ..Line::new(word, Some(channel)) });
    }
    let rest = rest.map(|rest| format!("\t{rest}")).unwrap_or_default();
    output.line(&format!("{word}\t{channel}{rest}"))
}

fn missed(channel: Option<&str>, count: u64, output: &mut Output) -> Result<(), Failure> {
    output.warn(&format!("{count} events were dropped, because stdout is read too slowly"));
    if output.is_json() {
        return output.object(&Line { count: Some(count), ..Line::new("missed", channel) });
    }
    output.line(&format!("missed\t{}\t{count}", channel.unwrap_or_default()))
}

/// Every frame as it comes, in JSON. The commands are sent and the pings answered by hand.
async fn raw(
    connection: &Connection,
    arguments: &TailArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let connect = connection.plain(&connection.url.or_path(Endpoint::PROTOCOL_PATH))?.connect();
    let Some(socket) = interrupt.or(connect).await else { return Ok(End::Interrupted) };
    let mut socket = socket.map_err(|error| Failure::connect(&error, &connection.url))?;
    let mut left = arguments.count;
    let end = loop {
        let event = match socket.next().now_or_never() {
            Some(event) => event,
            None => {
                output.flush()?;
                tokio::select! {
                    event = socket.next() => event,
                    () = interrupt.wait() => break Ok(End::Done),
                }
            }
        };
        match event {
            Some(event) => {
                if frame(&socket, event, connection, arguments, &mut left, output).await? {
                    break Ok(End::Done);
                }
            }
            None => break Ok(End::Done),
        }
    };
    output.flush()?;
    // Nothing was sent that anybody waits for, so it does not matter how the connection ends.
    let _ = interrupt.or(socket.close()).await;
    end
}

/// Returns true when that was enough.
async fn frame(
    socket: &RelayClient,
    event: RelayEvent,
    connection: &Connection,
    arguments: &TailArguments,
    left: &mut Option<u64>,
    output: &mut Output,
) -> Result<bool, Failure> {
    let send = async |text: String| socket.send(text).await.map_err(|error| Failure::send(&error));
    match event {
        RelayEvent::Connected => send(commands(connection, &arguments.channels).await?).await?,
        RelayEvent::Text(text) => {
            for line in text.lines() {
                output.line(line)?;
                if line.trim() == "{}" {
                    send("{}".to_owned()).await?;
                }
                if enough(left) {
                    return Ok(true);
                }
            }
        }
        RelayEvent::Binary(bytes) => output.binary(&bytes)?,
        RelayEvent::Missed(count) => {
            output.warn(&format!("{count} messages were dropped, because stdout is read too slowly"));
        }
        RelayEvent::Disconnected(reason) => {
            output.warn(&format!("connection lost, trying again: {}", chain(&reason)));
        }
        RelayEvent::Stopped(reason) => return Err(Failure::disconnect(&reason)),
        _ => {}
    }
    Ok(false)
}

/// The commands that open a session, in one frame.
async fn commands(connection: &Connection, channels: &[String]) -> Result<String, Failure> {
    let token = connection.current_token().await?;
    let version = env!("CARGO_PKG_VERSION");
    let connect = json!({ "token": token.as_str(), "name": "throng-client", "version": version });
    let mut frame = json!({ "id": 1, "connect": connect }).to_string();
    for (id, channel) in (2_u32..).zip(channels) {
        frame.push('\n');
        frame.push_str(&json!({ "id": id, "subscribe": { "channel": channel } }).to_string());
    }
    Ok(frame)
}
