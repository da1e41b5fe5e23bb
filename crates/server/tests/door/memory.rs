//! When memory is short.

use serde_json::json;

use crate::raw::{get, head_of, status, upgrade};
use crate::support::TestServer;

#[tokio::test]
async fn above_the_soft_limit_nobody_new_connects_history_shrinks_and_the_rest_goes_on() {
    let server = TestServer::with(|settings| {
        settings.http_api.key = "s3cret".into();
        // Less than any process has.
        settings.memory.soft_limit = Some(1 << 20);
    })
    .await;
    server.until_metric("throng_memory_short", 1).await;
    let refused = head_of(&server, upgrade("/relay/lobby", "")).await;
    assert_eq!(status(&refused), 503, "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    assert_eq!(status(&head_of(&server, get("/health", "")).await), 200);
    let published = server.api("publish", "s3cret", &json!({"channel": "news", "data": {"n": 1}})).await;
    assert_eq!(published["result"]["offset"], 1);
    server.until_metric("throng_history_publications", 0).await;
    assert!(server.metric("throng_memory_shed_bytes_total").await > 0);
    let page = server.get("/metrics").await;
    assert!(page.contains("throng_handshakes_total{result=\"memory\"} 1"), "{page}");
}

#[tokio::test]
async fn with_enough_memory_the_guard_only_counts() {
    let server = TestServer::start().await;
    let waiting = async {
        while server.metric("throng_memory_resident_bytes").await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, waiting).await.unwrap();
    assert_eq!(server.metric("throng_memory_short").await, 0);
    let limit = server.metric("throng_memory_soft_limit_bytes").await;
    assert!(limit > server.metric("throng_memory_resident_bytes").await);
}
