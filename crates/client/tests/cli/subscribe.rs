use throng_protocol::ErrorCode;

use super::{Cli, Listener, bounded};

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
async fn sub_prints_the_line_that_its_reader_wants() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.confirm("news").await;
            peer.confirm("sport").await;
            peer.publish("sport", "{\"n\":1}").await;
            peer.publish("news", "\"two\"").await;
            peer.closed().await
        };
        let arguments = ["sub", "news", "sport", "-n", "2", "--format", "{{{channel}}}\\t{offset}{data}"];
        let (ended, _) = tokio::join!(Cli::new(&listener.url(), &arguments).run(""), server);
        // What is in different channels has no order.
        let mut lines: Vec<&str> = ended.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!((lines, ended.status), (vec!["{news}\t\"two\"", "{sport}\t{\"n\":1}"], 0));

        let ended = Cli::new("ws://h", &["sub", "news", "--format", "{chanel}"]).run("").await;
        assert_eq!((ended.status, &*ended.stdout), (2, ""));
        let told =
            "there is no field {chanel}; there are {channel}, {data}, {offset}, {epoch}, {time}, {user}";
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
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
