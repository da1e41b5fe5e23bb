use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use throng_server::{Running, Server, ServerBuilder, ShutdownReport, StartError, config::Settings};

use crate::bounded::patiently;

/// A real throng server in the test's own process, on a free port of 127.0.0.1.
///
/// Its channels have all that a first try needs, with history and recovery, and nobody needs a token, unless the settings say
/// otherwise. It uses the runtime that started it and two threads of its own. Dropping it cuts all connections.
///
/// ```
/// use throng_testkit::TestServer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut server = TestServer::with(|settings| settings.client.recovery_max_publication_limit = 10).await;
/// let url = server.url();
/// assert!(url.starts_with("ws://127.0.0.1:"));
/// server.restart().await; // its clients get 3001, its channels are empty
/// assert_eq!(server.url(), url);
/// assert_eq!(server.stop().await.cut, 0);
/// # }
/// ```
#[derive(Debug)]
pub struct TestServer {
    /// None only while it is restarted.
    running: Option<Running>,
    builder: ServerBuilder,
    settings: Settings,
}

impl TestServer {
    /// A server with the default settings.
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// A server with settings that differ from the defaults: the closure changes them.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::with_handlers(change, |builder| builder).await
    }

    /// A server with settings and with handlers, such as [`ServerBuilder::on_connect`].
    ///
    /// ```
    /// use throng_testkit::TestServer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = TestServer::with_handlers(
    ///     |_| (),
    ///     |builder| builder.on_rpc("echo", |call| async move { Ok(call.data) }),
    /// )
    /// .await;
    /// # server.stop().await;
    /// # }
    /// ```
    pub async fn with_handlers(
        change: impl FnOnce(&mut Settings),
        build: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let mut settings = Settings::default();
        settings.http_server.port = 0;
        settings.shards.count = 2;
        change(&mut settings);
        let builder = build(Server::builder());
        let running = start(&builder, &settings).await;
        settings.http_server.port = running.local_addr().port();
        Self { running: Some(running), builder, settings }
    }

    /// The URL for clients of the protocol, `ws://127.0.0.1:PORT`; clients add the path `/connection/websocket`.
    #[must_use]
    pub fn url(&self) -> String {
        self.running().url("")
    }

    /// The URL of a room of the plain relay.
    #[must_use]
    pub fn relay_url(&self, room: &str) -> String {
        self.running().url(&format!("/relay/{room}"))
    }

    /// The URL of a path for HTTP, such as `/api/publish`, `/health` or `/metrics`.
    #[must_use]
    pub fn http_url(&self, path: &str) -> String {
        self.running().url(path).replacen("ws", "http", 1)
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.running().local_addr()
    }

    /// The server itself, for what it counts.
    #[must_use]
    pub const fn running(&self) -> &Running {
        self.running.as_ref().expect("there is one except while it is restarted")
    }

    /// Stops the server in order and starts another one on the same port, with the same settings and handlers. Clients get 3001
    /// and come back; what the server kept in memory is gone, and its streams have new epochs.
    ///
    /// Not cancel safe: the server is gone if this is dropped half-way.
    pub async fn restart(&mut self) -> ShutdownReport {
        let running = self.running.take().expect("there is one except while it is restarted");
        let report = patiently("the end of the server", Box::pin(running.shutdown())).await;
        self.running = Some(start(&self.builder, &self.settings).await);
        report
    }

    /// Drops the server without a word to its clients, as a crash does, and starts another one as [`restart`](Self::restart) does.
    pub async fn crash(&mut self) {
        let running = self.running.take().expect("there is one except while it is restarted");
        drop(running);
        // Its tasks give the port back when they are next run.
        self.running = Some(patiently("the port of the crashed server", self.started_again()).await);
    }

    /// Stops the server in order. The report says how many clients left, and how many had to be cut.
    pub async fn stop(mut self) -> ShutdownReport {
        let running = self.running.take().expect("there is one except while it is restarted");
        patiently("the end of the server", Box::pin(running.shutdown())).await
    }

    async fn started_again(&self) -> Running {
        const PAUSE: Duration = Duration::from_millis(1);

        loop {
            match try_start(&self.builder, &self.settings).await {
                Err(StartError::Listen { source, .. }) if source.kind() == ErrorKind::AddrInUse => {
                    tokio::time::sleep(PAUSE).await;
                }
                started => return expect_started(started),
            }
        }
    }
}

async fn start(builder: &ServerBuilder, settings: &Settings) -> Running {
    expect_started(try_start(builder, settings).await)
}

async fn try_start(builder: &ServerBuilder, settings: &Settings) -> Result<Running, StartError> {
    // Boxed, so that tests do not carry a large future.
    Box::pin(builder.clone().settings(settings.clone()).start()).await
}

fn expect_started(started: Result<Running, StartError>) -> Running {
    match started {
        Ok(running) => running,
        Err(error) => panic!("the server does not start: {error}: {error:?}"),
    }
}
