//! Inbound signatures: HMAC-SHA256 under a secret the advertiser and we share.
//!
//! | form | where | what is signed | key |
//! |---|---|---|---|
//! | Ricochet | `X-Ricochet-Signature: t=…,v1=hex` | `t.body` | the secret as it is written |
//! | Standard Webhooks | `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,base64` | `id.timestamp.body` | the secret's base64 after `whsec_` |
//! | query | `ts`, `sig=hex` | the query string without `sig`, raw or sorted | the secret as it is written |
//!
//! What a signature does not cover, a stranger could change: the first two cover the body and
//! not the query, the third the query and not the body. A request that carries both is signed
//! both ways. `docs/signatures.md` tells advertisers how.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::signature_policy::SignaturePolicy;
use super::signed_query::SignedQuery;
use crate::domain::ids::AdvertiserId;

/// How far the time of signing may be from ours, before or after, in seconds.
pub const TOLERANCE_S: i64 = 300;

/// Most signatures looked at in one header: a sender that rotates secrets signs with both.
const SIGNATURES: usize = 8;

/// A secret shared with an advertiser or a receiver of postbacks, as it was shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(String);

impl SharedSecret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The key of the forms that take the secret as it is written.
    pub fn text_key(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key of Standard Webhooks: base64 after the prefix, else the text itself.
    pub fn webhook_key(&self) -> Vec<u8> {
        let decoded = self.0.strip_prefix("whsec_").and_then(|encoded| STANDARD.decode(encoded).ok());
        decoded.unwrap_or_else(|| self.0.as_bytes().to_vec())
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

/// A request as far as signatures are concerned. Headers have a value for each time they came.
#[derive(Debug, Clone, Default)]
pub struct Signed<'a> {
    pub ricochet_signature: Vec<&'a str>,
    pub webhook_id: Vec<&'a str>,
    pub webhook_timestamp: Vec<&'a str>,
    pub webhook_signature: Vec<&'a str>,
    /// As it was sent.
    pub query: &'a str,
    pub body: &'a [u8],
}

/// What is wrong with a request's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureFault {
    Missing,
    MissingTimestamp,
    /// The body is not covered by a signature.
    UnsignedBody,
    /// The query is not covered by a signature.
    UnsignedQuery,
    /// It cannot be read.
    Unreadable(&'static str),
    /// It is not that of this request under any live secret.
    Wrong,
    Stale {
        signed_at: i64,
        now: i64,
    },
    /// A request with this signature was recorded before.
    Replayed,
}

/// A signature that was right, by what it signed: the same request has the same digest, whatever
/// a stranger changes about the signature's outer form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedSignature {
    pub digest: [u8; 32],
    /// When it was made, in Unix seconds.
    pub signed_at: i64,
}

/// Judges a request's signatures at the time `now`, in Unix seconds. Those that are right and
/// bear a time come back, to be remembered until they are stale.
pub fn verify(
    signed: &Signed,
    advertiser: AdvertiserId,
    policy: SignaturePolicy,
    secrets: &[SharedSecret],
    now: i64,
) -> Result<Vec<UsedSignature>, SignatureFault> {
    if policy == SignaturePolicy::Off {
        return Ok(Vec::new());
    }
    let query = SignedQuery::read(signed.query);
    let header = ricochet_claim(signed)?;
    let webhook = webhook_claim(signed)?;
    let in_query = query_claim(&query)?;
    if header.is_none() && webhook.is_none() && in_query.is_none() {
        return match policy {
            SignaturePolicy::Required => Err(SignatureFault::Missing),
            SignaturePolicy::Off | SignaturePolicy::Optional => Ok(Vec::new()),
        };
    }
    let covers_body = header.is_some() || webhook.is_some();
    if !covers_body && !signed.body.is_empty() {
        return Err(SignatureFault::UnsignedBody);
    }
    if in_query.is_none() && !query.is_empty() {
        return Err(SignatureFault::UnsignedQuery);
    }
    let mut used = Vec::new();
    for claim in [header, webhook, in_query].into_iter().flatten() {
        let Some(message) = claim.proven_message(secrets) else { return Err(SignatureFault::Wrong) };
        match claim.signed_at {
            None if policy == SignaturePolicy::Required => return Err(SignatureFault::MissingTimestamp),
            // Nothing dates it, so nothing could forget it either: it may come again.
            None => {}
            Some(signed_at) if signed_at.abs_diff(now) > TOLERANCE_S.unsigned_abs() => {
                return Err(SignatureFault::Stale { signed_at, now });
            }
            Some(signed_at) => {
                let digest = Sha256::new()
                    .chain_update(b"ricochet used signature")
                    .chain_update(advertiser.0)
                    .chain_update([claim.form as u8])
                    .chain_update(message)
                    .finalize();
                used.push(UsedSignature { digest: digest.into(), signed_at });
            }
        }
    }
    Ok(used)
}

/// Whether the query's `sig` and `ts` are a signature under this policy, and no fields of the request.
pub fn is_query_signed(signed: &Signed, policy: SignaturePolicy) -> bool {
    policy != SignaturePolicy::Off && !SignedQuery::read(signed.query).signatures.is_empty()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ricochet = 1,
    StandardWebhooks = 2,
    Query = 3,
}

/// A signature as it was claimed, with what it may have signed.
struct Claim {
    form: Form,
    messages: Vec<Vec<u8>>,
    tags: Vec<Vec<u8>>,
    signed_at: Option<i64>,
}

impl Claim {
    /// The message that one of the tags proves under one of the secrets. The comparison takes
    /// the same time whatever differs, over the full length: a shortened tag proves nothing.
    fn proven_message(&self, secrets: &[SharedSecret]) -> Option<&[u8]> {
        let proves = |message: &&Vec<u8>| {
            secrets.iter().any(|secret| {
                let key = match self.form {
                    Form::StandardWebhooks => secret.webhook_key(),
                    Form::Ricochet | Form::Query => secret.text_key().to_vec(),
                };
                let mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
                let mac = mac.chain_update(message);
                self.tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok())
            })
        };
        self.messages.iter().find(proves).map(Vec::as_slice)
    }
}

/// Reads `t=1700000000,v1=hex[,v1=hex]`; keys that are not known are passed over.
fn ricochet_claim(signed: &Signed) -> Result<Option<Claim>, SignatureFault> {
    let Some(header) = only(&signed.ricochet_signature, "send X-Ricochet-Signature once")? else {
        return Ok(None);
    };
    let unreadable = SignatureFault::Unreadable("write X-Ricochet-Signature as t=UNIX_SECONDS,v1=HEX");
    let mut times = Vec::new();
    let mut tags = Vec::new();
    for part in header.split(',') {
        let (name, value) = part.trim().split_once('=').ok_or(unreadable)?;
        match name {
            "t" => times.push(value),
            "v1" => tags.push(read_hex(value).ok_or(unreadable)?),
            _ => {}
        }
    }
    let ([time], 1..=SIGNATURES) = (&times[..], tags.len()) else { return Err(unreadable) };
    let signed_at = read_time(time).ok_or(unreadable)?;
    let message = [time.as_bytes(), b".", signed.body].concat();
    Ok(Some(Claim { form: Form::Ricochet, messages: vec![message], tags, signed_at: Some(signed_at) }))
}

/// Reads the three headers of <https://www.standardwebhooks.com>; the signatures stand apart by
/// blanks, and versions that are not known are passed over.
fn webhook_claim(signed: &Signed) -> Result<Option<Claim>, SignatureFault> {
    let id = only(&signed.webhook_id, "send webhook-id once")?;
    let time = only(&signed.webhook_timestamp, "send webhook-timestamp once")?;
    let Some(signatures) = only(&signed.webhook_signature, "send webhook-signature once")? else {
        return Ok(None);
    };
    let (Some(id), Some(time)) = (id.filter(|id| !id.is_empty()), time) else {
        return Err(SignatureFault::Unreadable(
            "send webhook-id and webhook-timestamp with webhook-signature",
        ));
    };
    let signed_at =
        read_time(time).ok_or(SignatureFault::Unreadable("send webhook-timestamp in Unix seconds"))?;
    let unreadable = SignatureFault::Unreadable("write webhook-signature as v1,BASE64");
    let mut tags = Vec::new();
    for signature in signatures.split_ascii_whitespace() {
        let (version, encoded) = signature.split_once(',').ok_or(unreadable)?;
        if version == "v1" {
            tags.push(STANDARD.decode(encoded).map_err(|_| unreadable)?);
        }
    }
    let 1..=SIGNATURES = tags.len() else { return Err(unreadable) };
    let message = [id.as_bytes(), b".", time.as_bytes(), b".", signed.body].concat();
    Ok(Some(Claim {
        form: Form::StandardWebhooks,
        messages: vec![message],
        tags,
        signed_at: Some(signed_at),
    }))
}

fn query_claim(query: &SignedQuery) -> Result<Option<Claim>, SignatureFault> {
    let Some(signature) = only(&query.signatures, "send sig once")? else { return Ok(None) };
    let tag =
        read_hex(signature).ok_or(SignatureFault::Unreadable("write sig in hexadecimal, 64 characters"))?;
    let signed_at = match only(&query.timestamps, "send ts once")? {
        None => None,
        Some(time) => {
            Some(read_time(time).ok_or(SignatureFault::Unreadable("send ts in Unix seconds, digits only"))?)
        }
    };
    let messages = vec![query.raw().into_bytes(), query.sorted().into_bytes()];
    Ok(Some(Claim { form: Form::Query, messages, tags: vec![tag], signed_at }))
}

fn only<'a>(values: &[&'a str], remedy: &'static str) -> Result<Option<&'a str>, SignatureFault> {
    match values {
        [] => Ok(None),
        [value] => Ok(Some(value.trim())),
        _ => Err(SignatureFault::Unreadable(remedy)),
    }
}

/// The 32 bytes of an HMAC-SHA256.
fn read_hex(text: &str) -> Option<Vec<u8>> {
    hex::decode(text).ok().filter(|tag| tag.len() == 32)
}

/// Digits only: `+5` and `5` would be one time and two messages.
fn read_time(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
