//! The classic design: a map of unbounded senders behind a lock, two tasks per connection, all settings at their default.
//!
//! It is written as tutorials write it, without their logging, which would cost it more than everything else.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{RwLock, mpsc},
};
use tokio_tungstenite::{
    accept_async,
    tungstenite::{Error, Message},
};

type Clients = Arc<RwLock<HashMap<SocketAddr, mpsc::UnboundedSender<Message>>>>;

/// Serves connections until the listener fails or the future is dropped: each message goes to all other clients, or, with
/// `echo`, back to its sender. Paths are ignored: there is one room.
///
/// # Errors
///
/// The listener fails; running out of file descriptors is such a failure.
#[expect(clippy::disallowed_methods, reason = "untracked tasks are part of the design that is compared")]
pub async fn serve(listener: TcpListener, echo: bool) -> io::Result<()> {
    let clients = Clients::default();
    loop {
        let (stream, address) = listener.accept().await?;
        if echo {
            tokio::spawn(send_back(stream));
        } else {
            tokio::spawn(relay(stream, address, Arc::clone(&clients)));
        }
    }
}

async fn send_back(stream: TcpStream) -> Result<(), Error> {
    let mut socket = accept_async(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "unbounded queues and untracked tasks are the design that is compared"
)]
async fn relay(stream: TcpStream, address: SocketAddr, clients: Clients) -> Result<(), Error> {
    let (mut sink, mut source) = accept_async(stream).await?.split();
    let (sender, mut queue) = mpsc::unbounded_channel();
    clients.write().await.insert(address, sender);
    let writer = tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    });
    while let Some(Ok(message)) = source.next().await {
        if message.is_close() {
            break;
        }
        if message.is_text() || message.is_binary() {
            for (other, sender) in clients.read().await.iter() {
                if *other != address {
                    // The other one may be leaving.
                    let _ = sender.send(message.clone());
                }
            }
        }
    }
    clients.write().await.remove(&address);
    writer.abort();
    Ok(())
}
