//! Whether positioned subscribers still stand where their streams are. Reference section 3.11.

use std::collections::HashMap;
use std::rc::Weak;

use throng_engine::Engine;
use throng_protocol::ChannelName;
use throng_registry::StreamMark;

use super::Shard;

/// Channels that are looked at in one go.
const AT_ONCE: usize = 128;

/// Compares, at intervals, what this shard has delivered with the tops of the streams. In one process nothing can be missing,
/// so this finds defects, and what a shared store has lost.
///
/// A top is compared one interval after it was read, when everything below it has long been delivered.
pub(super) async fn check_positions(shard: Weak<Shard>) {
    let mut tops: HashMap<ChannelName, StreamMark> = HashMap::new();
    loop {
        let Some(interval) = shard.upgrade().map(|s| s.node.settings.client.channel_position_check_delay)
        else {
            return;
        };
        tokio::time::sleep(interval).await;
        let Some(strong) = shard.upgrade() else { return };
        let channels = strong.table.borrow().positioned_channels();
        let mut next = HashMap::with_capacity(channels.len());
        for some in channels.chunks(AT_ONCE) {
            for channel in some {
                let Some(top) = strong.top_of(channel).await else { continue };
                // Whoever subscribed to a stream that was made anew since then is not behind the one that is gone, and whoever
                // still follows that one is found next time.
                if let Some(before) = tops.get(channel).filter(|before| before.epoch == top.epoch) {
                    strong.check(channel, *before);
                }
                next.insert(channel.clone(), top);
            }
            tokio::task::yield_now().await;
        }
        tops = next;
    }
}

impl Shard {
    /// Whoever is behind this place in the stream has lost something.
    fn check(&self, channel: &ChannelName, top: StreamMark) {
        self.table.borrow_mut().lose_behind(channel, top);
        self.notify_changed();
    }

    async fn top_of(&self, channel: &ChannelName) -> Option<StreamMark> {
        let namespace = self.node.namespaces.of(channel.as_str()).ok()?;
        let snapshot = self.node.engine().position(channel, namespace.history.as_ref()).await.ok()?;
        snapshot.position.map(|position| StreamMark { epoch: position.epoch.id(), offset: position.offset })
    }
}
