//! The filter of the attempts log, as flags.

use clap::Args;
use serde_json::{Map, Value, json};

use super::constant;

#[derive(Debug, Args)]
pub struct LogFilter {
    /// What attempts came to: delivered, retrying, failed or skipped; separated by commas.
    #[arg(long = "outcome", value_name = "OUTCOMES", value_delimiter = ',', value_parser = constant)]
    outcomes: Vec<String>,
    /// Statuses of the conversions: hold, approved, rejected.
    #[arg(long = "status", value_name = "STATUSES", value_delimiter = ',', value_parser = constant)]
    statuses: Vec<String>,
    /// Events, such as sale,approve.
    #[arg(long = "event", value_name = "EVENTS", value_delimiter = ',', value_parser = constant)]
    events: Vec<String>,
    /// What went wrong: dns, connect, tls, timeout, reset, status, redirect, …
    #[arg(long = "error-kind", value_name = "KINDS", value_delimiter = ',', value_parser = constant)]
    error_kinds: Vec<String>,
    /// HTTP status codes that were answered.
    #[arg(long = "response-code", value_name = "CODES", value_delimiter = ',')]
    response_codes: Vec<u16>,
    /// Ids of postbacks.
    #[arg(long = "postback", value_name = "IDS", value_delimiter = ',')]
    postback_ids: Vec<String>,
    /// Ids of offers.
    #[arg(long = "offer", value_name = "IDS", value_delimiter = ',')]
    offer_ids: Vec<String>,
    /// Ids of partners.
    #[arg(long = "partner", value_name = "IDS", value_delimiter = ',')]
    partner_ids: Vec<String>,
    /// Ids of advertisers.
    #[arg(long = "advertiser", value_name = "IDS", value_delimiter = ',')]
    advertiser_ids: Vec<String>,
    /// Id of the conversion.
    #[arg(long = "lead", value_name = "ID")]
    lead_id: Option<String>,
    /// Our click id.
    #[arg(long = "click", value_name = "ID")]
    click_id: Option<String>,
    /// Transaction id, exactly.
    #[arg(long)]
    txid: Option<String>,
    /// Attempts begun at this time or later, such as 2026-11-21T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Attempts begun before this time.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Those of test conversions too.
    #[arg(long)]
    include_tests: bool,
}

impl LogFilter {
    /// The fields that are set.
    pub fn value(&self) -> Map<String, Value> {
        let fields = [
            ("outcomes", json!(self.outcomes)),
            ("statuses", json!(self.statuses)),
            ("events", json!(self.events)),
            ("errorKinds", json!(self.error_kinds)),
            ("responseCodes", json!(self.response_codes)),
            ("postbackIds", json!(self.postback_ids)),
            ("offerIds", json!(self.offer_ids)),
            ("partnerIds", json!(self.partner_ids)),
            ("advertiserIds", json!(self.advertiser_ids)),
            ("leadId", json!(self.lead_id)),
            ("clickId", json!(self.click_id)),
            ("txid", json!(self.txid)),
            ("from", json!(self.from)),
            ("to", json!(self.to)),
            ("includeTests", if self.include_tests { json!(true) } else { Value::Null }),
        ];
        let is_set = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
        fields
            .into_iter()
            .filter(|(_, value)| is_set(value))
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}
