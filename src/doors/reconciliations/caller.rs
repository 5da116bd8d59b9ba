//! Who reconciles: an advertiser with its key or token, or an owner for it.

use actix_web::{HttpRequest, HttpResponse};

use super::{Refusal, store_failed};
use crate::app::Doors;
use crate::domain::access::signature::{SignatureFault, Verification};
use crate::domain::access::signature_policy::SignaturePolicy;
use crate::domain::ids::AdvertiserId;
use crate::domain::verdict::{Manner, Verdict};
use crate::doors::access::{self, Announced};
use crate::doors::answer;
use crate::doors::request::{bearer_key, source_ip};
use crate::graphql::scope::Grant;
use crate::store::audit::Actor;
use crate::store::tokens;

/// Who asks, and whose file it is about.
pub(super) struct Caller {
    pub actor: Actor,
    pub advertiser: AdvertiserId,
    /// `None`: it came with a token.
    pub announced: Option<Announced>,
}

/// The caller: an API key of the advertiser, a token of its own, or an owner's token that names
/// the advertiser. Keys are held to the advertiser's allowlist, rate and signatures, as at every
/// door; whoever guesses is slowed down.
pub(super) async fn authenticate(
    request: &HttpRequest,
    advertiser_id: Option<&str>,
    doors: &Doors,
) -> Result<Caller, HttpResponse> {
    let nobody = || match doors.gate.limiter.check_refusal(source_ip(request)) {
        Ok(()) => {
            let message =
                "send Authorization: Bearer with an API key of the advertiser or a token of its own";
            Refusal::new(401, "authorization", "unknown_key", message).answer()
        }
        Err(denial) => denied(Verdict::Denied(denial)),
    };
    let secret = bearer_key(request.headers()).ok_or_else(nobody)?;
    if doors.services.catalogue().advertiser_by_key(secret).is_some() {
        let announced = access::announce(doors, request, secret).map_err(denied)?;
        let advertiser = announced.advertiser_id;
        return Ok(Caller { actor: Actor::ApiKey, advertiser, announced: Some(announced) });
    }
    access::let_through(doors, request).map_err(denied)?;
    let principal = tokens::find_live(&doors.services.pool, secret).await;
    let principal = principal.map_err(|error| store_failed(&error))?.ok_or_else(nobody)?;
    let advertiser = match principal.grant {
        Grant::Advertiser(advertiser) => advertiser,
        Grant::Owner => {
            let message = "an owner's token says whose file it is: add ?advertiser_id= and its id";
            let named = advertiser_id.and_then(|id| id.parse().ok());
            named.ok_or_else(|| Refusal::new(400, "advertiser_id", "missing", message).answer())?
        }
        Grant::Partner(_) | Grant::Bi(_) => {
            let message = "reconciliation needs an advertiser's API key or an owner's token";
            return Err(Refusal::new(403, "authorization", "forbidden", message).answer());
        }
    };
    Ok(Caller { actor: principal.into(), advertiser, announced: None })
}

/// The caller of a request without a body. Where the advertiser's requests must be signed, an API
/// key does not do: a signature covers neither the method nor the path, so that of one such
/// request would be good for any other.
pub(super) async fn authenticate_bodiless(
    request: &HttpRequest,
    advertiser_id: Option<&str>,
    doors: &Doors,
) -> Result<Caller, HttpResponse> {
    let mut caller = authenticate(request, advertiser_id, doors).await?;
    let Some(announced) = &mut caller.announced else { return Ok(caller) };
    if announced.policy == SignaturePolicy::Required {
        let message = "this advertiser's requests must be signed, and only an upload can be; use a token of the \
                       advertiser here, or upload the file with mode=apply";
        return Err(Refusal::new(401, "authorization", "signature_not_possible", message).answer());
    }
    let verified = announced.verification.take().map(|begun| begun.and_then(Verification::finish));
    if let Some(Err(fault)) = verified {
        return Err(refuse_signature(request, announced, fault, doors));
    }
    Ok(caller)
}

pub(super) fn refuse_signature(
    request: &HttpRequest,
    announced: &Announced,
    fault: SignatureFault,
    doors: &Doors,
) -> HttpResponse {
    denied(access::bounded(doors, announced.refuse(fault), source_ip(request)))
}

pub(super) fn denied(verdict: Verdict) -> HttpResponse {
    answer::of_result(Manner::Usual, Ok(verdict))
}
