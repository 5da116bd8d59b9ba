use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn is_fresh(timestamp: &str, now: u64) -> bool {
    let is_number = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    is_number && timestamp.parse::<u64>().is_ok_and(|signed_at| now.abs_diff(signed_at) <= 300)
}

fn is_right(key: &[u8], message: &str, body: &[u8], tag: Option<Vec<u8>>) -> bool {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    tag.is_some_and(|tag| mac.chain_update(message).chain_update(body).verify_slice(&tag).is_ok())
}

/// `header` gives a header's value, empty where there is none.
pub fn verify_headers<'a>(
    method: &str,
    target: &str,
    header: impl Fn(&str) -> &'a str,
    body: &[u8],
    secret: &str,
    now: u64,
) -> bool {
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let Ok(key) = STANDARD.decode(secret.trim_start_matches("whsec_")) else { return false };
    let has_tag = |message: String, signatures: &str| {
        let mut given = signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        given.any(|tag| is_right(&key, &message, body, STANDARD.decode(tag).ok()))
    };
    is_fresh(timestamp, now)
        && has_tag(format!("{id}.{timestamp}."), header("webhook-signature"))
        && has_tag(format!("request.{id}.{timestamp}.{method} {target}\n"), header("ricochet-signature"))
}

/// `target` is path and query as they came.
pub fn verify_url(target: &str, body: &[u8], secret: &str, now: u64) -> bool {
    let Some((signed, signatures)) = target.rsplit_once("&sig=") else { return false };
    let query = signed.split_once('?').map_or("", |(_, query)| query);
    let timestamp = query.split('&').find_map(|pair| pair.strip_prefix("ts=")).unwrap_or_default();
    let message = format!("{signed}\n");
    let mut given = signatures.split('.');
    is_fresh(timestamp, now)
        && given.any(|tag| is_right(secret.as_bytes(), &message, body, hex::decode(tag).ok()))
}
