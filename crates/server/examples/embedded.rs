//! A server inside another program: it listens on any free port until Enter is pressed.
//!
//! Run it with `cargo run -p throng-server --example embedded`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use throng_server::Server;
use throng_server::config::Settings;
use tokio::io::AsyncReadExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = Settings::default();
    settings.http_server.port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let running = Server::builder().settings(settings).start().await?;
    println!("{} and {}", running.url("/connection/websocket"), running.url("/relay/lobby"));
    println!("press Enter to stop");
    // The end of the input is as good as Enter.
    let _ = tokio::io::stdin().read_u8().await;
    let report = running.shutdown().await;
    println!("{} clients left, {} were cut", report.closed, report.cut);
    Ok(())
}
