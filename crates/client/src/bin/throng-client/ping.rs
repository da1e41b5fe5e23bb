use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;
use throng_client::{Client, RequestError};

use crate::{
    args::PingArguments,
    connection::Connection,
    failure::{End, Failure, chain},
    interrupt::Interrupt,
    output::Output,
};

/// A method that no application has: any answer is a round trip, a refusal as well.
const METHOD: &str = "throng-client.ping";
/// Longest round trip that is told from longer ones, in microseconds. Requests are given up long before.
const LONGEST_MICROS: u64 = 60_000_000;

/// What was measured so far. Takes the same memory however long it runs.
struct Tally {
    micros: Histogram<u64>,
    total: Duration,
    lost: u64,
}

/// A round trip as a JSON line.
#[derive(Serialize)]
struct RoundTrip {
    event: &'static str,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    micros: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// All round trips as a JSON line, times in microseconds.
#[derive(Serialize)]
struct Summary {
    event: &'static str,
    answered: u64,
    lost: u64,
    min: u64,
    avg: u64,
    max: u64,
    p99: u64,
}

/// Measures round trips until there are enough or it is interrupted, and sums them up.
pub(crate) async fn run(
    connection: &Connection,
    arguments: PingArguments,
    output: &mut Output,
    interrupt: &mut Interrupt,
) -> Result<End, Failure> {
    let Some(client) = interrupt.or(connection.connected()).await else { return Ok(End::Interrupted) };
    let client = client?;
    let mut tally = Tally::new()?;
    let end = interrupt.or(measure(&client, &arguments, &mut tally, output)).await;
    interrupt.or(client.close()).await;
    tally.print(output)?;
    end.unwrap_or(Ok(()))?;
    if tally.micros.is_empty() && tally.lost > 0 {
        return Err(Failure::other("no answer at all"));
    }
    Ok(End::Done)
}

async fn measure(
    client: &Client,
    arguments: &PingArguments,
    tally: &mut Tally,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut turns = tokio::time::interval(Duration::from_secs_f64(arguments.interval));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for seq in 1..=arguments.count.unwrap_or(u64::MAX) {
        turns.tick().await;
        // The way is measured, and not how long a lost connection is away.
        client.connected().await.map_err(|reason| Failure::disconnect(&reason))?;
        let start = Instant::now();
        let answer = client.rpc(METHOD, "").await;
        let took = start.elapsed();
        match answer {
            Ok(_) | Err(RequestError::Refused(_)) => {
                let micros = tally.add(took);
                round_trip(seq, Ok(micros), output)?;
            }
            Err(error @ (RequestError::TimedOut { .. } | RequestError::Unknown(_))) => {
                tally.lost += 1;
                round_trip(seq, Err(chain(&error)), output)?;
            }
            Err(error) => return Err(Failure::request(&error, "ping")),
        }
        output.flush()?;
    }
    Ok(())
}

fn round_trip(seq: u64, outcome: Result<u64, String>, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let (micros, reason) = match outcome {
            Ok(micros) => (Some(micros), None),
            Err(reason) => (None, Some(reason)),
        };
        return output.object(&RoundTrip { event: "ping", seq, micros, reason });
    }
    match outcome {
        Ok(micros) => output.line(&format!("{seq}\t{} ms", millis(micros))),
        Err(reason) => output.line(&format!("{seq}\t{reason}")),
    }
}

impl Tally {
    fn new() -> Result<Self, Failure> {
        let micros = Histogram::new_with_bounds(1, LONGEST_MICROS, 3)
            .map_err(|error| Failure::other(format!("cannot keep round trips: {error}")))?;
        Ok(Self { micros, total: Duration::ZERO, lost: 0 })
    }

    /// Returns the round trip in microseconds.
    fn add(&mut self, took: Duration) -> u64 {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.total += took;
        self.micros.saturating_record(micros);
        micros
    }

    fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let answered = self.micros.len();
        let total = u64::try_from(self.total.as_micros()).unwrap_or(u64::MAX);
        let summary = Summary {
            event: "summary",
            answered,
            lost: self.lost,
            min: if answered == 0 { 0 } else { self.micros.min() },
            avg: total.checked_div(answered).unwrap_or(0),
            max: self.micros.max(),
            p99: self.micros.value_at_quantile(0.99),
        };
        if output.is_json() {
            output.object(&summary)?;
        } else {
            let Summary { event: _, answered, lost, min, avg, max, p99 } = summary;
            output.line(&format!("{answered} answered, {lost} lost"))?;
            if answered > 0 {
                let [min, avg, max, p99] = [min, avg, max, p99].map(millis);
                output.line(&format!("min {min} ms, avg {avg} ms, max {max} ms, p99 {p99} ms"))?;
            }
        }
        output.flush()
    }
}

/// Microseconds as milliseconds.
fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_hundredth_is_told_from_the_rest() {
        let mut tally = Tally::new().unwrap();
        for micros in 1..=1_000 {
            tally.add(Duration::from_micros(micros));
        }
        assert_eq!((tally.micros.min(), tally.micros.max()), (1, 1_000));
        assert_eq!(tally.micros.value_at_quantile(0.99), 990);
        assert_eq!(tally.total / 1_000, Duration::from_nanos(500_500));
        assert_eq!([millis(1), millis(12_345)], ["0.001", "12.345"]);
    }
}
