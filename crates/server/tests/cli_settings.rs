//! The command line of `throng-server` as far as it does not serve: faulty settings, `--print-config`, `--help`.

use std::{fs, path::Path, process::Command};

struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program to its end, without any variables but the given ones.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_throng-server"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("the program can be run");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("the program writes UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("the program writes UTF-8"),
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

#[test]
fn an_open_address_is_refused_in_one_line_that_says_why_and_how_to_allow_it() {
    let outcome = run(&["--listen", "0.0.0.0:0"], &[]);
    assert_eq!(outcome.status, Some(1));
    assert_eq!(outcome.stdout, "");
    assert!(
        outcome.stderr.starts_with("throng-server: --listen: http_server.address: 0.0.0.0 "),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("--allow-anonymous"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn faults_of_file_environment_and_flags_come_in_one_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throng.toml");
    fs::write(&file, "[client]\nchanel_limit = 1\nping_interval = 25\n").unwrap();
    let outcome = run(&["--config", path(&file), "--log", "loud"], &[("THRONG_SHARDS_COUNT", "many")]);
    assert_eq!(outcome.status, Some(1));
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines[0], "throng-server: the settings have 4 faults");
    let places = [
        &format!("  {}:2: ", path(&file)),
        &format!("  {}:3: ", path(&file)),
        "  THRONG_SHARDS_COUNT: ",
        "  --log: ",
    ];
    for (line, place) in lines[1..].iter().zip(places) {
        assert!(line.starts_with(place), "{line}");
    }
    assert_eq!(lines.len(), 5, "{}", outcome.stderr);
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let outcome = run(&["--config", "no/such/throng.toml"], &[]);
    assert_eq!(outcome.status, Some(1));
    assert_eq!(
        outcome.stderr,
        "throng-server: no/such/throng.toml: cannot be read: entity not found; check the path and the permissions\n"
    );
}

#[test]
fn the_file_can_be_named_by_a_variable() {
    let outcome = run(&["--print-config"], &[("THRONG_CONFIG", "no/such/throng.toml")]);
    assert!(outcome.stderr.contains("no/such/throng.toml"), "{}", outcome.stderr);
}

#[test]
fn printed_settings_give_the_same_settings_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throng.toml");
    let first = run(
        &["--listen", "[::]:9000", "--allow-anonymous", "--log-format", "json", "--print-config"],
        &[("THRONG_CLIENT_ALLOWED_ORIGINS", "https://a.example *"), ("THRONG_CLIENT_PING_INTERVAL", "12s")],
    );
    assert_eq!(first.status, Some(0), "{}", first.stderr);
    fs::write(&file, &first.stdout).unwrap();
    let second = run(&["--config", path(&file), "--print-config"], &[]);
    assert_eq!(second.status, Some(0), "{}", second.stderr);
    let without_sources = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  #").next().unwrap_or(line).to_owned()).collect()
    };
    assert_eq!(without_sources(&first.stdout), without_sources(&second.stdout));
    assert!(first.stdout.contains("port = 9000  # --listen"), "{}", first.stdout);
    assert!(
        first.stdout.contains("ping_interval = \"12s\"  # THRONG_CLIENT_PING_INTERVAL"),
        "{}",
        first.stdout
    );
}

#[test]
fn printed_settings_show_namespaces_with_their_sources_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throng.toml");
    fs::write(&file, "[[channel.namespaces]]\nname = 'news'\npresence = true\n").unwrap();
    let variables =
        [("THRONG_HTTP_API_KEY", "hush-hush"), ("THRONG_CHANNEL_NAMESPACES_NEWS_JOIN_LEAVE", "true")];
    let outcome = run(&["--config", path(&file), "--print-config"], &variables);
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("hush"), "{}", outcome.stdout);
    for line in [
        "[[channel.namespaces]]",
        &format!("name = \"news\"  # {}:2", path(&file)),
        &format!("presence = true  # {}:3", path(&file)),
        "join_leave = true  # THRONG_CHANNEL_NAMESPACES_NEWS_JOIN_LEAVE",
        "history_size = 0",
    ] {
        assert!(
            outcome.stdout.lines().any(|printed| printed == line),
            "{line} is not in:\n{}",
            outcome.stdout
        );
    }
}

#[test]
fn help_names_every_flag_with_examples_variables_and_exit_statuses() {
    let outcome = run(&["--help"], &[]);
    assert_eq!(outcome.status, Some(0));
    for part in [
        "--listen <ADDR:PORT>",
        "--allow-anonymous",
        "--config <FILE>",
        "--print-config",
        "--log <LEVEL>",
        "--log-format <FORMAT>",
        "THRONG_CONFIG",
        "THRONG_CLIENT_CHANNEL_LIMIT",
        "Examples:",
        "Exit status:",
    ] {
        assert!(outcome.stdout.contains(part), "{part} is not in:\n{}", outcome.stdout);
    }
}

#[test]
fn the_version_is_that_of_the_crate() {
    let outcome = run(&["--version"], &[]);
    assert_eq!(outcome.stdout, concat!("throng-server ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_command_line_that_is_not_understood_has_its_own_status() {
    let outcome = run(&["--listen", "127.0.0.1"], &[]);
    assert_eq!(outcome.status, Some(2));
    assert!(outcome.stderr.contains("127.0.0.1:8080"), "{}", outcome.stderr);
}
