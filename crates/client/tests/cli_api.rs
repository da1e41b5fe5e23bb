//! `api` of the built binary against an HTTP server that the test plays.
#![cfg(feature = "cli")]

mod cli_support;
mod support;

use cli_support::{Cli, Ended};
use support::{Call, Listener, bounded};

const KEY: &str = "s3cret-k3y";

/// An answer of the API.
fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn status(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Runs `api` with these arguments against a server that gives this answer.
async fn call_with(arguments: &[&str], input: &str, answer: &str) -> (Ended, Call) {
    let listener = Listener::start().await;
    let arguments = [&["api"], arguments].concat();
    let cli = Cli::new(&listener.url(), &arguments).env("THRONG_API_KEY", KEY);
    let (ended, call) = tokio::join!(cli.run(input), listener.call(answer));
    assert!(!ended.stdout.contains(KEY) && !ended.stderr.contains(KEY), "{ended:?}");
    (ended, call)
}

/// What is typed, which method is called with which body, which result it has, and what is printed.
type Case<'a> = (&'a [&'a str], &'a str, &'a str, &'a str, &'a str);

async fn check(cases: &[Case<'_>]) {
    for (arguments, method, body, result, printed) in cases.iter().copied() {
        let answer = format!("{{\"result\":{result}}}");
        let (ended, call) = call_with(arguments, "", &ok(&answer)).await;
        let head = call.head.to_lowercase();
        assert!(head.starts_with(&format!("post /api/{method} http/1.1\r\n")), "{head}");
        assert!(head.contains(&format!("\r\nx-api-key: {KEY}\r\n")), "{head}");
        assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
        assert_eq!(call.body, body, "{arguments:?}");
        assert_eq!(ended.all(), (0, printed, ""), "{arguments:?}");
        // For programs it is the server's answer, as it is.
        let (ended, _) = call_with(&[&["--json"], arguments].concat(), "", &ok(&answer)).await;
        assert_eq!(ended.all(), (0, &*format!("{answer}\n"), ""), "{arguments:?}");
    }
}

#[tokio::test]
async fn what_is_published_is_sent_with_its_options_and_prints_its_place() {
    let cases: &[Case<'_>] = &[
        (
            &["publish", "news", "hi", "--tag", "k=v", "--skip-history", "--idempotency-key", "i"],
            "publish",
            r#"{"channel":"news","data":"hi","skip_history":true,"tags":{"k":"v"},"idempotency_key":"i"}"#,
            r#"{"offset":4,"epoch":"abcd"}"#,
            "4:abcd\n",
        ),
        (
            &["publish", "news", "{}", "--delta", "--version", "7", "--version-epoch", "e", "--key", "k"],
            "publish",
            r#"{"channel":"news","data":{},"delta":true,"version":7,"version_epoch":"e","key":"k"}"#,
            "{}",
            "",
        ),
        (
            &["broadcast", "a", "b", "--data", "1"],
            "broadcast",
            r#"{"channels":["a","b"],"data":1}"#,
            r#"{"responses":[{"result":{"offset":4,"epoch":"abcd"}},{"result":{}}]}"#,
            "a\t4:abcd\nb\t-\n",
        ),
    ];
    bounded(check(cases)).await;
}

#[tokio::test]
async fn orders_about_connections_name_whom_they_are_for() {
    let cases: &[Case<'_>] = &[
        (
            &["subscribe", "news", "--user", "42", "--client", "c", "--since", "4:abcd", "--data", "1"],
            "subscribe",
            r#"{"channel":"news","user":"42","client":"c","data":1,"recover_since":{"offset":4,"epoch":"abcd"}}"#,
            "{}",
            "",
        ),
        (
            &["subscribe", "news", "--user", "42", "--info", "{}", "--expire-at", "9"],
            "subscribe",
            r#"{"channel":"news","user":"42","expire_at":9,"info":{}}"#,
            "{}",
            "",
        ),
        (
            &["unsubscribe", "news", "--user", "42"],
            "unsubscribe",
            r#"{"channel":"news","user":"42"}"#,
            "{}",
            "",
        ),
        (&["unsubscribe", "--all", "--user", "42"], "unsubscribe", r#"{"user":"42"}"#, "{}", ""),
        (
            &[
                "disconnect",
                "--user",
                "42",
                "--code",
                "4000",
                "--reason",
                "bye",
                "--keep",
                "c1",
                "--keep",
                "c2",
            ],
            "disconnect",
            r#"{"user":"42","disconnect":{"code":4000,"reason":"bye"},"whitelist":["c1","c2"]}"#,
            "{}",
            "",
        ),
        (&["disconnect", "--user", ""], "disconnect", "{}", "{}", ""),
        (
            &["refresh", "--user", "42", "--expire-at", "9", "--info", "1"],
            "refresh",
            r#"{"user":"42","expire_at":9,"info":1}"#,
            "{}",
            "",
        ),
        (&["refresh", "--user", "42", "--expired"], "refresh", r#"{"user":"42","expired":true}"#, "{}", ""),
    ];
    bounded(check(cases)).await;
}

#[tokio::test]
async fn questions_print_what_they_are_answered() {
    let publication = r#"{"data":{"n":1},"offset":4}"#;
    let binary = r#"{"b64data":"/wA=","offset":5}"#;
    let history = &*format!(r#"{{"publications":[{publication},{binary}],"epoch":"abcd","offset":9}}"#);
    let ann = r#"{"presence":{"c1":{"user":"ann","client":"c1","conn_info":{"n":1}}}}"#;
    let since = r#"{"channel":"news","limit":2,"since":{"offset":3,"epoch":"abcd"},"reverse":true}"#;
    let stats = r#"{"num_clients":3,"num_users":2}"#;
    let channels = r#"{"channels":{"a1":{"num_clients":2},"a2":{"num_clients":1}}}"#;
    let node = concat!(
        r#"{"nodes":[{"uid":"u1","name":"n1","version":"1.0","num_clients":1,"num_users":2,"#,
        r#""num_channels":3,"uptime":4,"num_subs":5}]}"#
    );
    let told =
        "node\tn1\nid\tu1\nversion\t1.0\nuptime\t4 s\nclients\t1\nusers\t2\nchannels\t3\nsubscriptions\t5\n";
    let news = r#"{"channel":"news"}"#;
    let slow = r#"{"clients":[{"client":"c1","user":"ann","bytes":30,"messages":2}]}"#;
    let cases: &[Case<'_>] = &[
        (&["presence", "news"], "presence", news, ann, "c1\tann\t{\"n\":1}\n"),
        (&["presence-stats", "news"], "presence_stats", news, stats, "clients\t3\nusers\t2\n"),
        (
            &["history", "news", "--positions"],
            "history",
            r#"{"channel":"news","limit":-1}"#,
            history,
            "4:abcd\t{\"n\":1}\n5:abcd\t/wA=\n",
        ),
        (
            &["history", "news", "-n", "2", "--since", "3:abcd", "--reverse"],
            "history",
            since,
            history,
            "{\"n\":1}\n/wA=\n",
        ),
        (&["history-remove", "news"], "history_remove", news, "{}", ""),
        (&["channels", "a*"], "channels", r#"{"pattern":"a*"}"#, channels, "a1\t2\na2\t1\n"),
        (&["info"], "info", "{}", node, told),
        (&["slow-clients"], "slow_clients", "{}", slow, "c1\tann\t2\t30\n"),
        (&["slow-clients", "-n", "3"], "slow_clients", r#"{"limit":3}"#, r#"{"clients":[]}"#, ""),
        (&["rpc", "sum", "[1,2]"], "rpc", r#"{"method":"sum","params":[1,2]}"#, r#"{"data":3}"#, "3\n"),
    ];
    bounded(check(cases)).await;
}

#[tokio::test]
async fn revocations_are_asked_for_and_printed() {
    let held = r#"{"revocations":[{"kind":"channel","user":"42","channel":"news","expire_at":9},{"kind":"issued_before","issued_before":5,"expire_at":8}],"total":2}"#;
    let cases: &[Case<'_>] = &[
        (
            &["revoke-token", "t1", "--expire-at", "9"],
            "revoke_token",
            r#"{"uid":"t1","expire_at":9}"#,
            "{}",
            "",
        ),
        (&["invalidate-user-tokens", "42"], "invalidate_user_tokens", r#"{"user":"42"}"#, "{}", ""),
        (
            &["invalidate-tokens", "--issued-before", "5"],
            "invalidate_tokens",
            r#"{"issued_before":5}"#,
            "{}",
            "",
        ),
        (&["revoke-user", "42"], "revoke_user", r#"{"user":"42"}"#, "{}", ""),
        (&["revoke-channel", "42", "news"], "revoke_channel", r#"{"user":"42","channel":"news"}"#, "{}", ""),
        (&["block-user", "42"], "block_user", r#"{"user":"42"}"#, "{}", ""),
        (&["unblock-user", "42"], "unblock_user", r#"{"user":"42"}"#, "{}", ""),
        (
            &["pardon", "--user", "42", "--issued-before"],
            "pardon",
            r#"{"user":"42","issued_before":true}"#,
            r#"{"pardoned":true}"#,
            "pardoned\n",
        ),
        (
            &["pardon", "--id", "t1"],
            "pardon",
            r#"{"uid":"t1"}"#,
            r#"{"pardoned":false}"#,
            "there was no such revocation\n",
        ),
        (
            &["revocations", "--user", "42", "-n", "7"],
            "revocations",
            r#"{"user":"42","limit":7}"#,
            held,
            "channel\t42 news\t9\nissued_before\t5\t8\n",
        ),
    ];
    bounded(check(cases)).await;
}

#[tokio::test]
async fn data_comes_from_stdin_when_it_is_not_typed() {
    bounded(async {
        let answer = ok("{\"result\":{}}");
        let (ended, call) = call_with(&["publish", "news"], "{\"n\":\n 1}\r\n", &answer).await;
        assert_eq!((ended.status, &*call.body), (0, "{\"channel\":\"news\",\"data\":{\"n\": 1}}"));
        let answer = ok("{\"result\":{\"responses\":[{\"result\":{}}]}}");
        let (ended, call) = call_with(&["broadcast", "news"], "two\nlines\n", &answer).await;
        assert_eq!((ended.status, &*call.body), (0, "{\"channels\":[\"news\"],\"data\":\"two\\nlines\"}"));
    })
    .await;
}

#[tokio::test]
async fn a_batch_prints_a_line_for_each_answer_and_fails_if_one_was_refused() {
    bounded(async {
        let commands = r#"[{"publish":{"channel":"a","data":1}},{"dance":{}}]"#;
        let replies = r#"{"replies":[{"publish":{}},{"error":{"code":104,"message":"not found"}}]}"#;
        for (arguments, input, body) in [
            (&["batch", commands][..], "", format!("{{\"commands\":{commands}}}")),
            (&["batch", "--parallel"], commands, format!("{{\"commands\":{commands},\"parallel\":true}}")),
            (&["batch"], &format!("{{\"commands\":{commands}}}\n"), format!("{{\"commands\":{commands}}}")),
        ] {
            let (ended, call) = call_with(arguments, input, &ok(replies)).await;
            assert!(call.head.starts_with("POST /api/batch "), "{}", call.head);
            assert_eq!(call.body, body);
            let printed = "{\"publish\":{}}\n{\"error\":{\"code\":104,\"message\":\"not found\"}}\n";
            assert_eq!(ended.all(), (4, printed, "error: 1 of 2 refused by the server\n"));
        }
        for bad in ["", "nonsense", "[1]", "[{\"publish\":1}]"] {
            let ended = Cli::new("ws://127.0.0.1:1", &["api", "batch", bad]).run("").await;
            assert_eq!((ended.status, &*ended.stdout), (1, ""), "{bad}");
            assert!(
                ended.stderr.starts_with("error: a batch is a list such as [{\"publish\":{…}}]"),
                "{}",
                ended.stderr
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_broadcast_that_was_refused_in_part_says_where() {
    bounded(async {
        let answer =
            r#"{"result":{"responses":[{"result":{}},{"error":{"code":102,"message":"unknown channel"}}]}}"#;
        let (ended, _) = call_with(&["broadcast", "a", "b:1", "--data", "1"], "", &ok(answer)).await;
        let printed = "a\t-\nb:1\terror: unknown channel (102)\n";
        assert_eq!(ended.all(), (4, printed, "error: 1 of 2 refused by the server\n"));
    })
    .await;
}

#[tokio::test]
async fn what_the_server_refuses_is_status_4_with_the_remedy() {
    bounded(async {
        let error = |code, message| ok(&format!(r#"{{"error":{{"code":{code},"message":"{message}"}}}}"#));
        for (answer, told) in [
            (
                error(102, "unknown channel"),
                "refused by the server: unknown channel (102); the part before the colon names a namespace that is \
                 not configured",
            ),
            (
                error(108, "not available"),
                "refused by the server: not available (108); this is not turned on for the channel's namespace",
            ),
            (error(400, "no stock"), "refused by the server: no stock (400)"),
            (
                status("401 Unauthorized", ""),
                "URL/publish answers with HTTP status 401; the server does not take this API key: it is `key` of \
                 [http_api] in the server's configuration, and while there is none the API is off",
            ),
            (
                status("404 Not Found", "<html>"),
                "URL/publish answers with HTTP status 404; there is no API: is `key` of [http_api] in the server's \
                 configuration, and is it at /api? another path is given with --url",
            ),
            (
                status("413 Payload Too Large", "at most 65536 bytes\n\x1b[31mmore"),
                "URL/publish answers with HTTP status 413: at most 65536 bytes",
            ),
        ] {
            let (ended, call) = call_with(&["publish", "news", "1"], "", &answer).await;
            let host = call.head.lines().find_map(|line| line.to_lowercase().strip_prefix("host: ").map(str::to_owned));
            let url = format!("http://{}/api", host.unwrap());
            assert_eq!(ended.all(), (4, "", &*format!("error: {}\n", told.replace("URL", &url))));
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_key_none_is_sent_and_the_refusal_says_how_to_give_one() {
    bounded(async {
        let listener = Listener::start().await;
        for key in ["", "not set"] {
            let cli = Cli::new(&listener.url(), &["api", "info"]);
            let cli = if key.is_empty() { cli.env("THRONG_API_KEY", "") } else { cli };
            let answer = status("401 Unauthorized", "");
            let (ended, call) = tokio::join!(cli.run(""), listener.call(&answer));
            assert!(!call.head.to_lowercase().contains("x-api-key"), "{}", call.head);
            let told = "401; the server wants an API key: give it with THRONG_API_KEY or --api-key\n";
            assert!(ended.stderr.ends_with(told), "{}", ended.stderr);
            assert_eq!(ended.status, 4);
        }
        // A flag wins over the variable, and stands before or after the method.
        for arguments in [["api", "--api-key", "other", "info"], ["api", "info", "--api-key", "other"]] {
            let cli = Cli::new(&listener.url(), &arguments).env("THRONG_API_KEY", KEY);
            let answer = ok("{\"result\":{\"nodes\":[]}}");
            let (ended, call) = tokio::join!(cli.run(""), listener.call(&answer));
            assert!(call.head.to_lowercase().contains("\r\nx-api-key: other\r\n"), "{}", call.head);
            assert_eq!(ended.all(), (0, "", ""));
        }
        let ended = Cli::new(&listener.url(), &["api", "info", "--api-key", "b\u{e4}d\nkey"]).run("").await;
        let told = "error: the API key has characters that an HTTP header cannot carry\n";
        assert_eq!(ended.all(), (1, "", told));
    })
    .await;
}

#[tokio::test]
async fn a_path_and_a_query_of_the_url_are_kept() {
    bounded(async {
        let listener = Listener::start().await;
        let answer = ok("{\"result\":{\"nodes\":[]}}");
        for (path, line) in [
            ("/", "POST /api/info HTTP/1.1"),
            ("/api", "POST /api/info HTTP/1.1"),
            ("/admin/api/?a=b", "POST /admin/api/info?a=b HTTP/1.1"),
        ] {
            let url = format!("http://{}{path}", listener.address());
            let (ended, call) =
                tokio::join!(Cli::new(&url, &["api", "info"]).run(""), listener.call(&answer));
            assert_eq!((ended.status, call.head.lines().next()), (0, Some(line)), "{}", ended.stderr);
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_in_chunks_and_one_without_a_length_are_read_to_their_ends() {
    bounded(async {
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      d\r\n{\"result\":{\"d\r\n9\r\nata\":[1,2\r\n3\r\n]}}\r\n0\r\n\r\n";
        let to_the_end = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"result\":{\"data\":[1,2]}}";
        for answer in [chunks, to_the_end] {
            let (ended, _) = call_with(&["rpc", "sum"], "", answer).await;
            assert_eq!(ended.all(), (0, "[1,2]\n", ""));
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_answer_of_the_api_is_said_to_be_none() {
    bounded(async {
        for (answer, status, told) in [
            (ok("<html>hello</html>"), 3, "error: the answer is not of the server API: malformed body"),
            (ok("{}"), 3, "error: the answer is not of the server API: malformed body"),
            (ok("{\"replies\":[]}"), 3, "error: the answer is not of the server API: malformed body"),
            ("SSH-2.0-OpenSSH\r\n".to_owned(), 1, "error: no answer of the server API: "),
            (String::new(), 1, "error: no answer of the server API: "),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_owned(),
                1,
                "error: no answer of the server API: ",
            ),
        ] {
            let (ended, _) = call_with(&["info"], "", &answer).await;
            assert_eq!((ended.status, &*ended.stdout), (status, ""), "{ended:?}");
            assert!(ended.stderr.starts_with(told), "{}", ended.stderr);
        }
    })
    .await;
}

#[tokio::test]
async fn an_unreachable_api_is_status_3_with_the_remedy() {
    bounded(async {
        let address = Listener::nobody().await;
        let ended = Cli::new(&format!("http://{address}"), &["api", "info"]).without("CARGO").run("").await;
        let told = format!(
            "error: cannot reach http://{address}/api/info: connection refused; is the server running? start it \
             with `throng-server --listen 127.0.0.1:{}`\n",
            address.port()
        );
        assert_eq!(ended.all(), (3, "", &*told));
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_while_the_answer_is_waited_for_is_status_130() {
    bounded(async {
        let listener = Listener::start().await;
        let mut cli = Cli::new(&listener.url(), &["api", "info"]).spawn();
        let _silent = listener.stream().await;
        cli.signal("-INT").await;
        assert_eq!(cli.end().await.all(), (130, "", ""));
    })
    .await;
}
