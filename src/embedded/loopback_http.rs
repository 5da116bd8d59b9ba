//! One HTTP request to an engine on this machine, without an async runtime.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends one statement to ClickHouse; the answer's status and body. The connection is closed
/// by the answer: at its stop ClickHouse would wait for an open one.
pub(super) fn post_statement(
    port: u16,
    user: &str,
    password: &str,
    statement: &str,
) -> io::Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let length = statement.len();
    write!(
        stream,
        "POST / HTTP/1.0\r\nHost: {address}\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n\
         Content-Length: {length}\r\n\r\n{statement}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse_answer(&String::from_utf8_lossy(&answer))
}

fn parse_answer(answer: &str) -> io::Result<(u16, String)> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(malformed)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(malformed)?;
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_and_body() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n1\n";
        assert_eq!(parse_answer(answer).unwrap(), (200, "1\n".to_owned()));
        assert!(parse_answer("SSH-2.0\r\n").is_err());
    }
}
