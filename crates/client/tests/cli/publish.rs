use throng_protocol::{ErrorCode, Format};

use super::{Cli, Listener, bounded};

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
async fn a_rate_spreads_the_lines_of_a_pipe() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            let mut arrived = Vec::new();
            for _ in 0..5 {
                peer.acknowledge(Ok(())).await;
                arrived.push(std::time::Instant::now());
            }
            peer.closed().await;
            arrived
        };
        let cli = Cli::new(&listener.url(), &["pub", "news", "--rate", "20"]);
        let (ended, arrived) = tokio::join!(cli.run("1\n2\n3\n4\n5\n"), server);
        assert_eq!(ended.all(), (0, "", ""));
        // A busy machine makes it longer, never shorter; what is late is not made up for by more than 10 ms.
        let took = arrived[4] - arrived[0];
        assert!(took >= std::time::Duration::from_millis(150), "{took:?}");
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
