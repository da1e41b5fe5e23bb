//! Whether all subscribers of a channel without offsets can have seen one and the same order.

use std::collections::HashMap;

use super::{Findings, Kind, trail::Trail};
use crate::delivery::log::{ChannelId, Id};

/// Each subscriber's sequence says what comes before what. If these together run in a circle, there is no one order.
pub(super) fn check(channel: ChannelId, trails: &[Trail], findings: &mut Findings) {
    let mut after: HashMap<Id, Vec<Id>> = HashMap::new();
    let mut waiting: HashMap<Id, usize> = HashMap::new();
    for trail in trails.iter().filter(|trail| trail.channel == channel) {
        for id in &trail.sequence {
            waiting.entry(*id).or_default();
        }
        for pair in trail.sequence.windows(2).filter(|pair| pair[0] != pair[1]) {
            after.entry(pair[0]).or_default().push(pair[1]);
            *waiting.entry(pair[1]).or_default() += 1;
        }
    }
    let mut free: Vec<Id> = waiting.iter().filter(|(_, count)| **count == 0).map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        waiting.remove(&id);
        for next in after.remove(&id).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(&next) {
                *count -= 1;
                if *count == 0 {
                    free.push(next);
                }
            }
        }
    }
    // What is left waits for itself, or for something that does.
    if let Some((first, second, one, other)) = contradiction(channel, trails, &waiting) {
        let text =
            format!("subscriber {one} got {first} before {second}, subscriber {other} the other way round");
        findings.add(Kind::Disagreement, Some(channel), None, text);
    } else if !waiting.is_empty() {
        let mut circle: Vec<_> = waiting.into_keys().collect();
        circle.sort();
        let shown: Vec<_> = circle.iter().take(10).map(ToString::to_string).collect();
        let text = format!("the subscribers' orders of {} contradict each other", shown.join(", "));
        findings.add(Kind::Disagreement, Some(channel), None, text);
    }
}

/// Two neighbours of one subscriber that another one saw the other way round, which is the usual circle.
fn contradiction(
    channel: ChannelId,
    trails: &[Trail],
    circle: &HashMap<Id, usize>,
) -> Option<(Id, Id, usize, usize)> {
    let of_channel: Vec<_> = trails.iter().filter(|trail| trail.channel == channel).collect();
    let mut ordered: HashMap<(Id, Id), usize> = HashMap::new();
    for trail in &of_channel {
        let inside: Vec<_> = trail.sequence.iter().filter(|id| circle.contains_key(id)).collect();
        for pair in inside.windows(2) {
            ordered.entry((*pair[0], *pair[1])).or_insert(trail.subscriber);
        }
    }
    ordered
        .iter()
        .filter(|((first, second), _)| first != second)
        .find_map(|((first, second), one)| Some((*first, *second, *one, *ordered.get(&(*second, *first))?)))
}
