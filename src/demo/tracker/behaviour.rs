//! How the tracker answers: `/postback/{behaviour}`, for trying out what a hub must cope with.
//!
//! | behaviour | answer |
//! |---|---|
//! | `ok`, or any other word | 200 `OK` |
//! | `slow` | the same after `?ms=` milliseconds (1,000 if not said, at most a minute) |
//! | `fail` | 500 |
//! | `flaky` | 500 for the first two sightings of a (click id, status, transaction), then 200 |
//! | `hang` | nothing |
//! | `reset` | the connection is dropped |
//! | `refuse` | 403 |
//! | `redirect` | 302 to `/postback/ok` |

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, rt};

use super::journal::{CLICK_ID_NAMES, Received, TRANSACTION_NAMES, first_of};

const DEFAULT_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const FLAKY_FAILURES: u32 = 2;
/// Past it the flaky behaviour forgets all it has seen and is flaky anew.
const MOST_SIGHTINGS: usize = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Ok,
    Slow(Duration),
    Fail,
    Flaky,
    Hang,
    Reset,
    Refuse,
    Redirect,
}

impl Behaviour {
    pub fn of(path: &str, query: &BTreeMap<String, String>) -> Self {
        let word = path.trim_start_matches("/postback").trim_start_matches('/').split('/').next();
        match word.unwrap_or("") {
            "slow" => {
                let asked = query.get("ms").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
                Self::Slow(asked.unwrap_or(DEFAULT_DELAY).min(LONGEST_DELAY))
            }
            "fail" => Self::Fail,
            "flaky" => Self::Flaky,
            "hang" => Self::Hang,
            "reset" => Self::Reset,
            "refuse" => Self::Refuse,
            "redirect" => Self::Redirect,
            _ => Self::Ok,
        }
    }
}

/// Whether this is one of the first two sightings of what a postback is about.
pub fn is_early(sightings: &mut HashMap<String, u32>, received: &Received) -> bool {
    let part = |names: &[&str]| first_of(&received.query, names).unwrap_or("");
    let key = format!("{}\n{}\n{}", part(CLICK_ID_NAMES), part(&["status"]), part(TRANSACTION_NAMES));
    if sightings.len() >= MOST_SIGHTINGS && !sightings.contains_key(&key) {
        sightings.clear();
    }
    let seen = sightings.entry(key).or_default();
    *seen = seen.saturating_add(1);
    *seen <= FLAKY_FAILURES
}

pub async fn answer(behaviour: Behaviour, is_early: bool, request: &HttpRequest) -> HttpResponse {
    let ok = || HttpResponse::Ok().content_type("text/plain").body("OK");
    match behaviour {
        Behaviour::Ok => ok(),
        Behaviour::Slow(delay) => {
            rt::time::sleep(delay).await;
            ok()
        }
        Behaviour::Fail => HttpResponse::InternalServerError().body("failed, as asked"),
        Behaviour::Flaky if is_early => HttpResponse::InternalServerError().body("try again"),
        Behaviour::Flaky => ok(),
        // Ends when the caller gives up, or the tracker stops.
        Behaviour::Hang => pending().await,
        Behaviour::Reset => {
            if let Some(socket) = request.conn_data::<Socket>() {
                socket.drop_connection();
            }
            // Goes nowhere.
            ok()
        }
        Behaviour::Refuse => HttpResponse::Forbidden().body("refused, as asked"),
        Behaviour::Redirect => {
            HttpResponse::Found().insert_header((LOCATION, "/postback/ok")).body("moved, as asked")
        }
    }
}

/// A second handle of a connection: actix-web gives a handler no way to drop its own.
pub struct Socket(TcpStream);

impl Socket {
    /// For `HttpServer::on_connect`.
    pub fn remember(connection: &dyn Any, data: &mut Extensions) {
        if let Some(stream) = connection.downcast_ref::<rt::net::TcpStream>()
            && let Ok(handle) = stream.as_fd().try_clone_to_owned()
        {
            data.insert(Self(TcpStream::from(handle)));
        }
    }

    fn drop_connection(&self) {
        // It fails only where the other side was faster.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
