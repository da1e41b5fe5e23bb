//! The built binary, in pipes, against a server that the test plays.
#![cfg(feature = "cli")]

mod cli_support;
mod support;

use cli_support::Cli;
use support::{Listener, bounded};
use throng_protocol::{ErrorCode, Format};
use tokio_tungstenite::tungstenite::Message;

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
        for command in ["sub", "pub", "history", "presence", "stats", "chat", "relay", "echo"] {
            let ended = Cli::new("ws://h", &[command, "--help"]).run("").await;
            assert!(ended.status == 0 && ended.stdout.contains("Examples:"), "{command}");
        }
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
async fn a_pipe_into_pub_is_published_line_by_line_and_ends_with_the_acknowledgement() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            let mut payloads = Vec::new();
            for _ in 0..4 {
                payloads.push(peer.acknowledge(Ok(())).await);
            }
            (payloads, peer.closed().await)
        };
        let cli = Cli::new(&listener.url(), &["pub", "news"]);
        let (ended, (payloads, code)) = tokio::join!(cli.run("hi\n{\"n\":1}\nsay \"hi\"\r\n42"), server);
        assert_eq!(payloads, ["\"hi\"", "{\"n\":1}", "\"say \\\"hi\\\"\"", "42"]);
        assert_eq!(ended.all(), (0, "", ""));
        assert_eq!(code, Some(1000));
    })
    .await;
}

#[tokio::test]
async fn the_first_refused_line_ends_pub_with_its_number_and_status_4() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.acknowledge(Ok(())).await;
            peer.acknowledge(Err(ErrorCode::PermissionDenied.into())).await;
            peer.closed().await
        };
        let cli = Cli::new(&listener.url(), &["pub", "news", "--json"]);
        let (ended, _) = tokio::join!(cli.run("1\n2\n"), server);
        assert_eq!(
            ended.all(),
            (
                4,
                "{\"event\":\"published\",\"channel\":\"news\",\"line\":1}\n",
                "error: line 2: refused by the server: permission denied (103)\n"
            )
        );
    })
    .await;
}

#[tokio::test]
async fn raw_data_is_refused_in_json_and_sent_as_it_is_in_protobuf() {
    bounded(async {
        for (format, arguments) in [
            (Format::Json, &["pub", "news", "hi", "--raw"][..]),
            (Format::Protobuf, &["--protobuf", "pub", "news", "hi", "--raw"]),
        ] {
            let listener = Listener::start().await;
            let server = async {
                let mut peer = listener.accept().await;
                peer.welcome().await;
                if format == Format::Protobuf {
                    assert_eq!(peer.acknowledge(Ok(())).await, "hi");
                }
                peer.closed().await
            };
            let (ended, _) = tokio::join!(Cli::new(&listener.url(), arguments).run(""), server);
            match format {
                Format::Json => {
                    assert_eq!(ended.all(), (1, "", "error: news: the payload is not valid JSON\n"))
                }
                Format::Protobuf => assert_eq!(ended.all(), (0, "", "")),
            }
        }
    })
    .await;
}

#[tokio::test]
async fn sub_prints_the_data_and_ends_after_the_count() {
    bounded(async {
        for arguments in [&["sub", "news", "--count", "2"][..], &["--protobuf", "sub", "news", "-n", "2"]] {
            let listener = Listener::start().await;
            let server = async {
                let mut peer = listener.accept().await;
                peer.welcome().await;
                peer.confirm("news").await;
                peer.publish("news", "{\"n\":1}").await;
                peer.publish("news", "\"two\"").await;
                peer.publish("news", "3").await;
                peer.closed().await
            };
            let (ended, code) = tokio::join!(Cli::new(&listener.url(), arguments).run(""), server);
            assert_eq!(ended.all(), (0, "{\"n\":1}\n\"two\"\n", ""));
            assert_eq!(code, Some(1000));
        }
    })
    .await;
}

#[tokio::test]
async fn sub_names_the_channel_when_there_are_several() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.confirm("news").await;
            peer.confirm("sport").await;
            peer.publish("sport", "1").await;
            peer.publish("sport", "2").await;
            peer.closed().await
        };
        // A channel that is named twice is subscribed to once.
        let cli = Cli::new(&listener.url(), &["sub", "sport", "news", "sport", "-n", "2"]);
        let (ended, _) = tokio::join!(cli.run(""), server);
        assert_eq!(ended.all(), (0, "sport\t1\nsport\t2\n", ""));
    })
    .await;
}

#[tokio::test]
async fn sub_follows_a_restart_and_says_so_unless_it_is_told_to_be_quiet() {
    bounded(async {
        for quiet in [false, true] {
            let listener = Listener::start().await;
            let server = async {
                let mut peer = listener.accept().await;
                peer.welcome().await;
                peer.confirm("news").await;
                peer.publish("news", "1").await;
                peer.close(3001, "shutdown").await;
                let mut peer = listener.accept().await;
                peer.welcome().await;
                peer.confirm("news").await;
                peer
            };
            let mut arguments = vec!["sub", "news", "--json", "-n", "2"];
            arguments.extend(quiet.then_some("--quiet"));
            let cli = Cli::new(&listener.url(), &arguments).spawn();
            let mut peer = server.await;
            let mut cli = cli;
            cli.until_stdout("{\"event\":\"connected\"}").await;
            peer.publish("news", "2").await;
            let (ended, _) = tokio::join!(cli.end(), peer.closed());
            let lost = "connection closed by the server: shutdown (3001)";
            for line in [
                "{\"event\":\"publication\",\"channel\":\"news\",\"data\":1}",
                &format!("{{\"event\":\"disconnected\",\"reason\":\"{lost}\"}}"),
                "{\"event\":\"publication\",\"channel\":\"news\",\"data\":2}",
            ] {
                assert!(ended.stdout.lines().any(|printed| printed == line), "{line} in {}", ended.stdout);
            }
            let told = format!("connection lost, trying again: {lost}\nconnection is back\n");
            assert_eq!((ended.status, &*ended.stderr), (0, if quiet { "" } else { &told }));
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_status_4_with_the_servers_words() {
    bounded(async {
        let listener = Listener::start().await;
        let url = listener.url();
        let denied = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            let (id, _) = peer.request().await;
            peer.answer(id, Err(ErrorCode::PermissionDenied.into())).await;
            peer.closed().await
        };
        let (ended, _) = tokio::join!(Cli::new(&url, &["sub", "secret"]).run(""), denied);
        assert_eq!(
            ended.all(),
            (4, "", "error: cannot subscribe to secret: refused by the server: permission denied (103)\n")
        );

        let forced = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.confirm("news").await;
            peer.close(3503, "force disconnect").await;
        };
        let (ended, ()) = tokio::join!(Cli::new(&url, &["sub", "news"]).run(""), forced);
        assert_eq!(ended.all(), (4, "", "error: connection closed by the server: force disconnect (3503)\n"));

        let (ended, ()) =
            tokio::join!(Cli::new(&url, &["echo"]).run(""), listener.refuse(403, "not from there"));
        let told = format!(
            "error: {url}/echo answers the WebSocket handshake with HTTP status 403: not from there\n"
        );
        assert_eq!(ended.all(), (4, "", &*told));
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_sub_without_a_word() {
    bounded(async {
        let listener = Listener::start().await;
        let mut cli = Cli::new(&listener.url(), &["sub", "news"]).spawn();
        let mut peer = listener.accept().await;
        peer.welcome().await;
        peer.confirm("news").await;
        peer.publish("news", "1").await;
        cli.until_stdout("1").await;
        cli.close_stdout();
        peer.publish("news", "2").await;
        let (ended, _) = tokio::join!(cli.end(), peer.closed());
        assert_eq!((ended.status, &*ended.stderr), (0, ""));
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_while_receiving_says_goodbye_and_is_a_success() {
    bounded(async {
        for signal in ["-INT", "-TERM"] {
            let listener = Listener::start().await;
            let mut cli = Cli::new(&listener.url(), &["sub", "news"]).spawn();
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.confirm("news").await;
            peer.publish("news", "1").await;
            cli.until_stdout("1").await;
            cli.signal(signal).await;
            let (ended, code) = tokio::join!(cli.end(), peer.closed());
            assert_eq!((ended.status, &*ended.stderr, code), (0, "", Some(1000)), "{signal}");
        }
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_before_the_work_is_done_is_status_130() {
    bounded(async {
        let listener = Listener::start().await;
        let mut cli = Cli::new(&listener.url(), &["pub", "news", "1"]).spawn();
        let mut peer = listener.accept().await;
        peer.welcome().await;
        peer.request().await;
        cli.signal("-INT").await;
        let (ended, code) = tokio::join!(cli.end(), peer.closed());
        assert_eq!((ended.all(), code), ((130, "", ""), Some(1000)));
    })
    .await;
}

#[tokio::test]
async fn relay_passes_lines_and_messages_through_as_they_are() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            assert_eq!(peer.path, "/relay/tea%20room");
            let messages = [peer.message().await.unwrap(), peer.message().await.unwrap()];
            for message in [Message::text("\x1b[31mred"), Message::binary(vec![0xff, b'x'])] {
                futures_util::SinkExt::send(&mut peer.socket, message).await.unwrap();
            }
            (messages, peer)
        };
        let mut cli = Cli::new(&listener.url(), &["relay", "tea room", "--stay"]).spawn();
        cli.type_in("one\ntwo\n").await;
        let (messages, mut peer) = server.await;
        assert_eq!(messages, [Message::text("one"), Message::text("two")]);
        cli.until_stdout_bytes(b"\x1b[31mred\n\xffx\n").await;
        // Stdin ends, and with --stay nothing else does.
        cli.end_stdin();
        futures_util::SinkExt::send(&mut peer.socket, Message::text("late")).await.unwrap();
        cli.until_stdout_bytes(b"late\n").await;
        peer.close(3503, "enough").await;
        assert_eq!(cli.end().await.status, 4);
    })
    .await;
}

#[tokio::test]
async fn relay_sends_binary_messages_on_request_and_refuses_bytes_that_are_no_text_otherwise() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            (peer.message().await.unwrap(), peer.closed().await)
        };
        let cli = Cli::new(&listener.url(), &["relay", "lobby", "--binary"]);
        let (ended, (message, code)) = tokio::join!(cli.run_bytes(b"\xff\x00\n"), server);
        assert_eq!((message, code), (Message::binary(vec![0xff, 0]), Some(1000)));
        assert_eq!(ended.all(), (0, "", ""));

        let server = async { listener.accept().await.closed().await };
        let (ended, _) =
            tokio::join!(Cli::new(&listener.url(), &["relay", "lobby"]).run_bytes(b"\xff\n"), server);
        assert_eq!(
            ended.all(),
            (1, "", "error: a line of stdin is not UTF-8 text; --binary sends any bytes\n")
        );
    })
    .await;
}

#[tokio::test]
async fn chat_sends_lines_with_the_name_and_prints_what_others_send() {
    bounded(async {
        let listener = Listener::start().await;
        let mut cli = Cli::new(&listener.url(), &["chat", "lobby", "--name", "ann"]).spawn();
        let mut peer = listener.accept().await;
        cli.type_in("hello\n\n   \nhow are you?\n").await;
        assert_eq!(peer.message().await, Some(Message::text("ann: hello")));
        assert_eq!(peer.message().await, Some(Message::text("ann: how are you?")));
        futures_util::SinkExt::send(&mut peer.socket, Message::text("bob: fine")).await.unwrap();
        cli.until_stdout("bob: fine").await;
        // The end of stdin is the end of the visit.
        cli.end_stdin();
        assert_eq!(peer.closed().await, Some(1000));
        assert_eq!(cli.end().await.status, 0);
    })
    .await;
}

#[tokio::test]
async fn chat_says_when_the_connection_is_lost_and_back_and_loses_no_line() {
    bounded(async {
        let listener = Listener::start().await;
        let mut cli = Cli::new(&listener.url(), &["chat", "lobby"]).spawn();
        let peer = listener.accept().await;
        peer.close(1001, "going away").await;
        let mut peer = listener.accept().await;
        cli.type_in("still here\n").await;
        assert_eq!(peer.message().await, Some(Message::text("still here")));
        cli.end_stdin();
        assert_eq!(peer.closed().await, Some(1000));
        let ended = cli.end().await;
        let lost = "connection lost, trying again: connection closed by the server: going away (1001)";
        assert_eq!(ended.all(), (0, "", &*format!("{lost}\nconnection is back\n")));
    })
    .await;
}

#[tokio::test]
async fn echo_prints_the_round_trip_and_checks_what_comes_back() {
    bounded(async {
        for (answer, status) in [("hello", 0), ("hell", 1)] {
            let listener = Listener::start().await;
            let server = async {
                let mut peer = listener.accept().await;
                assert_eq!(peer.path, "/echo");
                assert_eq!(peer.message().await, Some(Message::text("hello")));
                futures_util::SinkExt::send(&mut peer.socket, Message::text(answer)).await.unwrap();
                peer.closed().await
            };
            let (ended, _) = tokio::join!(Cli::new(&listener.url(), &["echo"]).run(""), server);
            assert_eq!(ended.status, status);
            if status == 0 {
                let time = ended.stdout.strip_prefix("hello\t").and_then(|rest| rest.strip_suffix(" ms\n"));
                assert!(time.is_some_and(|time| time.parse::<f64>().is_ok()), "{}", ended.stdout);
            } else {
                assert_eq!(ended.stderr, "error: something else came back: hell\n");
            }
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
            let path = peer.path.clone();
            peer.closed().await;
            path
        };
        let url = format!("{}/mine?token=secret", listener.url());
        let (ended, path) = tokio::join!(Cli::new(&url, &["chat", "lobby"]).run(""), server);
        assert_eq!((ended.all(), &*path), ((0, "", ""), "/mine?token=secret"));
    })
    .await;
}
