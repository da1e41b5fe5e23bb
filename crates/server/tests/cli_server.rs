//! The program `throng-server` from its start to its end by a signal.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program, killed when a test lets go of it.
struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Program {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_throng-server"))
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let lines = lines(child.stdout.take().expect("the stream is a pipe"));
        Self { child, lines }
    }

    /// Starts on a free port and waits until it serves.
    fn serving(variables: &[(&str, &str)]) -> (Self, SocketAddr) {
        let program = Self::start(&["--listen", "127.0.0.1:0"], variables);
        let address = program.line_with("listening on http://");
        let address =
            address.trim_start_matches("listening on http://").parse().expect("the line has an address");
        (program, address)
    }

    /// Waits for a line of the standard output stream that has these words.
    fn line_with(&self, words: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).expect("the line comes in time");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the program runs");
    }

    /// Waits for the end, which closes the standard output stream, and gives the exit status.
    fn ended(mut self) -> (Option<i32>, String) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program does not end"),
            }
        }
        let status = self.child.wait().expect("the program can be waited for").code();
        let mut errors = String::new();
        let stream: Option<ChildStderr> = self.child.stderr.take();
        stream.expect("the stream is a pipe").read_to_string(&mut errors).expect("the program writes UTF-8");
        (status, errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads lines in a thread of its own, so that waiting for one can have a deadline.
fn lines(stream: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Sends a request with these header lines besides `Host`.
fn request(address: SocketAddr, path: &str, headers: &str) -> TcpStream {
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts");
    connection.set_read_timeout(Some(PATIENCE)).expect("the patience is not zero");
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n\r\n")
        .expect("the server reads");
    connection
}

/// A member of a room that neither reads nor answers, so that it never takes part in the closing handshake.
fn silent_member(address: SocketAddr) -> TcpStream {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let connection = request(address, "/relay/lobby", upgrade);
    let mut status = String::new();
    BufReader::new(&connection).read_line(&mut status).expect("the server answers");
    assert!(status.starts_with("HTTP/1.1 101 "), "{status}");
    connection
}

#[test]
fn it_says_where_it_listens_and_answers_there() {
    let (program, address) = Program::serving(&[]);
    assert_ne!(address.port(), 0);
    program.line_with("Ctrl-C stops the server.");
    let mut connection = request(address, "/health", "Connection: close");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_busy_port_is_one_line_with_the_remedy() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (status, errors) = Program::start(&["--listen", &address], &[]).ended();
    assert_eq!(status, Some(1));
    assert!(errors.starts_with(&format!("throng-server: cannot listen on {address}: ")), "{errors}");
    assert!(errors.contains("choose another port with --listen"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn a_token_in_a_url_is_never_logged() {
    let variables = [
        ("THRONG_LOG_LEVEL", "trace"),
        ("THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY", "0123456789abcdef0123456789abcdef"),
    ];
    let (program, address) = Program::serving(&variables);
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    for (path, expected) in [("/relay/lobby", "401"), ("/connection/websocket", "101"), ("/nowhere", "404")] {
        let connection = request(address, &format!("{path}?token=HUSH"), upgrade);
        let mut status = String::new();
        BufReader::new(&connection).read_line(&mut status).expect("the server answers");
        assert!(status.contains(expected), "{path}: {status}");
    }
    program.signal(Signal::TERM);
    let (_, log) = program.ended();
    assert!(log.contains("upgrade refused") && log.contains("token refused"), "{log}");
    assert!(!log.contains("HUSH"), "{log}");
}

#[test]
fn sigterm_and_sigint_stop_it_in_order() {
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT")] {
        let (program, _) = Program::serving(&[]);
        program.signal(signal);
        program.line_with(&format!("{name}: stopping"));
        program.line_with("stopped; clients that left in time: 0, that were cut: 0");
        assert_eq!(program.ended().0, Some(0));
    }
}

#[test]
fn sighup_has_a_server_with_tls_read_its_certificates_again_and_stops_one_without() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let renew = || {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&cert, certified.cert.pem()).unwrap();
        fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    };
    renew();
    let [cert_flag, key_flag] = [&cert, &key].map(|path| path.to_str().unwrap());
    let arguments = ["--listen", "127.0.0.1:0", "--tls-cert", cert_flag, "--tls-key", key_flag];
    // So long that it is the signal and not the clock that has them read.
    let program = Program::start(&arguments, &[("THRONG_HTTP_SERVER_TLS_RELOAD_INTERVAL", "1h")]);
    program.line_with("listening on https://127.0.0.1:");
    program.signal(Signal::HUP);
    program.line_with("SIGHUP: the TLS certificates have not changed");
    renew();
    program.signal(Signal::HUP);
    program.line_with("SIGHUP: new TLS certificates are in use");
    fs::write(&key, "nonsense").unwrap();
    program.signal(Signal::HUP);
    program.line_with("SIGHUP: the TLS certificates cannot be used; the old ones stay in use");
    program.signal(Signal::TERM);
    let (status, errors) = program.ended();
    assert_eq!(status, Some(0));
    assert!(errors.contains("holds no private key") && !errors.contains("nonsense"), "{errors}");

    let (program, _) = Program::serving(&[]);
    program.signal(Signal::HUP);
    program.line_with("SIGHUP: stopping");
    assert_eq!(program.ended().0, Some(0));
}

#[test]
fn who_does_not_leave_in_time_is_cut_and_counted() {
    let (program, address) = Program::serving(&[("THRONG_SHUTDOWN_TIMEOUT", "100ms")]);
    let _member = silent_member(address);
    program.signal(Signal::TERM);
    program.line_with("stopped; clients that left in time: 0, that were cut: 1");
    assert_eq!(program.ended().0, Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let patient = [("THRONG_SHUTDOWN_TIMEOUT", "1h"), ("THRONG_SHUTDOWN_CLOSE_TIMEOUT", "1h")];
    let (program, address) = Program::serving(&patient);
    let _member = silent_member(address);
    program.signal(Signal::TERM);
    program.line_with("SIGTERM: stopping");
    program.signal(Signal::INT);
    program.line_with("SIGINT: ended at once");
    assert_eq!(program.ended().0, Some(130));
}

#[test]
fn anonymous_clients_from_anywhere_are_announced() {
    let program = Program::start(&["--listen", "0.0.0.0:0", "--allow-anonymous"], &[]);
    program.line_with("listening on http://0.0.0.0:");
    program.line_with("relay      off; relay.enabled = true turns it on");
    program.line_with("Anonymous clients may connect FROM ANYWHERE");
}
