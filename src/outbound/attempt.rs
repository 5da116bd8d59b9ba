//! One attempt: render, send, judge, and describe for the log.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Version};
use url::Url;
use uuid::Uuid;

use super::http_sender::{HttpSender, Sent};
use crate::domain::background::Background;
use crate::domain::condition::Unmet;
use crate::domain::destination::signal::Signal;
use crate::domain::event::Event;
use crate::domain::facts::EventFacts;
use crate::domain::ids::{DeliveryId, NodeId};
use crate::domain::money::Currency;
use crate::domain::path_secrets::redact_path;
use crate::domain::postback::{Owner, Postback};
use crate::domain::redact::{REDACTED, redact_body, redact_headers, redact_url};
use crate::domain::request::RenderedRequest;
use crate::domain::request_template::{Rendering, SkipReason};
use crate::domain::retry::{ErrorKind, Exchange, Judgement, Outcome, RetryPolicy, judge, judge_refusal};
use crate::domain::signing::{self, Stamp};
use crate::domain::status::Status;
use crate::domain::success_rule;
use crate::event_log::rows::AttemptRow;
use crate::panics::caught_now;
use crate::store::deliveries::{Abandoned, ClaimedDelivery, FIRST_FENCE, Facts};
use crate::store::outcomes::AttemptRecord;
use crate::store::skipped::SkippedDelivery;

/// What the log keeps of a request's body, in bytes.
const KEPT_BODY_BYTES: usize = 4 * 1024;

/// Characters of an answer's header that a test shows.
const KEPT_HEADER_CHARS: usize = 2_000;

/// Makes the attempt a delivery was claimed for; its record, and what it says of the destination.
pub async fn make(
    sender: &HttpSender,
    postback: &Postback,
    background: &Background,
    delivery: &ClaimedDelivery,
    node: NodeId,
) -> (AttemptRecord, Signal) {
    let (record, signal, _) = make_and_hear(sender, postback, background, delivery, node).await;
    let names = postback.request.tells_names().then(|| background.names.clone());
    (AttemptRecord { names, ..record }, signal)
}

/// The same, with the headers of the answer.
async fn make_and_hear(
    sender: &HttpSender,
    postback: &Postback,
    background: &Background,
    delivery: &ClaimedDelivery,
    node: NodeId,
) -> (AttemptRecord, Signal, HeaderMap) {
    let started_at = Utc::now();
    let Rendering { request, skip } =
        postback.render(delivery.delivery_id, delivery.event, &delivery.facts, background);
    if !skip.is_empty() {
        let judgement = skipped(&skip);
        let record = describe(postback, delivery, node, started_at, &request, &judgement, None);
        return (record, Signal::Nothing, HeaderMap::new());
    }
    let stamp = Stamp { delivery_id: delivery.delivery_id, now: started_at, nonce: rand::random() };
    let signed = match signing::sign(&request, &postback.signing, &postback.secrets, &stamp) {
        Ok(signed) => signed,
        Err(fault) => {
            // Ours to mend, so it is tried again.
            let exchange =
                Exchange::Broken { kind: ErrorKind::Internal, message: format!("not sent: {fault}") };
            let judgement = judge(&exchange, delivery.attempt, &postback.retry, rand::random(), started_at);
            let record = describe(postback, delivery, node, started_at, &request, &judgement, None);
            return (record, Signal::Nothing, HeaderMap::new());
        }
    };
    let url = match Url::parse(&signed.request.url) {
        Ok(url) => url,
        Err(error) => {
            let judgement = skipped(&[SkipReason::IllegalUrl(error)]);
            let record = describe(postback, delivery, node, started_at, &request, &judgement, None);
            return (record, Signal::Nothing, HeaderMap::new());
        }
    };
    let certificate = postback.certificate.as_deref();
    let sent = sender.send_as(&signed.request, url, postback.timeout, certificate).await;
    let secrets: Vec<String> = signed.tags.into_iter().chain(request.secrets()).collect();
    let sent = with_shown_place(sent, &secrets, &request.path_secrets);
    let now = Utc::now();
    // Rules of success look at what was answered, not at what is shown of it.
    let judgement = judge_sent(&sent, postback, delivery.attempt, now);
    let mut sent = without_secrets(sent, &secrets);
    let response_headers = std::mem::take(&mut sent.response_headers);
    let signal = Signal::of(&sent.exchange, postback.retry.asked_wait(&sent.exchange, now));
    let record = describe(postback, delivery, node, started_at, &request, &judgement, Some(sent));
    (record, signal, response_headers)
}

/// The record of a delivery that was written unjudged, and that its postback's condition keeps back.
pub fn not_admitted(
    postback: &Postback,
    delivery: &ClaimedDelivery,
    unmet: &Unmet,
    node: NodeId,
) -> AttemptRecord {
    let request = RenderedRequest::get(String::new());
    describe(postback, delivery, node, Utc::now(), &request, &kept_back_by(unmet.to_string()), None)
}

/// What came of a test.
#[derive(Debug)]
pub struct Tested {
    pub row: AttemptRow,
    /// In the order they came in; values of secret names are redacted.
    pub response_headers: Vec<(String, String)>,
}

/// Makes one attempt that is nobody's delivery: marked as a test, and never repeated.
pub async fn test(
    sender: &HttpSender,
    postback: &Postback,
    background: &Background,
    event: Event,
    facts: EventFacts,
    node: NodeId,
) -> Tested {
    let retry = RetryPolicy { max_attempts: Some(1), ..postback.retry.clone() };
    let once = Postback { retry, ..postback.clone() };
    let delivery = ClaimedDelivery {
        delivery_id: DeliveryId(Uuid::now_v7()),
        postback_id: postback.postback_id,
        event,
        attempt: 1,
        fence: 0,
        due_at: Utc::now(),
        facts: Arc::new(EventFacts { is_test: true, ..facts }),
        pinned_revision: None,
        is_unjudged: false,
    };
    let (record, _, headers) = make_and_hear(sender, &once, background, &delivery, node).await;
    let mut row = record.row;
    // Of a test there is only one.
    if let Some(reason) = row.reason.strip_suffix("; all 1 attempts are used up") {
        row.reason = reason.to_owned();
    }
    let shown = |value: &HeaderValue| {
        String::from_utf8_lossy(value.as_bytes()).chars().take(KEPT_HEADER_CHARS).collect::<String>()
    };
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), shown(value))).collect();
    Tested { row, response_headers: redact_headers(&headers) }
}

/// Judges an exchange by its code and, where that says success, by the body.
pub fn judge_sent(sent: &Sent, postback: &Postback, attempt: u32, now: DateTime<Utc>) -> Judgement {
    let judgement = judge(&sent.exchange, attempt, &postback.retry, rand::random(), now);
    let refusal = match judgement.outcome {
        Outcome::Delivered => success_rule::refusal(&postback.success, &sent.response_body),
        Outcome::Retrying | Outcome::Failed | Outcome::Skipped => None,
    };
    match refusal {
        Some(refusal) => judge_refusal(refusal, attempt, &postback.retry, rand::random()),
        None => judgement,
    }
}

/// Not fit to be sent, and never will be: the facts and the template stay as they are.
pub fn skipped(reasons: &[SkipReason]) -> Judgement {
    let reasons: Vec<String> = reasons.iter().map(SkipReason::to_string).collect();
    Judgement {
        outcome: Outcome::Skipped,
        error_kind: ErrorKind::None,
        reason: format!("not sent: {}", reasons.join("; ")),
        retry_in: None,
    }
}

/// The place that a destination redirects to is told in the reason: without what must not be repeated.
fn with_shown_place(mut sent: Sent, secrets: &[String], path_secrets: &[String]) -> Sent {
    if let Exchange::Answered { location: Some(place), .. } = &mut sent.exchange {
        *place = redact_path(&redact_url(place), path_secrets);
        for secret in secrets {
            *place = place.replace(secret, REDACTED);
        }
    }
    sent
}

/// A destination may repeat what it was called by; what signed that, and the secrets in it, stay out of
/// the log.
fn without_secrets(mut sent: Sent, secrets: &[String]) -> Sent {
    for secret in secrets {
        sent.response_body = sent.response_body.replace(secret, REDACTED);
        for value in sent.response_headers.values_mut() {
            if String::from_utf8_lossy(value.as_bytes()).contains(secret.as_str()) {
                *value = HeaderValue::from_static(REDACTED);
            }
        }
    }
    sent
}

/// The record of an attempt that panicked. As little as can be is worked out for it: whatever it was
/// that panicked must not do so again.
pub fn panicked(postback: &Postback, delivery: &ClaimedDelivery, node: NodeId) -> AttemptRecord {
    let exchange =
        Exchange::Broken { kind: ErrorKind::Internal, message: "an internal error ended the attempt".into() };
    let judgement = judge(&exchange, delivery.attempt, &postback.retry, rand::random(), Utc::now());
    let request = RenderedRequest::get(String::new());
    describe(postback, delivery, node, Utc::now(), &request, &judgement, None)
}

/// The log row of an attempt that nobody recorded: its node stopped first. Whether the request
/// was sent cannot be known. `postback` is missing where this node does not have it; its request is told
/// where that and the facts are whole.
pub fn interrupted(
    abandoned: &Abandoned,
    postback: Option<&Postback>,
    background: &Background,
    node: NodeId,
) -> AttemptRow {
    let delivery = &abandoned.delivery;
    let judgement = Judgement {
        outcome: Outcome::Retrying,
        error_kind: ErrorKind::Interrupted,
        reason: "the node stopped before it recorded this attempt; the request may have been sent".into(),
        retry_in: None,
    };
    let request = match (postback, abandoned.facts) {
        (Some(postback), Facts::Whole) => {
            let render =
                || postback.render(delivery.delivery_id, delivery.event, &delivery.facts, background).request;
            // Rendering may be what ended its node.
            caught_now(render).unwrap_or_else(|_| RenderedRequest::get(String::new()))
        }
        (None, _) | (_, Facts::Partial) => RenderedRequest::get(String::new()),
    };
    let kind = postback.map_or("", |postback| postback.owner.kind());
    let row = row(kind, delivery, node, abandoned.claimed_at, &request, &judgement, None);
    // Whoever owns it sees it, also where no more is known.
    match postback.map(|postback| postback.owner) {
        Some(Owner::Partner(id)) if row.partner_id.is_nil() => AttemptRow { partner_id: id.0, ..row },
        Some(Owner::Advertiser(id)) if row.advertiser_id.is_nil() => {
            AttemptRow { advertiser_id: id.0, ..row }
        }
        _ => row,
    }
}

/// A delivery that its postback's condition keeps from being made; nothing is rendered or sent.
pub fn kept_back(
    postback: &Postback,
    event: Event,
    facts: &Arc<EventFacts>,
    unmet: &Unmet,
    node: NodeId,
    now: DateTime<Utc>,
) -> SkippedDelivery {
    let delivery_id = DeliveryId::of(facts.change_id, postback.postback_id, event.code());
    let delivery = ClaimedDelivery {
        delivery_id,
        postback_id: postback.postback_id,
        event,
        attempt: 1,
        fence: FIRST_FENCE,
        due_at: now,
        facts: facts.clone(),
        pinned_revision: None,
        is_unjudged: false,
    };
    SkippedDelivery {
        delivery_id,
        postback_id: postback.postback_id,
        change_id: facts.change_id,
        event,
        lead_id: facts.lead_id,
        row: unmet_row(postback.owner, &delivery, unmet.to_string(), node),
    }
}

/// The log row of a delivery that a condition keeps back: an attempt that was not made, when it was
/// due.
pub fn unmet_row(owner: Owner, delivery: &ClaimedDelivery, reason: String, node: NodeId) -> AttemptRow {
    let request = RenderedRequest::get(String::new());
    row(owner.kind(), delivery, node, delivery.due_at, &request, &kept_back_by(reason), None)
}

fn kept_back_by(reason: String) -> Judgement {
    Judgement { outcome: Outcome::Skipped, error_kind: ErrorKind::Condition, reason, retry_in: None }
}

/// The log row of a delivery that was cancelled: an attempt that will not be made.
pub fn cancelled(
    owner: &'static str,
    delivery: &ClaimedDelivery,
    node: NodeId,
    reason: String,
) -> AttemptRow {
    let judgement =
        Judgement { outcome: Outcome::Skipped, error_kind: ErrorKind::None, reason, retry_in: None };
    let request = RenderedRequest::get(String::new());
    row(owner, delivery, node, Utc::now(), &request, &judgement, None)
}

fn describe(
    postback: &Postback,
    delivery: &ClaimedDelivery,
    node: NodeId,
    started_at: DateTime<Utc>,
    request: &RenderedRequest,
    judgement: &Judgement,
    sent: Option<Sent>,
) -> AttemptRecord {
    AttemptRecord {
        delivery_id: delivery.delivery_id,
        fence: delivery.fence,
        outcome: judgement.outcome,
        next_attempt_at: judgement.retry_in.map(|wait| Utc::now() + wait),
        revision: postback.revision,
        names: None,
        row: row(postback.owner.kind(), delivery, node, started_at, request, judgement, sent),
    }
}

fn row(
    owner: &'static str,
    delivery: &ClaimedDelivery,
    node: NodeId,
    started_at: DateTime<Utc>,
    request: &RenderedRequest,
    judgement: &Judgement,
    sent: Option<Sent>,
) -> AttemptRow {
    let facts = &delivery.facts;
    let timings = sent.as_ref().map(|sent| sent.timings.clone()).unwrap_or_default();
    let response_code = match sent.as_ref().map(|sent| &sent.exchange) {
        Some(Exchange::Answered { status, .. }) => *status,
        _ => 0,
    };
    AttemptRow {
        attempt_id: Uuid::now_v7(),
        delivery_id: delivery.delivery_id.0,
        postback_id: delivery.postback_id.0,
        owner,
        partner_id: facts.partner_id.0,
        advertiser_id: facts.advertiser_id.0,
        offer_id: facts.offer_id.0,
        link_id: facts.link_id.0,
        lead_id: facts.lead_id.map(|id| id.0),
        click_id: facts.click_id.0,
        txid: facts.txid().into_owned(),
        action: facts.action.clone(),
        event: delivery.event.code(),
        status: facts.status.map_or("", Status::code),
        amount: facts.amount,
        currency: facts.currency.map_or("", Currency::code),
        payout: facts.payout,
        payout_currency: facts.payout_currency.map_or("", Currency::code),
        country: facts.country.clone(),
        device: facts.device.clone(),
        method: request.method.code(),
        url: request.shown_url(),
        request_headers: headers_as_json(&request.headers),
        request_body: redact_body(&request.body, KEPT_BODY_BYTES),
        outcome: judgement.outcome.code(),
        reason: judgement.reason.clone(),
        error_kind: judgement.error_kind.code(),
        attempt: delivery.attempt,
        response_code,
        dns_us: timings.dns_us,
        connect_us: timings.connect_us,
        tls_us: timings.tls_us,
        first_byte_us: timings.first_byte_us,
        peer_ip: timings.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        http_version: match timings.version {
            None => "",
            Some(Version::HTTP_2) => "2",
            Some(_) => "1.1",
        },
        total_us: sent.as_ref().map_or(0, |sent| sent.total_us),
        response_body: sent.map(|sent| sent.response_body).unwrap_or_default(),
        started_at,
        queued_us: (started_at - delivery.due_at)
            .num_microseconds()
            .and_then(|us| u64::try_from(us).ok())
            .unwrap_or(0),
        is_test: facts.is_test,
        node_id: node.0,
    }
}

fn headers_as_json(headers: &[(String, String)]) -> String {
    if headers.is_empty() {
        return String::new();
    }
    serde_json::to_string(&redact_headers(headers)).expect("texts are JSON")
}
