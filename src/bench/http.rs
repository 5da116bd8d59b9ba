//! A plain HTTP/1.1 connection to the server under test.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Larger answers are no answers of ours.
const MAX_BODY_BYTES: usize = 4 << 20;

enum Sending {
    Answered(Response<Incoming>),
    Unsent(Request<Empty<Bytes>>),
}

/// Where the server is, as written by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    host: String,
    port: u16,
}

/// The server with its address looked up.
#[derive(Debug, Clone)]
pub struct Server {
    pub address: SocketAddr,
    host: HeaderValue,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot connect to {address}: {reason}")]
    Connect { address: SocketAddr, reason: String },
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the server closes each connection before a request")]
    Closed,
    #[error("the answer is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl ServerUrl {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let url = url::Url::parse(text).with_context(|| format!("{text:?} is not a URL"))?;
        if url.scheme() != "http" {
            bail!("{text:?} is not http://; the bench speaks plain HTTP, so give it the server's own port");
        }
        let host = url.host_str().with_context(|| format!("{text:?} names no host"))?;
        Ok(Self { host: host.to_owned(), port: url.port_or_known_default().unwrap_or(80) })
    }

    pub async fn resolve(&self) -> anyhow::Result<Server> {
        let name = format!("{}:{}", self.host, self.port);
        let unknown = || format!("the server's host {:?} cannot be looked up", self.host);
        let mut addresses: Vec<SocketAddr> =
            tokio::net::lookup_host(&name).await.with_context(unknown)?.collect();
        // Servers listen on 127.0.0.1 more often than on ::1, and `localhost` is both.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        let address = *addresses.first().with_context(unknown)?;
        Ok(Server { address, host: HeaderValue::from_str(&name)? })
    }
}

/// A keep-alive connection that is opened when needed and again after it broke.
pub struct Connection {
    server: Server,
    sender: Option<SendRequest<Empty<Bytes>>>,
    body: Vec<u8>,
}

impl Connection {
    pub fn new(server: Server) -> Self {
        Self { server, sender: None, body: Vec::new() }
    }

    /// Makes sure there is an open connection.
    pub async fn open(&mut self) -> Result<(), HttpError> {
        if let Some(sender) = &mut self.sender
            && sender.ready().await.is_ok()
        {
            return Ok(());
        }
        self.sender = Some(connect(self.server.address).await?);
        Ok(())
    }

    /// Drops the connection, with whatever answer was still to come on it.
    pub fn close(&mut self) {
        self.sender = None;
    }

    /// One request; the body stays in a buffer that the next one reuses.
    pub async fn get(&mut self, uri: Uri) -> Result<(StatusCode, &[u8]), HttpError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        request.headers_mut().insert(HOST, self.server.host.clone());
        match self.exchange(request).await {
            Ok(status) => Ok((status, &self.body)),
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    async fn exchange(&mut self, request: Request<Empty<Bytes>>) -> Result<StatusCode, HttpError> {
        let unsent = match self.send(request).await? {
            Sending::Answered(response) => return self.read(response).await,
            Sending::Unsent(request) => request,
        };
        // The server closed the idle connection first: nothing was sent, so this is no repetition.
        self.close();
        match self.send(unsent).await? {
            Sending::Answered(response) => self.read(response).await,
            Sending::Unsent(_) => Err(HttpError::Closed),
        }
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> Result<Sending, HttpError> {
        self.open().await?;
        let sender = self.sender.as_mut().ok_or(HttpError::Closed)?;
        match sender.try_send_request(request).await {
            Ok(response) => Ok(Sending::Answered(response)),
            Err(mut error) => match error.take_message() {
                Some(request) => Ok(Sending::Unsent(request)),
                None => Err(error.into_error().into()),
            },
        }
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<StatusCode, HttpError> {
        let (head, mut incoming) = response.into_parts();
        self.body.clear();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame?.into_data() {
                if self.body.len() + data.len() > MAX_BODY_BYTES {
                    return Err(HttpError::TooLarge);
                }
                self.body.extend_from_slice(&data);
            }
        }
        Ok(head.status)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, HttpError> {
    let failed = |reason: String| HttpError::Connect { address, reason };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| failed(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| failed(error.to_string()))?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Whoever waits for an answer on it hears of the failure.
        let _ = connection.await;
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_spoken() {
        let url = ServerUrl::parse("http://localhost:8080/").unwrap();
        assert_eq!(url, ServerUrl { host: "localhost".into(), port: 8080 });
        let error = ServerUrl::parse("https://localhost:8443").unwrap_err().to_string();
        assert!(error.contains("plain HTTP"), "{error}");
    }
}
