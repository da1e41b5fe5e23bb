//! `wss` with a certificate that the test makes: trusted when its root is given, refused otherwise.

#[cfg(feature = "cli")]
mod cli_support;
mod support;

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};
#[cfg(feature = "cli")]
use support::Call;
use support::{Listener, Peer, bounded};
use throng_client::{Client, ConnectError, Disconnect};

#[tokio::test]
async fn a_trusted_certificate_connects_and_the_connection_is_used_like_any_other() {
    bounded(Box::pin(async {
        let (certificate, key) = certificate();
        let listener = Listener::start().await;
        let acceptor = acceptor(certificate.clone(), key);
        let url = format!("wss://localhost:{}", listener.address().port());
        let server = async {
            let stream = acceptor.accept(listener.stream().await).await.unwrap();
            let mut peer = Peer::accept(stream).await;
            peer.welcome().await;
            peer.confirm("news").await;
            peer.publish("news", "1").await;
            peer
        };
        let client = async {
            let client = Client::builder(url).tls_config(trusting(certificate)).connect().await.unwrap();
            let mut news = client.subscribe("news").await.unwrap();
            (news.next_publication().await.unwrap(), client)
        };
        let (mut peer, (publication, client)) = tokio::join!(server, client);
        assert_eq!(publication.data.as_bytes(), "1");
        let ((), code) = tokio::join!(client.close(), peer.closed());
        assert_eq!(code, Some(1000));
    }))
    .await;
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_as_such() {
    bounded(Box::pin(async {
        let (served, key) = certificate();
        let (other, _) = certificate();
        let listener = Listener::start().await;
        let acceptor = acceptor(served, key);
        let url = format!("wss://localhost:{}", listener.address().port());
        let server = async { acceptor.accept(listener.stream().await).await.err() };
        let connect = Client::builder(&url).tls_config(trusting(other)).connect();
        let (client, refused) = tokio::join!(connect, server);
        assert!(refused.is_some());
        let error = client.unwrap_err();
        let ConnectError::Failed(reason) = error else { panic!("not a failed attempt: {error:?}") };
        assert!(matches!(reason, Disconnect::Tls { .. }), "{reason:?}");
        assert_eq!(reason.to_string(), format!("no trusted TLS connection to {url}/connection/websocket"));
    }))
    .await;
}

/// The beginning of what is said when no certificate is checked.
#[cfg(feature = "cli")]
const ALARM: &str = "warning: --insecure: the server's certificate is NOT CHECKED.";

#[cfg(feature = "cli")]
#[tokio::test]
async fn the_command_line_trusts_what_ssl_cert_file_names_and_says_so_when_it_does_not_trust() {
    bounded(Box::pin(async {
        let files = Files::new();
        let (trusted, untrusted) = (&files.trusted, &files.untrusted);
        let listener = Listener::start().await;
        let acceptor = acceptor(files.cert.clone(), files.key.clone_key());
        let url = format!("wss://localhost:{}", listener.address().port());

        let server = async {
            let stream = acceptor.accept(listener.stream().await).await.unwrap();
            let mut peer = Peer::accept(stream).await;
            peer.welcome().await;
            peer.acknowledge(Ok(())).await
        };
        let cli = cli_support::Cli::new(&url, &["pub", "news", "1"]).env("SSL_CERT_FILE", trusted);
        let (ended, payload) = tokio::join!(cli.run(""), server);
        assert_eq!((ended.all(), &*payload), ((0, "", ""), "1"));

        let server = async {
            let mut stream = acceptor.accept(listener.stream().await).await.unwrap();
            let body = "{\"result\":{\"data\":1}}";
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
            Call::answered(&mut stream, &answer).await
        };
        let cli = cli_support::Cli::new(&url, &["api", "rpc", "one"]).env("SSL_CERT_FILE", trusted);
        let (ended, call) = tokio::join!(cli.run(""), server);
        assert_eq!((ended.all(), &*call.body), ((0, "1\n", ""), "{\"method\":\"one\"}"));

        for (arguments, scheme) in [(&["pub", "news", "1"][..], "wss"), (&["api", "rpc", "one"], "https")] {
            let server = async { acceptor.accept(listener.stream().await).await.err() };
            let cli = cli_support::Cli::new(&url, arguments).env("SSL_CERT_FILE", untrusted);
            let (ended, _) = tokio::join!(cli.run(""), server);
            assert_eq!((ended.status, &*ended.stdout), (3, ""));
            let told = format!("error: no trusted TLS connection to {scheme}://localhost");
            assert!(ended.stderr.starts_with(&told), "{}", ended.stderr);
            let remedy = "; --cacert FILE names certificates to trust, as the variable SSL_CERT_FILE does\n";
            assert!(ended.stderr.ends_with(remedy), "{}", ended.stderr);
        }
    }))
    .await;
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn the_command_line_trusts_a_file_that_is_named_and_anybody_when_it_is_told_to_loudly() {
    bounded(Box::pin(async {
        let files = Files::new();
        let listener = Listener::start().await;
        let acceptor = acceptor(files.cert.clone(), files.key.clone_key());
        let url = format!("wss://localhost:{}", listener.address().port());
        let (trusted, untrusted) = (&files.trusted, &files.untrusted);

        // The flag wins over the variable, and --insecure trusts anybody, loudly.
        for (flags, told) in [(&["--cacert", trusted.to_str().unwrap()][..], ""), (&["--insecure"], ALARM)] {
            let server = async {
                let stream = acceptor.accept(listener.stream().await).await.unwrap();
                let mut peer = Peer::accept(stream).await;
                peer.welcome().await;
                peer.acknowledge(Ok(())).await
            };
            let arguments = [flags, &["--quiet", "pub", "news", "1"]].concat();
            let cli = cli_support::Cli::new(&url, &arguments).env("SSL_CERT_FILE", untrusted);
            let (ended, _) = tokio::join!(cli.run(""), server);
            assert_eq!((ended.status, &*ended.stdout), (0, ""));
            assert!(
                ended.stderr.starts_with(told) && ended.stderr.is_empty() == told.is_empty(),
                "{}",
                ended.stderr
            );

            let server = async {
                let mut stream = acceptor.accept(listener.stream().await).await.unwrap();
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"result\":{\"data\":1}}";
                Call::answered(&mut stream, answer).await
            };
            let arguments = [flags, &["api", "rpc", "one"]].concat();
            let cli = cli_support::Cli::new(&url, &arguments).env("SSL_CERT_FILE", untrusted);
            let (ended, _) = tokio::join!(cli.run(""), server);
            assert_eq!((ended.status, &*ended.stdout), (0, "1\n"), "{}", ended.stderr);
        }
        let nowhere = cli_support::Cli::new(&url, &["--cacert", "no/such/file", "echo"]).run("").await;
        assert_eq!(nowhere.status, 1);
        assert!(nowhere.stderr.starts_with("error: --cacert no/such/file: "), "{}", nowhere.stderr);
    }))
    .await;
}

/// A certificate and its key, a file that trusts it, and one that trusts another.
#[cfg(feature = "cli")]
struct Files {
    cert: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    trusted: std::path::PathBuf,
    untrusted: std::path::PathBuf,
    _directory: tempfile::TempDir,
}

#[cfg(feature = "cli")]
impl Files {
    fn new() -> Self {
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let certified = made();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()).into();
        let directory = tempfile::tempdir().expect("a directory");
        let [trusted, untrusted] = ["root.pem", "other.pem"].map(|name| directory.path().join(name));
        std::fs::write(&trusted, certified.cert.pem()).expect("writable");
        std::fs::write(&untrusted, made().cert.pem()).expect("writable");
        Self { cert: certified.cert.into(), key, trusted, untrusted, _directory: directory }
    }
}

/// A certificate for `localhost`, and its key.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    (certified.cert.into(), key.into())
}

fn acceptor(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> tokio_rustls::TlsAcceptor {
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("key and certificate match");
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
