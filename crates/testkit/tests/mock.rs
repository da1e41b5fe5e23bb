//! A server that the test plays says what came when something else was awaited.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use futures_util::{SinkExt as _, StreamExt as _};
use throng_protocol::{Command, Format};
use throng_testkit::{MockConnection, MockServer, bounded};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

const CONNECT: &str = r#"{"id":1,"connect":{}}"#;

async fn pair() -> (MockConnection<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    let (connection, client) =
        tokio::join!(MockConnection::accept(ours), client_async("ws://test/some/path?token=t", theirs));
    (connection, client.unwrap().0)
}

/// What a task says when it panics.
async fn panic_of(task: impl Future<Output = ()> + Send + 'static) -> String {
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(task);
    let panic = tasks.join_next().await.unwrap().unwrap_err().into_panic();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test]
async fn commands_of_one_frame_are_taken_one_by_one() {
    bounded(async {
        let (mut connection, mut client) = pair().await;
        assert_eq!(connection.path(), "/some/path?token=t");
        let subscribe = "{\"id\":2,\"subscribe\":{\"channel\":\"news\"}}";
        client.send(Message::text(format!("{CONNECT}\n{subscribe}\n{{}}"))).await.unwrap();
        connection.welcome().await;
        connection.confirm("news").await;
        assert_eq!(connection.command().await, Command::Pong);
        let welcome = client.next().await.unwrap().unwrap();
        assert_eq!(welcome, Message::text(r#"{"id":1,"connect":{"client":"c1"}}"#));
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text(r#"{"id":2,"subscribe":{}}"#));
    })
    .await;
}

#[tokio::test]
async fn protobuf_is_spoken_with_clients_that_offer_it() {
    bounded(async {
        let server = MockServer::start().await;
        let mut request = server.url().into_client_request().unwrap();
        let name = "centrifuge-protobuf".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", name);
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (client, mut connection) = tokio::join!(client_async(request, stream), server.accept());
        assert_eq!(connection.format(), Format::Protobuf);
        connection.publish("news", "1").await;
        let pushed = client.unwrap().0.next().await.unwrap().unwrap();
        assert!(pushed.is_binary(), "{pushed:?}");
        connection.reset();
    })
    .await;
}

#[tokio::test]
async fn a_failure_tells_what_was_awaited_what_came_and_what_came_before() {
    bounded(async {
        let (mut connection, mut client) = pair().await;
        let publish = r#"{"id":2,"publish":{"channel":"sport","data":1}}"#;
        client.send(Message::text(format!("{CONNECT}\n{publish}"))).await.unwrap();
        let said = panic_of(async move {
            connection.welcome().await;
            connection.confirm("news").await;
        })
        .await;
        assert!(
            said.starts_with("awaited a subscribe command of \"news\", but this came: Publish("),
            "{said}"
        );
        assert!(said.contains("oldest first:\n  Request { id: 1, request: Connect("), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_is_told_apart_from_one_that_says_something_else() {
    bounded(async {
        let (mut connection, client) = pair().await;
        drop(client);
        let said = panic_of(async move {
            connection.request().await;
        })
        .await;
        assert!(said.starts_with("awaited a frame of JSON, but this came: None"), "{said}");
    })
    .await;
}

#[tokio::test]
async fn a_call_over_http_is_answered_and_kept() {
    bounded(async {
        let server = MockServer::start().await;
        let client = async {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(b"POST /api HTTP/1.1\r\nCONTENT-LENGTH: 2\r\n\r\nhi").await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let (call, answer) = tokio::join!(server.call("HTTP/1.1 200 OK\r\n\r\n"), client);
        assert_eq!((&*call.body, &*answer), ("hi", "HTTP/1.1 200 OK\r\n\r\n"));
        assert!(call.head.starts_with("POST /api "));
    })
    .await;
}
