//! `GET /click/{link}` and `GET /click?link={link}`: records the click, then sends the visitor on.

use actix_web::http::header::{CACHE_CONTROL, LOCATION, REFERER, USER_AGENT};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::request::{parameters, source_ip};
use super::{access, answer};
use crate::app::Doors;
use crate::domain::click::{Click, Visit};
use crate::domain::ids::{ClickId, LinkId};
use crate::domain::verdict::{FieldError, error_body};
use crate::pipeline::click_recorder::RecordClick;
use crate::pipeline::inbound::NotDurable;

pub async fn by_path(request: HttpRequest, link: Path<String>, doors: Data<Doors>) -> HttpResponse {
    follow(&request, &link, &doors).await
}

pub async fn by_query(request: HttpRequest, doors: Data<Doors>) -> HttpResponse {
    let parameters = parameters(&request, &[]).unwrap_or_default();
    let link = parameters.iter().find(|(name, _)| name == "link").map(|(_, link)| link.clone());
    follow(&request, &link.unwrap_or_default(), &doors).await
}

async fn follow(request: &HttpRequest, link: &str, doors: &Doors) -> HttpResponse {
    if let Err(verdict) = access::let_through(doors, request) {
        metrics::counter!("ricochet_refused_clicks_total", "reason" => verdict.reason_code()).increment(1);
        return answer::of_result(Ok(verdict));
    }
    let parameters = match parameters(request, &[]) {
        Ok(parameters) => parameters,
        Err(error) => return answer::json(400, &error_body(&[error])),
    };
    let catalogue = doors.services.catalogue();
    let found = link.parse::<LinkId>().ok().and_then(|link_id| catalogue.link_and_offer(link_id));
    let Some((link, offer)) = found else {
        // What is not even an id may be anything, also a key in the wrong place.
        let link = link.parse::<LinkId>().ok();
        tracing::info!(?link, source_ip = ?source_ip(request), "a click through an unknown link");
        metrics::counter!("ricochet_unknown_links_total").increment(1);
        let message = "this link does not exist; check the address your network gave you";
        return answer::json(404, &error_body(&[FieldError::new("link", "unknown_link", message)]));
    };
    let wants_json = parameters.iter().any(|(name, value)| name == "format" && value == "json");
    let header = |name| {
        let value = request.headers().get(name).map(|value| value.as_bytes());
        value.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    };
    let visit = Visit {
        parameters,
        ip: source_ip(request).map(|ip| ip.to_string()).unwrap_or_default(),
        user_agent: header(USER_AGENT),
        referrer: header(REFERER),
        country: String::new(),
    };
    let click = Click::of(visit, ClickId(Uuid::now_v7()), link, offer, doors.services.now());
    let url = click.landing_url(offer);
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
            .json(json!({ "click_id": click_id, "url": url }));
    }
    // A cached redirect would send the next visitor on with this one's click id.
    HttpResponse::Found().insert_header((CACHE_CONTROL, "no-store")).insert_header((LOCATION, url)).finish()
}
