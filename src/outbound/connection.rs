//! One open connection, of either version of HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;

use super::failure::MOST_HEAD_BYTES;

/// What a destination may send ahead on one stream; an answer is read to 64 KiB.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const MOST_HEADER_LIST_BYTES: u32 = 64 * 1024;

type Body = Full<Bytes>;

/// Closed when its last holder drops it, whatever is under way on it.
pub struct Connection {
    sender: Sender,
    task: Arc<Task>,
    pub peer: SocketAddr,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// The task that moves a connection's bytes.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A request that got no answer.
pub struct NotAnswered {
    pub error: hyper::Error,
    /// Not a byte of it was written, so that it can be sent elsewhere.
    pub is_unsent: bool,
}

impl Connection {
    pub async fn open<S>(stream: S, peer: SocketAddr, version: Version) -> Result<Self, hyper::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        let (sender, task) = if version == Version::HTTP_2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .max_header_list_size(MOST_HEADER_LIST_BYTES)
                .handshake(io)
                .await?;
            // Whoever waits for an answer on it hears of a failure.
            (Sender::Http2(sender), tokio::spawn(async { drop(connection.await) }))
        } else {
            let (sender, connection) =
                http1::Builder::new().max_buf_size(MOST_HEAD_BYTES).handshake(io).await?;
            (Sender::Http1(sender), tokio::spawn(async { drop(connection.await) }))
        };
        Ok(Self { sender, task: Arc::new(Task(task.abort_handle())), peer })
    }

    pub fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::HTTP_11,
            Sender::Http2(_) => Version::HTTP_2,
        }
    }

    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// The same connection once more, where it carries several requests at once.
    pub fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => {
                Some(Self { sender: Sender::Http2(sender.clone()), task: self.task.clone(), peer: self.peer })
            }
        }
    }

    /// Whether both are the same connection.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.task, &other.task)
    }

    pub async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, NotAnswered> {
        let unsent = |error| NotAnswered { error, is_unsent: true };
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                // After an answer the connection needs a moment until it takes a request again.
                sender.ready().await.map_err(unsent)?;
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.map_err(unsent)?;
                sender.try_send_request(request).await
            }
        };
        answer.map_err(|error| {
            let is_unsent = error.message().is_some();
            NotAnswered { error: error.into_error(), is_unsent }
        })
    }
}
