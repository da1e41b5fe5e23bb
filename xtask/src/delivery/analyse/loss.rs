//! Whether what was acknowledged reached those who were there.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

use super::{Findings, Kind, ledger::Ledger, trail::Trail};
use crate::delivery::log::{Body, ChannelId, Id, Item, Log, Promise, What};

/// For every stretch of every subscriber: what was sent after it began, and acknowledged before something was sent that
/// arrived, must have arrived.
pub(super) fn check(log: &Log, ledger: &Ledger<'_>, trails: &[Trail], findings: &mut Findings) {
    for (channel, declared) in log.channels.iter().enumerate() {
        match declared.promise {
            Promise::Announced { .. } | Promise::Lossless => {
                check_channel(log, channel, ledger, trails, findings);
            }
            Promise::Ordered => {}
        }
    }
}

fn check_channel(
    log: &Log,
    channel: ChannelId,
    ledger: &Ledger<'_>,
    trails: &[Trail],
    findings: &mut Findings,
) {
    let accepted: BTreeMap<(Duration, Id), Duration> = ledger
        .accepted(channel)
        .into_iter()
        .map(|(attempt, acknowledged)| ((attempt.sent, attempt.id), acknowledged))
        .collect();
    for trail in trails.iter().filter(|trail| trail.channel == channel) {
        for segment in trail.segments.iter().filter(|segment| segment.reached > segment.began) {
            let last = Id { publisher: u16::MAX, number: u32::MAX };
            let from = Bound::Excluded((segment.began, last));
            let to = Bound::Excluded((segment.reached, last));
            for ((sent, id), acknowledged) in accepted.range((from, to)) {
                let hidden = segment.filtered && ledger.attempt(*id).is_some_and(|attempt| !attempt.tagged);
                if *acknowledged < segment.reached && !hidden && !segment.delivered.contains(id) {
                    let text = format!(
                        "{id}, sent at {:.6} s and acknowledged at {:.6} s, did not reach subscriber {}, \
                         subscribed since {:.6} s and given later ones",
                        sent.as_secs_f64(),
                        acknowledged.as_secs_f64(),
                        trail.subscriber,
                        segment.began.as_secs_f64(),
                    );
                    let witness =
                        later(log, ledger, trail, *acknowledged).map(|event| (trail.subscriber, event));
                    findings.add(Kind::Lost, Some(channel), witness, text);
                }
            }
        }
    }
}

/// The first event that brings a publication which was sent after that time.
fn later(log: &Log, ledger: &Ledger<'_>, trail: &Trail, time: Duration) -> Option<usize> {
    let brings = |item: &Item| match item.body {
        Body::Sent(id) => ledger.attempt(id).is_some_and(|attempt| attempt.sent > time),
        Body::Foreign(_) => false,
    };
    let brings_one = |what: &What| what.channel() == Some(trail.channel) && what.items().iter().any(brings);
    log.subscribers[trail.subscriber].iter().position(|seen| brings_one(&seen.what))
}
