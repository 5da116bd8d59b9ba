//! Whole logs as files: which columns, in what shape, streamed as ClickHouse writes them.
//!
//! The columns stand here by name: what is added to a table is exported only once it is written
//! down here, so that nothing slips out unseen.

mod columns;

use actix_web::web::Bytes;
use clickhouse::query::BytesCursor;

use super::TestRows;
use super::attempts::{self, AttemptFilter};
use super::fetch::{begin_bytes, fetch_one};
use super::inbound::{self, InboundFilter};
use super::search::{Search, Table};
use crate::domain::coded::coded_enum;
use crate::domain::event::Event;
use crate::domain::status::Status;
use crate::event_log::EventLog;
use crate::graphql::scope::Scope;
use chrono::{DateTime, Utc};
use uuid::Uuid;

pub use columns::{Column, Kind};

coded_enum! {
    /// A file's format.
    ExportFormat {
        /// A comma, a line for the names, RFC 4180.
        Csv = "csv",
        /// A JSON object a line.
        Ndjson = "ndjson",
        Parquet = "parquet",
    }
}

coded_enum! {
    /// What can be exported, by the name in the address.
    Dataset {
        PostbackLog = "postback-log",
        InboundLog = "inbound-log",
        Clicks = "clicks",
        ConversionEvents = "conversion-events",
    }
}

impl Dataset {
    /// The columns of the file, in their order.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Self::PostbackLog => columns::POSTBACK_LOG,
            Self::InboundLog => columns::INBOUND_LOG,
            Self::Clicks => columns::CLICKS,
            Self::ConversionEvents => columns::CONVERSION_EVENTS,
        }
    }

    fn order(self) -> &'static str {
        match self {
            Self::PostbackLog => "started_at, attempt_id",
            Self::InboundLog => "received_at, inbound_id",
            Self::Clicks => "clicked_at, click_id",
            Self::ConversionEvents => "recorded_at, change_id, event",
        }
    }
}

/// Which clicks or events; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct PlainFilter {
    /// Of conversion events only.
    pub events: Vec<Event>,
    /// Of conversion events only.
    pub statuses: Vec<Status>,
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub click_id: Option<Uuid>,
    /// Of conversion events only.
    pub lead_id: Option<Uuid>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
    /// Of conversion events only; clicks are never tests.
    pub tests: TestRows,
}

/// What is exported.
#[derive(Debug, Clone)]
pub enum Export {
    PostbackLog(AttemptFilter),
    InboundLog(InboundFilter),
    Clicks(PlainFilter),
    ConversionEvents(PlainFilter),
}

impl Export {
    pub fn dataset(&self) -> Dataset {
        match self {
            Self::PostbackLog(_) => Dataset::PostbackLog,
            Self::InboundLog(_) => Dataset::InboundLog,
            Self::Clicks(_) => Dataset::Clicks,
            Self::ConversionEvents(_) => Dataset::ConversionEvents,
        }
    }

    fn search(&self, scope: Scope) -> Search {
        match self {
            Self::PostbackLog(filter) => attempts::search_of(scope, filter),
            Self::InboundLog(filter) => inbound::search_of(scope, filter).unwrap_or_else(|| {
                // A file of no rows, with its names.
                let mut nothing = Search::of(INBOUND);
                nothing.where_is("advertiser_id", "false");
                nothing
            }),
            Self::Clicks(filter) => plain(CLICKS, scope, filter),
            Self::ConversionEvents(filter) => {
                let mut search = plain(EVENTS, scope, filter);
                search.code_in("event", filter.events.iter().map(|item| item.code()));
                search.code_in("status", filter.statuses.iter().map(|item| item.code()));
                search.id_is("lead_id", filter.lead_id);
                search.tests(filter.tests);
                search
            }
        }
    }
}

const INBOUND: Table =
    Table { name: "inbound_requests", time_column: "received_at", id_column: "inbound_id" };
const CLICKS: Table = Table { name: "clicks", time_column: "clicked_at", id_column: "click_id" };
const EVENTS: Table = Table { name: "conversion_events", time_column: "recorded_at", id_column: "change_id" };

/// An advertiser's are those of its offers, a partner's those of its links.
fn plain(table: Table, scope: Scope, filter: &PlainFilter) -> Search {
    let mut search = Search::of(table);
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => search.scope_id_is("advertiser_id", id.0),
        Scope::Partner(id) => search.scope_id_is("partner_id", id.0),
    }
    search.id_in("offer_id", &filter.offer_ids);
    search.id_in("partner_id", &filter.partner_ids);
    search.id_in("advertiser_id", &filter.advertiser_ids);
    search.id_is("click_id", filter.click_id);
    search.between(filter.from, filter.to);
    search
}

/// How many rows the export will have, as of now.
pub async fn count(log: &EventLog, scope: Scope, export: &Export) -> Result<u64, clickhouse::error::Error> {
    fetch_one::<u64>(export.search(scope).statement(log, "SELECT count()", "")).await
}

/// The file, oldest rows first, as ClickHouse writes it: its beginning, and the rest. Memory is bounded here by what the connection
/// reads ahead, and there by the settings below, whatever the number of rows.
pub async fn export(
    log: &EventLog,
    scope: Scope,
    export: &Export,
    format: ExportFormat,
) -> Result<(Option<Bytes>, BytesCursor), clickhouse::error::Error> {
    let dataset = export.dataset();
    let columns: Vec<String> = dataset
        .columns()
        .iter()
        .filter(|column| column.is_for(scope))
        .map(|column| column.select(format))
        .collect();
    // The aliases bear names of columns; the conditions and the order mean the columns.
    let query = export
        .search(scope)
        .statement(log, &format!("SELECT {}", columns.join(", ")), &format!(" ORDER BY {}", dataset.order()))
        .with_setting("prefer_column_name_to_alias", "1")
        // As long as it takes: who reads slowly is cut off at the door.
        .with_setting("max_execution_time", "0")
        .with_setting("cancel_http_readonly_queries_on_client_close", "1")
        .with_setting("max_threads", "2")
        .with_setting("max_block_size", "8192")
        .with_setting("max_bytes_before_external_sort", "268435456")
        .with_setting("max_bytes_ratio_before_external_sort", "0")
        .with_setting("output_format_json_quote_64bit_integers", "0")
        .with_setting("output_format_json_escape_forward_slashes", "0")
        .with_setting("format_csv_null_representation", "")
        .with_setting("output_format_csv_crlf_end_of_line", "0")
        .with_setting("output_format_parquet_row_group_size", "50000")
        .with_setting("output_format_parquet_row_group_size_bytes", "67108864")
        .with_setting("output_format_parquet_string_as_string", "1")
        .with_setting("output_format_parquet_compression_method", "zstd")
        .with_setting("http_write_exception_in_output_format", "0");
    let format = match format {
        ExportFormat::Csv => "CSVWithNames",
        ExportFormat::Ndjson => "JSONEachRow",
        ExportFormat::Parquet => "Parquet",
    };
    begin_bytes(query, format).await
}
