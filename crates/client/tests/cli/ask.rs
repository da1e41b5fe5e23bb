use throng_server::{Server, config::ChannelOptions};

use super::{
    Cli, bounded,
    cli_support::server::{client, server, settings},
};

#[tokio::test]
async fn history_is_asked_for_page_by_page_until_there_is_enough_or_no_more() {
    bounded(async {
        let server = server(|options| options.history_size = 1_000).await;
        let publisher = client(&server).await;
        for number in 1..=700 {
            publisher.publish("news", number.to_string()).await.unwrap();
        }
        let ask = async |arguments: &[&str]| {
            let ended = Cli::new(&server.url(""), &[&["history", "news"], arguments].concat()).run("").await;
            assert_eq!((ended.status, &*ended.stderr), (0, ""), "{arguments:?}");
            ended.stdout.lines().map(|line| line.parse().unwrap()).collect::<Vec<u32>>()
        };
        assert_eq!(ask(&["--all"]).await, (1..=700).collect::<Vec<_>>());
        assert_eq!(ask(&["--all", "--reverse"]).await, (1..=700).rev().collect::<Vec<_>>());
        assert_eq!(ask(&["--limit", "450"]).await, (1..=450).collect::<Vec<_>>());
        assert_eq!(ask(&["--limit", "450", "--since", "500"]).await, (501..=700).collect::<Vec<_>>());
        assert!(ask(&["--limit", "0"]).await.is_empty());
        let lines =
            Cli::new(&server.url(""), &["history", "news", "--limit", "2", "--format", "{offset}={data}"]);
        assert_eq!(lines.run("").await.all(), (0, "1=1\n2=2\n", ""));
    })
    .await;
}

#[tokio::test]
async fn rpc_prints_what_the_application_answers() {
    bounded(async {
        let mut settings = settings();
        settings.channel.without_namespace = Some(ChannelOptions::open());
        let echo = Server::builder().settings(settings).on_rpc("echo", |call| async move { Ok(call.data) });
        let server = echo.start().await.unwrap();
        let url = server.url("");
        for (arguments, status, stdout) in [
            (&["rpc", "echo", "{\"a\":1}"][..], 0, "{\"a\":1}\n"),
            (&["rpc", "echo", "hi"], 0, "\"hi\"\n"),
            (&["rpc", "echo", "1", "--json"], 0, "{\"event\":\"rpc\",\"method\":\"echo\",\"data\":1}\n"),
            (&["--protobuf", "rpc", "echo", "2"], 0, "2\n"),
            (&["rpc", "dance"], 4, ""),
        ] {
            let ended = Cli::new(&url, arguments).run("").await;
            assert_eq!((ended.status, &*ended.stdout), (status, stdout), "{arguments:?}: {}", ended.stderr);
        }
    })
    .await;
}
