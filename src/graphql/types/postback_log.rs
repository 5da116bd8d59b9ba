//! `postbackLog`: every attempt to deliver a postback.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, SimpleObject};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::conversion::Conversion;
use super::{amount_of_millionths, filled};
use crate::event_log::reader::{AttemptFilter, AttemptRecord, TestRows};
use crate::graphql::cost::beside_cost;
use crate::graphql::deliveries::Delivery;
use crate::graphql::enums::{ConversionStatus, Device, ErrorKind, Event, Outcome};
use crate::graphql::failure::Failure;
use crate::graphql::filter;
use crate::graphql::related::Attempts;
use crate::graphql::scalars::{Microseconds, Time};
use crate::store::visible_names::Named;

/// Which attempts. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
pub struct PostbackLogFilter {
    /// Status of the conversion at the event.
    statuses: Option<Vec<ConversionStatus>>,
    outcomes: Option<Vec<Outcome>>,
    events: Option<Vec<Event>>,
    error_kinds: Option<Vec<ErrorKind>>,
    /// HTTP status codes the destination answered.
    response_codes: Option<Vec<u16>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    postback_ids: Option<Vec<ID>>,
    delivery_id: Option<ID>,
    lead_id: Option<ID>,
    /// Our click id.
    click_id: Option<ID>,
    /// Transaction id, exactly.
    txid: Option<String>,
    link_ids: Option<Vec<ID>>,
    /// Names of actions, exactly.
    actions: Option<Vec<String>>,
    /// Of the click, ISO 3166-1 alpha-2.
    countries: Option<Vec<String>>,
    /// Of the click.
    devices: Option<Vec<Device>>,
    /// Attempts of this number and later ones; 2 finds what was retried.
    attempt_at_least: Option<u16>,
    /// Attempts of this number and earlier ones; 1 finds first attempts.
    attempt_at_most: Option<u16>,
    /// Attempts that took this long or longer, in microseconds.
    total_us_at_least: Option<Microseconds>,
    /// Attempts that took this long or shorter, in microseconds.
    total_us_at_most: Option<Microseconds>,
    /// Any id at hand, exactly: of a lead, a click, a delivery, an attempt, or the transaction or
    /// request id.
    search: Option<String>,
    /// Begun at this time or later.
    from: Option<Time>,
    /// Begun before this time.
    to: Option<Time>,
    /// Whether attempts of test conversions are shown too; they are not where this is left out.
    include_tests: Option<bool>,
    /// Only attempts of tests (true) or only real ones (false), whatever `includeTests` says.
    is_test: Option<bool>,
}

impl PostbackLogFilter {
    pub fn read(&self) -> Result<AttemptFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(AttemptFilter {
            statuses: filter::codes(self.statuses.as_deref()),
            outcomes: filter::codes(self.outcomes.as_deref()),
            events: filter::codes(self.events.as_deref()),
            error_kinds: filter::codes(self.error_kinds.as_deref()),
            response_codes: self.response_codes.clone().unwrap_or_default(),
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            postback_ids: filter::uuids("postbackIds", self.postback_ids.as_deref())?,
            delivery_id: filter::optional_uuid("deliveryId", self.delivery_id.as_ref())?,
            lead_id: filter::optional_uuid("leadId", self.lead_id.as_ref())?,
            click_id: filter::optional_uuid("clickId", self.click_id.as_ref())?,
            txid: filter::text("txid", self.txid.as_deref())?,
            attempt_at_least: self.attempt_at_least.map(u64::from),
            attempt_at_most: self.attempt_at_most.map(u64::from),
            total_us_at_least: self.total_us_at_least.map(|microseconds| microseconds.0),
            total_us_at_most: self.total_us_at_most.map(|microseconds| microseconds.0),
            link_ids: filter::uuids("linkIds", self.link_ids.as_deref())?,
            actions: filter::texts("actions", self.actions.as_deref())?,
            countries: filter::countries(self.countries.as_deref())?,
            devices: filter::codes(self.devices.as_deref()),
            search: filter::sought(self.search.as_deref())?,
            from,
            to,
            tests: match self.is_test {
                None => TestRows::included(self.include_tests),
                is_test => is_test.into(),
            },
        })
    }
}

/// One attempt to deliver one event to one postback.
#[derive(SimpleObject, Clone)]
#[graphql(complex)]
pub struct PostbackAttempt {
    attempt_id: ID,
    /// The same in every attempt of a delivery; the destination can tell repeats by it.
    delivery_id: ID,
    postback_id: ID,
    /// Who configured the postback: `partner`, `advertiser` or `platform`.
    owner: String,
    partner_id: ID,
    advertiser_id: ID,
    offer_id: ID,
    link_id: ID,
    /// Null for events of a recurring customer.
    lead_id: Option<ID>,
    /// Our click id.
    click_id: ID,
    /// Transaction id: the advertiser's request id, or the lead id where there is none.
    txid: String,
    /// Name of the action, the paid goal of the offer.
    action: String,
    event: Event,
    /// Status of the conversion at the event; null where the event has none.
    status: Option<ConversionStatus>,
    /// Full price, in `currency`.
    amount: Option<Decimal>,
    /// ISO 4217.
    currency: Option<String>,
    /// What the partner gets, in `payoutCurrency`.
    payout: Option<Decimal>,
    /// ISO 4217.
    payout_currency: Option<String>,
    /// Country of the click, ISO 3166-1 alpha-2.
    country: Option<String>,
    /// Device of the click: `desktop`, `mobile`, `tablet`, `bot` or `other`.
    device: Option<String>,
    /// HTTP method of the request sent.
    method: String,
    /// URL of the request sent, with secrets redacted.
    url: String,
    /// The postback's own headers as sent, as JSON `[[name, value], ...]`, with secrets redacted; null
    /// for none.
    request_headers: Option<String>,
    /// The first 4 KiB of the body sent, with secrets redacted; null for none.
    request_body: Option<String>,
    outcome: Outcome,
    /// Why it was not delivered, in words; empty for a delivery.
    reason: String,
    error_kind: ErrorKind,
    /// Number of this attempt, from 1.
    attempt: u16,
    /// HTTP status answered; null where no answer came.
    response_code: Option<u16>,
    /// The first 4 KiB of the answer; null where there was none.
    response_body: Option<String>,
    /// When the attempt began.
    started_at: Time,
    /// From due to begun.
    queued_us: Microseconds,
    /// Looking the name up; 0 on a reused connection.
    dns_us: Microseconds,
    /// Connecting; 0 on a reused connection.
    connect_us: Microseconds,
    /// The TLS handshake; 0 on a reused connection and without TLS.
    tls_us: Microseconds,
    /// From begun to the head of the answer; null where none came.
    first_byte_us: Option<Microseconds>,
    /// From begun to the end of the answer.
    total_us: Microseconds,
    /// The address the request went to; null where none was reached.
    peer_ip: Option<String>,
    /// `1.1` or `2`; null where nothing was sent.
    http_version: Option<String>,
    /// Whether it tells of a test conversion.
    is_test: bool,
    #[graphql(skip)]
    of_delivery: Uuid,
    #[graphql(skip)]
    of_lead: Option<Uuid>,
    #[graphql(skip)]
    together: Arc<Attempts>,
}

#[ComplexObject]
impl PostbackAttempt {
    /// Null where the caller may not list the offer, like the names that follow.
    async fn offer_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Offer, &self.offer_id).await
    }

    async fn partner_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Partner, &self.partner_id).await
    }

    async fn advertiser_name(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Advertiser, &self.advertiser_id).await
    }

    /// The host its URL goes to; null for the postbacks of others.
    async fn postback_host(&self, ctx: &Context<'_>) -> Result<Option<String>, Failure> {
        self.together.names().name(ctx, Named::Postback, &self.postback_id).await
    }

    /// What the attempt is one of; null once the history has let it go.
    #[graphql(complexity = "beside_cost(child_complexity)")]
    async fn delivery(&self, ctx: &Context<'_>) -> Result<Option<Delivery>, Failure> {
        self.together.delivery(ctx, self.of_delivery).await
    }

    /// The conversion it tells of, as it stands now; null where it tells of none.
    #[graphql(complexity = "beside_cost(child_complexity)")]
    async fn conversion(&self, ctx: &Context<'_>) -> Result<Option<Conversion>, Failure> {
        self.together.conversion(ctx, self.of_lead).await
    }
}

impl PostbackAttempt {
    /// As the scope of the rows it was read with sees it.
    pub fn of(record: AttemptRecord, together: &Arc<Attempts>) -> Self {
        let sees_payout = together.scope().sees_payouts();
        Self {
            attempt_id: record.attempt_id.into(),
            delivery_id: record.delivery_id.into(),
            postback_id: record.postback_id.into(),
            owner: record.owner,
            partner_id: record.partner_id.into(),
            advertiser_id: record.advertiser_id.into(),
            offer_id: record.offer_id.into(),
            link_id: record.link_id.into(),
            lead_id: record.lead_id.map(ID::from),
            click_id: record.click_id.into(),
            txid: record.txid,
            action: record.action,
            event: record.event.into(),
            status: record.status.map(ConversionStatus::from),
            amount: amount_of_millionths(record.amount, &record.currency),
            currency: filled(record.currency),
            payout: amount_of_millionths(record.payout, &record.payout_currency).filter(|_| sees_payout),
            payout_currency: filled(record.payout_currency).filter(|_| sees_payout),
            country: filled(record.country),
            device: filled(record.device),
            method: record.method,
            url: record.url,
            request_headers: filled(record.request_headers),
            request_body: filled(record.request_body),
            outcome: record.outcome.into(),
            reason: record.reason,
            error_kind: record.error_kind.into(),
            attempt: record.attempt,
            response_code: (record.response_code > 0).then_some(record.response_code),
            response_body: filled(record.response_body),
            started_at: record.started_at.into(),
            queued_us: Microseconds(record.queued_us),
            dns_us: Microseconds(record.dns_us),
            connect_us: Microseconds(record.connect_us),
            tls_us: Microseconds(record.tls_us),
            first_byte_us: (record.first_byte_us > 0).then_some(Microseconds(record.first_byte_us)),
            total_us: Microseconds(record.total_us),
            peer_ip: filled(record.peer_ip),
            http_version: filled(record.http_version),
            is_test: record.is_test,
            of_delivery: record.delivery_id,
            of_lead: record.lead_id,
            together: together.clone(),
        }
    }
}
