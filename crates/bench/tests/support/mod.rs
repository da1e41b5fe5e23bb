//! What the tests of the generator share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a step that fails here fails the test")]

pub mod faulty;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use throng_bench::{
    LoadOptions, Plan, Report, RunError,
    baseline::{
        floor::{self, Floor},
        tutorial,
    },
    progress::Silent,
};

/// Makes a run to its end.
pub fn run(options: LoadOptions) -> Result<Report, RunError> {
    throng_bench::run(&Plan::check(&options).unwrap(), &mut Silent, &AtomicBool::new(false))
}

/// A run to be bounded by its number of messages. It ends when all is there; the drain is only for what never comes.
pub fn short(address: SocketAddr, path: &str) -> LoadOptions {
    LoadOptions {
        url: Some(format!("ws://{address}{path}")),
        drain: Duration::from_secs(30),
        quiet: true,
        ..LoadOptions::default()
    }
}

/// A floor server that ends with the test.
pub struct FloorServer {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FloorServer {
    pub fn start(floor: Floor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || floor::serve(listener, floor, &asked).unwrap());
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for FloorServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the floor panicked");
        }
    }
}

/// A tutorial server that ends with the test.
pub struct TutorialServer {
    pub address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl TutorialServer {
    pub fn start(echo: bool) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        drop(runtime.spawn(tutorial::serve(listener, echo)));
        Self { address, _runtime: runtime }
    }
}
