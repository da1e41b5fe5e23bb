//! Starts the floor baseline on a free port, loads it for a moment, and prints the report.
//!
//! `cargo run --release -p throng-bench --example measure`

use std::{
    io::{Write, stdout},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use throng_bench::{
    LoadOptions, Plan,
    baseline::floor::{self, Floor},
    progress::Silent,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let options = LoadOptions {
        url: Some(format!("ws://{}", listener.local_addr()?)),
        connections: Some(100),
        rate: Some(20_000.0),
        duration: Some(Duration::from_secs(2)),
        assertions: vec!["lost==0".parse()?],
        ..LoadOptions::default()
    };

    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let server = thread::spawn(move || floor::serve(listener, Floor { merge: true, echo: false }, &asked));

    let mut report = throng_bench::run(&Plan::check(&options)?, &mut Silent, &AtomicBool::new(false))?;
    report.judge(&options.assertions);
    stdout().write_all(report.to_text().as_bytes())?;

    stop.store(true, Ordering::Relaxed);
    server.join().map_err(|_| "the floor panicked")??;
    Ok(())
}
