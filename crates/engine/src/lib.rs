//! The seam between a throng node and the place where streams live, with the memory engine.
//!
//! An [`Engine`] gives every channel **one order**: it assigns each event of a channel the next [`Sequence`] and hands it to
//! the node's [`Sink`] in that order. The engine knows neither sockets nor clients; the sink spreads what it is handed.
//!
//! ```
//! use std::sync::Mutex;
//! use throng_engine::{Busy, Engine, Event, MemoryEngine, Message, Sequence, Sink};
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
//!     fn deliver(&self, (): (), channel: &ChannelName, sequence: Sequence, _: Event) {
//!         self.0.lock().unwrap().push((channel.to_string(), sequence.get()));
//!     }
//! }
//!
//! # futures_util::FutureExt::now_or_never(async {
//! let engine = MemoryEngine::new(Log::default());
//! let news: ChannelName = "news".parse()?;
//! let top = engine.subscribe(&news).await?;
//! let event = Event::new(Message::Relay { kind: MessageKind::Text, data: "hi".into() });
//! engine.publish(&news, event).await?;
//! assert_eq!(*engine.sink().0.lock().unwrap(), [("news".to_owned(), top.get() + 1)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).expect("the memory engine answers inline").unwrap();
//! ```

mod engine;
mod memory;

pub use engine::{Busy, Engine, EngineError, Event, Message, Origin, Sequence, Sink};
pub use memory::MemoryEngine;
