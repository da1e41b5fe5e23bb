use tokio_tungstenite::tungstenite::Message;

use super::{Cli, Listener, bounded};

#[tokio::test]
async fn chat_sends_lines_with_the_name_and_prints_what_others_send() {
    bounded(async {
        let listener = Listener::start().await;
        let mut cli = Cli::new(&listener.url(), &["chat", "lobby", "--name", "ann"]).spawn();
        let mut peer = listener.accept().await;
        cli.type_in("hello\n\n   \nhow are you?\n").await;
        assert_eq!(peer.message().await, Some(Message::text("ann: hello")));
        assert_eq!(peer.message().await, Some(Message::text("ann: how are you?")));
        peer.send(Message::text("bob: fine")).await;
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
