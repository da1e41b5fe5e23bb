//! A real server that stops and comes back.

use futures_util::StreamExt as _;
use throng_testkit::{TestServer, bounded};
use tokio::net::TcpStream;
use tokio_tungstenite::{client_async, tungstenite::Message};

#[tokio::test]
async fn a_restarted_server_says_goodbye_and_a_crashed_one_does_not_and_both_come_back() {
    bounded(Box::pin(async {
        let mut server = TestServer::start().await;
        let address = server.address();
        let url = server.relay_url("lobby");
        let connect = async || {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            client_async(&url, stream).await.expect("the server is there").0
        };
        let mut client = connect().await;
        let (report, goodbye) = tokio::join!(server.restart(), async {
            let message = client.next().await;
            drop(client);
            message
        });
        assert!(matches!(goodbye, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001));
        assert_eq!((report.closed, report.cut), (1, 0));

        let mut client = connect().await;
        server.crash().await;
        let end = client.next().await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
        connect().await;
        assert!(server.http_url("/health").starts_with("http://127.0.0.1:"));
        server.stop().await;
    }))
    .await;
}
