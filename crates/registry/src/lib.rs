//! Who is connected to a throng node, who is subscribed to what, and the fan-out to all of them.
//!
//! The registry has two halves. The [`Directory`] is shared by the whole node and knows clients, users and, for each channel,
//! the shards that have subscribers. A [`ShardTable`] belongs to one shard alone, needs no lock, and knows that shard's
//! clients, their subscriptions and their outboxes. Between them lies the [`Fanout`]: one bounded [`ShardQueue`] per shard, so
//! that a publisher's work grows with the number of shards, not of subscribers.
//!
//! A publication is made into frames once per wire format ([`Frames`]) and shared by reference from there on. Nothing here
//! knows a socket: [`ShardTable::flush`] is handed a function that writes.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::task::Poll;
//! use throng_protocol::frame::MessageKind;
//! use throng_registry::{
//!     ChannelRules, Fanout, Frames, OutboxLimits, QueueEntry, ShardTable, Subscription, WireFormat,
//! };
//!
//! let fanout = Fanout::<()>::new(1, 64);
//! let shard = fanout.shards().next().unwrap();
//! let mut table = ShardTable::<Vec<u8>>::new(OutboxLimits::default());
//!
//! // A client subscribes: the table knows the client, the directory only the shard.
//! let ann = table.insert(WireFormat::Relay, Vec::new());
//! let room = "relay:lobby".parse()?;
//! if table.enter(ann, &room, ChannelRules::default()) {
//!     fanout.directory().join(&room, shard);
//! }
//! table.subscribe(ann, &room, Subscription::default(), |_reply| ())?;
//!
//! // A publication goes to the shard's queue, and from there to its subscribers.
//! let ticket = fanout.reserve(&room).expect("the queue has room");
//! fanout.deliver(ticket, &room, 1, None, Frames::relay(MessageKind::Text, "hi".into()), None);
//! let mut entries = VecDeque::new();
//! fanout.queue(shard).drain(10, &mut entries);
//! for entry in entries {
//!     let QueueEntry::Broadcast(broadcast) = entry else { continue };
//!     table.deliver(&broadcast);
//! }
//! table.flush(|written, slices| {
//!     let bytes = slices.iter().map(|slice| { written.extend_from_slice(slice); slice.len() }).sum();
//!     Poll::Ready(Ok(bytes))
//! });
//! assert_eq!(table.attachment(ann).unwrap(), b"\x81\x02hi");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backlog;
mod chain;
mod channel;
mod deliver;
mod delta;
mod directory;
mod fanout;
mod frames;
mod id;
mod local;
mod member;
mod outbox;
mod policy;
mod queue;
mod subscribe;
mod table;
mod track;
mod turn;

use channel::Channel;
pub use directory::{Census, Client, Directory};
pub use fanout::{Broadcast, Fanout, Ticket};
pub use frames::{Frames, Variant, WireFormat};
pub use id::{ClientId, ClientKey, ShardId, ShardSet, Slot};
pub use member::{Ended, Subscription};
pub use outbox::{OutboxDepth, OutboxLimits};
pub use policy::{ChannelRules, SlowPolicy};
pub use queue::{Entry as QueueEntry, Reservation, ShardQueue};
pub use subscribe::NotEntered;
pub use table::{Ending, ShardTable, TableCounters};
pub use track::StreamMark;
