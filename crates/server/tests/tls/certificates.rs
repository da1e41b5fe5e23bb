use throng_server::config::TlsCertificate;

use crate::party::{Authority, Party};

#[tokio::test]
async fn a_client_gets_the_certificate_for_the_name_that_it_asks_for() {
    let other = Authority::new();
    let (two, wild) = (other.certify(&["two.test"]), other.certify(&["*.wild.test", "wild.test"]));
    let mut party = Party::with(|settings, _, files| {
        for (name, certified) in [("two", &two), ("wild", &wild)] {
            let (cert_pem, key_pem) = files.write_pair(name, certified);
            settings.http_server.tls.certificates.push(TlsCertificate::new(cert_pem, key_pem));
        }
    })
    .await;
    assert_eq!(party.shown("localhost").await, party.cert);
    let main = std::mem::replace(&mut party.config, other.trusted().into());
    for (name, cert) in [
        ("two.test", &two.cert),
        ("TWO.test", &two.cert),
        ("wild.test", &wild.cert),
        ("a.wild.test", &wild.cert),
    ] {
        assert_eq!(party.shown(name).await, *cert, "{name}");
    }
    // For any other name, and for none, it is the first, which then is not for that name.
    for name in ["three.test", "a.b.wild.test", "127.0.0.1"] {
        let error = party.connect(&main, name).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{name}: {error}");
    }
}

#[tokio::test]
async fn without_a_main_certificate_the_first_of_the_list_is_shown() {
    let party = Party::with(|settings, _, _| {
        let tls = &mut settings.http_server.tls;
        let (cert, key) = (std::mem::take(&mut tls.cert_pem), std::mem::take(&mut tls.key_pem));
        let mut certificate = TlsCertificate::default();
        (certificate.cert_pem, certificate.key_pem) = (cert, key);
        tls.certificates.push(certificate);
    })
    .await;
    assert_eq!(party.shown("localhost").await, party.cert);
}

#[tokio::test]
async fn certificates_and_keys_may_stand_in_the_settings_themselves() {
    let party = Party::with(|settings, authority, _| {
        let certified = authority.certify(&["localhost"]);
        settings.http_server.tls.cert_pem = certified.cert_pem.into();
        settings.http_server.tls.key_pem = certified.key_pem.into();
    })
    .await;
    assert_ne!(party.shown("localhost").await, party.cert);
    assert_eq!(party.server.running.renew_certificates().await, Ok(false));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_shown_all_the_same_and_the_metric_says_when() {
    let party = Party::with(|settings, authority, files| {
        let expired = authority.certify_with(&["localhost"], |parameters| {
            parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
        });
        let (cert_pem, key_pem) = files.write_pair("expired", &expired);
        settings.http_server.tls.certificates.push(TlsCertificate::new(cert_pem, key_pem));
    })
    .await;
    assert_eq!(party.metric("throng_tls_certificate_expiry_seconds").await, 1_009_843_200);
}
