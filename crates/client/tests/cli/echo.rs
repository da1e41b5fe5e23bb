use tokio_tungstenite::tungstenite::Message;

use super::{Cli, Listener, bounded};

#[tokio::test]
async fn echo_prints_the_round_trip_and_checks_what_comes_back() {
    bounded(async {
        for (answer, status) in [("hello", 0), ("hell", 1)] {
            let listener = Listener::start().await;
            let server = async {
                let mut peer = listener.accept().await;
                assert_eq!(peer.path(), "/echo");
                assert_eq!(peer.message().await, Some(Message::text("hello")));
                peer.send(Message::text(answer)).await;
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
