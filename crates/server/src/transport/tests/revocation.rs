//! Connections that end because of what was revoked.

use throng_engine::Subject;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_more_connections_than_are_looked_at_in_one_go() {
    with_rig_of(
        |settings, _| settings.client.allow_anonymous_connect_without_token = true,
        async |rig| {
            let mut peers = Vec::new();
            for _ in 0..21 {
                let mut peer = rig.protocol(PingStyle::Frame).await;
                peer.connect().await;
                peers.push(peer);
            }
            let everything = Subject::Issued { user: None, before: i64::MAX };
            rig.node.revoke(everything, 0).await.expect("it is kept");
            for peer in &mut peers {
                assert_eq!(peer.close_code().await, 3500);
            }
        },
    )
    .await;
}
