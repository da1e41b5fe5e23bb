//! The command line of `throng-server` around tokens and keys: `check-config`, `gen-key`, `gen-token`, `check-token`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SECRET: (&str, &str) = ("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "a secret for tests");

struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program to its end with this input, and without any variables but the given ones.
fn run_with(input: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut child = Command::new(env!("CARGO_BIN_EXE_throng-server"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be run");
    // Not every command reads it.
    let _ = child.stdin.take().expect("the stream is a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the program can be waited for");
    Outcome {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("the program writes UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("the program writes UTF-8"),
    }
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    run_with("", arguments, variables)
}

/// What the program prints when all goes well.
fn printed(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let outcome = run(arguments, variables);
    assert_eq!(outcome.status, Some(0), "{arguments:?}: {}", outcome.stderr);
    outcome.stdout
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

#[test]
fn good_settings_are_said_to_be_good_and_faulty_ones_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("throng.toml");
    fs::write(&file, "[client.token]\nhmac_secret_key = \"hush\"\n").unwrap();
    for arguments in [["check-config", "--config", path(&file)], ["--config", path(&file), "check-config"]] {
        let said = printed(&arguments, &[]);
        assert_eq!(said, "the settings are good: 127.0.0.1:8080, tokens are checked\n");
    }
    fs::write(
        &file,
        "[client]\nchanel_limit = 1\n[client.token]\nrsa_public_key = \"hush\"\naudience = \"a\"\naudience_regex = \"b\"\n",
    )
    .unwrap();
    let outcome = run(&["check-config", "--config", path(&file)], &[]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""));
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines[0], "throng-server: the settings have 3 faults");
    let at = |line: usize, rest: &str| format!("  {}:{line}: {rest}", path(&file));
    assert_eq!(
        lines[1..],
        [
            at(2, "client.chanel_limit: there is no such key; did you mean client.channel_limit?"),
            at(
                4,
                "client.token.rsa_public_key: the key is neither PEM nor a JWK; write the public key of an RSA pair of at \
                   least 2048 bits, as PEM or JWK"
            ),
            at(
                6,
                "client.token.audience_regex: it says in another way what a text says already; remove one of them"
            ),
        ]
    );
}

#[test]
fn a_token_that_is_made_with_the_configured_secret_is_accepted_with_it() {
    let token = printed(&["gen-token", "--user", "42", "--claim", "subs={\"news\":{}}"], &[SECRET]);
    let said = printed(&["check-token", token.trim()], &[SECRET]);
    assert!(said.starts_with("the token is valid\nuser: \"42\"\nexpires (Unix seconds): "), "{said}");
    assert!(said.contains("\nid: \"") && said.ends_with("\nsubscriptions: 1\n"), "{said}");
    let by_input = run_with(&token, &["check-token"], &[SECRET]);
    assert_eq!((by_input.status, by_input.stdout), (Some(0), said));
}

#[test]
fn a_subscription_token_names_its_channel() {
    let token = printed(&["gen-token", "-u", "42", "--channel", "$news", "--no-expiry"], &[SECRET]);
    let said = printed(&["check-token", token.trim()], &[SECRET]);
    assert!(said.contains("\nchannel: \"$news\"\nexpires (Unix seconds): never\n"), "{said}");
}

#[test]
fn the_claim_that_fails_is_named_and_the_token_is_not_repeated() {
    let check = |arguments: &[&str], variables: &[(&str, &str)]| {
        let token = printed(&[&["gen-token", "--user", "42"], arguments].concat(), &[SECRET]);
        let outcome = run(&["check-token", token.trim()], &[&[SECRET], variables].concat());
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(1), ""));
        assert!(!outcome.stderr.contains(&token[..20]), "{}", outcome.stderr);
        outcome.stderr
    };
    let audience = [("THRONG_CLIENT_TOKEN_AUDIENCE", "chat")];
    for (arguments, variables, words) in [
        (&["--exp", "1000000000"][..], &[][..], "the token has expired: claim exp or expire_at was over "),
        (&[], &audience, "claim aud is not what is configured"),
        (&["--claim", "nbf=99999999999"], &[], "claim nbf says that it is for later"),
        (&["--claim", "jti=1"], &[], "claim jti is not a text"),
        (&["--claim", "channel=\"\""], &[], "claim channel is missing"),
        (
            &["--caps", r#"[{"channels":[],"allow":["fly"]}]"#],
            &[],
            "an operation in claim caps is none of sub",
        ),
    ] {
        let said = check(arguments, variables);
        assert!(said.starts_with("throng-server: the token ") && said.contains(words), "{said}");
    }
    let token = printed(&["gen-token", "--user", "42"], &[(SECRET.0, "another secret")]);
    let said = run(&["check-token", token.trim()], &[SECRET]).stderr;
    assert_eq!(said, "throng-server: the token is not valid: its signature is wrong\n");
}

#[test]
fn without_a_key_nothing_is_made_or_checked() {
    let outcome = run(&["gen-token", "--user", "42"], &[]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("no client.token.hmac_secret_key"), "{}", outcome.stderr);
    let outcome = run(&["check-token", "a.b.c"], &[]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("no key to check tokens with"), "{}", outcome.stderr);
}

#[test]
fn a_secret_that_is_made_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    assert_eq!(printed(&["gen-key", "hmac", "--out", path(&file)], &[]), "");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let variables = [("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY_FILE", path(&file))];
    let token = printed(&["gen-token", "--user", "42", "--key", path(&file), "--algorithm", "HS512"], &[]);
    printed(&["check-token", token.trim()], &variables);
    let token = printed(&["gen-token", "--user", "42"], &variables);
    printed(&["check-token", token.trim()], &variables);
    let again = run(&["gen-key", "hmac", "--out", path(&file)], &[]);
    assert_eq!(again.status, Some(1), "a key is not written over");
    let secrets = [(); 2].map(|()| printed(&["gen-key", "hmac"], &[]));
    assert_ne!(secrets[0], secrets[1]);
}

#[test]
fn a_key_pair_that_is_made_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, key) in [("ed25519", "EDDSA"), ("ec", "ECDSA"), ("ec384", "ECDSA"), ("rsa", "RSA")] {
        let file = folder.path().join(kind);
        let public = printed(&["gen-key", kind, "--out", path(&file)], &[]);
        let variable = format!("THRONG_CLIENT_TOKEN_{key}_PUBLIC_KEY");
        let variables = [(variable.as_str(), public.as_str())];
        let token = printed(&["gen-token", "--user", "42", "--key", path(&file)], &[]);
        assert!(printed(&["check-token", token.trim()], &variables).contains("user: \"42\""), "{kind}");
        let both = printed(&["gen-key", kind], &[]);
        assert!(both.contains("BEGIN PRIVATE KEY") && both.contains("BEGIN PUBLIC KEY"), "{kind}");
    }
}

#[test]
fn neither_settings_nor_faults_show_a_secret() {
    let variables = [SECRET, ("THRONG_CLIENT_SUBSCRIPTION_TOKEN_HMAC_SECRET_KEY", "another secret")];
    let shown = printed(&["--print-config"], &variables);
    assert!(!shown.contains("secret for tests") && !shown.contains("another secret"), "{shown}");
    assert!(shown.contains("# hmac_secret_key is not set: it has a value, which is secret"), "{shown}");
    let pair = printed(&["gen-key", "ec"], &[]);
    let outcome = run(&["check-config"], &[("THRONG_CLIENT_TOKEN_ECDSA_PUBLIC_KEY", &pair)]);
    assert_eq!(outcome.status, Some(1));
    assert!(!outcome.stderr.contains("BEGIN"), "{}", outcome.stderr);
}

#[test]
fn every_command_explains_itself_with_examples() {
    for command in ["check-config", "gen-key", "gen-token", "check-token"] {
        let help = printed(&[command, "--help"], &[]);
        assert!(help.contains("Examples:") && help.contains(&format!("throng-server {command}")), "{help}");
    }
    assert!(printed(&["--help"], &[]).contains("gen-token"));
}
