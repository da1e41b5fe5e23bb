//! An open-loop load generator for WebSocket servers that tells the truth, the baselines it is compared with, and reports.
//!
//! The generator is one thread with an epoll loop and its own minimal framing, so that one core of it can saturate one
//! core of any server. It shares no code with the servers it measures. Latency counts from the time at which the schedule
//! wanted a message sent; every message carries a number, so that lost, doubled and reordered ones are found; and the
//! report says when the generator itself was the limit. Linux only: it uses epoll and `/proc`.
//!
//! ```
//! use std::{net::TcpListener, sync::atomic::AtomicBool, thread};
//!
//! use throng_bench::{
//!     LoadOptions, Plan,
//!     baseline::floor::{self, Floor},
//!     progress::Silent,
//! };
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let url = format!("ws://{}", listener.local_addr()?);
//! let stop: &'static AtomicBool = Box::leak(Box::default());
//! thread::spawn(move || floor::serve(listener, Floor::default(), stop));
//!
//! let options = LoadOptions { url: Some(url), connections: Some(3), messages: Some(20), ..LoadOptions::default() };
//! let report = throng_bench::run(&Plan::check(&options)?, &mut Silent, &AtomicBool::new(false))?;
//! assert_eq!(report.integrity.delivered, 60);
//! assert_eq!(report.integrity.lost, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod assertion;
pub mod baseline;
mod clock;
pub mod interrupt;
mod limits;
mod link;
mod measure;
mod net;
pub mod options;
mod plan;
pub mod progress;
pub mod report;
mod scenario;
pub mod sequence;
pub mod usage;
mod wire;

pub use self::{
    limits::TooFewFiles,
    link::LinkError,
    options::LoadOptions,
    plan::{Plan, PlanError, PlanErrors},
    report::Report,
    scenario::{RunError, run},
    wire::{
        dialect::{Protocol, Refusal},
        stamp::MIN_SIZE,
        upgrade::UpgradeFault,
    },
};
