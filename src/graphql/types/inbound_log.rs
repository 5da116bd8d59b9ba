//! `inboundLog`: every conversion request received, and what it was told.

use std::sync::Arc;

use async_graphql::{ID, InputObject, SimpleObject};

use super::filled;
use crate::event_log::reader::{InboundFilter, InboundRecord};
use crate::graphql::enums::Verdict;
use crate::graphql::failure::Failure;
use crate::graphql::filter;
use crate::graphql::names::{Names, with_names};
use crate::graphql::scalars::Time;

/// Which requests. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
pub struct InboundLogFilter {
    verdicts: Option<Vec<Verdict>>,
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    /// The advertiser's own id of the request, exactly.
    request_id: Option<ID>,
    /// The click id as it was sent: ours or the partner's own.
    click_id: Option<ID>,
    lead_id: Option<ID>,
    integration_ids: Option<Vec<ID>>,
    /// Which doors they came in by, such as `s2s`.
    doors: Option<Vec<String>>,
    /// Machine-readable reasons, such as `unknown_click`.
    reason_codes: Option<Vec<String>>,
    /// HTTP statuses they were answered with.
    http_statuses: Option<Vec<u16>>,
    /// IP address they came from, exactly.
    source_ip: Option<String>,
    /// Any id at hand, exactly: of a request, a click, a lead, or of the row itself.
    search: Option<String>,
    /// Received at this time or later.
    from: Option<Time>,
    /// Received before this time.
    to: Option<Time>,
    /// Only tests (true) or only real requests (false).
    is_test: Option<bool>,
}

impl InboundLogFilter {
    pub fn read(&self) -> Result<InboundFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        Ok(InboundFilter {
            verdicts: filter::codes(self.verdicts.as_deref()),
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            request_id: filter::text("requestId", self.request_id.as_ref().map(|id| id.as_str()))?,
            click_id: filter::text("clickId", self.click_id.as_ref().map(|id| id.as_str()))?,
            lead_id: filter::optional_uuid("leadId", self.lead_id.as_ref())?,
            integration_ids: filter::uuids("integrationIds", self.integration_ids.as_deref())?,
            doors: filter::texts("doors", self.doors.as_deref())?,
            reason_codes: filter::texts("reasonCodes", self.reason_codes.as_deref())?,
            http_statuses: self.http_statuses.clone().unwrap_or_default(),
            source_ip: filter::text("sourceIp", self.source_ip.as_deref())?,
            search: filter::sought(self.search.as_deref())?,
            from,
            to,
            tests: self.is_test.into(),
        })
    }
}

/// One request received at a conversion door, or one item of a batch.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct InboundRequest {
    inbound_id: ID,
    received_at: Time,
    /// Which door it came in by, such as `s2s`.
    door: String,
    /// HTTP method.
    method: String,
    /// IP address it came from.
    source_ip: String,
    /// Null where the key was nobody's.
    advertiser_id: Option<ID>,
    /// Null where no click was found.
    offer_id: Option<ID>,
    /// Null where no click was found.
    partner_id: Option<ID>,
    /// The advertiser's own id of the request; null where none was sent.
    request_id: Option<ID>,
    /// The click id as it was sent, ours or the partner's own; null where none was.
    click_id: Option<ID>,
    /// The conversion it made or found.
    lead_id: Option<ID>,
    /// Raw parameters as JSON: `[[name, value], …]`, with secrets redacted.
    parameters: String,
    verdict: Verdict,
    /// HTTP status it was answered with.
    http_status: u16,
    /// Machine-readable reason; null where all went well.
    reason_code: Option<String>,
    /// Why it was not accepted, in words; empty where all went well.
    reason: String,
    /// Body of the answer.
    answer: String,
    is_test: bool,
    #[graphql(skip)]
    names: Arc<Names>,
}

with_names!(InboundRequest {
    /// Null where the caller may not list the offer, like the names that follow.
    offer_name: Offer of offer_id,
    partner_name: Partner of partner_id,
    advertiser_name: Advertiser of advertiser_id,
});

impl InboundRequest {
    /// `names` are those of the rows it was read with.
    pub fn of(record: InboundRecord, names: &Arc<Names>) -> Self {
        Self {
            inbound_id: record.inbound_id.into(),
            received_at: record.received_at.into(),
            door: record.door,
            method: record.method,
            source_ip: record.source_ip,
            advertiser_id: record.advertiser_id.map(ID::from),
            offer_id: record.offer_id.map(ID::from),
            partner_id: record.partner_id.map(ID::from),
            request_id: filled(record.request_id).map(ID::from),
            click_id: filled(record.click_id).map(ID::from),
            lead_id: record.lead_id.map(ID::from),
            parameters: record.parameters,
            verdict: record.verdict.into(),
            http_status: record.http_status,
            reason_code: filled(record.reason_code),
            reason: record.reason,
            answer: record.answer,
            is_test: record.is_test,
            names: names.clone(),
        }
    }
}
