//! `GET /ricochet.js`: the script that keeps a visitor's click id on the advertiser's site.
//!
//! It stands under two addresses: a plain one that is asked for again every hour, and one with
//! the script's hash in it that may be kept for ever.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION};
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

/// The first-party cookie the script keeps the click id in.
pub const COOKIE: &str = "ricochet_click_id";

pub const SCRIPT: &str = include_str!("click_script/ricochet.js");

/// The first 16 hexadecimal digits of the script's SHA-256.
pub static HASH: LazyLock<String> = LazyLock::new(|| {
    let digest = Sha256::digest(SCRIPT.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
});

const FOR_AN_HOUR: &str = "public, max-age=3600";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

pub async fn latest(request: HttpRequest) -> HttpResponse {
    script(&request, FOR_AN_HOUR)
}

/// A hash of another version leads to the present script: a page that was saved before an
/// upgrade must not lose its clicks.
pub async fn versioned(request: HttpRequest, hash: Path<String>) -> HttpResponse {
    if *hash == *HASH {
        return script(&request, FOR_EVER);
    }
    HttpResponse::Found()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((LOCATION, "/ricochet.js"))
        .finish()
}

fn script(request: &HttpRequest, cache_control: &str) -> HttpResponse {
    let etag = format!("\"{}\"", *HASH);
    let known = request.headers().get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|tags| tags.split(','))
        .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == etag);
    let mut answer = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((CACHE_CONTROL, cache_control)).insert_header((ETAG, etag));
    // Sites load it from another origin, some of them with `integrity` and `crossorigin`.
    answer.insert_header(("access-control-allow-origin", "*"));
    if is_known {
        return answer.finish();
    }
    answer
        .insert_header((CONTENT_TYPE, "text/javascript; charset=utf-8"))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(SCRIPT)
}
