//! A server with certificates that the test makes, and clients that trust them.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use throng_server::config::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;

use crate::support::{Client, PATIENCE, TestServer};

pub(crate) type Stream = TlsStream<TcpStream>;

/// Vouches for certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Certified {
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn certify(&self, names: &[&str]) -> Certified {
        self.certify_with(names, |_| ())
    }

    pub(crate) fn certify_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certified {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let cert = parameters.signed_by(&key, &self.0).unwrap();
        Certified {
            cert_pem: cert.pem(),
            cert: cert.into(),
            key_pem: key.serialize_pem(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// What a client that trusts this authority needs.
    pub(crate) fn trusted(&self) -> ClientConfig {
        self.trusted_with(rustls::ALL_VERSIONS, None)
    }

    pub(crate) fn trusted_with(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        certified: Option<Certified>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match certified {
            Some(Certified { cert, key, .. }) => builder.with_client_auth_cert(vec![cert], key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }
}

/// Certificates in files.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        text_of(&self.path(name))
    }

    /// Writes a certificate and its key, and returns both paths.
    pub(crate) fn write_pair(&self, name: &str, certified: &Certified) -> (String, String) {
        let cert = self.write(&format!("{name}.pem"), &certified.cert_pem);
        (cert, self.write(&format!("{name}.key"), &certified.key_pem))
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// A server that speaks TLS, as `localhost`.
pub(crate) struct Party {
    pub(crate) server: TestServer,
    pub(crate) authority: Authority,
    pub(crate) files: Files,
    /// What the server shows at first.
    pub(crate) cert: CertificateDer<'static>,
    pub(crate) config: Arc<ClientConfig>,
}

impl Party {
    pub(crate) async fn start() -> Self {
        Self::with(|_, _, _| ()).await
    }

    /// A server with settings that differ.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings, &Authority, &Files)) -> Self {
        let (authority, files) = (Authority::new(), Files::new());
        let certified = authority.certify(&["localhost"]);
        let (cert_pem, key_pem) = files.write_pair("main", &certified);
        let server = TestServer::with(|settings| {
            let tls = &mut settings.http_server.tls;
            tls.enabled = true;
            tls.cert_pem = cert_pem.into();
            tls.key_pem = key_pem.into();
            change(settings, &authority, &files);
        })
        .await;
        let config = Arc::new(authority.trusted());
        Self { server, authority, files, cert: certified.cert, config }
    }

    /// A TLS connection to the server by this name.
    pub(crate) async fn connect(&self, config: &Arc<ClientConfig>, name: &str) -> io::Result<Stream> {
        self.connect_on(self.server.tcp().await, config, name).await
    }

    /// The same, at another address of the server.
    pub(crate) async fn connect_to(
        &self,
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Stream> {
        self.connect_on(TcpStream::connect(address).await?, config, name).await
    }

    /// The same, on a connection on which something may have been said.
    pub(crate) async fn connect_on(
        &self,
        socket: TcpStream,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connect = TlsConnector::from(Arc::clone(config)).connect(name, socket);
        timeout(PATIENCE, connect).await.expect("the handshake takes too long")
    }

    /// A connection whose handshake the server has accepted: it has answered a request.
    pub(crate) async fn served(&self, config: ClientConfig) -> io::Result<String> {
        let stream = self.connect(&Arc::new(config), "localhost").await?;
        self.get_on(stream, "/health").await
    }

    pub(crate) async fn client(&self, path: &str) -> Client<Stream> {
        let stream = self.connect(&self.config, "localhost").await.unwrap();
        let url = self.server.running.url(path);
        let (socket, response) = timeout(PATIENCE, client_async(url, stream)).await.unwrap().unwrap();
        let request_id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        Client { socket, request_id }
    }

    pub(crate) async fn members<const N: usize>(&self, room: &str) -> [Client<Stream>; N] {
        let mut members = Vec::new();
        for _ in 0..N {
            members.push(self.client(&format!("/relay/{room}")).await);
        }
        members.try_into().ok().unwrap()
    }

    /// Sends a request and returns all of the answer, up to the goodbye of TLS.
    pub(crate) async fn get_on(&self, mut stream: Stream, path: &str) -> io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: throng.test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("no answer comes")?;
        Ok(answer)
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        let stream = self.connect(&self.config, "localhost").await.unwrap();
        self.get_on(stream, path).await.unwrap()
    }

    /// The value of a metric, its labels included in the name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await;
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    pub(crate) async fn until_metric(&self, name: &str, value: u64) {
        let waiting = async {
            while self.metric(name).await != value {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "{name} is never {value}");
    }

    /// The certificate that the server shows for a name.
    pub(crate) async fn shown(&self, name: &str) -> CertificateDer<'static> {
        let stream = self.connect(&self.config, name).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }
}
