use super::{Cli, bounded};

#[tokio::test]
async fn completions_and_manual_know_the_commands_and_need_no_server() {
    bounded(async {
        for (arguments, parts) in [
            (&["completions", "bash"][..], &["complete -F", "history", "--token-command"][..]),
            (&["completions", "zsh"], &["#compdef throng-client", "history", "--token-command"]),
            (&["completions", "fish"], &["complete -c throng-client", "history", "token-command"]),
            (&["man"], &[".TH throng-client 1", "THRONG_URL", "token\\-command", "history"]),
            (&["man", "sub"], &[".TH throng-client-sub 1", "join\\-leave", "Examples"]),
            (&["man", "api", "publish"], &[".TH throng-client-api-publish 1"]),
        ] {
            let ended = Cli::new("ws://h", arguments).run("").await;
            assert_eq!((ended.status, &*ended.stderr), (0, ""), "{arguments:?}");
            for part in parts {
                assert!(ended.stdout.contains(part), "{arguments:?}: {part}");
            }
        }
        let ended = Cli::new("ws://h", &["man", "dance"]).run("").await;
        assert_eq!(ended.status, 2);
        assert!(
            ended.stderr.contains("there is no command \"dance\"; there are: sub, pub"),
            "{}",
            ended.stderr
        );
    })
    .await;
}
