//! How long a server waits for the other end of a WebSocket: on a door whose times are short.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpServer, web};
use futures_util::{SinkExt as _, StreamExt as _};
use ricochet::graphql::http::{Connections, GraphqlDoor, Patience, routes};
use ricochet::graphql::scope::Grant;
use ricochet::store::tokens;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::graphql::door::door_of;
use crate::graphql::stage::Stage;
use crate::support::{PATIENCE, eventually};

/// Never over while a test runs.
const LONG: Patience =
    Patience { ping: PATIENCE, silence: PATIENCE, standstill: PATIENCE, introduction: PATIENCE };

/// A door with a single place for a WebSocket.
struct Door {
    address: SocketAddr,
    token: String,
    connections: Arc<Connections>,
    _stage: Stage,
}

impl Door {
    async fn open(patience: Patience) -> Self {
        let stage = Stage::set().await;
        let token = tokens::create(&stage.pool, Grant::Owner, "").await.unwrap().secret;
        let connections = Arc::new(Connections::new(1, 1));
        let door = GraphqlDoor { connections: connections.clone(), patience, ..door_of(&stage) };
        let door = web::Data::new(door);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = HttpServer::new(move || App::new().configure(routes(door.clone())));
        actix_web::rt::spawn(server.workers(1).disable_signals().listen(listener).unwrap().run());
        Self { address, token, connections, _stage: stage }
    }

    /// Shakes hands; who it is, the header says or the first message is to say.
    async fn connect(&self, stream: TcpStream, introduces: Introduces) -> WebSocketStream<TcpStream> {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        if introduces == Introduces::ByHeader {
            headers.insert("authorization", format!("Bearer {}", self.token).parse().unwrap());
        }
        let (mut socket, _) = client_async(request, stream).await.unwrap();
        if introduces == Introduces::ByHeader {
            say(&mut socket, json!({ "type": "connection_init" })).await;
            assert_eq!(hear(&mut socket).await["type"], "connection_ack");
        }
        socket
    }

    async fn stream(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn until_left(&self) {
        eventually("the server has let go", || async { self.connections.enter(None).ok() }).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Introduces {
    ByHeader,
    Never,
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("nothing came").unwrap().unwrap()
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = next(socket).await {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// Code and reason of the close, with the pings before it.
async fn until_closed(socket: &mut WebSocketStream<TcpStream>) -> (u16, String, usize) {
    let mut pings = 0;
    loop {
        match next(socket).await {
            Message::Ping(_) => pings += 1,
            Message::Close(Some(frame)) => return (frame.code.into(), frame.reason.to_string(), pings),
            other => panic!("{other:?}"),
        }
    }
}

#[actix_web::test]
async fn whoever_answers_its_pings_is_kept() {
    let ping = Duration::from_millis(150);
    let door = Door::open(Patience { ping, silence: 3 * ping, ..LONG }).await;
    let mut socket = door.connect(door.stream().await, Introduces::ByHeader).await;
    let began = Instant::now();
    // Reading answers a ping. Silence would have been over three times by then.
    for _ in 0..9 {
        while !matches!(next(&mut socket).await, Message::Ping(_)) {}
    }
    assert!(began.elapsed() >= 8 * ping, "{:?}", began.elapsed());
    let query = json!({ "query": "{ viewer { role } }" });
    say(&mut socket, json!({ "id": "1", "type": "subscribe", "payload": query })).await;
    assert_eq!(hear(&mut socket).await["payload"]["data"]["viewer"]["role"], "OWNER");
}

#[actix_web::test]
async fn whoever_is_silent_is_let_go() {
    let ping = Duration::from_millis(100);
    let door = Door::open(Patience { ping, silence: 3 * ping, ..LONG }).await;
    let socket = door.connect(door.stream().await, Introduces::ByHeader).await;
    // Frames as they come, and none is answered.
    let mut stream = socket.into_inner();
    let mut frames = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut frames)).await.expect("it is not let go").unwrap();
    let pings = frames.chunks_exact(2).take_while(|frame| **frame == [0x89, 0]).count();
    assert!((1..=4).contains(&pings), "{pings} pings");
    let close = &frames[2 * pings..];
    // A close frame: its length, the code, the reason.
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 4408));
    let reason = String::from_utf8_lossy(&close[4..]);
    assert_eq!(reason, "nothing was heard of you for 300ms");
    door.until_left().await;
}

#[actix_web::test]
async fn whoever_does_not_say_who_it_is_is_let_go() {
    let introduction = Duration::from_millis(300);
    let ping = Duration::from_millis(50);
    let door = Door::open(Patience { introduction, ping, ..LONG }).await;
    let mut socket = door.connect(door.stream().await, Introduces::Never).await;
    let (code, reason, pings) = until_closed(&mut socket).await;
    assert_eq!(code, 4408);
    assert_eq!(reason, "send connection_init with your token within 300ms");
    assert!(pings > 0, "pongs are no introduction");
    door.until_left().await;
}

#[actix_web::test]
async fn whoever_takes_nothing_is_let_go() {
    let standstill = Duration::from_millis(300);
    let door = Door::open(Patience { standstill, ..LONG }).await;
    // A small window, so that the server cannot send far ahead.
    let small = TcpSocket::new_v4().unwrap();
    small.set_recv_buffer_size(4_096).unwrap();
    let socket = door.connect(small.connect(door.address).await.unwrap(), Introduces::ByHeader).await;
    let mut stream = socket.into_inner();
    // Far more, and more messages, than anything between the two keeps; nothing of it is read.
    let much: String =
        (0..40).map(|number| format!("q{number}: __schema {{ types {{ name description }} }} ")).collect();
    let began = Instant::now();
    for number in 0..150 {
        let query = json!({ "query": format!("{{ {much} }}") });
        let message = json!({ "id": number.to_string(), "type": "subscribe", "payload": query });
        let frame = masked(message.to_string().as_bytes());
        // Whoever lets go does not take the rest.
        let written = tokio::time::timeout(10 * standstill, stream.write_all(&frame)).await;
        if !matches!(written, Ok(Ok(()))) {
            break;
        }
    }
    door.until_left().await;
    assert!(began.elapsed() < PATIENCE / 2, "it was let go for its silence, not for taking nothing");
}

/// A text frame as a client sends it, under a mask that changes nothing.
fn masked(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text);
    frame
}
