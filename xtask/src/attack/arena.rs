//! The attacked server, and the eyes on its process.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConnection, StreamOwned};

use super::{
    Target,
    tls::{self, Trust},
    verdict::Usage,
};
use crate::{loadtest, server::Server};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The key of the server's HTTP API.
pub(super) const API_KEY: &str = "attack-api-key";
/// Bytes that may wait for one client.
pub(super) const QUEUE: usize = 256 * 1024;
/// The pages that may connect.
pub(super) const ORIGIN: &str = "https://app.example";

/// What is attacked: the defaults, but with deadlines that a short run can wait for.
const CONFIG: &str = r#"
allow_anonymous_connect_without_token = true
allowed_origins = ["https://app.example", "https://*.app.example"]
ping_interval = "2s"
pong_timeout = "1s"
stale_close_delay = "1s"
queue_max_size = 262144

[websocket]
handshake_timeout = "2s"

[http_api]
key = "attack-api-key"
request_timeout = "2s"

[shutdown]
close_timeout = "1s"

[channel.without_namespace]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_user_limited_channels = true

[[channel.namespaces]]
name = "closed"
"#;

/// What an arena's server has beside the usual configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ground {
    /// Lines of `[client]`.
    pub(super) client: &'static str,
    /// Lines with tables of their own.
    pub(super) tables: &'static str,
    /// Whether it speaks TLS, and nothing else.
    pub(super) tls: bool,
}

/// How often the process is looked at.
const LOOK: Duration = Duration::from_millis(40);
/// Longest wait for an answer to a request of ours.
const LIMIT: Duration = Duration::from_secs(10);

/// The server, from its start to its end.
#[derive(Debug)]
pub(super) struct Arena {
    server: Server,
    pid: u32,
    /// How it is known, if it speaks TLS.
    pub(super) trust: Option<Trust>,
    pub(super) log: PathBuf,
}

/// Looks at a process until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    peak: Arc<Mutex<Usage>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Arena {
    /// Starts the server with the usual configuration and more; `name` is that of its files in `directory`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn start(binary: &Path, directory: &Path, name: &str, ground: Ground) -> Result<Self> {
        let config = directory.join(format!("{name}.toml"));
        let Ground { client, tables, tls } = ground;
        fs::write(&config, format!("[client]\n{client}{CONFIG}{tables}"))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let config = config.to_str().context("the path of the target directory is no UTF-8")?;
        let log = directory.join(format!("{name}.log"));
        let mut command = Command::new(binary);
        command.arg("--listen").arg(ANY_PORT.to_string()).args(["--config", config]);
        let mut trust = None;
        if tls {
            let (certificate, key) = loadtest::certificate(directory)?;
            command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(key);
            trust = Some(tls::trust(&certificate)?);
        }
        let mut server = Server::spawn(command, &log)?;
        let pid = server.pid();
        Ok(Self { server, pid, trust, log })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The end of the server's log.
    pub(super) fn log_tail(&self) -> String {
        self.server.log_tail()
    }

    /// What the process holds now.
    ///
    /// # Errors
    ///
    /// When it does not run any more.
    pub(super) fn usage(&self) -> Result<Usage> {
        usage(self.pid).context("the server does not run any more")
    }

    /// Begins to look for the highest usage.
    ///
    /// # Errors
    ///
    /// When there can be no thread for it.
    pub(super) fn watch(&self) -> Result<Watch> {
        Watch::start(self.pid)
    }

    /// Waits until the process holds no more than before, and gives what it holds then, or when `limit` is over.
    ///
    /// # Errors
    ///
    /// When it does not run any more.
    pub(super) fn settle(&self, before: &Usage, limit: Duration) -> Result<Usage> {
        let deadline = Instant::now() + limit;
        loop {
            let now = self.usage()?;
            if now.is_back_at(before) || Instant::now() > deadline {
                return Ok(now);
            }
            thread::sleep(LOOK);
        }
    }

    /// The status that `/health` answers with, if any.
    pub(super) fn health(&self) -> Option<u16> {
        let answer = get(self.address(), self.trust, "/health").ok()?;
        answer.get(9..12)?.parse().ok()
    }

    /// The value of a metric, all its labels together.
    ///
    /// # Errors
    ///
    /// When `/metrics` does not answer or does not tell it.
    pub(super) fn metric(&self, name: &str) -> Result<u64> {
        metric_in(&get(self.address(), self.trust, "/metrics")?, name)
    }

    /// Ends the server with SIGTERM.
    ///
    /// # Errors
    ///
    /// When it does not end, or ends with a failure.
    pub(super) fn stop(self) -> Result<()> {
        let status = self.server.stop()?;
        ensure!(status.success(), "after SIGTERM the server ended with {status}");
        Ok(())
    }
}

/// The value of a metric, all its labels together.
///
/// # Errors
///
/// When `/metrics` does not answer or does not tell it.
pub(super) fn metric(target: Target, name: &str) -> Result<u64> {
    metric_in(&get(target.address, target.tls, "/metrics")?, name)
}

fn metric_in(page: &str, name: &str) -> Result<u64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let is_it = rest.starts_with([' ', '{']);
        is_it.then(|| rest.rsplit_once(' ')?.1.parse::<u64>().ok()).flatten()
    };
    let values: Vec<_> = page.lines().filter_map(value).collect();
    ensure!(!values.is_empty(), "/metrics does not tell {name}");
    Ok(values.iter().sum())
}

fn get(address: SocketAddr, trust: Option<Trust>, path: &str) -> Result<String> {
    let socket = TcpStream::connect_timeout(&address, LIMIT)?;
    socket.set_read_timeout(Some(LIMIT))?;
    match trust {
        None => ask(socket, address, path),
        Some(trust) => {
            let connection = ClientConnection::new(Arc::clone(trust), tls::name(address))?;
            ask(StreamOwned::new(connection, socket), address, path)
        }
    }
}

fn ask(mut stream: impl Read + Write, address: SocketAddr, path: &str) -> Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Over TLS the server may leave without a farewell once it has said everything.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error.into()),
        Ok(_) | Err(_) => Ok(String::from_utf8(answer)?),
    }
}

fn usage(pid: u32) -> Option<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(Usage { rss: kibibytes * 1024, descriptors })
}

impl Watch {
    fn start(pid: u32) -> Result<Self> {
        let (peak, stop) = (Arc::new(Mutex::new(Usage::default())), Arc::new(AtomicBool::new(false)));
        let (highest, end) = (Arc::clone(&peak), Arc::clone(&stop));
        let look = move || {
            while !end.load(Ordering::Acquire) {
                if let Some(now) = usage(pid) {
                    let mut highest = highest.lock().unwrap_or_else(PoisonError::into_inner);
                    *highest = highest.max(now);
                }
                thread::sleep(LOOK);
            }
        };
        let thread = thread::Builder::new().name("watch".into()).spawn(look)?;
        Ok(Self { peak, stop, thread: Some(thread) })
    }

    /// The highest that was seen.
    pub(super) fn peak(self) -> Usage {
        *self.peak.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A panic of it has been reported where it happened.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_usage_of_a_process_is_seen() {
        let before = usage(std::process::id()).unwrap();
        let watch = Watch::start(std::process::id()).unwrap();
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        let deadline = Instant::now() + LIMIT;
        while watch.peak.lock().unwrap().descriptors < before.descriptors + 40 {
            assert!(Instant::now() < deadline, "50 open files were not seen");
            thread::sleep(LOOK);
        }
        drop(files);
        assert!(watch.peak().rss > 0);
    }
}
