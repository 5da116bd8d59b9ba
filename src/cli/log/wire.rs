//! One connection to `/graphql` by graphql-transport-ws.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use url::Url;

/// The server pings every 15 seconds: after this it is gone.
const SILENCE: Duration = Duration::from_secs(50);
const HANDSHAKE: Duration = Duration::from_secs(15);

/// What came of trying.
#[derive(Debug)]
pub enum Broken {
    /// The same again will not help.
    ForGood(anyhow::Error),
    /// It may be well again soon.
    ForNow(anyhow::Error),
}

pub struct Wire {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// How far the server's clock is ahead of ours.
    pub clock: chrono::TimeDelta,
}

/// What the server said.
#[derive(Debug)]
pub enum Said {
    Item(Value),
    /// Something that is no item: it lives.
    Sign,
}

impl Wire {
    /// Connects and introduces itself.
    pub async fn connect(server: &Url, token: &str) -> Result<Self, Broken> {
        match tokio::time::timeout(HANDSHAKE, Self::shake_hands(server, token)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Broken::ForNow(anyhow::anyhow!("{server} did not answer within {HANDSHAKE:?}"))),
        }
    }

    async fn shake_hands(server: &Url, token: &str) -> Result<Self, Broken> {
        let mut url = server.clone();
        url.set_path(&format!("{}/graphql", server.path().trim_end_matches('/')));
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        let address =
            url.as_str().split_once(':').map_or(String::new(), |(_, rest)| format!("{scheme}:{rest}"));
        let mut request = address
            .into_client_request()
            .with_context(|| format!("{server} is no address"))
            .map_err(Broken::ForGood)?;
        let headers = request.headers_mut();
        let authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .context("the token holds what no token does")
            .map_err(Broken::ForGood)?;
        headers.insert("authorization", authorization);
        headers.insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
        let (socket, answer) = match connect_async(request).await {
            Ok(connected) => connected,
            Err(Error::Http(answer)) => return Err(refused(&answer)),
            Err(error) => {
                return Err(Broken::ForNow(
                    anyhow::Error::new(error).context(format!("{server} does not answer")),
                ));
            }
        };
        let server_time = answer.headers().get("date").and_then(|date| date.to_str().ok());
        let server_time = server_time.and_then(|date| httpdate::parse_http_date(date).ok());
        // The header has whole seconds, cut off.
        let clock =
            server_time.map_or(chrono::TimeDelta::zero(), |time| DateTime::<Utc>::from(time) - Utc::now());
        let mut wire = Self { socket, clock };
        wire.send(json!({ "type": "connection_init" })).await?;
        loop {
            let message = wire.message().await?;
            if message["type"] == "connection_ack" {
                return Ok(wire);
            }
        }
    }

    pub async fn subscribe(&mut self, query: &str, variables: Value) -> Result<(), Broken> {
        let payload = json!({ "query": query, "variables": variables });
        self.send(json!({ "id": "1", "type": "subscribe", "payload": payload })).await
    }

    async fn send(&mut self, message: Value) -> Result<(), Broken> {
        let sent = self.socket.send(Message::text(message.to_string())).await;
        sent.map_err(|error| Broken::ForNow(anyhow::Error::new(error).context("the connection broke")))
    }

    /// The next item of `field`, or a sign of life.
    pub async fn next(&mut self, field: &str) -> Result<Said, Broken> {
        let mut message = self.message().await?;
        match message["type"].as_str() {
            Some("next") => {
                let payload = &mut message["payload"];
                match payload["errors"].as_array() {
                    Some(errors) if !errors.is_empty() => Err(of_errors(errors)),
                    _ => Ok(Said::Item(payload["data"][field].take())),
                }
            }
            Some("error") => Err(of_errors(message["payload"].as_array().map_or(&[], Vec::as_slice))),
            Some("complete") => Err(Broken::ForNow(anyhow::anyhow!("the server ended the subscription"))),
            Some("ping") => {
                self.send(json!({ "type": "pong" })).await?;
                Ok(Said::Sign)
            }
            _ => Ok(Said::Sign),
        }
    }

    /// The next message; `Null` for what is none of GraphQL's.
    async fn message(&mut self) -> Result<Value, Broken> {
        let message = tokio::time::timeout(SILENCE, self.socket.next()).await.map_err(|_| {
            Broken::ForNow(anyhow::anyhow!("nothing was heard of the server for {SILENCE:?}"))
        })?;
        match message {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).map_err(|error| {
                Broken::ForNow(anyhow::Error::new(error).context("the server said no JSON"))
            }),
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame
                    .map_or((1006, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                let error = anyhow::anyhow!("the server closed the connection: {reason} ({code})");
                let is_for_good = matches!(code, 4400 | 4401 | 4403 | 1008);
                Err(if is_for_good { Broken::ForGood(error) } else { Broken::ForNow(error) })
            }
            Some(Ok(_)) => Ok(Value::Null),
            Some(Err(error)) => {
                Err(Broken::ForNow(anyhow::Error::new(error).context("the connection broke")))
            }
            None => Err(Broken::ForNow(anyhow::anyhow!("the connection broke"))),
        }
    }

    /// Ends the subscription and the connection.
    pub async fn close(mut self) {
        let farewell = async {
            let _ = self.send(json!({ "id": "1", "type": "complete" })).await;
            let _ = self.socket.close(None).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }
}

/// The server's own words of why there is no handshake.
fn refused(answer: &Response<Option<Vec<u8>>>) -> Broken {
    let status = answer.status();
    let body: Value =
        answer.body().as_deref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let sentence = body["errors"][0]["message"].as_str().unwrap_or_default();
    let error = anyhow::anyhow!("the server answered {status} {sentence}");
    match status.as_u16() {
        429 | 500.. => Broken::ForNow(error),
        _ => Broken::ForGood(error),
    }
}

fn of_errors(errors: &[Value]) -> Broken {
    let said: Vec<_> = errors.iter().filter_map(|error| error["message"].as_str()).collect();
    let error = anyhow::anyhow!("{}", said.join("; "));
    let is_passing = errors.iter().any(|error| {
        let code = error["extensions"]["code"].as_str().unwrap_or_default();
        matches!(code, "TAIL_ENDED" | "STORE_UNAVAILABLE" | "LOG_UNAVAILABLE" | "RATE_LIMITED")
    });
    if is_passing { Broken::ForNow(error) } else { Broken::ForGood(error) }
}
