//! Signatures of the postbacks we send: HMAC-SHA256 under a secret the receiver and we share.
//!
//! | form | where | what is signed | key |
//! |---|---|---|---|
//! | Standard Webhooks | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,base64` | `id.timestamp.body` | the secret's base64 after `whsec_` |
//! | with it | `ricochet-signature: v1,base64` | `request.id.timestamp.METHOD target⏎body` | the same |
//! | URL | `ts`, `nonce`, `sig=hex` by chosen names | `target⏎body`, without `sig` | the secret as it is written |
//!
//! The target is path and query as they go over the wire. Standard Webhooks cover the body alone,
//! and a GET has none: `ricochet-signature` covers the rest for who looks at it. Its message begins
//! with a word that no delivery id is, so that no body can pass for a request.
//!
//! `docs/verifying-signatures.md` tells receivers how to check them.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use sha2::Sha256;
use url::{Position, Url};

use super::access::signature::SharedSecret;
use super::coded::coded_enum;
use super::ids::DeliveryId;
use super::request::RenderedRequest;

coded_enum! {
    /// Where a postback's signature stands.
    SigningForm {
        None = "none",
        StandardWebhooks = "standard_webhooks",
        Url = "url",
    }
}

/// How a postback is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    None,
    StandardWebhooks,
    Url(UrlParameters),
}

/// The names of the parameters that a signature in the URL takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UrlParameters {
    time: String,
    nonce: String,
    signature: String,
}

/// Longest name of a parameter, in characters.
const NAME_CHARS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnfitParameters {
    #[error(
        "{0:?} cannot be the name of a parameter; write 1 to {NAME_CHARS} of the characters A-Z a-z 0-9 . _ ~ -"
    )]
    Name(String),
    #[error("time, nonce and signature need three different names")]
    Repeated,
}

impl Default for UrlParameters {
    fn default() -> Self {
        Self { time: "ts".into(), nonce: "nonce".into(), signature: "sig".into() }
    }
}

impl UrlParameters {
    pub fn new(time: &str, nonce: &str, signature: &str) -> Result<Self, UnfitParameters> {
        for name in [time, nonce, signature] {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
            if name.is_empty() || name.len() > NAME_CHARS || !name.chars().all(is_plain) {
                return Err(UnfitParameters::Name(name.to_owned()));
            }
        }
        if time == nonce || nonce == signature || signature == time {
            return Err(UnfitParameters::Repeated);
        }
        Ok(Self { time: time.into(), nonce: nonce.into(), signature: signature.into() })
    }

    pub fn time(&self) -> &str {
        &self.time
    }

    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Whether a pair of a query, as it is written, bears one of these names.
    fn own(&self, pair: &str) -> bool {
        let name = pair.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        [&self.time, &self.nonce, &self.signature].iter().any(|own| **own == name)
    }
}

/// A secret that signs, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecret {
    pub secret: SharedSecret,
    /// When its successor stays alone; `None` until somebody retires it.
    pub signs_until: Option<DateTime<Utc>>,
}

/// What makes one attempt's signature its own.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub delivery_id: DeliveryId,
    pub now: DateTime<Utc>,
    /// Random at every attempt.
    pub nonce: u128,
}

/// A request as it goes over the wire. What the log tells is the request it was made from, so
/// that no signature gets there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub request: RenderedRequest,
    /// The signatures in it, which must not be repeated anywhere.
    pub tags: Vec<String>,
}

/// A postback that is to be signed is never sent unsigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is to be signed and has no secret that can be read; create one")]
pub struct NoSecret;

const WEBHOOK_ID: &str = "webhook-id";
const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
const WEBHOOK_SIGNATURE: &str = "webhook-signature";
const REQUEST_SIGNATURE: &str = "ricochet-signature";

/// Signs `request` with every secret that signs at the time of the stamp, in their order. A URL
/// that is not legal is left as it is: it is not sent either.
pub fn sign(
    request: &RenderedRequest,
    signing: &Signing,
    secrets: &[SigningSecret],
    stamp: &Stamp,
) -> Result<Signed, NoSecret> {
    if *signing == Signing::None {
        return Ok(Signed { request: request.clone(), tags: Vec::new() });
    }
    let is_live = |secret: &&SigningSecret| secret.signs_until.is_none_or(|until| stamp.now < until);
    let secrets: Vec<&SharedSecret> = secrets.iter().filter(is_live).map(|live| &live.secret).collect();
    if secrets.is_empty() {
        return Err(NoSecret);
    }
    let Ok(url) = Url::parse(&request.url) else {
        return Ok(Signed { request: request.clone(), tags: Vec::new() });
    };
    Ok(match signing {
        Signing::Url(parameters) => sign_url(request, url, parameters, &secrets, stamp),
        Signing::None | Signing::StandardWebhooks => sign_headers(request, &url, &secrets, stamp),
    })
}

fn sign_headers(request: &RenderedRequest, url: &Url, secrets: &[&SharedSecret], stamp: &Stamp) -> Signed {
    let id = stamp.delivery_id.to_string();
    let timestamp = stamp.now.timestamp().to_string();
    let body = &request.body;
    let standard = format!("{id}.{timestamp}.{body}");
    let method = request.method.code();
    let whole = format!("request.{id}.{timestamp}.{method} {}\n{body}", target(url));
    let mut tags = Vec::new();
    let mut tag_all = |message: &str| {
        let made = secrets.iter().map(|secret| STANDARD.encode(hmac(&secret.webhook_key(), message)));
        let made: Vec<String> = made.collect();
        tags.extend(made.iter().cloned());
        made.iter().map(|tag| format!("v1,{tag}")).collect::<Vec<_>>().join(" ")
    };
    let ours = [
        (WEBHOOK_ID, id),
        (WEBHOOK_TIMESTAMP, timestamp),
        (WEBHOOK_SIGNATURE, tag_all(&standard)),
        (REQUEST_SIGNATURE, tag_all(&whole)),
    ];
    let mut request = request.clone();
    request.headers.retain(|(name, _)| !ours.iter().any(|(own, _)| name.eq_ignore_ascii_case(own)));
    request.headers.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    Signed { request, tags }
}

fn sign_url(
    request: &RenderedRequest,
    mut url: Url,
    parameters: &UrlParameters,
    secrets: &[&SharedSecret],
    stamp: &Stamp,
) -> Signed {
    let UrlParameters { time, nonce, signature } = parameters;
    // Each of the three stands once: receivers differ in which of several they take.
    let pairs = url.query().unwrap_or_default().split('&');
    let mut query =
        pairs.filter(|pair| !pair.is_empty() && !parameters.own(pair)).collect::<Vec<_>>().join("&");
    if !query.is_empty() {
        query.push('&');
    }
    let _ = write!(query, "{time}={}&{nonce}={:032x}", stamp.now.timestamp(), stamp.nonce);
    // It is not sent, and would stand behind the signature.
    url.set_fragment(None);
    url.set_query(Some(&query));
    let message = format!("{}\n{}", target(&url), request.body);
    let tags: Vec<String> =
        secrets.iter().map(|secret| hex::encode(hmac(secret.text_key(), &message))).collect();
    let url = format!("{url}&{signature}={}", tags.join("."));
    Signed { request: RenderedRequest { url, ..request.clone() }, tags }
}

/// Path and query as they go over the wire.
fn target(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

fn hmac(key: &[u8], message: &str) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.chain_update(message).finalize().into_bytes().into()
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
