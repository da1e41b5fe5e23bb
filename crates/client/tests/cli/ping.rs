use super::{
    Cli, Listener, bounded,
    cli_support::server::{forgetful, server},
};

#[tokio::test]
async fn ping_measures_as_often_as_it_was_told_and_sums_up() {
    bounded(async {
        let server = server(forgetful).await;
        for arguments in [
            &["ping", "--count", "5", "--interval", "0.01"][..],
            &["--protobuf", "ping", "-n", "5", "-i", "0.01"],
        ] {
            let ended = Cli::new(&server.url(""), arguments).run("").await;
            assert_eq!((ended.status, &*ended.stderr), (0, ""), "{arguments:?}");
            let lines: Vec<&str> = ended.stdout.lines().collect();
            assert_eq!(lines.len(), 7, "{lines:?}");
            assert!(lines[4].starts_with("5\t") && lines[4].ends_with(" ms"), "{lines:?}");
            assert_eq!(lines[5], "5 answered, 0 lost");
            assert!(lines[6].starts_with("min ") && lines[6].contains(" ms, p99 "), "{lines:?}");
        }
        let ended = Cli::new(&server.url(""), &["ping", "-n", "2", "-i", "0.01", "--json"]).run("").await;
        let summary: serde_json::Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
        let number = |name: &str| summary[name].as_u64().unwrap();
        assert_eq!((number("answered"), number("lost")), (2, 0));
        assert!(number("min") <= number("avg") && number("avg") <= number("max"), "{summary}");
        assert!(0 < number("min") && number("max") <= number("p99") + number("p99") / 500, "{summary}");
    })
    .await;
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_counted_and_nothing_but_losses_is_a_failure() {
    bounded(async {
        let listener = Listener::start().await;
        let server = async {
            let mut peer = listener.accept().await;
            peer.welcome().await;
            peer.request().await;
            peer.close(3001, "shutdown").await;
        };
        let (ended, ()) = tokio::join!(Cli::new(&listener.url(), &["ping", "-n", "1"]).run(""), server);
        assert_eq!((ended.status, &*ended.stderr), (1, "error: no answer at all\n"));
        assert!(ended.stdout.starts_with("1\tconnection lost before the answer"), "{}", ended.stdout);
        assert!(ended.stdout.ends_with("0 answered, 1 lost\n"), "{}", ended.stdout);
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_ping_with_the_sum_and_success() {
    bounded(async {
        let server = server(forgetful).await;
        let mut cli = Cli::new(&server.url(""), &["ping", "-i", "0.01"]).spawn();
        cli.until_stdout_has("2\t").await;
        cli.signal("-INT").await;
        let ended = cli.end().await;
        assert_eq!((ended.status, &*ended.stderr), (0, ""));
        assert!(ended.stdout.contains(" answered, 0 lost\nmin "), "{}", ended.stdout);
    })
    .await;
}
