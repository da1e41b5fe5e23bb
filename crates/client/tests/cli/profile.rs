use std::fs;

use throng_protocol::{ConnectRequest, ErrorCode, Request};
use tokio::net::TcpStream;

use super::{Cli, Listener, bounded, support::Peer};

/// A settings file in a directory of its own.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join("throng")).expect("a new directory");
    let path = directory.path().join("throng/client.toml");
    fs::write(&path, text).expect("a new file");
    (directory, path.to_str().expect("UTF-8").to_owned())
}

async fn connect(peer: &mut Peer<TcpStream>) -> (u32, ConnectRequest) {
    match peer.request().await {
        (id, Request::Connect(request)) => (id, request),
        other => panic!("no connect command: {other:?}"),
    }
}

/// The token that a run shows.
async fn token_of(listener: &Listener, cli: Cli) -> String {
    let server = async {
        let mut peer = listener.accept().await;
        let (id, request) = connect(&mut peer).await;
        peer.answer(id, Err(ErrorCode::PermissionDenied.into())).await;
        peer.closed().await;
        request.token
    };
    tokio::join!(cli.run(""), server).1
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_profile() {
    bounded(async {
        let listener = Listener::start().await;
        let text = format!(
            "default = \"home\"\n[profile.home]\nurl = \"{url}\"\ntoken = \"homely\"\n\
             [profile.work]\nurl = \"{url}\"\ntoken_command = \"echo worked\"\n",
            url = listener.url()
        );
        let (directory, path) = file(&text);
        let cli = |arguments: &[&str]| {
            Cli::new("", arguments).without("THRONG_URL").env("XDG_CONFIG_HOME", directory.path())
        };
        assert_eq!(token_of(&listener, cli(&["sub", "news"])).await, "homely");
        assert_eq!(token_of(&listener, cli(&["sub", "news", "--profile", "work"])).await, "worked");
        assert_eq!(token_of(&listener, cli(&["sub", "news"]).env("THRONG_PROFILE", "work")).await, "worked");
        let environment = cli(&["sub", "news", "--profile", "work"]).env("THRONG_TOKEN", "near");
        assert_eq!(token_of(&listener, environment).await, "near");
        let flag = cli(&["sub", "news", "--token-command", "printf flag"]).env("THRONG_TOKEN", "near");
        assert_eq!(token_of(&listener, flag).await, "flag");
        // A file that is named, and a server that the flag names.
        let named =
            Cli::new("ws://127.0.0.1:1", &["sub", "news", "--config", &path, "--url", &listener.url()]);
        assert_eq!(token_of(&listener, named).await, "homely");
    })
    .await;
}

#[tokio::test]
async fn a_mistake_in_the_file_is_status_2_with_the_line_and_the_remedy() {
    bounded(async {
        let (_directory, path) = file("[profile.a]\nurl = \"ws://h\"\ntokn = \"x\"\n");
        let ended = Cli::new("ws://h", &["sub", "news", "--config", &path]).run("").await;
        assert_eq!((ended.status, &*ended.stdout), (2, ""));
        let told = format!("error: {path}:3: unknown field `tokn`, expected one of `url`, `token`");
        assert!(ended.stderr.starts_with(&told), "{}", ended.stderr);
        let ended = Cli::new("ws://h", &["sub", "news", "--profile", "work"]).run("").await;
        assert_eq!(ended.status, 2);
        assert!(ended.stderr.contains("[profile.work]"), "{}", ended.stderr);
    })
    .await;
}

#[tokio::test]
async fn a_token_command_runs_again_when_the_server_calls_its_token_expired() {
    bounded(async {
        let listener = Listener::start().await;
        let directory = tempfile::tempdir().unwrap();
        let command = format!("cd {} && echo x >> runs && wc -l < runs", directory.path().display());
        let server = async {
            let mut tokens = Vec::new();
            let mut peer = listener.accept().await;
            for _ in 0..2 {
                let (id, request) = connect(&mut peer).await;
                tokens.push(request.token);
                if tokens.len() == 2 {
                    peer.answer(id, Err(ErrorCode::PermissionDenied.into())).await;
                    break;
                }
                peer.answer(id, Err(ErrorCode::TokenExpired.into())).await;
                peer.closed().await;
                peer = listener.accept().await;
            }
            peer.closed().await;
            tokens
        };
        let cli = Cli::new(&listener.url(), &["sub", "news", "--wait", "--token-command", &command]);
        let (_, tokens) = tokio::join!(cli.run(""), server);
        assert_eq!(tokens, ["1", "2"]);
    })
    .await;
}

#[tokio::test]
async fn a_token_command_that_fails_is_told_in_its_words_and_ours() {
    bounded(async {
        let listener = Listener::start().await;
        for (command, told) in [
            ("echo not today >&2; exit 7", "not today\nerror: "),
            ("exit 7", "the token command ended with exit status: 7"),
            ("true", "the token command printed no token"),
            ("echo two words", "the token command printed no token"),
        ] {
            let server = async {
                tokio::select! {
                    mut peer = listener.accept() => peer.closed().await,
                    () = std::future::pending() => None,
                }
            };
            let cli = Cli::new(&listener.url(), &["sub", "news", "--token-command", command]);
            let ended = tokio::select! {
                ended = cli.run("") => ended,
                _ = async { server.await; std::future::pending::<()>().await } => unreachable!(),
            };
            assert_eq!(ended.status, 1, "{command}: {}", ended.stderr);
            assert!(ended.stderr.contains(told), "{command}: {}", ended.stderr);
        }
    })
    .await;
}
