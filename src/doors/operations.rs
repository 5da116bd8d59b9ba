//! `GET /healthz`, `/readyz` and `/metrics`, for whoever keeps the server running.

use std::sync::atomic::Ordering;

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;

use super::answer;
use crate::app::Doors;
use crate::store::migrations;

/// The process lives.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// PostgreSQL is reachable and migrated, and the server is not stopping. ClickHouse is told of
/// but not required: without it the log waits and nothing else changes.
pub async fn readyz(doors: Data<Doors>) -> HttpResponse {
    let postgres = match doors.services.pool.get().await {
        Err(_) => "unreachable",
        Ok(client) => match migrations::is_current(&client).await {
            Ok(true) => "ok",
            Ok(false) => "not migrated: run `ricochet migrate`",
            Err(_) => "unreachable",
        },
    };
    let clickhouse = match doors.services.log_is_reachable.load(Ordering::Relaxed) {
        true => "ok",
        false => "unreachable: the log waits in PostgreSQL",
    };
    let is_stopping = doors.services.slots.is_closed();
    let is_ready = postgres == "ok" && !is_stopping;
    let status = if is_stopping {
        "stopping"
    } else if is_ready {
        "ready"
    } else {
        "not ready"
    };
    let code = if is_ready { 200 } else { 503 };
    answer::json(code, &json!({ "status": status, "postgres": postgres, "clickhouse": clickhouse }))
}

pub async fn metrics(doors: Data<Doors>) -> HttpResponse {
    metrics::gauge!("process_resident_memory_bytes").set(crate::metrics::resident_memory_bytes() as f64);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(doors.metrics.render())
}
