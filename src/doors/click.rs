//! `GET /click/{link}` and `GET /click?link={link}`: records the click, then sends the visitor on.
//!
//! A visitor is never lost over the form of a request: what cannot be read is marked on the
//! click. Requests that are no visit make no click: `HEAD` is told where the link leads, and a
//! browser that fetches ahead is sent away until its user really clicks.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderMap, HeaderValue, LOCATION, REFERER, USER_AGENT,
};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::country::Countries;
use super::request::{is_from_trusted_proxy, source_ip};
use super::trickle::Trickle;
use super::{access, answer};
use crate::app::Doors;
use crate::domain::access::replay::Proof;
use crate::domain::catalogue::{Link, Offer};
use crate::domain::click::Click;
use crate::domain::ids::{ClickId, InboundId, LinkId};
use crate::domain::redact::{REDACTED, looks_like_a_key, redact_parameters};
use crate::domain::verdict::{Manner, Verdict};
use crate::domain::visit::{Query, Visit};
use crate::pipeline::click_recorder::RecordClick;
use crate::pipeline::inbound::{Asked, InboundRecord, NotDurable};

/// What this door needs besides the pipeline.
pub struct ClickDoor {
    countries: Arc<Countries>,
    network_id: String,
    /// Bounds what unknown links can write into the log; past it they are only counted. A link
    /// taken away from a busy page is seen; somebody who tries links fills no disk.
    unknown_links: Trickle,
}

/// Unknown links that each node logs at once.
const UNKNOWN_LINKS: u32 = 100;
/// And a second, for as long as it goes on.
const UNKNOWN_LINKS_PER_SECOND: u32 = 10;

impl ClickDoor {
    /// `network_id` is what the macro of that name stands for in landing URLs.
    pub fn new(countries: Arc<Countries>, network_id: String) -> Self {
        let unknown_links = Trickle::new(UNKNOWN_LINKS, UNKNOWN_LINKS_PER_SECOND);
        Self { countries, network_id, unknown_links }
    }
}

/// Longest parameter of an unknown link that is logged, in characters.
const LOGGED_CHARS: usize = 500;
const LOGGED_PARAMETERS: usize = 50;

pub async fn by_path(request: HttpRequest, doors: Data<Doors>) -> HttpResponse {
    // Not `Path`: that refuses what is not UTF-8 before anybody could log it.
    let link = request.match_info().query("link");
    follow(&request, link, Query::read(request.query_string()), &doors).await
}

pub async fn by_query(request: HttpRequest, doors: Data<Doors>) -> HttpResponse {
    let query = Query::read(request.query_string());
    let link = query.first("link").unwrap_or_default().to_owned();
    follow(&request, &link, query, &doors).await
}

async fn follow(request: &HttpRequest, link: &str, query: Query, doors: &Doors) -> HttpResponse {
    if let Err(verdict) = access::let_through(doors, request) {
        metrics::counter!("ricochet_refused_clicks_total", "reason" => verdict.reason_code()).increment(1);
        return answer::of_result(Manner::Usual, Ok(verdict));
    }
    let catalogue = doors.services.catalogue();
    let found = link.trim().parse::<LinkId>().ok().and_then(|link_id| catalogue.link_and_offer(link_id));
    let Some((link, offer)) = found else {
        return unknown_link(request, link, query, doors).await;
    };
    if is_prefetch(request.headers()) {
        metrics::counter!("ricochet_prefetched_clicks_total").increment(1);
        // A browser discards what it fetched ahead if that is an error, and asks again when its
        // user clicks.
        return HttpResponse::ServiceUnavailable().insert_header((CACHE_CONTROL, "no-store")).finish();
    }
    let wants_json = query.first("format") == Some("json");
    let click = click_of(request, query, doors, link, offer);
    let network_id = &doors.click.network_id;
    if request.method() == Method::HEAD {
        return redirect(click.preview_url(offer, network_id));
    }
    let url = click.landing_url(offer, network_id);
    let click_id = click.click_id;

    let (reply, recorded) = oneshot::channel();
    if doors.clicks.try_send(RecordClick { click, reply }).is_err() {
        return answer::not_durable(NotDurable::QueueFull);
    }
    if let Err(reason) = recorded.await.unwrap_or(Err(NotDurable::StoreAway)) {
        return answer::not_durable(reason);
    }
    if wants_json {
        return HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            // A script on the advertiser's own page reads this; it tells nothing of other visitors.
            .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
            .json(json!({ "click_id": click_id, "url": url }));
    }
    redirect(url)
}

fn click_of(request: &HttpRequest, query: Query, doors: &Doors, link: &Link, offer: &Offer) -> Click {
    let door = &doors.click;
    let ip = source_ip(request);
    let proxys_word = door.countries.header().filter(|_| is_from_trusted_proxy(request));
    let proxys_word = proxys_word.and_then(|name| request.headers().get(name)).map(text);
    let header = |name| request.headers().get(name).map(text).unwrap_or_default();
    let visit = Visit {
        query,
        country: door.countries.of(ip, proxys_word.as_deref()),
        ip: ip.map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: header(USER_AGENT),
        referrer: header(REFERER),
    };
    Click::of(visit, ClickId(Uuid::now_v7()), link, offer, doors.services.now())
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A cached redirect would send the next visitor on with this one's click id.
fn redirect(url: String) -> HttpResponse {
    HttpResponse::Found().insert_header((CACHE_CONTROL, "no-store")).insert_header((LOCATION, url)).finish()
}

/// Chromium and Safari say `Sec-Purpose` or `Purpose`, Firefox `X-Moz`.
fn is_prefetch(headers: &HeaderMap) -> bool {
    ["sec-purpose", "purpose", "x-purpose", "x-moz"].iter().any(|name| {
        let value = headers.get(*name).map(|value| text(value).to_ascii_lowercase()).unwrap_or_default();
        ["prefetch", "prerender", "preview"].iter().any(|purpose| value.contains(purpose))
    })
}

/// The owner sees it in the inbound log, as long as there are not too many.
async fn unknown_link(request: &HttpRequest, link: &str, query: Query, doors: &Doors) -> HttpResponse {
    let verdict = Verdict::UnknownLink;
    if !doors.click.unknown_links.passes(Instant::now()) {
        metrics::counter!("ricochet_unlogged_unknown_links_total").increment(1);
        return answer::json(verdict.http_status(), &verdict.body());
    }
    // What is not even an id may be anything, also a key in the wrong place.
    let id = link.trim().parse::<LinkId>().ok();
    tracing::info!(link = ?id, source_ip = ?source_ip(request), "a click through an unknown link");
    let shown = if id.is_some() || !looks_like_a_key(link) { link } else { REDACTED };
    let mut parameters = vec![("link".to_owned(), shown.to_owned())];
    parameters.extend(query.parameters.into_iter().filter(|(name, _)| name != "link"));
    parameters.truncate(LOGGED_PARAMETERS);
    let cut = |text: String| text.chars().take(LOGGED_CHARS).collect();
    let parameters: Vec<(String, String)> =
        parameters.into_iter().map(|(name, value)| (cut(name), cut(value))).collect();
    let inbound = InboundRecord {
        inbound_id: InboundId(Uuid::now_v7()),
        received_at: doors.services.now(),
        door: "click",
        method: request.method().to_string(),
        source_ip: source_ip(request),
        advertiser_id: None,
        proof: Proof::default(),
        manner: Manner::Usual,
        parameters: redact_parameters(&parameters),
    };
    // The answer is the same whether or not it could be logged: nothing was promised.
    let _ = doors.lanes.submit(inbound, Asked::Refused(verdict.clone())).await;
    answer::json(verdict.http_status(), &verdict.body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetching_ahead_is_no_visit() {
        for (name, value, expected) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("purpose", "Prefetch", true),
            ("x-moz", "prefetch", true),
            ("x-purpose", "preview", true),
            ("sec-fetch-mode", "navigate", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name.parse().unwrap(), value.parse().unwrap());
            assert_eq!(is_prefetch(&headers), expected, "{name}: {value}");
        }
    }
}
