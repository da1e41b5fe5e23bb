use parking_lot::Mutex;
use throng_protocol::ChannelName;

use crate::{ShardId, ShardSet};

/// A channel that somebody on this node is subscribed to: its name and the shards where its subscribers live.
#[derive(Debug)]
pub(crate) struct Channel {
    name: ChannelName,
    state: Mutex<ChannelState>,
}

#[derive(Debug, Default)]
struct ChannelState {
    shards: ShardSet,
    /// Set once the last shard has left: the channel is on its way out of the directory and takes nobody in any more.
    closed: bool,
}

impl Channel {
    pub(crate) fn new(name: ChannelName) -> Self {
        Self { name, state: Mutex::default() }
    }

    /// The channel's name.
    pub(crate) const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// The shards that have subscribers now.
    pub(crate) fn shards(&self) -> ShardSet {
        self.state.lock().shards
    }

    /// Adds a shard. `None` if the channel has closed and the caller must look it up again, else whether the shard is new.
    pub(crate) fn join(&self, shard: ShardId) -> Option<bool> {
        let mut state = self.state.lock();
        (!state.closed).then(|| state.shards.insert(shard))
    }

    /// Removes a shard; true if it was the last one, which closes the channel.
    pub(crate) fn leave(&self, shard: ShardId) -> bool {
        let mut state = self.state.lock();
        let last = state.shards.remove(shard) && state.shards.is_empty();
        state.closed |= last;
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_that_its_last_shard_left_takes_nobody_in_any_more() {
        let channel = Channel::new("news".parse().unwrap());
        let [a, b] = [0, 1].map(|number| ShardId::new(number).unwrap());
        assert_eq!(channel.join(a), Some(true));
        assert!(!channel.leave(b), "it was not in it");
        assert!(channel.leave(a));
        assert_eq!(channel.join(b), None);
    }
}
