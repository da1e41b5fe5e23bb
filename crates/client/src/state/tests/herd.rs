//! What a restarted server sees of its clients, without sockets: each is a [`Link`] with an invented clock.

use super::*;
use crate::{
    Backoff,
    state::{Link, Verdict},
};

const CLIENTS: u32 = 10_000;
const WINDOW: Duration = Duration::from_millis(100);

/// When the clients try, in windows after the moment at which the server cut them all, and when the last was connected.
struct Herd {
    attempts: Vec<u32>,
    settled: Duration,
}

/// A server that is away for so long, and then takes everybody.
fn restarted(away: Duration) -> Herd {
    let start = Instant::now();
    let mut herd = Herd { attempts: vec![0; 10_000], settled: Duration::ZERO };
    for seed in 0..u64::from(CLIENTS) {
        let mut link = Link::new(ReconnectPolicy::default(), seed);
        link.start();
        link.opened();
        link.established(start);
        let mut now = start;
        loop {
            assert!(matches!(link.lost(closed(1006), now), Verdict::Retry));
            now = link.deadline().expect("there is a next attempt");
            assert!(link.due(now));
            let since = now - start;
            herd.attempts[usize::try_from(since.as_millis() / WINDOW.as_millis()).unwrap()] += 1;
            if since >= away {
                herd.settled = herd.settled.max(since);
                break;
            }
        }
    }
    herd
}

/// The rate per second that full jitter promises never to be above, in the mean.
///
/// The wait before attempt `k` has the density 1/c(k) on [0, c(k)), c(k) being the ceiling, and so the moment of that
/// attempt, a sum of such waits, has a density of at most 1/c(k) anywhere. Once ceilings are at the cap the attempts are
/// a renewal process of uniform waits, whose density is at most e/cap. Together: clients × (Σ 1/c(k) + e/cap).
fn promised(backoff: &Backoff) -> f64 {
    let cap = backoff.ceiling(u32::MAX).as_secs_f64();
    let growing =
        (0..).map(|attempt| backoff.ceiling(attempt).as_secs_f64()).take_while(|ceiling| *ceiling < cap);
    f64::from(CLIENTS) * (growing.map(f64::recip).sum::<f64>() + std::f64::consts::E / cap)
}

#[test]
fn ten_thousand_clients_stay_below_the_promised_rate_at_every_moment_of_an_outage() {
    let backoff = Backoff::default();
    let in_window = promised(&backoff) * WINDOW.as_secs_f64();
    // The seeds are fixed, so this either always holds or never does; five deviations make it hold.
    let bound = in_window + 5.0 * in_window.sqrt();
    for away_s in [0, 2, 10, 120] {
        let herd = restarted(away_s * SECOND);
        let peak = herd.attempts.iter().copied().max().unwrap();
        assert!(f64::from(peak) < bound, "away for {away_s} s: {peak} in a tenth of a second, {bound}");
        // Everybody is back within one cap of the server's return.
        assert!(herd.settled <= away_s * SECOND + backoff.ceiling(u32::MAX), "{away_s}: {:?}", herd.settled);
    }
}

#[test]
fn in_a_long_outage_the_rate_settles_at_two_attempts_of_each_client_in_the_time_of_the_cap() {
    let herd = restarted(300 * SECOND);
    let rate = 2 * CLIENTS / 20;
    // From the second minute to the fourth, second by second.
    let seconds: Vec<u32> =
        herd.attempts[1_000..2_800].chunks(10).map(|windows| windows.iter().sum()).collect();
    let mean = seconds.iter().sum::<u32>() / u32::try_from(seconds.len()).unwrap();
    assert!((rate * 95 / 100..=rate * 105 / 100).contains(&mean), "{mean} a second");
    for second in seconds {
        assert!((rate * 4 / 5..=rate * 6 / 5).contains(&second), "{second} in one second");
    }
}
