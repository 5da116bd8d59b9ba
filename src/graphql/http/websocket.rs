//! `/graphql` over WebSocket: subscriptions, and everything else that can be asked.
//!
//! Protocols: `graphql-transport-ws`, and the older `graphql-ws` of subscriptions-transport-ws. The
//! token is in the header `Authorization` of the handshake, or in the payload of `connection_init`,
//! since browsers can set no headers here.
//!
//! ```text
//! client ─► listen ─ channel ([`MESSAGES`]) ─► async-graphql's WebSocket ─► converse ─► client
//!             │ pong, any message: it lives            ▲ operations, their streams
//! ```
//!
//! Nothing is polled while the client does not take what was sent: what piles up meanwhile is bounded by
//! the queue of each tail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::guard::GuardContext;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Session};
use async_graphql::http::{ALL_WEBSOCKET_PROTOCOLS, WebSocket, WebSocketProtocols, WsMessage};
use async_graphql::{Data, Executor, Request, Response, ServerError};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::connections::{Claim, Ending, Place};
use super::{GraphqlDoor, MAX_BODY_BYTES, authenticate, bearer_token, principal_of, refuse};
use crate::doors::request::source_ip;
use crate::graphql::Schema;
use crate::graphql::failure::Failure;
use crate::graphql::scope::Principal;

/// Most messages of a client that wait to be read; then it is not read from.
const MESSAGES: usize = 16;
/// Most operations of one connection at once.
const OPERATIONS: usize = 20;
/// How long closing may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a server waits for those at the other ends of its WebSockets.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often the client is asked whether it is there.
    pub ping: Duration,
    /// How long it may be silent: three pings.
    pub silence: Duration,
    /// How long it may take nothing of what is sent.
    pub standstill: Duration,
    /// How long it may take to say who it is.
    pub introduction: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            standstill: Duration::from_secs(60),
            introduction: Duration::from_secs(10),
        }
    }
}

impl Patience {
    /// How often the clock is looked at.
    fn tick(self) -> Duration {
        self.ping / 15
    }
}

pub fn is_upgrade(ctx: &GuardContext<'_>) -> bool {
    let header = ctx.head().headers().get(UPGRADE).and_then(|value| value.to_str().ok());
    header.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

/// Shakes hands, and leaves the conversation to a task of its own.
pub async fn connect(door: web::Data<GraphqlDoor>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    match try_connect(&door, &request, body).await {
        Ok(response) => response,
        Err((status, failure)) => refuse(status, &failure),
    }
}

async fn try_connect(
    door: &web::Data<GraphqlDoor>,
    request: &HttpRequest,
    body: web::Payload,
) -> Result<HttpResponse, (StatusCode, Failure)> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let host = request.connection_info().host().to_owned();
    if !door.origins.allow(header(ORIGIN), &host) {
        let message =
            "pages of this origin may not connect here; name it in RICOCHET_WEBSOCKET_ORIGINS, and let a \
                       proxy pass the header Host on"
                .to_owned();
        return Err((StatusCode::FORBIDDEN, Failure::Forbidden { message }));
    }
    let offered = header(SEC_WEBSOCKET_PROTOCOL).unwrap_or_default();
    let protocol = offered.split(',').find_map(|name| name.trim().parse::<WebSocketProtocols>().ok());
    let Some(protocol) = protocol else {
        let message = format!("offer one of {}", ALL_WEBSOCKET_PROTOCOLS.join(" and "));
        return Err((StatusCode::BAD_REQUEST, Failure::bad_input("Sec-WebSocket-Protocol", message)));
    };
    let too_many = |_| (StatusCode::TOO_MANY_REQUESTS, Failure::RateLimited { retry_after_s: 5 });
    // Who sends no header introduces itself in the conversation.
    let principal = match header(AUTHORIZATION) {
        Some(_) => Some(authenticate(door, request).await?),
        None => None,
    };
    let token_id = principal.map(|principal| principal.token_id);
    let place = door.connections.enter(token_id).map_err(too_many)?;
    let (response, session, messages) =
        actix_ws::handle_with_protocols(request, body, &[protocol.sec_websocket_protocol()]).map_err(
            |error| {
                let message = format!("this is no WebSocket handshake: {error}");
                (StatusCode::BAD_REQUEST, Failure::bad_input("Upgrade", message))
            },
        )?;
    let messages = messages.max_frame_size(MAX_BODY_BYTES).aggregate_continuations();
    let messages = messages.max_continuation_size(MAX_BODY_BYTES);
    let introduction = Introduction {
        door: door.clone(),
        claim: place.claim(),
        source: source_ip(request),
        principal,
        refusal: Arc::default(),
    };
    actix_web::rt::spawn(converse(session, messages, protocol, introduction, place));
    Ok(response)
}

/// A reason to close, as graphql-transport-ws numbers them.
type Refusal = (u16, String);

/// Who the client is, by its header or its first message.
struct Introduction {
    door: web::Data<GraphqlDoor>,
    claim: Claim,
    source: Option<std::net::IpAddr>,
    principal: Option<Principal>,
    /// Why it was not let in.
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl Introduction {
    async fn hear(self, payload: Value) -> async_graphql::Result<Data> {
        let principal = match self.principal {
            Some(principal) => principal,
            None => match self.read(&payload).await {
                Ok(principal) => principal,
                Err((code, failure)) => {
                    failure.log();
                    let sentence = failure.sentence();
                    *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some((code, sentence.clone()));
                    return Err(async_graphql::Error::new(sentence));
                }
            },
        };
        let mut data = Data::default();
        data.insert(principal);
        Ok(data)
    }

    async fn read(&self, payload: &Value) -> Result<Principal, (u16, Failure)> {
        let header = [payload, &payload["headers"]]
            .into_iter()
            .find_map(|place| place["Authorization"].as_str().or_else(|| place["authorization"].as_str()));
        let principal = principal_of(&self.door, self.source, header.and_then(bearer_token)).await.map_err(
            |(status, failure)| match status {
                StatusCode::UNAUTHORIZED => (4403, failure),
                StatusCode::TOO_MANY_REQUESTS => (4429, failure),
                _ => (4500, failure),
            },
        )?;
        self.claim
            .with_token(principal.token_id)
            .map_err(|_| (4429, Failure::RateLimited { retry_after_s: 5 }))?;
        Ok(principal)
    }
}

/// When the client was last heard of.
#[derive(Clone)]
struct Heard(Arc<Mutex<Instant>>);

impl Heard {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

async fn converse(
    mut session: Session,
    messages: AggregatedMessageStream,
    protocol: WebSocketProtocols,
    introduction: Introduction,
    mut place: Place,
) {
    let heard = Heard(Arc::new(Mutex::new(Instant::now())));
    let (sender, mut receiver) = mpsc::channel(MESSAGES);
    let listening = actix_web::rt::spawn(listen(messages, session.clone(), sender, heard.clone()));
    let Patience { ping, silence, standstill, introduction: introduction_takes } = introduction.door.patience;
    let tick = introduction.door.patience.tick();
    let refusal = introduction.refusal.clone();
    let claim = introduction.claim.clone();
    let operations = Operations { schema: introduction.door.schema.clone(), running: Arc::default() };
    let said = stream::poll_fn(move |ctx| receiver.poll_recv(ctx));
    let mut conversation = Box::pin(
        WebSocket::new(operations, said, protocol)
            .on_connection_init(move |payload| introduction.hear(payload)),
    );
    let began = Instant::now();
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pinged_at = Instant::now();
    let farewell = loop {
        let message = tokio::select! {
            biased;
            ending = place.ending() => break Some(of_ending(ending)),
            _ = ticks.tick() => {
                if heard.elapsed() > silence {
                    break Some((4408, format!("nothing was heard of you for {silence:?}")));
                }
                if began.elapsed() > introduction_takes && !claim.has_token() {
                    let within = introduction_takes;
                    break Some((4408, format!("send connection_init with your token within {within:?}")));
                }
                if pinged_at.elapsed() >= ping {
                    pinged_at = Instant::now();
                    let pinging = tokio::time::timeout(standstill, session.ping(b""));
                    tokio::select! {
                        pinged = pinging => if !matches!(pinged, Ok(Ok(()))) { break None },
                        ending = place.ending() => break Some(of_ending(ending)),
                    }
                }
                continue;
            }
            message = conversation.next() => message,
        };
        let refused = || refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        match message {
            Some(WsMessage::Text(text)) => {
                let sending = tokio::time::timeout(standstill, session.text(text));
                tokio::select! {
                    sent = sending => match sent {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => break None,
                        Err(_) => break Some((4408, format!("you took nothing for {standstill:?}"))),
                    },
                    ending = place.ending() => break Some(of_ending(ending)),
                }
            }
            Some(WsMessage::Close(code, reason)) => {
                break Some(refused().unwrap_or_else(|| in_protocol_words(code, reason)));
            }
            None => break Some(refused().unwrap_or((1000, String::new()))),
        }
    };
    // The operations end before the farewell: a slow one must not hold what they hold.
    drop(conversation);
    if let Some((code, reason)) = farewell {
        let description = (!reason.is_empty()).then_some(reason);
        let reason = CloseReason { code: CloseCode::from(code), description };
        let _ = tokio::time::timeout(FAREWELL, session.close(Some(reason))).await;
    }
    listening.abort();
}

fn of_ending(ending: Ending) -> Refusal {
    match ending {
        Ending::TokenRevoked => (4403, "this token was revoked".to_owned()),
        Ending::GoingAway => (1001, "the server stops; connect again".to_owned()),
    }
}

/// The library's close codes as graphql-transport-ws has them.
fn in_protocol_words(code: u16, reason: String) -> Refusal {
    match code {
        1011 => (4401, "send connection_init first, and wait for its answer".to_owned()),
        1002 => (4400, reason),
        code => (code, reason),
    }
}

/// Reads what the client sends, and answers its pings.
async fn listen(
    mut messages: AggregatedMessageStream,
    mut session: Session,
    sender: mpsc::Sender<Vec<u8>>,
    heard: Heard,
) {
    while let Some(message) = messages.recv().await {
        heard.now();
        let said = match message {
            Ok(AggregatedMessage::Text(text)) => text.into_bytes().to_vec(),
            Ok(AggregatedMessage::Binary(bytes)) => bytes.to_vec(),
            Ok(AggregatedMessage::Ping(payload)) => {
                if session.pong(&payload).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(AggregatedMessage::Pong(_)) => continue,
            Ok(AggregatedMessage::Close(_)) | Err(_) => return,
        };
        if sender.send(said).await.is_err() {
            return;
        }
    }
}

/// The schema, with a bound on what one connection asks at once.
#[derive(Clone)]
struct Operations {
    schema: Schema,
    running: Arc<AtomicUsize>,
}

/// One operation under way.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Executor for Operations {
    async fn execute(&self, request: Request) -> Response {
        self.schema.execute(request).await
    }

    fn execute_stream(&self, request: Request, data: Option<Arc<Data>>) -> BoxStream<'static, Response> {
        let running = Running(self.running.clone());
        if self.running.fetch_add(1, Ordering::Relaxed) >= OPERATIONS {
            let sentence =
                format!("a connection has at most {OPERATIONS} operations at once; end one, or open another");
            let mut error = ServerError::new(sentence, None);
            error.extensions = Some(Failure::RateLimited { retry_after_s: 0 }.extensions());
            return Box::pin(stream::once(async move {
                drop(running);
                Response::from_errors(vec![error])
            }));
        }
        let responses = Executor::execute_stream(&self.schema, request, data);
        Box::pin(responses.map(move |response| {
            let _ = &running;
            response
        }))
    }
}
