//! `ricochet healthcheck`: asks a running server whether it is ready, for container engines.
//!
//! The image has no curl, and needs none.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use url::Url;

const TIMEOUT: Duration = Duration::from_secs(3);
/// The status line is all that counts.
const READ_BYTES: u64 = 1_024;

/// Asks `GET /readyz` of the server at `url`, such as `http://127.0.0.1:8080`; the exit code is
/// 0 if it answers 200.
pub fn run(url: &str) -> ExitCode {
    match readiness(url) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("The server at {url} answered {status} to GET /readyz: it is not ready.");
            ExitCode::FAILURE
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn readiness(url: &str) -> Result<u16, String> {
    let legal = Url::parse(url).ok().filter(|url| url.scheme() == "http" && url.has_host());
    let legal = legal.ok_or_else(|| format!("{url:?} must be an address such as http://127.0.0.1:8080"))?;
    let host = legal.host_str().unwrap_or_default();
    let port = legal.port_or_known_default().unwrap_or(80);
    let address = format!("{host}:{port}");
    exchange(&address).map_err(|error| format!("The server at {url} does not answer: {error}"))
}

fn exchange(address: &str) -> std::io::Result<u16> {
    let unreachable = || std::io::Error::other("its host has no address");
    // An IPv6 address keeps its brackets in a URL, and `to_socket_addrs` understands them.
    let resolved = address.to_socket_addrs()?.next().ok_or_else(unreachable)?;
    let mut stream = TcpStream::connect_timeout(&resolved, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(READ_BYTES).read_to_end(&mut answer)?;
    status_of(&answer).ok_or_else(|| std::io::Error::other("its answer is not HTTP"))
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Serves one connection: answers with `answer` and returns the request's first line.
    fn serve_once(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap().lines().next().unwrap().to_owned()
        });
        (url, server)
    }

    #[test]
    fn the_status_decides() {
        let (url, server) = serve_once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        assert_eq!(readiness(&url), Ok(200));
        assert_eq!(server.join().unwrap(), "GET /readyz HTTP/1.1");
        let (url, server) = serve_once("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(readiness(&url), Ok(503));
        server.join().unwrap();
    }

    #[test]
    fn what_is_no_server_is_told() {
        let (url, server) = serve_once("SSH-2.0-x\r\n");
        assert!(readiness(&url).unwrap_err().contains("not HTTP"));
        server.join().unwrap();
        assert!(readiness("https://127.0.0.1").unwrap_err().contains("such as http://"));
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(readiness(&format!("http://{free}")).unwrap_err().contains("does not answer"));
    }
}
