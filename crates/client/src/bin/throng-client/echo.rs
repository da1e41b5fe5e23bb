use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde::Serialize;
use throng_client::{RelayClient, RelayEvent};

use crate::{
    args::EchoArguments,
    connection::Connection,
    failure::{End, Failure},
    interrupt::Interrupt,
    output::Output,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// A round trip as a JSON line.
#[derive(Serialize)]
struct RoundTrip<'a> {
    event: &'static str,
    text: &'a str,
    micros: u128,
}

/// Sends a message, waits for it to come back, and prints how long that took.
pub(crate) async fn run(
    connection: &Connection,
    arguments: EchoArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let work = async {
        let connect = connection.echo()?.max_attempts(0).connect();
        let mut echo = connect.await.map_err(|error| Failure::connect(&error, &connection.url))?;
        let start = Instant::now();
        echo.send(arguments.text.as_str()).await.map_err(|error| Failure::send(&error))?;
        let answer = tokio::time::timeout(PATIENCE, answer(&mut echo)).await;
        let took = start.elapsed();
        let text = answer.map_err(|_| Failure::other(format!("no answer within {PATIENCE:?}")))??;
        if text != arguments.text {
            return Err(Failure::other(format!("something else came back: {text}")));
        }
        // The answer is here, so nothing depends on how the connection ends.
        let _ = echo.close().await;
        Ok((text, took))
    };
    let Some(result) = interrupt.or(work).await else { return Ok(End::Interrupted) };
    let (text, took) = result?;
    if output.is_json() {
        output.object(&RoundTrip { event: "echo", text: &text, micros: took.as_micros() })?;
    } else {
        output.line(&format!("{text}\t{:.3} ms", took.as_secs_f64() * 1_000.0))?;
    }
    output.flush()?;
    Ok(End::Done)
}

async fn answer(echo: &mut RelayClient) -> Result<String, Failure> {
    while let Some(event) = echo.next().await {
        match event {
            RelayEvent::Text(text) => return Ok(text),
            RelayEvent::Stopped(reason) | RelayEvent::Disconnected(reason) => {
                return Err(Failure::disconnect(&reason));
            }
            _ => {}
        }
    }
    Err(Failure::other("the connection has ended"))
}
