//! Checks that are counted one by one and go on after a failure.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

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
        assert_eq!(checks.finish("two").unwrap_err().to_string(), "two: 1 check(s) failed");
    }
}
