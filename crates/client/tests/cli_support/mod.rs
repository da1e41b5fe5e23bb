//! Runs the built binary with pipes.
#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part of this")]

pub mod server;

use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// A call of the binary that has not begun.
pub struct Cli {
    command: Command,
}

/// A call that is under way.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// What was read of stdout so far.
    read: Vec<u8>,
    /// What was read of stderr so far.
    errors: Vec<u8>,
}

/// A call that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    /// The URL goes in by the environment.
    pub fn new(url: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_throng-client"));
        command.args(arguments).env("THRONG_URL", url).env_remove("THRONG_API_KEY");
        // Whoever runs the tests may have profiles.
        command
            .env("XDG_CONFIG_HOME", "/nonexistent")
            .env_remove("THRONG_PROFILE")
            .env_remove("THRONG_TOKEN")
            .kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    pub fn spawn(mut self) -> Running {
        let mut child = self.command.spawn().expect("the binary is built");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        Running { child, stdin, stdout, read: Vec::new(), errors: Vec::new() }
    }

    /// Runs it to its end with this on stdin.
    pub async fn run(self, input: &str) -> Ended {
        self.run_bytes(input.as_bytes()).await
    }

    pub async fn run_bytes(self, input: &[u8]) -> Ended {
        let mut running = self.spawn();
        // What ends early does not read its stdin.
        let _ = running.stdin.take().expect("piped").write_all(input).await;
        running.end().await
    }
}

impl Running {
    pub async fn type_in(&mut self, text: &str) {
        self.stdin.as_mut().expect("piped").write_all(text.as_bytes()).await.expect("the binary reads");
    }

    pub fn end_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Waits until this is a line of stdout.
    pub async fn until_stdout(&mut self, line: &str) {
        while !self.read.split(|byte| *byte == b'\n').any(|read| read == line.as_bytes()) {
            self.read_more().await;
        }
    }

    /// Waits until a line of stdout holds this, and returns the line.
    pub async fn until_stdout_has(&mut self, part: &str) -> String {
        loop {
            let ended = self.read.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
            let text = String::from_utf8_lossy(&self.read[..ended]).into_owned();
            if let Some(line) = text.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            self.read_more().await;
        }
    }

    /// Waits until stdout ends with this.
    pub async fn until_stdout_bytes(&mut self, bytes: &[u8]) {
        while !self.read.ends_with(bytes) {
            self.read_more().await;
        }
    }

    /// Waits until a line of stderr holds this, and returns the line.
    pub async fn until_stderr_has(&mut self, part: &str) -> String {
        let stderr = self.child.stderr.as_mut().expect("piped");
        loop {
            let text = String::from_utf8_lossy(&self.errors).into_owned();
            if let Some(line) =
                text.split_inclusive('\n').find(|line| line.contains(part) && line.ends_with('\n'))
            {
                return line.trim_end().to_owned();
            }
            let count = stderr.read_buf(&mut self.errors).await.expect("readable");
            assert!(count > 0, "stderr ended after {text:?}");
        }
    }

    async fn read_more(&mut self) {
        let stdout = self.stdout.as_mut().expect("piped");
        let count = stdout.read_buf(&mut self.read).await.expect("readable");
        assert!(count > 0, "stdout ended after {:?}", String::from_utf8_lossy(&self.read));
    }

    /// Sends a signal, by the name that `kill` has for it.
    #[cfg(unix)]
    pub async fn signal(&mut self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args([name, &id]).status().await.expect("`kill` is there");
        assert!(sent.success());
    }

    /// Waits for the end, with what is left of its output.
    pub async fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let (mut read, mut errors) = (std::mem::take(&mut self.read), std::mem::take(&mut self.errors));
        let mut stderr = self.child.stderr.take().expect("piped");
        let output = async {
            if let Some(mut stdout) = self.stdout.take() {
                stdout.read_to_end(&mut read).await.expect("readable");
            }
        };
        let ((), _, status) = tokio::join!(output, stderr.read_to_end(&mut errors), self.child.wait());
        Ended {
            status: status.expect("it ends").code().expect("it ends by itself"),
            stdout: String::from_utf8_lossy(&read).into_owned(),
            stderr: String::from_utf8_lossy(&errors).into_owned(),
        }
    }
}

impl Ended {
    /// Status, stdout and stderr.
    pub fn all(&self) -> (i32, &str, &str) {
        (self.status, &self.stdout, &self.stderr)
    }
}
