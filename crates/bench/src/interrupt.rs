//! Ctrl-C as a call instead of a sudden end.

use std::{io, thread};

/// Calls `act` each time the user presses Ctrl-C (SIGINT), from a thread of its own; the program no longer ends by it.
///
/// # Errors
///
/// The system has no thread or descriptor left.
pub fn on_ctrl_c(mut act: impl FnMut() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Registered before this returns, so that no press is missed.
    let mut signals = {
        let _context = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?
    };
    thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
        runtime.block_on(async {
            while signals.recv().await.is_some() {
                act();
            }
        });
    })?;
    Ok(())
}
