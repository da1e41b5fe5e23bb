//! Subscribers that never read.

use std::time::{Duration, Instant};

use anyhow::Result;
use throng_protocol::{Format, Payload, PublishRequest, SubscribeRequest};
use tokio::time::sleep;

use super::{
    Target,
    answers::{Answers, Seen},
    arena::{self, QUEUE},
    crowd::many,
    raw::{self, PATIENCE, Raw},
};

const READERS: usize = 48;
/// Bytes of one publication.
const PUBLICATION: usize = 16 * 1024;
/// Publications after which every reader must have gone: what the kernel holds for one connection, and its queue.
const MOST: u32 = 1_000;
/// Readers that are heard out; the others are dropped.
const HEARD: usize = 4;

/// Subscribers that never read, while somebody publishes all the time.
pub(super) async fn never_read(target: Target) -> Result<Answers> {
    let before = arena::metric(target, SLOW)?;
    let connections = arena::metric(target, CONNECTIONS)?;
    let mut readers = Vec::new();
    for reader in many(READERS, READERS, |_| subscriber(target)).await {
        readers.push(reader?);
    }
    let mut publisher = Raw::member(target.address, Format::Json, "").await?;
    let data = Payload::from(format!("\"{}\"", "x".repeat(PUBLICATION)).into_bytes());
    let mut answers = Answers::default();
    for id in 2..MOST {
        let request = PublishRequest { channel: "flood".into(), data: data.clone(), ..Default::default() };
        publisher.send(&raw::command(Format::Json, id, request.into())).await?;
        let seen = publisher.reply(Format::Json).await;
        answers.expect("a publication to those who do not read", &[Seen::Granted, Seen::Error(111)], seen);
        if id % 16 == 0 && arena::metric(target, SLOW)? >= before + READERS as u64 {
            break;
        }
    }
    let gone = arena::metric(target, SLOW)? - before;
    answers.hold("whoever does not read is disconnected as slow", gone == READERS as u64);
    for mut reader in readers.into_iter().take(HEARD) {
        let seen = reader.ending().await;
        answers.expect("a slow reader's end", &[Seen::Close(3008), Seen::End, Seen::Reset], seen);
    }
    drop(publisher);
    let deadline = Instant::now() + PATIENCE;
    while arena::metric(target, CONNECTIONS)? > connections && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    answers.hold("the readers are gone", arena::metric(target, CONNECTIONS)? <= connections);
    Ok(answers)
}

const CONNECTIONS: &str = "throng_connections";
const SLOW: &str = "throng_slow_disconnects_total";

/// What the readers may cost in MiB, if every queue is full and none shares its frames with another.
pub(super) const MEMORY_MIB: u64 = (READERS * QUEUE) as u64 / (1 << 20) + 16;

async fn subscriber(target: Target) -> Result<Raw> {
    let mut raw = Raw::connect_small(target.address).await?.upgrade(raw::path(Format::Json), "").await?;
    raw.send(&raw::connect(Format::Json, "")).await?;
    raw.reply(Format::Json).await;
    let request = SubscribeRequest { channel: "flood".into(), ..Default::default() };
    raw.send(&raw::command(Format::Json, 2, request.into())).await?;
    raw.reply(Format::Json).await;
    Ok(raw)
}
