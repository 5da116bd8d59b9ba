//! The columns of each file.

use super::ExportFormat;
use crate::graphql::scope::Scope;

/// What a column holds, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Id,
    /// RFC 3339, UTC, microseconds; a timestamp in Parquet.
    Time,
    /// One of our own words.
    Code,
    /// Text that others wrote; null where empty.
    Text,
    /// A whole number.
    Number,
    /// A whole number whose 0 stands for none.
    NumberOrNone,
    /// Exact; a text in NDJSON, whose numbers many read as floats.
    Decimal,
    Flag,
    /// A map, as a JSON object in a text.
    Map,
}

/// One column of a file.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// The SQL it comes from.
    source: &'static str,
    pub kind: Kind,
    is_for_advertisers: bool,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, source: name, kind, is_for_advertisers: true }
}

const fn from(name: &'static str, source: &'static str, kind: Kind) -> Column {
    Column { name, source, kind, is_for_advertisers: true }
}

impl Column {
    /// How a partner runs its traffic is not the advertiser's to export, nor what the partner gets: as
    /// in the API.
    const fn not_for_advertisers(self) -> Self {
        Self { is_for_advertisers: false, ..self }
    }

    pub fn is_for(&self, scope: Scope) -> bool {
        self.is_for_advertisers || !matches!(scope, Scope::Advertiser(_))
    }

    /// Its expression and name in the statement.
    pub fn select(&self, format: ExportFormat) -> String {
        let Self { name, source, kind, .. } = self;
        let expression = match (kind, format) {
            (Kind::Id, _) => format!("toString({source})"),
            (Kind::Time, ExportFormat::Parquet) => (*source).to_owned(),
            (Kind::Time, _) => format!("formatDateTime({source}, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC')"),
            (Kind::Code, _) => format!("nullIf(toString({source}), '')"),
            (Kind::Text, ExportFormat::Csv) => guarded(source),
            (Kind::Text, _) => format!("nullIf(toString({source}), '')"),
            (Kind::Number, _) | (Kind::Flag, _) => (*source).to_owned(),
            (Kind::NumberOrNone, _) => format!("nullIf({source}, 0)"),
            (Kind::Decimal, ExportFormat::Ndjson) => format!("toString({source})"),
            (Kind::Decimal, _) => (*source).to_owned(),
            (Kind::Map, ExportFormat::Csv) => guarded(&format!("toJSONString({source})")),
            (Kind::Map, _) => format!("toJSONString({source})"),
        };
        format!("{expression} AS `{name}`")
    }
}

/// Text as a spreadsheet will not run it: what begins like a formula and is no number gets an
/// apostrophe before it. (No question mark may stand here: the client would bind it.)
fn guarded(source: &str) -> String {
    let text = format!("toString({source})");
    format!(
        "nullIf(if(match({text}, '^[=+\\\\-@\\\\t\\\\r\\\\n]') AND NOT match({text}, '^([+-]|)[0-9]+([.][0-9]+|)$'), \
         concat(char(39), {text}), {text}), '')"
    )
}

pub const POSTBACK_LOG: &[Column] = &[
    column("attempt_id", Kind::Id),
    column("delivery_id", Kind::Id),
    column("postback_id", Kind::Id),
    column("owner", Kind::Code),
    column("partner_id", Kind::Id),
    column("advertiser_id", Kind::Id),
    column("offer_id", Kind::Id),
    column("link_id", Kind::Id),
    column("lead_id", Kind::Id),
    column("click_id", Kind::Id),
    column("txid", Kind::Text),
    column("action", Kind::Text),
    column("event", Kind::Code),
    column("status", Kind::Code),
    column("amount", Kind::Decimal),
    column("currency", Kind::Code),
    column("payout", Kind::Decimal).not_for_advertisers(),
    column("payout_currency", Kind::Code).not_for_advertisers(),
    column("country", Kind::Text),
    column("device", Kind::Code),
    column("method", Kind::Code),
    column("url", Kind::Text),
    column("request_headers", Kind::Text),
    column("request_body", Kind::Text),
    column("outcome", Kind::Code),
    column("reason", Kind::Text),
    column("error_kind", Kind::Code),
    column("attempt", Kind::Number),
    column("response_code", Kind::NumberOrNone),
    column("response_body", Kind::Text),
    column("started_at", Kind::Time),
    column("queued_us", Kind::Number),
    column("dns_us", Kind::Number),
    column("connect_us", Kind::Number),
    column("tls_us", Kind::Number),
    column("first_byte_us", Kind::NumberOrNone),
    column("total_us", Kind::Number),
    column("peer_ip", Kind::Text),
    column("http_version", Kind::Code),
    column("is_test", Kind::Flag),
];

pub const INBOUND_LOG: &[Column] = &[
    column("inbound_id", Kind::Id),
    column("received_at", Kind::Time),
    column("door", Kind::Code),
    column("method", Kind::Text),
    column("source_ip", Kind::Text),
    column("advertiser_id", Kind::Id),
    column("offer_id", Kind::Id),
    column("partner_id", Kind::Id),
    column("request_id", Kind::Text),
    column("click_id", Kind::Text),
    column("lead_id", Kind::Id),
    column("parameters", Kind::Text),
    column("verdict", Kind::Code),
    column("http_status", Kind::Number),
    column("reason_code", Kind::Code),
    column("reason", Kind::Text),
    column("answer", Kind::Text),
    column("is_test", Kind::Flag),
];

pub const CLICKS: &[Column] = &[
    column("click_id", Kind::Id),
    column("clicked_at", Kind::Time),
    column("link_id", Kind::Id),
    column("offer_id", Kind::Id),
    column("partner_id", Kind::Id),
    column("advertiser_id", Kind::Id),
    column("partner_clickid", Kind::Text).not_for_advertisers(),
    from("sub1", "subs[1]", Kind::Text).not_for_advertisers(),
    from("sub2", "subs[2]", Kind::Text).not_for_advertisers(),
    from("sub3", "subs[3]", Kind::Text).not_for_advertisers(),
    from("sub4", "subs[4]", Kind::Text).not_for_advertisers(),
    from("sub5", "subs[5]", Kind::Text).not_for_advertisers(),
    column("ip", Kind::Text),
    column("user_agent", Kind::Text),
    column("referrer", Kind::Text).not_for_advertisers(),
    column("country", Kind::Text),
    column("device", Kind::Code),
    column("parameters", Kind::Map).not_for_advertisers(),
];

pub const CONVERSION_EVENTS: &[Column] = &[
    column("change_id", Kind::Id),
    column("event", Kind::Code),
    column("recorded_at", Kind::Time),
    column("occurred_at", Kind::Time),
    column("lead_id", Kind::Id),
    column("customer_id", Kind::Text),
    column("request_id", Kind::Text),
    column("click_id", Kind::Id),
    column("advertiser_id", Kind::Id),
    column("offer_id", Kind::Id),
    column("partner_id", Kind::Id),
    column("link_id", Kind::Id),
    column("action", Kind::Text),
    column("status_from", Kind::Code),
    column("status", Kind::Code),
    column("amount", Kind::Decimal),
    column("currency", Kind::Code),
    column("payout", Kind::Decimal).not_for_advertisers(),
    column("payout_currency", Kind::Code).not_for_advertisers(),
    column("country", Kind::Text),
    column("device", Kind::Code),
    column("is_test", Kind::Flag),
];

pub const CONVERSIONS: &[Column] = &[
    column("lead_id", Kind::Id),
    column("advertiser_id", Kind::Id),
    column("offer_id", Kind::Id),
    column("partner_id", Kind::Id),
    column("link_id", Kind::Id),
    column("click_id", Kind::Id),
    column("request_id", Kind::Text),
    column("customer_id", Kind::Text),
    column("action", Kind::Text),
    column("status", Kind::Code),
    column("amount", Kind::Decimal),
    column("currency", Kind::Code),
    column("payout", Kind::Decimal).not_for_advertisers(),
    column("payout_currency", Kind::Code).not_for_advertisers(),
    column("comment", Kind::Text),
    column("is_test", Kind::Flag),
    column("created_at", Kind::Time),
    column("updated_at", Kind::Time),
];
