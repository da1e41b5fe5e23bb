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
/// `echo`, back to its sender in the way in which tutorials answer a client: through the map and its queue. Paths are
/// ignored: there is one room.
///
/// # Errors
///
/// The listener fails; running out of file descriptors is such a failure.
#[expect(clippy::disallowed_methods, reason = "untracked tasks are part of the design that is compared")]
pub async fn serve(listener: TcpListener, echo: bool) -> io::Result<()> {
    let clients = Clients::default();
    loop {
        let (stream, address) = listener.accept().await?;
        tokio::spawn(serve_client(stream, address, Arc::clone(&clients), echo));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "unbounded queues and untracked tasks are the design that is compared"
)]
async fn serve_client(
    stream: TcpStream,
    address: SocketAddr,
    clients: Clients,
    echo: bool,
) -> Result<(), Error> {
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
            deliver(&clients, &message, address, echo).await;
        }
    }
    clients.write().await.remove(&address);
    writer.abort();
    Ok(())
}

async fn deliver(clients: &Clients, message: &Message, from: SocketAddr, echo: bool) {
    let clients = clients.read().await;
    if echo {
        if let Some(sender) = clients.get(&from) {
            // Its writer may have ended.
            let _ = sender.send(message.clone());
        }
        return;
    }
    for (other, sender) in clients.iter() {
        if *other != from {
            let _ = sender.send(message.clone());
        }
    }
}
