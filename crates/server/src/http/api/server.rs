//! What the server tells of itself, and the application's own methods. Reference section 6.4.

use std::net::SocketAddr;
use std::time::Instant;

use throng_protocol::api::{ApiError, InfoResult, NodeInfo, Process, RpcRequest};
use throng_protocol::{ErrorCode, RpcResult};
use uuid::Uuid;

use super::process::Usage;
use super::{Api, count, payload};
use crate::handlers::{HandlerError, RpcEvent};
use crate::metrics::{Number, Transport};

/// What tells this run of the server from others.
#[derive(Debug)]
pub(super) struct Identity {
    uid: String,
    name: String,
    since: Instant,
}

impl Identity {
    pub(super) fn new(address: SocketAddr) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = format!("{host}_{}", address.port());
        Self { uid: Uuid::new_v4().to_string(), name, since: Instant::now() }
    }
}

impl Api {
    pub(super) fn info(&self) -> InfoResult {
        let metrics = &self.node.metrics;
        let census =
            self.node.directory().census(|channel| self.node.namespaces.of(channel.as_str()).is_ok());
        let subscriptions: u64 =
            metrics.shards.iter().map(|shard| &shard.subscriptions).map(Number::get).sum();
        // A member of a relay room has one subscription, to its room.
        let subscriptions = subscriptions.saturating_sub(metrics.connections(Transport::Relay).get());
        let process = Usage::now().map(|usage| Process { cpu: usage.cpu.into(), rss: usage.rss });
        let node = NodeInfo {
            uid: self.identity.uid.clone(),
            name: self.identity.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            num_clients: count(census.clients),
            num_users: count(census.users),
            num_channels: count(census.channels),
            num_subs: u32::try_from(subscriptions).unwrap_or(u32::MAX),
            uptime: u32::try_from(self.identity.since.elapsed().as_secs()).unwrap_or(u32::MAX),
            metrics: None,
            process,
        };
        InfoResult { nodes: vec![node] }
    }

    pub(super) async fn rpc(&self, request: RpcRequest) -> Result<RpcResult, ApiError> {
        let RpcRequest { method, params } = request;
        if method.is_empty() {
            return Err(ErrorCode::BadRequest.into());
        }
        let handlers = &self.node.handlers;
        let handler = handlers.set.rpc.get(&method).ok_or(ErrorCode::MethodNotFound)?;
        let event = RpcEvent { method, data: params, ..RpcEvent::default() };
        match handlers.ask(handler, event).await {
            Ok(data) if data.is_empty() || payload::is_json(&data) => Ok(RpcResult { data }),
            Ok(_) => {
                tracing::warn!("a handler answered a call of the API with what is not JSON");
                Err(ErrorCode::Internal.into())
            }
            Err(HandlerError::Error(error)) => Err(error.into()),
            // There is nobody to disconnect; why there should be is worth telling.
            Err(HandlerError::Disconnect { code, reason }) => {
                Err(ApiError { code: code.into(), message: reason.into() })
            }
        }
    }
}
