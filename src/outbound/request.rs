//! A rendered request as it goes over the wire.

use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Uri, Version};
use http_body_util::Full;
use hyper::body::Bytes;
use url::{Position, Url};

use super::failure::Failure;
use crate::domain::request::{Method, RenderedRequest};

const OUR_NAME: HeaderValue = HeaderValue::from_static(concat!("Ricochet/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");
/// Answers are short; those who compress them all the same are understood.
const UNCOMPRESSED: HeaderValue = HeaderValue::from_static("identity");

/// Headers that say how a message is sent, or to whom: a template has no say in these.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One side of a connection, and so of the pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    pub scheme: Scheme,
    /// The name without its last dot, or the address (IPv6 in brackets).
    pub host: Box<str>,
    pub port: u16,
    /// SHA-256 of the client certificate it is shown.
    pub certificate: Option<[u8; 32]>,
}

impl Destination {
    /// `url` has been vetted.
    pub fn of(url: &Url, certificate: Option<[u8; 32]>) -> Self {
        let host = url.host_str().unwrap_or_default();
        Self {
            scheme: if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP },
            host: host.strip_suffix('.').unwrap_or(host).into(),
            port: url.port_or_known_default().unwrap_or_default(),
            certificate,
        }
    }

    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

/// A request that can be written for either version of HTTP, and again if it was not sent.
#[derive(Debug)]
pub struct Prepared {
    method: http::Method,
    scheme: Scheme,
    authority: Authority,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
}

impl Prepared {
    /// # Errors
    /// Where a header or the URL cannot be written.
    pub fn new(request: &RenderedRequest, url: &Url, destination: &Destination) -> Result<Self, Failure> {
        let mut headers = HeaderMap::with_capacity(request.headers.len() + 4);
        for (name, value) in &request.headers {
            let legal = HeaderName::from_bytes(name.as_bytes());
            let legal = legal.map_err(|_| Failure::unfit(format!("{name:?} is no name of a header")))?;
            if OURS.contains(&legal.as_str()) {
                let reason =
                    format!("the header {name} is set by Ricochet itself; take it out of the postback");
                return Err(Failure::unfit(reason));
            }
            // The value may be a secret, so it is not repeated.
            let value = HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes()));
            let value = value.map_err(|_| {
                Failure::unfit(format!(
                    "the value of the header {name} has a line break or control character"
                ))
            })?;
            headers.append(legal, value);
        }
        for (name, value) in [(USER_AGENT, OUR_NAME), (ACCEPT, ANYTHING), (ACCEPT_ENCODING, UNCOMPRESSED)] {
            headers.entry(name).or_insert(value);
        }
        let illegal = || Failure::unfit("the URL cannot be written into a request");
        let authority = match url.port() {
            None => destination.host.parse(),
            Some(port) => format!("{}:{port}", destination.host).parse(),
        };
        let path = &url[Position::BeforePath..Position::AfterQuery];
        Ok(Self {
            method: match request.method {
                Method::Get => http::Method::GET,
                Method::Post => http::Method::POST,
                Method::Put => http::Method::PUT,
            },
            scheme: destination.scheme.clone(),
            authority: authority.map_err(|_| illegal())?,
            path: path.parse().map_err(|_| illegal())?,
            headers,
            body: Bytes::copy_from_slice(request.body.as_bytes()),
        })
    }

    pub fn write(&self, version: Version) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        let illegal = || Failure::unfit("the URL cannot be written into a request");
        if version == Version::HTTP_2 {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(self.scheme.clone());
            parts.authority = Some(self.authority.clone());
            parts.path_and_query = Some(self.path.clone());
            *request.uri_mut() = Uri::from_parts(parts).map_err(|_| illegal())?;
        } else {
            let host = HeaderValue::from_str(self.authority.as_str()).map_err(|_| illegal())?;
            request.headers_mut().insert(HOST, host);
            *request.uri_mut() = Uri::from(self.path.clone());
        }
        Ok(request)
    }
}
