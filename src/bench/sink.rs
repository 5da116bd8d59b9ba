//! The sink: where the postbacks of the bench arrive, on a runtime and thread of its own.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::ledger::Ledger;

/// After a failed accept (no file descriptor left, mostly) the listener rests this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub struct Sink {
    port: u16,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Sink {
    /// Listens on a free port of 127.0.0.1 and answers 200 after `delay`. Postbacks carry
    /// `tx={run}-{index}`; those of other runs are strays.
    pub fn start(run: &str, ledger: Arc<Ledger>, delay: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("the sink cannot listen")?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let receiver = Arc::new(Receiver { run: run.to_owned(), ledger, delay });
        let thread = std::thread::Builder::new().name("bench-sink".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    error = listen(listener, receiver) => {
                        eprintln!("The sink stopped listening, so what follows counts as lost: {error}");
                    }
                }
            });
        })?;
        Ok(Self { port, stop, thread })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Closes every connection.
    pub fn stop(self) {
        drop(self.stop);
        // A panic has been printed by its own thread.
        let _ = self.thread.join();
    }
}

/// The query of a sink URL, to be filled by the server.
pub fn postback_url(port: u16, postback: usize) -> String {
    format!("http://127.0.0.1:{port}/p/{postback}?lead={{lead_id}}&tx={{txid}}")
}

struct Receiver {
    run: String,
    ledger: Arc<Ledger>,
    delay: Duration,
}

async fn listen(listener: TcpListener, receiver: Arc<Receiver>) -> std::io::Error {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Without it the answer could wait; where it fails the connection is gone anyway.
        let _ = stream.set_nodelay(true);
        let receiver = receiver.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| receiver.receive(request));
            // A connection the server closes is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Receiver {
    async fn receive(&self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        let at_ns = self.ledger.now_ns();
        match identify(request.uri().path(), request.uri().query().unwrap_or(""), &self.run) {
            Some((postback, index)) => self.ledger.arrived(postback, index, at_ns),
            None => self.ledger.stray(),
        }
        if !self.delay.is_zero() {
            sleep(self.delay).await;
        }
        Ok(Response::new(Empty::new()))
    }
}

/// Which postback and which conversion a request to the sink is about.
fn identify(path: &str, query: &str, run: &str) -> Option<(usize, u64)> {
    let postback = path.strip_prefix("/p/")?.parse().ok()?;
    let tx = query.split('&').find_map(|pair| pair.strip_prefix("tx="))?;
    let index = tx.strip_prefix(run)?.strip_prefix('-')?.parse().ok()?;
    Some((postback, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_postback_is_known_by_its_path_and_tx() {
        assert_eq!(identify("/p/2", "lead=x&tx=ab12-77", "ab12"), Some((2, 77)));
        for (path, query) in [
            ("/p/2", "lead=x&tx=cd34-77"),
            ("/p/2", "lead=x&tx=ab12"),
            ("/p/2", "lead=x&tx=ab12-x"),
            ("/p/2", "lead=x"),
            ("/p/", "tx=ab12-1"),
            ("/", "tx=ab12-1"),
        ] {
            assert_eq!(identify(path, query, "ab12"), None, "{path}?{query}");
        }
    }
}
