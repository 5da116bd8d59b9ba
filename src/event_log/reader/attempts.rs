//! Delivery attempts: the log of postbacks.

use chrono::{DateTime, NaiveDateTime, Utc};
use clickhouse::Row;
use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::TestRows;
use super::fetch::fetch_all;
use super::search::{Search, Table, code};
use crate::domain::device::Device;
use crate::domain::event::Event;
use crate::domain::retry::{ErrorKind, Outcome};
use crate::domain::status::Status;
use crate::event_log::EventLog;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

const TABLE: Table = Table { name: "attempts", time_column: "started_at", id_column: "attempt_id" };

/// Which attempts; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptFilter {
    pub statuses: Vec<Status>,
    pub outcomes: Vec<Outcome>,
    pub events: Vec<Event>,
    pub error_kinds: Vec<ErrorKind>,
    pub response_codes: Vec<u16>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub postback_ids: Vec<Uuid>,
    pub delivery_id: Option<Uuid>,
    pub lead_id: Option<Uuid>,
    pub click_id: Option<Uuid>,
    pub txid: Option<String>,
    pub attempt_at_least: Option<u64>,
    pub attempt_at_most: Option<u64>,
    pub total_us_at_least: Option<u64>,
    pub total_us_at_most: Option<u64>,
    pub link_ids: Vec<Uuid>,
    /// Names, exactly.
    pub actions: Vec<String>,
    /// Upper case.
    pub countries: Vec<String>,
    pub devices: Vec<Device>,
    /// A lead, click, delivery, attempt, request or transaction by its id.
    pub search: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    pub tests: TestRows,
}

/// A row of `attempts`; fields bear the names of its columns. It is read from ClickHouse, and by the
/// live tail from the JSON lines on their way there.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct AttemptRecord {
    #[serde(with = "clickhouse::serde::uuid")]
    pub attempt_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub delivery_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub postback_id: Uuid,
    pub owner: String,
    #[serde(with = "clickhouse::serde::uuid")]
    pub partner_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub advertiser_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub offer_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub link_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid::option")]
    pub lead_id: Option<Uuid>,
    #[serde(with = "clickhouse::serde::uuid")]
    pub click_id: Uuid,
    pub txid: String,
    pub action: String,
    #[serde(deserialize_with = "event")]
    pub event: Event,
    /// `None` for events of a recurring customer.
    #[serde(deserialize_with = "status")]
    pub status: Option<Status>,
    /// In millionths, as ClickHouse's `Decimal(38, 6)` is sent.
    #[serde(deserialize_with = "millionths")]
    pub amount: Option<i128>,
    pub currency: String,
    /// In millionths.
    #[serde(deserialize_with = "millionths")]
    pub payout: Option<i128>,
    pub payout_currency: String,
    pub country: String,
    pub device: String,
    pub method: String,
    pub url: String,
    pub request_headers: String,
    pub request_body: String,
    #[serde(deserialize_with = "outcome")]
    pub outcome: Outcome,
    pub reason: String,
    #[serde(deserialize_with = "error_kind")]
    pub error_kind: ErrorKind,
    pub attempt: u16,
    /// 0 where no answer came.
    pub response_code: u16,
    pub response_body: String,
    #[serde(deserialize_with = "time")]
    pub started_at: DateTime<Utc>,
    pub queued_us: u64,
    pub dns_us: u64,
    pub connect_us: u64,
    pub tls_us: u64,
    pub first_byte_us: u64,
    pub total_us: u64,
    pub peer_ip: String,
    pub http_version: String,
    pub is_test: bool,
}

impl Positioned for AttemptRecord {
    fn position(&self) -> Position {
        Position { time: self.started_at, id: self.attempt_id }
    }
}

/// Attempts in scope, newest first. A partner or advertiser sees those of the postbacks it
/// configured itself; the platform's own are for who sees everything.
pub async fn attempts(
    log: &EventLog,
    scope: Scope,
    filter: &AttemptFilter,
    request: &PageRequest,
) -> Result<Page<AttemptRecord>, clickhouse::error::Error> {
    search_of(scope, filter).page(log, request).await
}

/// What attempts are the lines of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptsOf {
    Conversion,
    Delivery,
}

impl AttemptsOf {
    fn column(self) -> &'static str {
        match self {
            Self::Conversion => "lead_id",
            Self::Delivery => "delivery_id",
        }
    }

    /// The id of what a row is a line of.
    pub fn id(self, row: &AttemptRecord) -> Option<Uuid> {
        match self {
            Self::Conversion => row.lead_id,
            Self::Delivery => Some(row.delivery_id),
        }
    }
}

/// The first `each` attempts in scope of each of `ids`, oldest first, tests included. None of them
/// begun before `since`, so what is older is not read.
pub async fn attempts_of(
    log: &EventLog,
    scope: Scope,
    of: AttemptsOf,
    ids: &[Uuid],
    since: DateTime<Utc>,
    each: usize,
) -> Result<Vec<AttemptRecord>, clickhouse::error::Error> {
    let mut search = search_of(scope, &AttemptFilter::default());
    search.id_in(of.column(), ids);
    search.not_before(since);
    let rest = format!(" ORDER BY started_at, attempt_id LIMIT {each} BY {}", of.column());
    fetch_all(search.statement(log, "SELECT ?fields", &rest)).await
}

/// The search for attempts in scope, by a filter.
pub(super) fn search_of(scope: Scope, filter: &AttemptFilter) -> Search {
    let mut search = Search::of(TABLE);
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => {
            search.where_is("owner", "owner = 'advertiser'");
            search.scope_id_is("advertiser_id", id.0);
        }
        Scope::Partner(id) => {
            search.where_is("owner", "owner = 'partner'");
            search.scope_id_is("partner_id", id.0);
        }
    }
    let partners = match scope {
        Scope::Partner(id) => vec![id.0],
        Scope::Everything | Scope::Advertiser(_) => filter.partner_ids.clone(),
    };
    search.hint_at_pairs(&partners, &filter.offer_ids);
    search.code_in("status", filter.statuses.iter().map(|item| item.code()));
    search.code_in("outcome", filter.outcomes.iter().map(|item| item.code()));
    search.code_in("event", filter.events.iter().map(|item| item.code()));
    search.code_in("error_kind", filter.error_kinds.iter().map(|item| item.code()));
    search.number_in("response_code", &filter.response_codes);
    search.id_in("offer_id", &filter.offer_ids);
    search.id_in("partner_id", &filter.partner_ids);
    search.id_in("advertiser_id", &filter.advertiser_ids);
    search.id_in("postback_id", &filter.postback_ids);
    search.id_is("delivery_id", filter.delivery_id);
    search.id_is("lead_id", filter.lead_id);
    search.id_is("click_id", filter.click_id);
    search.text_is("txid", filter.txid.as_deref());
    search.at_least("attempt", filter.attempt_at_least);
    search.at_most("attempt", filter.attempt_at_most);
    search.at_least("total_us", filter.total_us_at_least);
    search.at_most("total_us", filter.total_us_at_most);
    search.id_in("link_id", &filter.link_ids);
    search.text_in("action", &filter.actions);
    search.text_in("country", &filter.countries);
    search.code_in("device", filter.devices.iter().map(|item| item.code()));
    search.finds(&["lead_id", "click_id", "delivery_id", "attempt_id"], &["txid"], filter.search.as_deref());
    search.between(filter.from, filter.to);
    search.tests(filter.tests);
    search
}

fn event<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Event, D::Error> {
    code(deserializer, Event::from_code)
}

fn outcome<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
    code(deserializer, Outcome::from_code)
}

fn error_kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ErrorKind, D::Error> {
    code(deserializer, ErrorKind::from_code)
}

fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Status>, D::Error> {
    code(deserializer, |text| if text.is_empty() { Some(None) } else { Status::from_code(text).map(Some) })
}

/// `Decimal(38, 6)` of ClickHouse, or its text in a JSON line.
fn millionths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i128>, D::Error> {
    if !deserializer.is_human_readable() {
        return Option::<i128>::deserialize(deserializer);
    }
    let Some(amount) = Option::<Decimal>::deserialize(deserializer)? else { return Ok(None) };
    let places = 10i128.pow(amount.scale().saturating_sub(6));
    let finer = 10i128.pow(6u32.saturating_sub(amount.scale()));
    amount
        .mantissa()
        .checked_mul(finer)
        .map(|mantissa| Some(mantissa / places))
        .ok_or_else(|| D::Error::custom(format!("{amount} is too large for the log")))
}

/// `DateTime64(6)` of ClickHouse, or its text in a JSON line.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    if !deserializer.is_human_readable() {
        return clickhouse::serde::chrono::datetime64::micros::deserialize(deserializer);
    }
    let text = String::deserialize(deserializer)?;
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f")
        .map(|time| time.and_utc())
        .map_err(|_| D::Error::custom(format!("{text:?} is no time of the log")))
}
