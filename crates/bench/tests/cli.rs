//! The two programs, as a person or a script runs them.

mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use support::FloorServer;
use throng_bench::{Report, baseline::floor::Floor};

fn load(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_throng-load")).args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_run_writes_table_json_and_page_and_keeps_its_assertions() {
    let server = FloorServer::start(Floor::default());
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (json, html, url) = (file("report.json"), file("report.html"), format!("ws://{}", server.address));
    let output = load(&[
        "fanout",
        "--url",
        &url,
        "-c",
        "5",
        "--messages",
        "50",
        "--json",
        &json,
        "--html",
        &html,
        "--assert",
        "lost==0",
        "--assert",
        "max<1h",
    ]);
    assert_eq!(output.status.code(), Some(2), "an hour is no unit of an assertion");
    let output = load(&[
        "fanout",
        "--url",
        &url,
        "-c",
        "5",
        "--messages",
        "50",
        "--json",
        &json,
        "--html",
        &html,
        "--assert",
        "lost==0",
        "--assert",
        "max<3600s",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("250 of 250 delivered"));
    assert!(text(&output.stderr).contains("connecting\n"), "progress is told in lines without a terminal");
    let report: Report = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((report.integrity.delivered, report.verdicts.len()), (250, 2));
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
}

#[test]
fn an_assertion_that_does_not_hold_sets_the_exit_status() {
    let server = FloorServer::start(Floor::default());
    let url = format!("ws://{}", server.address);
    let output = load(&["-q", "--url", &url, "-c", "2", "--messages", "5", "--assert", "lost>0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("FAILS  lost>0"), "{}", text(&output.stdout));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_faulty_command_line_says_what_is_allowed() {
    for (arguments, part) in [
        (&["--url", "ws://127.0.0.1:1", "--assert", "p98<1s"][..], "there are p50, p90, p99"),
        (&["fanout"], "--url ws://HOST:PORT"),
        (
            &["idle", "--url", "ws://127.0.0.1:1", "--depth", "3"],
            "--depth has no meaning in the scenario idle",
        ),
        (&["--url", "ws://127.0.0.1:1", "--drain", "soon"], "write a number and a unit"),
        (&["--url", "ws://127.0.0.1:1", "--rate", "5", "--in-flight", "5"], "cannot be used with"),
    ] {
        let output = load(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{arguments:?} gives {}", text(&output.stderr));
    }
}

#[test]
fn a_run_that_cannot_be_made_is_one_line() {
    let output = load(&["-q", "--url", "ws://127.0.0.1:1", "-c", "1"]);
    assert_eq!(output.status.code(), Some(3));
    let line = "throng-load: cannot connect to 127.0.0.1:1: Connection refused (os error 111)\n";
    assert_eq!(text(&output.stderr), line);
}

/// A baseline that ends with the test.
struct Baseline(Child);

impl Drop for Baseline {
    fn drop(&mut self) {
        // It may have ended by itself, which the test then shows otherwise.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ctrl_c_ends_a_run_with_a_report_of_what_there_is() {
    let server = FloorServer::start(Floor::default());
    let url = format!("ws://{}", server.address);
    let mut child = Command::new(env!("CARGO_BIN_EXE_throng-load"))
        .args(["--url", &url, "-c", "2", "--warm-up", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(progress.any(|line| line.unwrap() == "warming up"), "the run begins");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(text(&output.stdout).contains("the run was interrupted"), "{}", text(&output.stdout));
}

#[test]
fn baselines_say_where_they_listen_and_can_be_pinned() {
    let program = env!("CARGO_BIN_EXE_throng-baseline");
    for server in [&["tutorial"][..], &["floor", "--merge"], &["pin", "0", program, "floor"]] {
        let child = Command::new(program).args(server).stdout(Stdio::piped()).spawn();
        let mut baseline = Baseline(child.expect("the program starts"));
        let mut line = String::new();
        BufReader::new(baseline.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap();
        let (url, pid) = (format!("ws://{address}"), baseline.0.id().to_string());
        let output = load(&[
            "-q",
            "--url",
            &url,
            "--pid",
            &pid,
            "-c",
            "3",
            "--messages",
            "10",
            "--assert",
            "lost==0",
            "--assert",
            "cpu_us_per_delivery>=0",
        ]);
        assert_eq!(output.status.code(), Some(0), "{server:?}: {}", text(&output.stdout));
    }
}
