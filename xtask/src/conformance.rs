//! `cargo xtask conformance`: the Autobahn cases of RFC 6455 and RFC 7692, run by kosoku (PyPI) against `/echo`.
//!
//! What each case gave is kept in `xtask/conformance/autobahn.json`; a case that got worse fails the run.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::{process, server, tools, workspace};

/// All cases together take about 80 seconds; this is when something hangs.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// Sections about permessage-deflate, which a server may leave unimplemented.
const DEFLATE: &[u32] = &[12, 13];

/// Options of `cargo xtask conformance`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Check the echo endpoint at this ws:// URL on loopback, instead of a release server of our own
    #[arg(long, conflicts_with = "server")]
    url: Option<String>,
    #[command(flatten)]
    choice: server::Choice,
    /// Run only the cases that fit, such as '6.*'; they are compared and not blessed
    #[arg(long, value_name = "GLOB", conflicts_with = "bless")]
    cases: Option<String>,
    /// Write the results as those to compare with
    #[arg(long)]
    bless: bool,
}

/// What a case gave, best first. An answer that is right and closes the connection wrongly is [`Self::Failed`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
enum Behavior {
    Ok,
    Informational,
    NonStrict,
    Unimplemented,
    Failed,
}

/// Number of a case, such as 6.4.3; ordered by its parts.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Case(Vec<u32>);

type Results = BTreeMap<Case, Behavior>;

/// Runs the cases, prints a table, and compares.
///
/// # Errors
///
/// When a case of a required section is not OK (or informational), when one got worse or was not run, and when
/// the server or the suite cannot be run.
pub(crate) fn run(args: &Args) -> Result<()> {
    let python = tools::python("kosoku", &workspace::root().join("xtask/conformance/requirements.txt"))?;
    let output = workspace::Metadata::own()?.target_directory.join("conformance");
    // Left-over reports of an earlier run must not be taken for those of this one.
    if output.exists() {
        fs::remove_dir_all(&output).with_context(|| format!("cannot remove {}", output.display()))?;
    }
    fs::create_dir_all(&output)?;
    let server = match &args.url {
        Some(_) => None,
        None => Some(start(&args.choice, &output)?),
    };
    let url = server.as_ref().map(|server| server.url("ws", "/echo")).or_else(|| args.url.clone());
    let url = url.context("either a server of our own or a URL")?;
    ensure!(is_loopback(&url), "the suite sends a load: only ws:// URLs on loopback are taken, not {url}");
    let results = results(&python.with_file_name("kosoku"), &url, args.cases.as_deref(), &output)?;
    if let Some(server) = server {
        let status = server.stop()?;
        ensure!(status.success(), "the server ended with {status} after the suite");
    }
    let committed = workspace::root().join("xtask/conformance/autobahn.json");
    if args.bless {
        // Only what every section demands can be blessed.
        judge(&results, &results, false)?;
        fs::write(&committed, written(&results))
            .with_context(|| format!("cannot write {}", committed.display()))?;
        println!("wrote {} results to {}", results.len(), committed.display());
        return Ok(());
    }
    judge(&results, &read(&committed)?, args.cases.is_some())
}

fn start(choice: &server::Choice, output: &Path) -> Result<server::Server> {
    let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    server::Server::start(&choice.binary()?, any_port, &[], &output.join("server.log"))
}

fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    host.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
        || host.starts_with("localhost:")
}

/// Lets kosoku run the cases; what it says goes to a file.
fn results(kosoku: &Path, url: &str, cases: Option<&str>, output: &Path) -> Result<Results> {
    let log = output.join("kosoku.log");
    let log_file = fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut command = Command::new(kosoku);
    command.args(["-p", "2", "-o"]).arg(output).args(cases.iter().flat_map(|glob| ["-i", glob])).arg(url);
    command.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
    println!("running the Autobahn cases against {url}; reports go to {}", output.display());
    // Its exit status is not used: it counts unimplemented cases as failures.
    process::Running::start("kosoku", &mut command)?.wait(LIMIT)?;
    let index = output.join("index.json");
    let text = fs::read_to_string(&index).with_context(|| {
        format!("kosoku wrote no results:\n{}", fs::read_to_string(&log).unwrap_or_default().trim_end())
    })?;
    parse(&text)
}

/// Reads kosoku's index: agent → case → behaviour and closing behaviour.
fn parse(text: &str) -> Result<Results> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        behavior: Behavior,
        behavior_close: String,
    }
    let agents: BTreeMap<String, BTreeMap<String, Entry>> = serde_json::from_str(text)?;
    let cases = agents.into_values().next().context("kosoku tested no agent")?;
    let closed = |entry: &Entry| matches!(entry.behavior_close.as_str(), "OK" | "INFORMATIONAL");
    cases
        .into_iter()
        .map(|(case, entry)| {
            let behavior = if closed(&entry) { entry.behavior } else { Behavior::Failed };
            Ok((Case::parse(&case)?, behavior))
        })
        .collect()
}

/// Prints a table and what is wrong.
fn judge(results: &Results, committed: &Results, partial: bool) -> Result<()> {
    let mut sections: BTreeMap<u32, BTreeMap<Behavior, usize>> = BTreeMap::new();
    for (case, behavior) in results {
        *sections.entry(case.section()).or_default().entry(*behavior).or_default() += 1;
    }
    for (section, counts) in &sections {
        let counts: Vec<_> =
            counts.iter().map(|(behavior, count)| format!("{count} {}", behavior.shown())).collect();
        println!("section {section:>2}: {}", counts.join(", "));
    }
    let faults = faults(results, committed, partial);
    for fault in &faults {
        println!("FAIL {fault}");
    }
    let skipped = results.values().filter(|behavior| **behavior == Behavior::Unimplemented).count();
    let passed = results.len().saturating_sub(faults.len() + skipped);
    println!("{passed} passed, {} failed, {skipped} skipped", faults.len());
    ensure!(!results.is_empty(), "no case was run");
    if faults.is_empty() { Ok(()) } else { bail!("{} case(s) are not as they must be", faults.len()) }
}

/// What is wrong with these results: a case that fails its section's demand, one that is worse than committed
/// (informational counts as good as OK: those cases depend on timing), and, unless only a part was run, one
/// that is missing.
fn faults(results: &Results, committed: &Results, partial: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (case, behavior) in results {
        let before = committed.get(case).copied();
        let deflate = DEFLATE.contains(&case.section()) && *behavior == Behavior::Unimplemented;
        if *behavior > Behavior::Informational && !deflate {
            faults.push(format!("case {case}: {}", behavior.shown()));
        } else if before.is_some_and(|before| *behavior > before.max(Behavior::Informational)) {
            let before = before.map_or("", Behavior::shown);
            faults.push(format!("case {case}: {}, was {before}", behavior.shown()));
        } else if before.is_none() {
            faults.push(format!("case {case}: not among the committed results; see --bless"));
        }
    }
    if !partial {
        let missing = committed.keys().filter(|case| !results.contains_key(case));
        faults.extend(missing.map(|case| format!("case {case}: was not run")));
    }
    faults
}

/// The results as they are committed: one line for each case.
fn written(results: &Results) -> String {
    let lines: Vec<_> = results.iter().map(|(case, got)| format!("\"{case}\":\"{}\"", got.shown())).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// The committed results; none at all before the first `--bless`.
fn read(path: &PathBuf) -> Result<Results> {
    if !path.exists() {
        return Ok(Results::new());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let cases: BTreeMap<String, Behavior> =
        serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    cases.into_iter().map(|(case, behavior)| Ok((Case::parse(&case)?, behavior))).collect()
}

impl Behavior {
    const fn shown(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Informational => "INFORMATIONAL",
            Self::NonStrict => "NON-STRICT",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Failed => "FAILED",
        }
    }
}

impl Case {
    fn parse(text: &str) -> Result<Self> {
        let parts: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        Ok(Self(parts.with_context(|| format!("{text:?} is no number of a case"))?))
    }

    fn section(&self) -> u32 {
        self.0.first().copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results_of(cases: &[(&str, Behavior)]) -> Results {
        cases.iter().map(|(case, behavior)| (Case::parse(case).unwrap(), *behavior)).collect()
    }

    #[test]
    fn kosokus_index_is_read_and_a_bad_close_is_a_failure() {
        let text = r#"{"127.0.0.1:1":{
            "6.4.10":{"behavior":"NON-STRICT","behaviorClose":"OK","remoteCloseCode":null},
            "6.4.9":{"behavior":"OK","behaviorClose":"INFORMATIONAL"},
            "7.1.1":{"behavior":"OK","behaviorClose":"FAILED"}}}"#;
        let expected =
            [("6.4.9", Behavior::Ok), ("6.4.10", Behavior::NonStrict), ("7.1.1", Behavior::Failed)];
        assert_eq!(parse(text).unwrap(), results_of(&expected));
    }

    #[test]
    fn results_survive_writing_and_reading() {
        let results = results_of(&[("1.1.1", Behavior::Ok), ("12.1.1", Behavior::Unimplemented)]);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), written(&results)).unwrap();
        assert_eq!(read(&file.path().to_owned()).unwrap(), results);
    }

    #[test]
    fn lenient_answers_fail_and_missing_compression_does_not() {
        let results = results_of(&[
            ("1.1.1", Behavior::Ok),
            ("6.4.3", Behavior::NonStrict),
            ("7.1.6", Behavior::Informational),
            ("10.1.1", Behavior::Unimplemented),
            ("12.1.1", Behavior::Unimplemented),
            ("13.1.1", Behavior::Failed),
        ]);
        let expected = ["case 6.4.3: NON-STRICT", "case 10.1.1: UNIMPLEMENTED", "case 13.1.1: FAILED"];
        assert_eq!(faults(&results, &results, false), expected);
    }

    #[test]
    fn what_got_worse_or_was_not_run_fails() {
        let committed =
            results_of(&[("7.1.6", Behavior::Ok), ("12.1.1", Behavior::Ok), ("12.1.2", Behavior::Ok)]);
        let results = results_of(&[("7.1.6", Behavior::Informational), ("12.1.1", Behavior::Unimplemented)]);
        let worse = "case 12.1.1: UNIMPLEMENTED, was OK";
        assert_eq!(faults(&results, &committed, false), [worse, "case 12.1.2: was not run"]);
        assert_eq!(faults(&results, &committed, true), [worse]);
    }

    #[test]
    fn only_loopback_is_tested() {
        assert!(is_loopback("ws://127.0.0.1:8080/echo") && is_loopback("ws://[::1]:8080/echo"));
        assert!(!is_loopback("ws://10.0.0.1:80/echo") && !is_loopback("ws://example.org/echo"));
    }
}
