//! Sends one request to a destination and reads its answer, under one deadline.

use std::error::Error as _;
use std::time::{Duration, Instant};

use reqwest::header::{LOCATION, RETRY_AFTER};
use url::Url;

use crate::domain::request::{Method, RenderedRequest};
use crate::domain::retry::{ErrorKind, Exchange};

/// What is kept of an answer's body, in bytes.
const KEPT_BODY_BYTES: usize = 4 * 1024;
/// What is read of it, so that the connection can be used again; past that it is closed.
const READ_BODY_BYTES: usize = 64 * 1024;
/// Idle connections kept to each destination host.
const IDLE_CONNECTIONS: usize = 64;

/// The HTTP client of all dispatchers. Redirects are never followed, proxies never used.
#[derive(Clone)]
pub struct HttpSender {
    client: reqwest::Client,
}

/// What an exchange came to, with its timings in microseconds.
#[derive(Debug)]
pub struct Sent {
    pub exchange: Exchange,
    pub response_body: String,
    /// Until the head of the answer; 0 where none came.
    pub first_byte_us: u64,
    pub total_us: u64,
}

impl HttpSender {
    pub fn new() -> anyhow::Result<Self> {
        // Fails only if a provider was installed before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .user_agent(concat!("Ricochet/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            .build()?;
        Ok(Self { client })
    }

    /// Sends `request` to `url`, its own URL parsed; `timeout` covers everything from the name
    /// look-up to the last byte of the body.
    pub async fn send(&self, request: &RenderedRequest, url: Url, timeout: Duration) -> Sent {
        let started = Instant::now();
        let mut heard = Heard::default();
        let exchange =
            match tokio::time::timeout(timeout, self.exchange(request, url, started, &mut heard)).await {
                Ok(Ok(())) => Exchange::Answered {
                    status: heard.status,
                    location: heard.location,
                    retry_after: heard.retry_after,
                },
                Ok(Err(error)) => broken(&error, heard.status),
                Err(_) => Exchange::Broken {
                    kind: ErrorKind::Timeout,
                    message: match heard.status {
                        0 => format!("no answer within {} ms", timeout.as_millis()),
                        status => {
                            format!("answered {status}, but not to the end within {} ms", timeout.as_millis())
                        }
                    },
                },
            };
        Sent {
            exchange,
            response_body: String::from_utf8_lossy(&heard.body).into_owned(),
            first_byte_us: heard.first_byte_us,
            total_us: micros(started.elapsed()),
        }
    }

    async fn exchange(
        &self,
        request: &RenderedRequest,
        url: Url,
        started: Instant,
        heard: &mut Heard,
    ) -> reqwest::Result<()> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let mut sending = self.client.request(method, url);
        for (name, value) in &request.headers {
            sending = sending.header(name, value);
        }
        if !request.body.is_empty() {
            sending = sending.body(request.body.clone());
        }
        let mut response = sending.send().await?;
        heard.first_byte_us = micros(started.elapsed());
        heard.status = response.status().as_u16();
        let header = |name| {
            let value = response.headers().get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        heard.location = header(LOCATION);
        heard.retry_after = header(RETRY_AFTER);
        let mut read = 0;
        while let Some(chunk) = response.chunk().await? {
            let room = KEPT_BODY_BYTES.saturating_sub(heard.body.len());
            heard.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            read += chunk.len();
            if read > READ_BODY_BYTES {
                break;
            }
        }
        Ok(())
    }
}

/// What has been heard so far, also where the exchange breaks later.
#[derive(Default)]
struct Heard {
    status: u16,
    location: Option<String>,
    retry_after: Option<String>,
    body: Vec<u8>,
    first_byte_us: u64,
}

fn broken(error: &reqwest::Error, status: u16) -> Exchange {
    let mut messages = vec![];
    let mut source = error.source();
    while let Some(inner) = source {
        messages.push(inner.to_string());
        source = inner.source();
    }
    let all = messages.join(": ").to_lowercase();
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else if all.contains("dns") || all.contains("lookup address") {
        ErrorKind::Dns
    } else if all.contains("certificate") || all.contains("tls") || all.contains("handshake") {
        ErrorKind::Tls
    } else if error.is_connect() {
        ErrorKind::Connect
    } else {
        ErrorKind::Reset
    };
    // The error's own text repeats the URL, which may hold a secret; its last source says enough.
    let detail = messages.pop().unwrap_or_else(|| "the connection broke".into());
    let message = match status {
        0 => detail,
        status => format!("answered {status}, then the connection broke: {detail}"),
    };
    Exchange::Broken { kind, message }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
