use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// A way to a server that a test can cut.
pub struct Proxy {
    address: SocketAddr,
    up: watch::Sender<bool>,
    connections: Arc<Mutex<JoinSet<()>>>,
    /// Ends with this.
    _accepting: JoinSet<()>,
}

impl Proxy {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port");
        let (up, state) = watch::channel(true);
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server, state, Arc::clone(&connections)));
        Self { address, up, connections, _accepting: accepting }
    }

    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Cuts all connections and takes no more, until [`mend`](Self::mend).
    pub fn cut(&self) {
        self.up.send_replace(false);
        self.connections.lock().expect("no panic under the lock").abort_all();
    }

    pub fn mend(&self) {
        self.up.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    up: watch::Receiver<bool>,
    connections: Arc<Mutex<JoinSet<()>>>,
) {
    loop {
        let (mut client, _) = listener.accept().await.expect("a connection");
        if !*up.borrow() {
            continue; // dropped, and so closed
        }
        let mut upstream = TcpStream::connect(server).await.expect("the server listens");
        connections.lock().expect("no panic under the lock").spawn(async move {
            let _ = copy_bidirectional(&mut client, &mut upstream).await;
        });
    }
}
