//! Checks that are counted one by one and go on after a failure.

use std::{
    io::Write,
    process::{Command, Stdio},
    sync::mpsc::RecvTimeoutError,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::process;

/// Longest silence of checks in another process: each of their own waits is shorter.
const SILENCE: Duration = Duration::from_secs(120);

/// A line that checks in another process write.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Check { check: String, ms: u64, error: Option<String> },
    Need { need: String },
}

/// How many checks passed and failed so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    passed: usize,
    failed: usize,
}

impl Checks {
    /// Performs one check, named by a sentence, and prints how it went.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<()>) {
        let began = Instant::now();
        let result = check();
        self.record(name, began.elapsed(), result);
    }

    /// Counts a check that was performed elsewhere, and prints how it went.
    pub(crate) fn record(&mut self, name: &str, took: Duration, result: Result<()>) {
        let seconds = took.as_secs_f64();
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok   {name} ({seconds:.1} s)");
            }
            Err(error) => {
                self.failed += 1;
                println!("FAIL {name} ({seconds:.1} s)\n     {error:#}");
            }
        }
    }

    /// Runs a program that performs checks, and counts them.
    ///
    /// It writes one line of JSON for each: `{"check", "ms", "error"}`, where `error` is null for a good one. With a
    /// line `{"need"}` it asks for what `provide` does, and waits for a line of input.
    ///
    /// # Errors
    ///
    /// When it cannot be started, ends with a failure, writes something else, or is silent for two minutes, and what
    /// `provide` fails with.
    pub(crate) fn follow(
        &mut self,
        command: &mut Command,
        mut provide: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let shown = process::shown(command);
        let mut running =
            process::Running::start("the checks", command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let mut input = running.child().stdin.take().context("the input is piped")?;
        let lines = process::lines(running.child().stdout.take().context("the output is piped")?);
        loop {
            let line = match lines.recv_timeout(SILENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => bail!("`{shown}` said nothing for {} s", SILENCE.as_secs()),
            };
            match serde_json::from_str(&line).with_context(|| format!("`{shown}` wrote {line:?}"))? {
                Line::Check { check, ms, error } => {
                    let result = error.map_or(Ok(()), |error| Err(anyhow!(error)));
                    self.record(&check, Duration::from_millis(ms), result);
                }
                Line::Need { need } => {
                    provide(&need)?;
                    writeln!(input, "done").with_context(|| format!("`{shown}` has ended"))?;
                }
            }
        }
        let status = running.wait(SILENCE)?;
        ensure!(status.success(), "`{shown}` ended with {status}");
        Ok(())
    }

    /// Whether any check has failed.
    pub(crate) const fn any_failed(&self) -> bool {
        self.failed > 0
    }

    /// Prints the sum.
    ///
    /// # Errors
    ///
    /// When a check failed, or none was performed.
    pub(crate) fn finish(&self, what: &str) -> Result<()> {
        println!("{} passed, {} failed", self.passed, self.failed);
        match (self.passed, self.failed) {
            (0, 0) => bail!("{what}: no check was performed"),
            (_, 0) => Ok(()),
            (_, failed) => bail!("{what}: {failed} check(s) failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_whole_and_so_does_nothing_at_all() {
        let mut checks = Checks::default();
        checks.finish("none").unwrap_err();
        checks.check("good", || Ok(()));
        checks.finish("one").unwrap();
        checks.check("bad", || bail!("no"));
        assert!(checks.any_failed());
        assert_eq!((checks.passed, checks.failed), (1, 1));
        assert_eq!(checks.finish("two").unwrap_err().to_string(), "two: 1 check(s) failed");
    }

    fn follow(script: &str) -> Result<(Checks, Vec<String>)> {
        let mut checks = Checks::default();
        let mut needs = Vec::new();
        checks.follow(Command::new("sh").args(["-c", script]), |need| {
            needs.push(need.to_owned());
            Ok(())
        })?;
        Ok((checks, needs))
    }

    #[test]
    fn checks_of_another_process_are_counted_and_given_what_they_need() {
        let script = r#"
            echo '{"check":"one","ms":5,"error":null}'
            echo '{"need":"stop"}'; read answer
            echo "{\"check\":\"two\",\"ms\":5,\"error\":\"$answer\"}""#;
        let (checks, needs) = follow(script).unwrap();
        assert_eq!((checks.passed, checks.failed), (1, 1));
        assert_eq!(needs, ["stop"]);
    }

    #[test]
    fn checks_that_end_badly_or_speak_another_language_fail() {
        let ended = follow("exit 2").unwrap_err().to_string();
        assert!(ended.contains("ended with"), "{ended}");
        let other = follow("echo hello").unwrap_err().to_string();
        assert!(other.contains("hello"), "{other}");
    }
}
