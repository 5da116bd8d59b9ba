//! A name server that knows one address, and says it as it likes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;

/// What is done with one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// 127.0.0.1, for this moment only.
    Address,
    AddressAfter(Duration),
    /// SERVFAIL.
    Failure,
    /// NXDOMAIN.
    NoSuchName,
    Silence,
}

/// Starts one; `choose` says what becomes of each question. It ends with the test.
pub async fn start(choose: impl Fn() -> Reply + Send + Sync + 'static) -> SocketAddr {
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question).await {
            let reply = choose();
            let Some(answer) = answer(&question[..length], reply) else { continue };
            let socket = socket.clone();
            tokio::spawn(async move {
                if let Reply::AddressAfter(pause) = reply {
                    tokio::time::sleep(pause).await;
                }
                let _ = socket.send_to(&answer, from).await;
            });
        }
    });
    address
}

/// RFC 1035, 4.1. None where nothing is said.
fn answer(question: &[u8], reply: Reply) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    const NAME_ERROR: u8 = 3;
    const SERVER_FAILURE: u8 = 2;
    // The name's labels end with an empty one; type and class follow.
    let name_length = question.get(HEADER..)?.iter().position(|byte| *byte == 0)? + 1;
    let asked = question.get(HEADER..HEADER + name_length + 4)?;
    let is_for_ipv4 = asked[name_length..] == [0, 1, 0, 1];
    let (code, has_address) = match reply {
        Reply::Silence => return None,
        Reply::Failure => (SERVER_FAILURE, false),
        Reply::NoSuchName => (NAME_ERROR, false),
        Reply::Address | Reply::AddressAfter(_) => (0, is_for_ipv4),
    };
    let mut answer = question[..2].to_vec();
    // A response, recursion desired and available; one question, one answer or none.
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    answer.extend(asked);
    if has_address {
        // The same name, A, IN, for no time, four bytes.
        answer.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
