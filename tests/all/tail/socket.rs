//! A client of graphql-transport-ws, written for tests.

use std::collections::HashSet;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::support::server::Server;
use crate::support::{PATIENCE, eventually};

pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// The status of a handshake that was refused, with the code of its error.
pub type Refusal = (u16, String);

/// What ended a conversation.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    Closed(u16),
    Broken,
}

impl Socket {
    /// Shakes hands with these headers.
    pub async fn open(server: &Server, headers: &[(&'static str, &str)]) -> Result<Self, Refusal> {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => {
                let body: Value =
                    serde_json::from_slice(answer.body().as_deref().unwrap_or_default()).unwrap();
                let code = body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned();
                Err((answer.status().as_u16(), code))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// A conversation with the token in the handshake.
    pub async fn of(server: &Server, token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let headers =
            [("authorization", bearer.as_str()), ("sec-websocket-protocol", "graphql-transport-ws")];
        let mut socket = Self::open(server, &headers).await.unwrap();
        socket.say(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.hear().await.unwrap()["type"], "connection_ack");
        socket
    }

    /// Tails what a filter (`outcomes: [FAILED]`) finds, under this id.
    pub async fn tail(&mut self, id: &str, arguments: &str) {
        let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
        let query = format!(
            "subscription {{ postbackLogTail{arguments} {{
                attemptId txid outcome recordedAt droppedBefore pastLeftOut
            }} }}"
        );
        self.say(json!({ "id": id, "type": "subscribe", "payload": { "query": query } })).await;
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message of GraphQL.
    pub async fn hear(&mut self) -> Result<Value, End> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("nothing was said");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(Some(frame)))) => return Err(End::Closed(frame.code.into())),
                Some(Ok(Message::Close(None))) | Some(Err(_)) | None => return Err(End::Broken),
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next attempt.
    pub async fn attempt(&mut self) -> Value {
        let message = self.hear().await.unwrap_or_else(|end| panic!("{end:?}"));
        assert_eq!(message["payload"].get("errors"), None, "{message}");
        assert_eq!(message["type"], "next", "{message}");
        message["payload"]["data"]["postbackLogTail"].clone()
    }

    /// Attempts up to the one with this transaction id, which is left out.
    pub async fn attempts_until(&mut self, txid: &str) -> Vec<Value> {
        let mut attempts = Vec::new();
        loop {
            let attempt = self.attempt().await;
            if attempt["txid"] == txid {
                return attempts;
            }
            attempts.push(attempt);
        }
    }
}

/// Transaction ids in their order.
pub fn txids(attempts: &[Value]) -> Vec<String> {
    attempts.iter().map(|attempt| attempt["txid"].as_str().unwrap().to_owned()).collect()
}

/// The same without an order, each of which must be there once.
pub fn each_once(attempts: &[Value]) -> HashSet<String> {
    let txids = txids(attempts);
    let set: HashSet<_> = txids.iter().cloned().collect();
    assert_eq!(set.len(), txids.len(), "some came twice");
    set
}

/// Waits until so many tails are under way on a node.
pub async fn until_followed(server: &Server, by: usize) {
    eventually(&format!("{by} follow"), || async {
        let metrics = reqwest::get(server.url("/metrics")).await.ok()?.text().await.ok()?;
        metrics.contains(&format!("ricochet_tail_subscriptions {by}\n")).then_some(())
    })
    .await;
}
