//! TLS on the server's own listener: table `[http_server.tls]`.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    fault::{Name, Problem},
    field::{Field, Key, key},
    settings::Settings,
    suggest,
    value::Value,
};

/// The list of further certificates.
pub(super) const CERTIFICATES: &str = "http_server.tls.certificates";

/// Certificates that there may be: each handshake looks through all of them.
const MAX_COUNT: usize = 64;

pub(super) const HANDSHAKES: RangeInclusive<usize> = 1..=1_000_000;
pub(super) const RELOAD: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_hours(24);

/// TLS on the listener: table `[http_server.tls]`. Off by default.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tls {
    /// Whether the server speaks TLS, and nothing else, on its port. Default false.
    pub enabled: bool,
    /// The certificate that is shown unless one of [`certificates`](Self::certificates) fits better, then those that vouch for it.
    pub cert_pem: Pem,
    /// Its private key.
    pub key_pem: Pem,
    /// Further certificates, for other names. A client gets the first that fits the name it asks for. Default none.
    pub certificates: Vec<TlsCertificate>,
    /// Who must have signed clients' certificates; empty asks clients for none. Default empty.
    pub client_ca_pem: Pem,
    /// What a client without a certificate gets, where [`client_ca_pem`](Self::client_ca_pem) asks for one. Default
    /// [`ClientAuth::Required`].
    pub client_auth: ClientAuth,
    /// The oldest version of TLS that is spoken. Default [`TlsVersion::V1_2`].
    pub min_version: TlsVersion,
    /// Handshakes for which keys may be computed at once; more wait. Default 1024.
    pub handshake_limit: usize,
    /// How often the files are looked at for something new. Default 10 s.
    pub reload_interval: Duration,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            enabled: false,
            cert_pem: Pem::default(),
            key_pem: Pem::default(),
            certificates: Vec::new(),
            client_ca_pem: Pem::default(),
            client_auth: ClientAuth::default(),
            min_version: TlsVersion::default(),
            handshake_limit: 1_024,
            reload_interval: Duration::from_secs(10),
        }
    }
}

impl Tls {
    /// All certificates with their keys, the one that is shown in default of others first, each with the table that it is
    /// set in.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (String, &Pem, &Pem)> {
        let main = ("http_server.tls".to_owned(), &self.cert_pem, &self.key_pem);
        let main = (!main.1.is_empty() || !main.2.is_empty()).then_some(main);
        let others = self.certificates.iter().enumerate();
        main.into_iter().chain(
            others.map(|(index, pair)| (format!("{CERTIFICATES}[{index}]"), &pair.cert_pem, &pair.key_pem)),
        )
    }
}

/// A certificate for some names: an element of `[[http_server.tls.certificates]]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TlsCertificate {
    /// The certificate, then those that vouch for it.
    pub cert_pem: Pem,
    /// Its private key.
    pub key_pem: Pem,
}

impl TlsCertificate {
    /// A certificate and its key.
    pub fn new(cert_pem: impl Into<Pem>, key_pem: impl Into<Pem>) -> Self {
        Self { cert_pem: cert_pem.into(), key_pem: key_pem.into() }
    }
}

/// Certificates or a key in PEM: the path of a file, or the text itself, which may be in base64 once more. Debug output shows a
/// path, and never the text.
///
/// ```
/// use throng_server::config::Pem;
///
/// assert_eq!(Pem::from("/etc/throng/key.pem").path(), Some("/etc/throng/key.pem"));
/// let text = Pem::from("-----BEGIN PRIVATE KEY-----\n…");
/// assert_eq!(text.path(), None);
/// assert!(!format!("{text:?}").contains("PRIVATE"));
/// ```
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Pem(String);

impl Pem {
    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path of the file, if the text is not there itself.
    pub fn path(&self) -> Option<&str> {
        (!self.is_empty() && self.inline().is_none()).then_some(&self.0)
    }

    /// The text, if it is there itself.
    pub(crate) fn inline(&self) -> Option<Vec<u8>> {
        const BEGIN: &str = "-----BEGIN ";
        /// Keys and certificates in DER begin so.
        const DER: u8 = 0x30;
        /// No key is shorter; a path may be.
        const SHORTEST: usize = 32;

        // No path has several lines. What should be a key and is none, is not shown either.
        if self.0.contains(BEGIN) || self.0.trim().contains('\n') {
            return Some(self.0.clone().into_bytes());
        }
        let bare: Vec<u8> = self.0.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let decoded = BASE64_STANDARD.decode(bare).ok()?;
        let is_pem = str::from_utf8(&decoded).is_ok_and(|text| text.contains(BEGIN));
        (is_pem || (decoded.len() >= SHORTEST && decoded[0] == DER)).then_some(decoded)
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> String {
        self.path().map_or_else(|| "the text".to_owned(), |path| format!("{path:?}"))
    }

    /// The text as the settings have it.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Pem {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "Pem({path:?})"),
            None if self.is_empty() => f.write_str("Pem(\"\")"),
            None => f.write_str("Pem(***)"),
        }
    }
}

/// What a client without a certificate gets, where clients are asked for one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ClientAuth {
    /// No connection.
    #[default]
    Required,
    /// A connection. A certificate that it does show must be good all the same.
    Optional,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The keys of one certificate of the list.
pub(super) static CERTIFICATE_KEYS: &[Key<TlsCertificate>] =
    &[key("cert_pem", Field::Pem(|c| &mut c.cert_pem)), key("key_pem", Field::PemKey(|c| &mut c.key_pem))];

/// The place in the list and the key that a path names, such as `http_server.tls.certificates[0].cert_pem`.
pub(super) fn member(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix(CERTIFICATES)?.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest.strip_prefix('.')?))
}

/// Sets a key of a certificate of the list, which is made longer if need be.
pub(super) fn set(settings: &mut Settings, index: usize, option: &str, value: &Value) -> Result<(), Problem> {
    let Some(key) = CERTIFICATE_KEYS.iter().find(|key| key.path == option) else {
        let near = suggest::near(option, CERTIFICATE_KEYS.iter().map(|key| key.path));
        let near = near.map(|near| format!("{CERTIFICATES}[{index}].{near}"));
        return Err(Problem::Unknown { what: Name::Key, near });
    };
    if index >= MAX_COUNT {
        let found = format!("certificate {}", index + 1);
        return Err(Problem::OutOfRange { found, min: "1".into(), max: MAX_COUNT.to_string() });
    }
    let certificates = &mut settings.http_server.tls.certificates;
    if certificates.len() <= index {
        certificates.resize_with(index + 1, TlsCertificate::default);
    }
    key.set(&mut certificates[index], value)
}

/// The certificates that a variable lists as JSON. In a file they are tables.
pub(super) fn listed(value: &Value) -> Result<Vec<BTreeMap<String, Value>>, Problem> {
    const EXPECTED: &str = "tables, each under [[http_server.tls.certificates]], or in a variable JSON such as \
                            [{\"cert_pem\": \"a.pem\", \"key_pem\": \"a.key\"}]";
    // What is there may be a key, so that it is not repeated.
    let wrong = || Problem::WrongType { expected: EXPECTED, found: "the value".into() };
    match value {
        Value::Untyped(text) if text.trim_ascii().is_empty() => Ok(Vec::new()),
        Value::Untyped(text) => {
            let tables: Vec<BTreeMap<String, serde_json::Value>> =
                serde_json::from_str(text).map_err(|_| wrong())?;
            let typed = |(option, value)| (option, Value::from_json(value));
            Ok(tables.into_iter().map(|table| table.into_iter().map(typed).collect()).collect())
        }
        Value::List(none) if none.is_empty() => Ok(Vec::new()),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources};

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";

    fn load(text: &str) -> Result<Loaded, String> {
        Sources::new().text("throng.toml", text).load().map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_text_is_told_from_a_path_also_in_base64() {
        assert_eq!(Pem::from(KEY).inline().as_deref(), Some(KEY.as_bytes()));
        assert_eq!(Pem::from(BASE64_STANDARD.encode(KEY)).inline().as_deref(), Some(KEY.as_bytes()));
        for path in ["", "key.pem", "/etc/ssl/key", "aGVsbG8="] {
            assert_eq!(Pem::from(path).inline(), None, "{path}");
        }
    }

    #[test]
    fn a_key_that_stands_in_the_settings_is_never_shown() {
        let encoded = BASE64_STANDARD.encode(KEY);
        let text = format!(
            "[http_server.tls]\ncert_pem = 'a.pem'\nkey_pem = '''\n{KEY}'''\n\
             [[http_server.tls.certificates]]\ncert_pem = 'b.pem'\nkey_pem = '{encoded}'\n"
        );
        let loaded = load(&text).unwrap();
        let shown = format!("{:?}{}", loaded.settings(), loaded.to_toml());
        assert!(shown.contains("a.pem") && shown.contains("b.pem"), "{shown}");
        assert!(!shown.contains("hush") && !shown.contains(&encoded), "{shown}");
        let faults = load("[http_server.tls]\nkey_pem = ['hush']\n").unwrap_err();
        assert!(faults.starts_with("throng.toml:2: http_server.tls.key_pem: ") && !faults.contains("hush"));
        // What was meant to be a key: without its first line, or the bytes alone.
        let bare = BASE64_STANDARD.encode([&[0x30, 46], &b"hush"[..], &[0; 42]].concat());
        for meant in [&bare, "hush\n-----END PRIVATE KEY-----"] {
            let text = format!("[http_server.tls]\ncert_pem = 'a.pem'\nkey_pem = '''{meant}'''\n");
            let shown =
                load(&text).map(|loaded| format!("{:?}{}", loaded.settings(), loaded.to_toml())).unwrap();
            assert!(!shown.contains("hush") && !shown.contains(&bare), "{shown}");
            let faults = load(&format!("{text}enabled = true\n")).unwrap_err();
            assert!(
                faults.contains("key_pem") && !faults.contains("hush") && !faults.contains(&bare),
                "{faults}"
            );
        }
    }

    #[test]
    fn the_list_is_read_from_tables_and_from_json_and_printed_again() {
        let text = "[[http_server.tls.certificates]]\ncert_pem = 'a.pem'\nkey_pem = 'a.key'\n\
                    [[http_server.tls.certificates]]\nkey_pem = 'b.key'\ncert_pem = 'b.pem'\n";
        let from_tables = load(text).unwrap();
        let json = r#"[{"cert_pem":"a.pem","key_pem":"a.key"},{"cert_pem":"b.pem","key_pem":"b.key"}]"#;
        let variable = ("THRONG_HTTP_SERVER_TLS_CERTIFICATES".into(), json.into());
        let from_json = Sources::new().environment([variable]).load().unwrap();
        let expected = [TlsCertificate::new("a.pem", "a.key"), TlsCertificate::new("b.pem", "b.key")];
        assert_eq!(from_tables.settings().http_server.tls.certificates, expected);
        assert_eq!(from_json.settings(), from_tables.settings());
        assert_eq!(load(&from_tables.to_toml()).unwrap().settings(), from_tables.settings());
    }

    #[test]
    fn faults_of_the_list_have_their_line() {
        let text = "[[http_server.tls.certificates]]\ncert = 'a.pem'\nkey_pem = 1\n";
        assert_eq!(
            load(text).unwrap_err(),
            "throng.toml:2: http_server.tls.certificates[0].cert: there is no such key; \
             did you mean http_server.tls.certificates[0].cert_pem?\n\
             throng.toml:3: http_server.tls.certificates[0].key_pem: the value does not belong here; \
             write text in quotes"
        );
    }

    #[test]
    fn a_later_file_replaces_the_list_of_an_earlier_one() {
        let first = "[[http_server.tls.certificates]]\ncert_pem = 'a.pem'\nkey_pem = 'a.key'\n".repeat(2);
        let second = "[[http_server.tls.certificates]]\ncert_pem = 'b.pem'\nkey_pem = 'b.key'\n";
        let loaded = Sources::new().text("1.toml", first).text("2.toml", second).load().unwrap();
        let expected = [TlsCertificate::new("b.pem", "b.key")];
        assert_eq!(loaded.settings().http_server.tls.certificates, expected);
    }
}
