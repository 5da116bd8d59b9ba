//! A tracker: the far side of the network, over real HTTP, and as bad as a test asks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use super::eventually;

/// What the tracker does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manner {
    /// Answers this status line and these further headers.
    Answer(&'static str),
    /// The same, after a while.
    Slow(Duration, &'static str),
    /// Answers this status line, a place that is the URL it was called by, and the same as body.
    Echo(&'static str),
    /// Answers 200 with this JSON, and a cookie.
    Json(&'static str),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and breaks the connection.
    Reset,
    /// Promises a longer body than it sends.
    CutShort,
}

pub const OK: Manner = Manner::Answer("200 OK");

/// A request as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    pub url: Url,
    pub at: Instant,
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    pub fn parameter(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

#[derive(Clone)]
pub struct Tracker {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    manner: watch::Sender<Manner>,
}

impl Tracker {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let tracker = Self { url, received: Arc::default(), manner: watch::Sender::new(manner) };
        let serving = tracker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tracker = serving.clone();
                tokio::spawn(async move { tracker.serve(stream).await });
            }
        });
        tracker
    }

    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub async fn until_received(&self, count: usize) -> Vec<Received> {
        eventually(&format!("the tracker receives {count} requests"), || async {
            Some(self.received()).filter(|received| received.len() >= count)
        })
        .await
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.ok()? == 0 {
                    return None;
                }
            }
            let mut request_line = head.split(' ');
            let (method, target) = (request_line.next()?.to_owned(), request_line.next()?.to_owned());
            let url = Url::parse(&format!("{}{target}", self.url)).ok()?;
            let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let headers: Vec<(String, String)> =
                lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
            let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let mut body = vec![0; length.map_or(Some(0), |(_, length)| length.parse().ok())?];
            stream.read_exact(&mut body).await.ok()?;
            let body = String::from_utf8_lossy(&body).into_owned();
            let manner = self.manner.borrow().clone();
            let echo = target.clone();
            self.received.lock().unwrap().push(Received {
                url,
                method,
                target,
                headers,
                body,
                at: Instant::now(),
            });
            match manner {
                Manner::Answer(answer) | Manner::Slow(_, answer) => {
                    if let Manner::Slow(wait, _) = manner {
                        tokio::time::sleep(wait).await;
                    }
                    let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 2\r\n\r\nOK");
                    stream.write_all(answer.as_bytes()).await.ok()?;
                }
                Manner::Echo(answer) => {
                    let answer = format!(
                        "HTTP/1.1 {answer}\r\nlocation: {echo}\r\ncontent-length: {}\r\n\r\n{echo}",
                        echo.len()
                    );
                    stream.write_all(answer.as_bytes()).await.ok()?;
                }
                Manner::Json(body) => {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: sid=s3cret\r\n\
                         content-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await.ok()?;
                }
                Manner::Hang => tokio::time::sleep(Duration::from_secs(3_600)).await,
                Manner::Reset => {
                    // Without lingering, a close sends RST.
                    stream.get_ref().set_zero_linger().ok()?;
                    return None;
                }
                Manner::CutShort => {
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nOK";
                    stream.write_all(answer.as_bytes()).await.ok()?;
                    return None;
                }
            }
        }
    }
}
