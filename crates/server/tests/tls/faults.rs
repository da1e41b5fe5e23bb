use throng_server::config::{ClientAuth, Settings, TlsCertificate};

use crate::party::{Authority, Files};

/// What is wrong with settings, line by line.
fn faults(change: impl FnOnce(&mut Settings)) -> Vec<String> {
    let mut settings = Settings::default();
    settings.http_server.tls.enabled = true;
    change(&mut settings);
    let faults = settings.check().map_err(|faults| faults.to_string());
    faults.err().unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn tls_without_a_certificate_is_a_fault_with_its_remedy() {
    assert_eq!(
        faults(|_| ()),
        ["settings: http_server.tls.enabled: it needs a certificate; set http_server.tls.cert_pem and \
             http_server.tls.key_pem, or leave it off"]
    );
    let off = faults(|settings| {
        settings.http_server.tls.enabled = false;
        settings.http_server.tls.cert_pem = "no/such/file".into();
    });
    assert_eq!(off, [""; 0], "what is off needs no files");
}

#[test]
fn every_fault_of_every_file_is_listed() {
    let files = Files::new();
    let authority = Authority::new();
    let (one, two) = (authority.certify(&["one.test"]), authority.certify(&["two.test"]));
    let (cert, key) = files.write_pair("one", &one);
    let (_, other_key) = files.write_pair("two", &two);
    let faults = faults(|settings| {
        let tls = &mut settings.http_server.tls;
        tls.cert_pem = "no/such/file".into();
        tls.certificates = vec![
            TlsCertificate::new(cert.clone(), other_key.clone()),
            TlsCertificate::new(key.clone(), cert.clone()),
            TlsCertificate::new(cert.clone(), key.clone()),
        ];
        tls.client_ca_pem = key.clone().into();
    });
    let expected = [
        "settings: http_server.tls.cert_pem: cannot be read: entity not found; check the path and the permissions"
            .to_owned(),
        "settings: http_server.tls.key_pem: it is missing: a certificate and its key belong together; set both cert_pem \
         and key_pem"
            .to_owned(),
        format!(
            "settings: http_server.tls.certificates[0].key_pem: {other_key:?} is not the key of the certificate; write the \
             key that the certificate was made for"
        ),
        format!(
            "settings: http_server.tls.certificates[1].cert_pem: {key:?} holds no certificate; write the path of a PEM file \
             that holds the certificate and those that vouch for it"
        ),
        format!(
            "settings: http_server.tls.certificates[1].key_pem: {cert:?} holds no private key that can be used; write the \
             path of a PEM file that holds the private key, not encrypted"
        ),
        format!(
            "settings: http_server.tls.client_ca_pem: {key:?} holds no certificate; write the path of a PEM file that holds \
             the certificate and those that vouch for it"
        ),
    ];
    assert_eq!(faults, expected);
}

#[test]
fn asking_for_certificates_that_nobody_can_judge_is_a_fault() {
    let files = Files::new();
    let (cert, key) = files.write_pair("one", &Authority::new().certify(&["one.test"]));
    let found = faults(|settings| {
        let tls = &mut settings.http_server.tls;
        (tls.cert_pem, tls.key_pem) = (cert.into(), key.into());
        tls.client_auth = ClientAuth::Optional;
    });
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("settings: http_server.tls.client_auth: it needs to know"), "{found:?}");
}

#[test]
fn a_key_in_the_settings_stands_in_no_fault() {
    let authority = Authority::new();
    let (one, two) = (authority.certify(&["one.test"]), authority.certify(&["two.test"]));
    let found = faults(|settings| {
        let tls = &mut settings.http_server.tls;
        (tls.cert_pem, tls.key_pem) = (one.cert_pem.clone().into(), two.key_pem.clone().into());
    });
    assert_eq!(
        found,
        [
            "settings: http_server.tls.key_pem: the text is not the key of the certificate; write the key that the \
             certificate was made for"
        ]
    );
}
