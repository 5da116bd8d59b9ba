//! A proxy between us and all destinations.
//!
//! It is asked to connect (CONNECT, for `http://` too) to an address that we have looked up and
//! vetted ourselves: names never reach it, so it cannot be made to call what we would not.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

use super::failure::Failure;
use crate::domain::retry::ErrorKind;
use std::net::SocketAddr;

const MOST_HEAD_BYTES: usize = 8 * 1024;

/// `http://user:password@host:port`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
    /// The value of `Proxy-Authorization`.
    authorization: Option<String>,
}

/// The text is no proxy's URL. It is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAProxy;

impl FromStr for Proxy {
    type Err = NotAProxy;

    fn from_str(text: &str) -> Result<Self, NotAProxy> {
        let url = Url::parse(text).map_err(|_| NotAProxy)?;
        let is_bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !is_bare {
            return Err(NotAProxy);
        }
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let authorization = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let user = decoded(url.username());
            let password = decoded(url.password().unwrap_or_default());
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        });
        let host = url.host_str().ok_or(NotAProxy)?.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port_or_known_default().ok_or(NotAProxy)?, authorization })
    }
}

/// Without the password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{})", self.host, self.port)
    }
}

impl Proxy {
    /// Makes `stream`, a connection to the proxy, one to `target`.
    pub async fn connect(&self, stream: &mut TcpStream, target: SocketAddr) -> Result<(), Failure> {
        let authorization = match &self.authorization {
            Some(value) => format!("Proxy-Authorization: {value}\r\n"),
            None => String::new(),
        };
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        let refused = |why: String| {
            Failure::broken(ErrorKind::Connect, format!("the proxy {}:{} {why}", self.host, self.port))
        };
        stream.write_all(request.as_bytes()).await.map_err(|error| refused(format!("broke: {error}")))?;
        let head = read_head(stream).await.map_err(&refused)?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        match (head.starts_with("HTTP/1."), status) {
            (true, status) if status.len() == 3 && status.starts_with('2') => Ok(()),
            (true, "407") => {
                Err(refused("wants a user name and password; put them into RICOCHET_OUTBOUND_PROXY".into()))
            }
            (true, status) => Err(refused(format!("answered {status:?} to CONNECT {target}"))),
            (false, _) => Err(refused("does not speak HTTP".into())),
        }
    }
}

/// To the empty line and no byte further: what follows is the destination's.
async fn read_head(stream: &mut TcpStream) -> Result<String, String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(error) => return Err(format!("broke: {error}")),
        }
        if head.len() > MOST_HEAD_BYTES {
            return Err("answered with too long a head".into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_password_not_shown() {
        let proxy: Proxy = "http://user:p%40ss@[::1]:3128".parse().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("::1", 3128));
        assert_eq!(proxy.authorization.as_deref(), Some("Basic dXNlcjpwQHNz"));
        assert_eq!(format!("{proxy:?}"), "Proxy(::1:3128)");
        for wrong in ["socks5://p:1", "p:3128", "https://p:1", "http://p:1/x", ""] {
            assert_eq!(wrong.parse::<Proxy>(), Err(NotAProxy), "{wrong}");
        }
    }
}
