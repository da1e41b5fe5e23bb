//! Child processes: run one to its end, or hold one and be sure that it ends.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// How often a wait for a child looks whether it has ended.
const POLL: Duration = Duration::from_millis(10);

/// Runs a command to its end; its output goes where ours goes.
///
/// # Errors
///
/// When it cannot be started or ends with a failure; the message names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Runs a command to its end and returns what it wrote to standard output.
///
/// # Errors
///
/// When it cannot be started, ends with a failure (the message carries its standard error) or writes no UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` wrote no UTF-8"))
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Lines that a child writes, read by a thread of their own, so that a reader can wait with a deadline and
/// the child never blocks on a full pipe.
pub(crate) fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(source).lines() {
            let Ok(line) = line else { break };
            // The other end may be gone; reading on keeps the child from blocking.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// A running child that is killed, and waited for, when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    /// Starts `command`, called `name` in messages.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start `{}`", shown(command)))?;
        Ok(Self { child, name: name.to_owned() })
    }

    /// The child itself, for its pipes.
    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Asks the child to stop (SIGTERM).
    ///
    /// # Errors
    ///
    /// When the signal cannot be sent.
    pub(crate) fn terminate(&self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .with_context(|| format!("cannot send SIGTERM to {}", self.name))
    }

    /// Waits until the child has ended by itself.
    ///
    /// # Errors
    ///
    /// When it is still running after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "{} still runs after {} s", self.name, limit.as_secs());
            thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when the child has already been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_words() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c exit 3") && error.contains('3'), "{error}");
    }

    #[test]
    fn what_a_failing_command_said_is_in_the_error() {
        let error = output(Command::new("sh").args(["-c", "echo no such thing >&2; exit 1"])).unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
    }

    #[test]
    fn a_child_that_does_not_end_is_reported_and_then_killed() {
        let mut child = Running::start("sleeper", Command::new("sleep").arg("600")).unwrap();
        let pid = rustix::process::Pid::from_child(child.child());
        let error = child.wait(Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("sleeper still runs"), "{error}");
        drop(child);
        assert!(rustix::process::test_kill_process(pid).is_err(), "the child outlived its guard");
    }

    #[test]
    fn a_terminated_child_is_waited_for() {
        let mut child = Running::start("sleeper", Command::new("sleep").arg("600")).unwrap();
        child.terminate().unwrap();
        assert!(!child.wait(Duration::from_secs(20)).unwrap().success());
    }

    #[test]
    fn lines_arrive_one_by_one_and_then_the_end() {
        let received: Vec<String> = lines(&b"one\ntwo\n"[..]).iter().collect();
        assert_eq!(received, ["one", "two"]);
    }
}
