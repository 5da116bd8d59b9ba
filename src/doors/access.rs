//! Who may come in by a door: every door asks here, before anything else.
//!
//! In this order: the head's size, the rates of the node and the source, the key, the address,
//! the body's size, the signature, the advertiser's rate. What is cheap to ask comes first, and
//! only a request that proved itself uses up its advertiser's rate.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Bytes, Payload};
use uuid::Uuid;

use super::limiter::Limiter;
use super::limits::{self, BODY_BYTES};
use super::request::{Parameters, source_ip};
use crate::app::Doors;
use crate::domain::access::AdvertiserAccess;
use crate::domain::access::allowlist::Allowlist;
use crate::domain::access::denial::Denial;
use crate::domain::access::replay::Proof;
use crate::domain::access::signature::{self, SignatureFault, Signed, Verification};
use crate::domain::access::signature_policy::SignaturePolicy;
use crate::domain::access::signed_query;
use crate::domain::ids::AdvertiserId;
use crate::domain::verdict::Verdict;

/// What a node knows of its surroundings and remembers of who came.
pub struct Gate {
    pub limiter: Limiter,
    /// Our own proxies, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Allowlist,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

/// Who a request says it is from.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    ApiKey(&'a str),
    /// The door has found the advertiser by something as secret as a key, such as the id of an
    /// integration, which may have an allowlist beside that of the advertiser.
    Integration {
        advertiser_id: AdvertiserId,
        networks: &'a Allowlist,
    },
    /// Nothing that could be looked up.
    None,
}

/// A request that has been judged at the door, let in or not: both are logged.
pub struct Entry {
    pub source_ip: Option<IpAddr>,
    /// Known where the credential was good, whatever else was wrong.
    pub advertiser_id: Option<AdvertiserId>,
    /// Empty where it could not be read, and where it is more than a log row of a refusal takes.
    pub body: Bytes,
    pub result: Result<Admitted, Verdict>,
}

/// Leave to come in.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub advertiser_id: AdvertiserId,
    /// Goes into the inbound record of everything that this request asks for.
    pub proof: Proof,
    is_query_signed: bool,
}

impl Admitted {
    /// Takes the signature out of the parameters: it is no field of a conversion.
    pub fn without_signature(&self, mut parameters: Parameters) -> Parameters {
        if self.is_query_signed {
            parameters.retain(|(name, _)| name != signed_query::SIGNATURE && name != signed_query::TIMESTAMP);
        }
        parameters
    }
}

/// What becomes of a request's body at the door.
pub enum Body {
    Whole {
        payload: Payload,
        most_bytes: usize,
    },
    /// The door reads it as it comes; only where [`verifies_bodies`] says that nobody looks.
    Unread,
}

/// Whether a request of this credential may have a signature over its body.
pub fn verifies_bodies(doors: &Doors, credential: Credential<'_>) -> bool {
    let access = advertiser_of(doors, credential)
        .and_then(|advertiser_id| doors.services.catalogue().access.get(&advertiser_id).cloned());
    access.is_some_and(|access| access.policy != SignaturePolicy::Off)
}

/// Judges a request by everything that does not depend on what it asks for, and reads its body.
pub async fn admit(doors: &Doors, request: &HttpRequest, body: Body, credential: Credential<'_>) -> Entry {
    let source_ip = source_ip(request);
    let known = let_through(doors, request).and_then(|()| identify(doors, credential, source_ip));
    let body = match body {
        Body::Unread => Ok(Bytes::new()),
        // A refused request is logged with its parameters, if they are not too many.
        Body::Whole { payload, most_bytes } => {
            let most_bytes = if known.is_err() { BODY_BYTES } else { most_bytes };
            limits::read_body(payload, most_bytes, doors.gate.body_timeout).await
        }
    };
    let advertiser_id = match (&known, credential) {
        (Ok((advertiser_id, _)), _) => Some(*advertiser_id),
        (Err(Verdict::Denied(Denial::Address { .. })), _) => advertiser_of(doors, credential),
        (Err(_), _) => None,
    };
    let result = known.and_then(|(advertiser_id, access)| {
        let body = body.as_ref().map_err(Clone::clone)?;
        let admitted = authenticate(doors, request, body, advertiser_id, access.as_deref())?;
        let own_rate = access.and_then(|access| access.requests_per_second);
        doors.gate.limiter.check_advertiser(advertiser_id, own_rate, source_ip).map_err(Verdict::Denied)?;
        Ok(admitted)
    });
    let result = result.map_err(|verdict| bounded(doors, verdict, source_ip));
    Entry { source_ip, advertiser_id, body: body.unwrap_or_default(), result }
}

/// A caller by API key whose body has not come yet.
pub struct Announced {
    pub advertiser_id: AdvertiserId,
    /// What the body will make of the signature, or what is wrong with it already; `None` where
    /// nobody looks.
    pub verification: Option<Result<Verification, SignatureFault>>,
    pub policy: SignaturePolicy,
    has_unreadable_secret: bool,
}

impl Announced {
    /// What a fault of the signature comes to.
    pub fn refuse(&self, fault: SignatureFault) -> Verdict {
        signature_verdict(fault, self.has_unreadable_secret)
    }
}

/// Judges a request with an API key by its head, for a door that reads the body as it comes and
/// asks the verification at its end.
pub fn announce(doors: &Doors, request: &HttpRequest, key: &str) -> Result<Announced, Verdict> {
    let source_ip = source_ip(request);
    let announced = let_through(doors, request).and_then(|()| {
        let (advertiser_id, access) = identify(doors, Credential::ApiKey(key), source_ip)?;
        let own_rate = access.as_ref().and_then(|access| access.requests_per_second);
        let mut announced = Announced {
            advertiser_id,
            verification: None,
            policy: SignaturePolicy::Off,
            has_unreadable_secret: false,
        };
        if let Some(access) = access {
            let signed = signed(request, b"")?;
            let now = doors.services.now().timestamp();
            announced.policy = access.policy;
            announced.has_unreadable_secret = access.has_unreadable_secret;
            announced.verification =
                Some(Verification::begin(&signed, advertiser_id, access.policy, &access.secrets, now));
        }
        doors.gate.limiter.check_advertiser(advertiser_id, own_rate, source_ip).map_err(Verdict::Denied)?;
        Ok(announced)
    });
    announced.map_err(|verdict| bounded(doors, verdict, source_ip))
}

/// Judges the head and the rates of a request that needs no credential, such as a click.
pub fn let_through(doors: &Doors, request: &HttpRequest) -> Result<(), Verdict> {
    doors.gate.limiter.check_source(source_ip(request)).map_err(Verdict::Denied)?;
    limits::check_head(request).map_err(Verdict::Denied)
}

type Known = (AdvertiserId, Option<Arc<AdvertiserAccess>>);

fn identify(doors: &Doors, credential: Credential<'_>, source: Option<IpAddr>) -> Result<Known, Verdict> {
    let advertiser_id = advertiser_of(doors, credential).ok_or(Verdict::UnknownKey)?;
    let access = doors.services.catalogue().access.get(&advertiser_id).cloned();
    let is_allowed_by_advertiser = access.as_ref().is_none_or(|access| access.allowlist.allows(source));
    let is_allowed_by_integration = match credential {
        Credential::Integration { networks, .. } => networks.allows(source),
        Credential::ApiKey(_) | Credential::None => true,
    };
    if is_allowed_by_advertiser && is_allowed_by_integration {
        return Ok((advertiser_id, access));
    }
    Err(Verdict::Denied(Denial::Address { source }))
}

fn advertiser_of(doors: &Doors, credential: Credential<'_>) -> Option<AdvertiserId> {
    match credential {
        Credential::ApiKey(key) => doors.services.catalogue().advertiser_by_key(key),
        Credential::Integration { advertiser_id, .. } => Some(advertiser_id),
        Credential::None => None,
    }
}

fn authenticate(
    doors: &Doors,
    request: &HttpRequest,
    body: &Bytes,
    advertiser_id: AdvertiserId,
    access: Option<&AdvertiserAccess>,
) -> Result<Admitted, Verdict> {
    let mut admitted = Admitted { advertiser_id, proof: Proof::default(), is_query_signed: false };
    let Some(access) = access else { return Ok(admitted) };
    let signed = signed(request, body)?;
    let now = doors.services.now().timestamp();
    match signature::verify(&signed, advertiser_id, access.policy, &access.secrets, now) {
        Ok(signatures) => {
            admitted.is_query_signed = signature::is_query_signed(&signed, access.policy);
            admitted.proof = Proof { exchange_id: Uuid::now_v7(), signatures: signatures.into() };
            Ok(admitted)
        }
        Err(fault) => Err(signature_verdict(fault, access.has_unreadable_secret)),
    }
}

fn signature_verdict(fault: SignatureFault, has_unreadable_secret: bool) -> Verdict {
    Verdict::Denied(match fault {
        SignatureFault::Wrong if has_unreadable_secret => Denial::SecretsUnreadable,
        fault => Denial::Signature(fault),
    })
}

/// What a request says about its signature. A header that is no text is as wrong as any other.
fn signed<'a>(request: &'a HttpRequest, body: &'a [u8]) -> Result<Signed<'a>, Verdict> {
    let values = |name: &str| {
        let values = request.headers().get_all(name).map(|value| value.to_str());
        values.collect::<Result<Vec<_>, _>>().map_err(|_| {
            let remedy = "write the signature's headers in plain ASCII";
            Verdict::Denied(Denial::Signature(SignatureFault::Unreadable(remedy)))
        })
    };
    Ok(Signed {
        ricochet_signature: values("x-ricochet-signature")?,
        webhook_id: values("webhook-id")?,
        webhook_timestamp: values("webhook-timestamp")?,
        webhook_signature: values("webhook-signature")?,
        query: request.query_string(),
        body,
    })
}

/// A refusal, or 429 where its source has had too many of them: guessing keys and filling the log
/// with refusals are worth little then.
pub fn bounded(doors: &Doors, verdict: Verdict, source: Option<IpAddr>) -> Verdict {
    match verdict {
        Verdict::Denied(Denial::TooManyRequests { .. }) => verdict,
        verdict => doors.gate.limiter.check_refusal(source).err().map_or(verdict, Verdict::Denied),
    }
}
