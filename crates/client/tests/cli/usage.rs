use super::{Cli, Listener, bounded};

#[tokio::test]
async fn an_unreachable_server_is_one_line_with_the_remedy_and_status_3() {
    bounded(async {
        let address = Listener::nobody().await;
        let port = address.port();
        for (arguments, path) in [
            (&["sub", "news"][..], "/connection/websocket"),
            (&["pub", "news", "1"], "/connection/websocket"),
            (&["chat", "lobby"], "/relay/lobby"),
            (&["relay", "lobby"], "/relay/lobby"),
            (&["history", "news"], "/connection/websocket"),
            (&["echo"], "/echo"),
        ] {
            let ended = Cli::new(&format!("http://{address}"), arguments).without("CARGO").run("").await;
            assert_eq!(
                ended.stderr,
                format!(
                    "error: cannot reach ws://{address}{path}: connection refused; is the server running? \
                     start it with `throng-server --listen 127.0.0.1:{port}`\n"
                )
            );
            assert_eq!((ended.status, ended.stdout.as_str()), (3, ""), "{arguments:?}");
        }
        // Under cargo, cargo is how one starts it.
        let ended = Cli::new(&format!("http://{address}"), &["echo"]).env("CARGO", "cargo").run("").await;
        let told = format!("`cargo run --release --bin throng-server -- --listen 127.0.0.1:{port}`\n");
        assert!(ended.stderr.ends_with(&told), "{}", ended.stderr);
        // Something that was hardly meant as a host.
        let ended = Cli::new("no-such-host.invalid", &["echo"]).run("").await;
        let told = "\"no-such-host.invalid\" was taken as a host, and port 80 as none is named; write \
                    ws://HOST:PORT, with --url or THRONG_URL\n";
        assert!(ended.stderr.ends_with(told), "{}", ended.stderr);
        assert_eq!(ended.status, 3);
    })
    .await;
}

#[tokio::test]
async fn wrong_usage_is_status_2() {
    bounded(async {
        for (url, arguments) in [
            ("ftp://h", &["echo"][..]),
            ("ws://h", &[]),
            ("ws://h", &["pub"]),
            ("ws://h", &["pub", ""]),
            ("ws://h", &["sub", "news", "--count", "0"]),
            ("ws://h", &["sub", "news", "--since", "here"]),
            ("ws://h", &["sub", "news", "sport", "--since", "1:a"]),
            ("ws://h", &["sub", "news", "--filter", "key"]),
            ("ws://h", &["sub", "news", "--json", "--format", "{data}"]),
            ("ws://h", &["pub", "news", "1", "--rate", "10"]),
            ("ws://h", &["pub", "news", "--rate", "0"]),
            ("ws://h", &["history", "news", "--all", "--limit", "5"]),
            ("ws://h", &["rpc"]),
            ("ws://h", &["ping", "--interval", "0"]),
            ("ws://h", &["tail", "--raw", "--protobuf"]),
            ("ws://h", &["completions", "dos"]),
            ("ws://h", &["sub", "news", "--delta", "--filter", "k=v"]),
            ("ws://h", &["history"]),
            ("ws://h", &["history", "news", "--limit", "-1"]),
            ("ws://h", &["api"]),
            ("ws://h", &["api", "unsubscribe", "--user", "42"]),
            ("ws://h", &["api", "disconnect"]),
            ("ws://h", &["chat", "lobby", "--name", "a\nb"]),
            ("ws://h", &["dance"]),
        ] {
            let ended = Cli::new(url, arguments).run("").await;
            assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{arguments:?}");
            assert!(
                ended.stderr.starts_with("error: ") || ended.stderr.contains("Usage:"),
                "{}",
                ended.stderr
            );
        }
    })
    .await;
}

#[tokio::test]
async fn help_is_complete_and_documents_the_exit_statuses() {
    bounded(async {
        let ended = Cli::new("ws://h", &["--help"]).run("").await;
        for word in [
            "sub",
            "pub",
            "chat",
            "relay",
            "echo",
            "history",
            "presence",
            "stats",
            "api",
            "--url",
            "--wait",
            "THRONG_URL",
            "THRONG_API_KEY",
            "--json",
            "Exit status:",
            "Examples:",
        ] {
            assert!(ended.stdout.contains(word), "{word}");
        }
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""));
        for command in [
            "sub",
            "pub",
            "history",
            "presence",
            "stats",
            "rpc",
            "chat",
            "relay",
            "echo",
            "ping",
            "tail",
            "completions",
            "man",
        ] {
            let ended = Cli::new("ws://h", &[command, "--help"]).run("").await;
            assert!(ended.status == 0 && ended.stdout.contains("Examples:"), "{command}");
        }
    })
    .await;
}

#[tokio::test]
async fn help_of_the_server_api_has_examples_and_no_key() {
    bounded(async {
        for method in [
            "publish",
            "broadcast",
            "subscribe",
            "unsubscribe",
            "disconnect",
            "refresh",
            "presence",
            "presence-stats",
            "history",
            "history-remove",
            "channels",
            "info",
            "rpc",
            "slow-clients",
            "revoke-token",
            "invalidate-user-tokens",
            "invalidate-tokens",
            "revoke-user",
            "revoke-channel",
            "block-user",
            "unblock-user",
            "pardon",
            "revocations",
            "batch",
        ] {
            let help = Cli::new("ws://h", &["api", method, "--help"]).env("THRONG_API_KEY", "s3cret");
            let ended = help.run("").await;
            assert!(ended.status == 0 && ended.stdout.contains("Examples:"), "{method}");
            assert!(!ended.stdout.contains("s3cret"), "{}", ended.stdout);
        }
    })
    .await;
}

#[tokio::test]
async fn a_url_with_a_path_is_used_as_it_is_and_the_query_goes_along() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            let path = peer.path().to_owned();
            peer.closed().await;
            path
        };
        let url = format!("{}/mine?token=secret", listener.url());
        let (ended, path) = tokio::join!(Cli::new(&url, &["chat", "lobby"]).run(""), server);
        assert_eq!((ended.all(), &*path), ((0, "", ""), "/mine?token=secret"));
    })
    .await;
}
