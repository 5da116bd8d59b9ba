//! Inbound requests: what advertisers sent, and what they were told.

use chrono::{DateTime, Utc};
use clickhouse::Row;
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use super::TestRows;
use super::fetch::fetch_optional;
use super::search::{Search, Table, code};
use crate::domain::verdict::VerdictKind;
use crate::event_log::EventLog;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

const TABLE: Table = Table { name: "inbound_requests", time_column: "received_at", id_column: "inbound_id" };

/// Which requests; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct InboundFilter {
    pub verdicts: Vec<VerdictKind>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub request_id: Option<String>,
    /// As it was sent: ours or the partner's own.
    pub click_id: Option<String>,
    pub lead_id: Option<Uuid>,
    pub integration_ids: Vec<Uuid>,
    pub doors: Vec<String>,
    /// Machine-readable reasons, exactly.
    pub reason_codes: Vec<String>,
    pub http_statuses: Vec<u16>,
    pub source_ip: Option<String>,
    /// A request, click, lead or row by its id.
    pub search: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    pub tests: TestRows,
}

/// A row of `inbound_requests`; fields bear the names of its columns.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct InboundRecord {
    #[serde(with = "clickhouse::serde::uuid")]
    pub inbound_id: Uuid,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    pub received_at: DateTime<Utc>,
    pub door: String,
    pub method: String,
    pub source_ip: String,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub advertiser_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub offer_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub partner_id: Option<Uuid>,
    pub request_id: String,
    pub click_id: String,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub lead_id: Option<Uuid>,
    pub parameters: String,
    #[serde(deserialize_with = "verdict")]
    pub verdict: VerdictKind,
    pub http_status: u16,
    pub reason_code: String,
    pub reason: String,
    pub answer: String,
    pub is_test: bool,
}

impl Positioned for InboundRecord {
    fn position(&self) -> Position {
        Position { time: self.received_at, id: self.inbound_id }
    }
}

/// Requests in scope, newest first. They are the advertiser's affair: a partner sees none, and
/// those with a key that is nobody's are for who sees everything.
pub async fn inbound_requests(
    log: &EventLog,
    scope: Scope,
    filter: &InboundFilter,
    request: &PageRequest,
) -> Result<Page<InboundRecord>, clickhouse::error::Error> {
    match search_of(scope, filter) {
        Some(search) => search.page(log, request).await,
        None => Ok(Page::empty()),
    }
}

/// The search for requests in scope, by a filter; `None` where the scope holds no request at all.
pub(super) fn search_of(scope: Scope, filter: &InboundFilter) -> Option<Search> {
    let mut search = Search::of(TABLE);
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.scope_id_is("advertiser_id", id.0),
        Scope::Partner(_) => return None,
    }
    search.code_in("verdict", filter.verdicts.iter().map(|item| item.code()));
    search.id_in("offer_id", &filter.offer_ids);
    search.id_in("partner_id", &filter.partner_ids);
    search.id_in("advertiser_id", &filter.advertiser_ids);
    search.text_is("request_id", filter.request_id.as_deref());
    search.text_is("click_id", filter.click_id.as_deref());
    search.id_is("lead_id", filter.lead_id);
    search.id_in("integration_id", &filter.integration_ids);
    search.text_in("door", &filter.doors);
    search.text_in("reason_code", &filter.reason_codes);
    search.number_in("http_status", &filter.http_statuses);
    search.text_is("source_ip", filter.source_ip.as_deref());
    search.finds(&["lead_id", "inbound_id"], &["request_id", "click_id"], filter.search.as_deref());
    search.between(filter.from, filter.to);
    search.tests(filter.tests);
    Some(search)
}

/// A request as it was received: what processing it again needs.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct StoredRequest {
    #[serde(with = "clickhouse::serde::uuid")]
    pub inbound_id: Uuid,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    pub received_at: DateTime<Utc>,
    pub door: String,
    pub method: String,
    pub source_ip: String,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub advertiser_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub offer_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub integration_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub origin_id: Option<Uuid>,
    /// JSON `[[name, value], …]`, secrets redacted.
    pub parameters: String,
}

/// One request by its id, if it is in scope.
pub async fn stored_request(
    log: &EventLog,
    scope: Scope,
    inbound_id: Uuid,
) -> Result<Option<StoredRequest>, clickhouse::error::Error> {
    let found = log
        .client()
        .query(
            "SELECT ?fields FROM inbound_requests
             WHERE inbound_id = toUUID(?) AND received_at BETWEEN toDateTime(?) AND toDateTime(?) LIMIT 1",
        )
        .bind(inbound_id.to_string());
    // Ids are UUIDv7 and the table is sorted by time, so the id's own time finds its row without
    // reading the rest. Clocks of one node do not differ by a minute from one line to the next.
    let seconds = inbound_id.get_timestamp().map_or(0, |time| time.to_unix().0.cast_signed());
    let found = found.bind(seconds - 60).bind(seconds + 60);
    let found = fetch_optional::<StoredRequest>(found).await?;
    Ok(found.filter(|request| match scope {
        Scope::Everything => true,
        Scope::Advertiser(id) => request.advertiser_id == Some(id.0),
        Scope::Partner(_) => false,
    }))
}

fn verdict<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VerdictKind, D::Error> {
    code(deserializer, VerdictKind::from_code)
}
