//! Publishes the time to a channel, and prints what arrives in it, through every restart of the server.
//!
//! ```text
//! cargo run --release --bin throng-server
//! cargo run -p throng-client --example clock
//! cargo run --release --bin throng-client -- sub clock
//! ```

use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use throng_client::{Client, Event, RequestError};
use tokio::time::MissedTickBehavior;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it receives")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "ws://127.0.0.1:8080".to_owned());
    let client = Client::builder(url).connect().await?;
    let mut clock = client.subscribe("clock").await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
                match client.publish("clock", seconds.to_string()).await {
                    Ok(()) => {}
                    // The client is on its way back; the next tick is early enough.
                    Err(error @ (RequestError::NotSent { .. } | RequestError::Unknown(_))) => println!("{error}"),
                    Err(error) => return Err(error.into()),
                }
            }
            event = clock.next() => match event {
                Some(Event::Publication(publication)) => println!("{}", publication.data.as_bytes().escape_ascii()),
                Some(other) => println!("{other:?}"),
                None => return Ok(()),
            },
        }
    }
}
