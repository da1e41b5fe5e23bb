//! The seam between a throng node and the place where streams live, with the memory engine.
//!
//! An [`Engine`] gives every channel **one order**: it assigns each event of a channel the next [`Sequence`] and hands it to
//! the node's [`Sink`] in that order. It keeps the newest publications of channels that have history in **streams**, whose
//! offsets clients know, and who is **present** where. It knows neither sockets nor clients; the sink spreads what it is handed.
//!
//! ```
//! use std::sync::Mutex;
//! use throng_engine::{Busy, Delivery, Engine, Event, MemoryEngine, MemoryLimits, Message, PublishOptions, Sink};
//! use throng_protocol::{ChannelName, frame::MessageKind};
//!
//! /// Writes down what it is handed.
//! #[derive(Default)]
//! struct Log(Mutex<Vec<(String, u64)>>);
//!
//! impl Sink for Log {
//!     type Ticket = ();
//!     fn reserve(&self, _: &ChannelName) -> Result<(), Busy> {
//!         Ok(())
//!     }
//!     fn deliver(&self, (): (), channel: &ChannelName, delivery: Delivery) {
//!         self.0.lock().unwrap().push((channel.to_string(), delivery.sequence.get()));
//!     }
//! }
//!
//! # futures_util::FutureExt::now_or_never(async {
//! let engine = MemoryEngine::new(Log::default(), MemoryLimits::default());
//! let news: ChannelName = "news".parse()?;
//! let top = engine.subscribe(&news).await?;
//! let event = Event::new(Message::Relay { kind: MessageKind::Text, data: "hi".into() });
//! engine.publish(&news, event, &PublishOptions::default()).await?;
//! assert_eq!(*engine.sink().0.lock().unwrap(), [("news".to_owned(), top.get() + 1)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).expect("the memory engine answers inline").unwrap();
//! ```

mod clock;
pub mod conformance;
mod engine;
mod event;
mod memory;
mod options;
mod position;
mod revocation;

pub use clock::{Clock, ManualClock};
pub use engine::{Busy, Engine, EngineError, Sink};
pub use event::{Delivery, Event, Message, Origin, Sequence};
pub use memory::{MemoryEngine, MemoryLimits, MemorySizes, StoreError};
pub use options::{
    EpochMismatch, History, HistoryOptions, HistoryQuery, PresenceStats, PublishOptions, Published, Snapshot,
};
pub use position::{Epoch, EpochError, Position};
pub use revocation::{Barred, Bearer, Full, Revocation, Revocations, Subject};
