//! A small tracker to send postbacks to: it keeps what it receives, shows it, and behaves as
//! badly as it is asked to.
//!
//! | request | answer |
//! |---|---|
//! | `GET\|POST /postback…` | kept, then answered as [`behaviour`] says |
//! | `GET /received?clickid=…&txid=…&limit=…` | a JSON array of what matches, newest first |
//! | `GET /landing?click_id=…` | the page the demo's links lead to; it shows the click id |
//! | `GET /` | the last 50, as a page that refreshes itself |

mod behaviour;
mod journal;
mod page;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::http::header::ContentType;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use tokio::task::JoinHandle;

use behaviour::{Behaviour, Socket};
use journal::{Filter, Journal, Received};

/// Larger bodies are answered 413; a tracker's postback is a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
const SHOWN_ON_THE_PAGE: usize = 50;
const DEFAULT_LIMIT: usize = 100;

/// The running tracker. Dropping the handle leaves it running until the runtime ends.
pub struct TrackerHandle {
    pub addr: SocketAddr,
    server: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl TrackerHandle {
    /// Stops listening and drops the requests under way: some of them hang on purpose.
    pub async fn stop(self) {
        self.server.stop(false).await;
        // It has nothing to say: what failed while it ran was answered or logged then.
        let _ = self.task.await;
    }
}

/// Starts the tracker; what `log_file` holds from earlier runs is read back first.
pub async fn start(listen: SocketAddr, log_file: PathBuf) -> anyhow::Result<TrackerHandle> {
    let journal = tokio::task::spawn_blocking(move || Journal::open(&log_file))
        .await
        .context("reading the tracker's log panicked")??;
    let tracker = web::Data::new(Tracker { journal: Mutex::new(journal), sightings: Mutex::default() });
    let server = HttpServer::new(move || {
        App::new()
            .app_data(tracker.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
            .service(
                web::resource(["/postback", "/postback/{rest:.*}"])
                    .route(web::get().to(receive))
                    .route(web::post().to(receive)),
            )
            .route("/received", web::get().to(list))
            .route("/landing", web::get().to(land))
            .route("/", web::get().to(show))
    })
    .on_connect(Socket::remember)
    .workers(1)
    .disable_signals()
    .bind(listen)
    .with_context(|| format!("the demo tracker cannot listen on {listen}; choose another port"))?;
    let addr = *server.addrs().first().context("the demo tracker has no address")?;
    let server = server.run();
    Ok(TrackerHandle { addr, server: server.handle(), task: tokio::spawn(server) })
}

struct Tracker {
    journal: Mutex<Journal>,
    /// How often the flaky behaviour has seen each key.
    sightings: Mutex<HashMap<String, u32>>,
}

impl Tracker {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sightings(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Query = web::Query<BTreeMap<String, String>>;

async fn receive(
    request: HttpRequest,
    query: Query,
    body: web::Bytes,
    tracker: web::Data<Tracker>,
) -> HttpResponse {
    let received = Received {
        received_at: Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true),
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: query.into_inner(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let behaviour = Behaviour::of(&received.path, &received.query);
    let is_early = behaviour == Behaviour::Flaky && behaviour::is_early(&mut tracker.sightings(), &received);
    if let Err(error) = tracker.journal().keep(received) {
        tracing::error!("The demo tracker cannot write its log: {error}");
        return HttpResponse::InternalServerError().body("the tracker cannot write its log");
    }
    behaviour::answer(behaviour, is_early, &request).await
}

async fn list(query: Query, tracker: web::Data<Tracker>) -> HttpResponse {
    let mut query = query.into_inner();
    let limit = match query.remove("limit").map(|limit| limit.parse()) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => return HttpResponse::BadRequest().body("limit must be a whole number"),
    };
    HttpResponse::Ok().json(tracker.journal().newest(&Filter::new(query), limit))
}

async fn land(query: Query) -> HttpResponse {
    let click_id = query.get("click_id").map_or("", String::as_str);
    HttpResponse::Ok().content_type(ContentType::html()).body(page::landing(click_id))
}

async fn show(tracker: web::Data<Tracker>) -> HttpResponse {
    let newest = tracker.journal().newest(&Filter::everything(), SHOWN_ON_THE_PAGE);
    HttpResponse::Ok().content_type(ContentType::html()).body(page::render(&newest))
}

#[cfg(test)]
mod tests;
