use tokio_tungstenite::tungstenite::Message;

use super::{Cli, Listener, bounded};

#[tokio::test]
async fn relay_passes_lines_and_messages_through_as_they_are() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            assert_eq!(peer.path(), "/relay/tea%20room");
            let messages = [peer.message().await.unwrap(), peer.message().await.unwrap()];
            for message in [Message::text("\x1b[31mred"), Message::binary(vec![0xff, b'x'])] {
                peer.send(message).await;
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
        peer.send(Message::text("late")).await;
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
