use throng_protocol::{ConnectResult, Message, Push, PushEvent, Reply};

use super::{Cli, Listener, bounded};

#[tokio::test]
async fn tail_prints_what_the_server_sends_without_being_asked_and_channels_besides() {
    bounded(async {
        for (json, lines) in [
            (false, ["message\t{\"hello\":1}", "publication\tnews\t{\"n\":1}"]),
            (
                true,
                [
                    "{\"event\":\"message\",\"data\":{\"hello\":1}}",
                    "{\"event\":\"publication\",\"channel\":\"news\",\"data\":{\"n\":1}}",
                ],
            ),
        ] {
            let listener = Listener::start().await;
            let mut arguments = vec!["tail", "news"];
            arguments.extend(json.then_some("--json"));
            let mut cli = Cli::new(&listener.url(), &arguments).spawn();
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.confirm("news").await;
            let message = Message { data: "{\"hello\":1}".to_owned().into() };
            peer.reply(&[Reply::Push(Push { channel: String::new(), event: PushEvent::Message(message) })])
                .await;
            peer.publish("news", "{\"n\":1}").await;
            for line in lines {
                cli.until_stdout(line).await;
            }
            peer.close(3503, "force disconnect").await;
            let ended = cli.end().await;
            assert_eq!(ended.status, 4, "{}", ended.stderr);
        }
    })
    .await;
}

#[tokio::test]
async fn tail_raw_prints_frames_as_they_come_and_answers_pings() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            assert_eq!(peer.path(), "/connection/websocket");
            let result = ConnectResult { client: "c1".into(), ping: 25, pong: true, ..Default::default() };
            peer.welcome_with(result).await;
            peer.confirm("news").await;
            peer.reply(&[Reply::Ping]).await;
            let pong = peer.message().await;
            peer.publish("news", "{\"n\":1}").await;
            (pong, peer.closed().await)
        };
        let cli = Cli::new(&listener.url(), &["tail", "news", "--raw", "-n", "4"]);
        let (ended, (pong, code)) = tokio::join!(cli.run(""), server);
        assert_eq!(pong, Some(tokio_tungstenite::tungstenite::Message::text("{}")));
        assert_eq!(code, Some(1000));
        assert_eq!(
            ended.all(),
            (
                0,
                "{\"id\":1,\"connect\":{\"client\":\"c1\",\"ping\":25,\"pong\":true}}\n\
                 {\"id\":2,\"subscribe\":{}}\n\
                 {}\n\
                 {\"push\":{\"channel\":\"news\",\"pub\":{\"data\":{\"n\":1}}}}\n",
                ""
            )
        );
    })
    .await;
}
