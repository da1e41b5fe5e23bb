//! Whether what a filter has hidden had to be hidden.

use super::{Findings, Kind, ledger::Ledger, trail::Trail};
use crate::delivery::log::{Body, Item, Position};

/// Looks at every place that a filtered subscriber was not given: what is known to stand there must lack the tag.
pub(super) fn check(ledger: &Ledger<'_>, trails: &[Trail], findings: &mut Findings) {
    for trail in trails {
        for (epoch, offsets, event) in &trail.hidden {
            for offset in offsets.clone() {
                let position = Position { epoch: epoch.clone(), offset };
                let Some(Body::Sent(id)) = ledger.body(trail.channel, &position) else { continue };
                if ledger.attempt(*id).is_some_and(|attempt| attempt.tagged) {
                    let item = Item { offset, body: Body::Sent(*id) };
                    let text = format!("{item} was left out, and the filter lets it through");
                    let witness = Some((trail.subscriber, *event));
                    findings.add(Kind::SilentGap, Some(trail.channel), witness, text);
                }
            }
        }
    }
}
