//! One struct a table; fields bear the names of columns, and a test holds them to it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::domain::click::Click;
use crate::domain::event::Event;
use crate::domain::facts::EventFacts;
use crate::domain::money::Currency;
use crate::domain::status::Status;

/// The tables of the log, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Log {
    Attempts,
    InboundRequests,
    Clicks,
    ConversionEvents,
}

impl Log {
    pub const ALL: [Self; 4] = [Self::Attempts, Self::InboundRequests, Self::Clicks, Self::ConversionEvents];

    pub const fn table(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::InboundRequests => "inbound_requests",
            Self::Clicks => "clicks",
            Self::ConversionEvents => "conversion_events",
        }
    }

    /// The column that the table is sorted by.
    pub fn time_column(self) -> &'static str {
        match self {
            Self::Attempts => "started_at",
            Self::InboundRequests => "received_at",
            Self::Clicks => "clicked_at",
            Self::ConversionEvents => "recorded_at",
        }
    }

    pub fn from_table(table: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|log| log.table() == table)
    }
}

/// A row of one log.
pub trait LogRow: Serialize {
    const LOG: Log;
}

#[derive(Debug, Clone, Serialize)]
pub struct AttemptRow {
    pub attempt_id: Uuid,
    pub delivery_id: Uuid,
    pub postback_id: Uuid,
    pub owner: &'static str,
    pub partner_id: Uuid,
    pub advertiser_id: Uuid,
    pub offer_id: Uuid,
    pub link_id: Uuid,
    pub lead_id: Option<Uuid>,
    pub click_id: Uuid,
    pub txid: String,
    pub action: String,
    pub event: &'static str,
    pub status: &'static str,
    pub amount: Option<Decimal>,
    pub currency: &'static str,
    pub payout: Option<Decimal>,
    pub payout_currency: &'static str,
    pub country: String,
    pub device: String,
    pub method: &'static str,
    pub url: String,
    pub request_headers: String,
    pub request_body: String,
    pub outcome: &'static str,
    pub reason: String,
    pub error_kind: &'static str,
    pub attempt: u32,
    pub response_code: u16,
    pub response_body: String,
    #[serde(serialize_with = "clickhouse_time")]
    pub started_at: DateTime<Utc>,
    pub queued_us: u64,
    pub dns_us: u64,
    pub connect_us: u64,
    pub tls_us: u64,
    pub first_byte_us: u64,
    pub total_us: u64,
    pub peer_ip: String,
    pub http_version: &'static str,
    pub is_test: bool,
    pub node_id: Uuid,
}

impl LogRow for AttemptRow {
    const LOG: Log = Log::Attempts;
}

#[derive(Debug, Clone, Serialize)]
pub struct InboundRow {
    pub inbound_id: Uuid,
    #[serde(serialize_with = "clickhouse_time")]
    pub received_at: DateTime<Utc>,
    pub door: &'static str,
    pub method: String,
    pub source_ip: String,
    pub advertiser_id: Option<Uuid>,
    pub offer_id: Option<Uuid>,
    pub partner_id: Option<Uuid>,
    pub request_id: String,
    pub click_id: String,
    pub lead_id: Option<Uuid>,
    pub parameters: String,
    pub verdict: &'static str,
    pub http_status: u16,
    pub reason_code: &'static str,
    pub reason: String,
    pub answer: String,
    pub is_test: bool,
    pub node_id: Uuid,
    pub integration_id: Option<Uuid>,
    pub origin_id: Option<Uuid>,
}

impl LogRow for InboundRow {
    const LOG: Log = Log::InboundRequests;
}

#[derive(Debug, Clone, Serialize)]
pub struct ClickRow<'a> {
    pub click_id: Uuid,
    #[serde(serialize_with = "clickhouse_time")]
    pub clicked_at: DateTime<Utc>,
    pub link_id: Uuid,
    pub offer_id: Uuid,
    pub partner_id: Uuid,
    pub advertiser_id: Uuid,
    pub partner_clickid: &'a str,
    pub subs: &'a [String; 5],
    pub ip: &'a str,
    pub user_agent: &'a str,
    pub referrer: &'a str,
    pub country: &'a str,
    pub device: &'a str,
    pub parameters: &'a BTreeMap<String, String>,
}

impl LogRow for ClickRow<'_> {
    const LOG: Log = Log::Clicks;
}

impl<'a> From<&'a Click> for ClickRow<'a> {
    fn from(click: &'a Click) -> Self {
        Self {
            click_id: click.click_id.0,
            clicked_at: click.clicked_at,
            link_id: click.link_id.0,
            offer_id: click.offer_id.0,
            partner_id: click.partner_id.0,
            advertiser_id: click.advertiser_id.0,
            partner_clickid: &click.partner_clickid,
            subs: &click.subs,
            ip: &click.ip,
            user_agent: &click.user_agent,
            referrer: &click.referrer,
            country: &click.country,
            device: &click.device,
            parameters: &click.parameters,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct ConversionEventRow<'a> {
    pub change_id: Uuid,
    pub event: &'static str,
    #[serde(serialize_with = "clickhouse_time")]
    pub recorded_at: DateTime<Utc>,
    #[serde(serialize_with = "clickhouse_time")]
    pub occurred_at: DateTime<Utc>,
    pub lead_id: Option<Uuid>,
    pub customer_id: &'a str,
    pub request_id: &'a str,
    pub click_id: Uuid,
    pub advertiser_id: Uuid,
    pub offer_id: Uuid,
    pub partner_id: Uuid,
    pub link_id: Uuid,
    pub action: &'a str,
    pub status_from: &'static str,
    pub status: &'static str,
    pub amount: Option<Decimal>,
    pub currency: &'static str,
    pub payout: Option<Decimal>,
    pub payout_currency: &'static str,
    pub country: &'a str,
    pub device: &'a str,
    pub is_test: bool,
}

impl LogRow for ConversionEventRow<'_> {
    const LOG: Log = Log::ConversionEvents;
}

impl<'a> ConversionEventRow<'a> {
    pub fn of(
        facts: &'a EventFacts,
        event: Event,
        status_from: Option<Status>,
        recorded_at: DateTime<Utc>,
    ) -> Self {
        Self {
            change_id: facts.change_id.0,
            event: event.code(),
            recorded_at,
            occurred_at: facts.occurred_at,
            lead_id: facts.lead_id.map(|id| id.0),
            customer_id: &facts.customer_id,
            request_id: &facts.request_id,
            click_id: facts.click_id.0,
            advertiser_id: facts.advertiser_id.0,
            offer_id: facts.offer_id.0,
            partner_id: facts.partner_id.0,
            link_id: facts.link_id.0,
            action: &facts.action,
            status_from: status_from.map_or("", Status::code),
            status: facts.status.map_or("", Status::code),
            amount: facts.amount,
            currency: facts.currency.map_or("", Currency::code),
            payout: facts.payout,
            payout_currency: facts.payout_currency.map_or("", Currency::code),
            country: &facts.country,
            device: &facts.device,
            is_test: facts.is_test,
        }
    }
}

/// `DateTime64(6)` as ClickHouse's JSON reads it.
fn clickhouse_time<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.format("%Y-%m-%d %H:%M:%S%.6f"))
}

/// Rows of one log as they wait in PostgreSQL: an LZ4 block of JSONEachRow.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    pub log: Log,
    pub row_count: usize,
    pub payload: Vec<u8>,
}

/// Encodes rows; `None` where there are none.
pub fn encode<R: LogRow>(rows: impl IntoIterator<Item = R>) -> Option<EncodedBatch> {
    let mut lines = Vec::new();
    let mut row_count = 0;
    for row in rows {
        serde_json::to_writer(&mut lines, &row).expect("log rows hold nothing JSON cannot");
        lines.push(b'\n');
        row_count += 1;
    }
    let batch = || EncodedBatch { log: R::LOG, row_count, payload: lz4_flex::compress_prepend_size(&lines) };
    (row_count > 0).then(batch)
}

/// The lines of a batch, or why its payload is broken.
pub fn decode(payload: &[u8]) -> Result<Vec<u8>, lz4_flex::block::DecompressError> {
    lz4_flex::decompress_size_prepended(payload)
}
