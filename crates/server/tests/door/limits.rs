//! How fast and how often clients may come.

use crate::raw::{head_of, status, upgrade};
use crate::support::TestServer;

async fn counted(server: &TestServer, result: &str) -> u64 {
    let page = server.get("/metrics").await;
    let name = format!("throng_handshakes_total{{result=\"{result}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_address_that_connects_too_fast_is_told_to_wait() {
    let server = TestServer::with(|settings| {
        settings.client.address_limit_includes_loopback = true;
        settings.client.address_connection_burst = 3;
        settings.client.address_connection_rate = 1;
    })
    .await;
    let mut refused = String::new();
    for _ in 0..20 {
        refused = head_of(&server, upgrade("/relay/lobby", "")).await;
        if status(&refused) != 101 {
            break;
        }
    }
    assert_eq!(status(&refused), 429, "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
}

#[tokio::test]
async fn an_address_whose_handshakes_fail_is_refused_early_also_when_it_does_better() {
    let server = TestServer::with(|settings| {
        settings.client.address_limit_includes_loopback = true;
        settings.client.address_failure_limit = 3;
    })
    .await;
    let good = upgrade("/relay/lobby", "");
    assert_eq!(status(&head_of(&server, &good).await), 101);
    let forbidden = upgrade("/relay/lobby", "Origin: https://evil.example\r\n");
    assert_eq!(status(&head_of(&server, &forbidden).await), 403);
    assert_eq!(status(&head_of(&server, "not HTTP\r\n\r\n").await), 400);
    let api = "POST /api/info HTTP/1.1\r\nHost: localhost\r\nX-API-Key: guess\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(&head_of(&server, api).await), 401);
    let refused = head_of(&server, &good).await;
    assert_eq!(status(&refused), 429, "{refused}");
    let after: u64 =
        refused.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap().parse().unwrap();
    assert!((50..=60).contains(&after), "{after}");
}

#[tokio::test]
async fn on_loopback_addresses_have_no_limits_unless_they_are_asked_for() {
    let server = TestServer::with(|settings| {
        settings.client.address_connection_burst = 1;
        settings.client.address_connection_rate = 1;
        settings.client.address_failure_limit = 1;
        settings.client.address_connection_limit = 1;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(status(&head_of(&server, "not HTTP\r\n\r\n").await), 400);
    }
    let [_ann, _bob] = server.members("lobby").await;
}

#[tokio::test]
async fn more_upgrades_in_a_second_than_allowed_get_503_and_pages_are_still_served() {
    let server = TestServer::with(|settings| settings.client.connection_rate_limit = Some(1)).await;
    let mut refused = String::new();
    for _ in 0..20 {
        refused = head_of(&server, upgrade("/relay/lobby", "")).await;
        if status(&refused) != 101 {
            break;
        }
    }
    assert_eq!(status(&refused), 503, "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(server.get("/health").await.starts_with("HTTP/1.1 200"));
    assert!(counted(&server, "rate").await >= 1);
}
