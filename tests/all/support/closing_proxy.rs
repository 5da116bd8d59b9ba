//! A way to ClickHouse on which every connection serves one request: when a client takes it for another,
//! it is closed, as a server does whose idle connection is taken at the wrong moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

pub struct ClosingProxy {
    /// The URL of the server behind it, by way of here.
    pub url: Url,
    counts: Arc<Counts>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    served: AtomicUsize,
    closed: AtomicUsize,
}

impl ClosingProxy {
    pub async fn before(server: &str) -> Self {
        let mut url = Url::parse(server).unwrap();
        let target = url.socket_addrs(|| None).unwrap()[0];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        let counts = Arc::new(Counts::default());
        let accepting = tokio::spawn({
            let counts = counts.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(relay(client, target, counts.clone()));
                }
            }
        });
        Self { url, counts, accepting }
    }

    /// How many requests were served, each on a connection of its own.
    pub fn served(&self) -> usize {
        self.counts.served.load(Ordering::SeqCst)
    }

    /// How many connections were closed under a request.
    pub fn closed(&self) -> usize {
        self.counts.closed.load(Ordering::SeqCst)
    }
}

impl Drop for ClosingProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: TcpStream, target: SocketAddr, counts: Arc<Counts>) {
    let server = TcpStream::connect(target).await.unwrap();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let has_answered = Arc::new(AtomicBool::new(false));
    let answering = tokio::spawn({
        let (has_answered, counts) = (has_answered.clone(), counts.clone());
        async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(bytes @ 1..) = from_server.read(&mut buffer).await {
                if !has_answered.swap(true, Ordering::SeqCst) {
                    counts.served.fetch_add(1, Ordering::SeqCst);
                }
                if to_client.write_all(&buffer[..bytes]).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from_client.read(&mut buffer).await {
        // Nobody sends the next request before the answer to the last one.
        if has_answered.load(Ordering::SeqCst) {
            counts.closed.fetch_add(1, Ordering::SeqCst);
            answering.abort();
            return;
        }
        if to_server.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
}
