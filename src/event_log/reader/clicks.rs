//! Clicks: who came by which link, and with what.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::search::{Search, Table};
use crate::domain::device::Device;
use crate::event_log::EventLog;
use crate::graphql::paging::{Page, PageRequest, Position, Positioned};
use crate::graphql::scope::Scope;

const TABLE: Table = Table { name: "clicks", time_column: "clicked_at", id_column: "click_id" };

/// Which clicks; what is empty or `None` restricts nothing.
#[derive(Debug, Clone, Default)]
pub struct ClickFilter {
    pub offer_ids: Vec<Uuid>,
    pub partner_ids: Vec<Uuid>,
    pub advertiser_ids: Vec<Uuid>,
    pub link_ids: Vec<Uuid>,
    /// Upper case.
    pub countries: Vec<String>,
    pub devices: Vec<Device>,
    /// Only bots, or all but bots.
    pub is_bot: Option<bool>,
    pub click_id: Option<Uuid>,
    pub private: PrivateFilter,
    /// A click by our id.
    pub search: Option<String>,
    /// Inclusive.
    pub from: Option<DateTime<Utc>>,
    /// Exclusive.
    pub to: Option<DateTime<Utc>>,
}

/// What only the partner and the owner may know of a click, and so look for.
#[derive(Debug, Clone, Default)]
pub struct PrivateFilter {
    pub partner_clickid: Option<String>,
    pub subs: [Option<String>; 5],
}

impl PrivateFilter {
    /// Names of the subs.
    pub const SUBS: [&str; 5] = ["sub1", "sub2", "sub3", "sub4", "sub5"];

    /// The first field that is looked for, by the name of its column.
    pub fn first_field(&self) -> Option<&'static str> {
        let of_subs = Self::SUBS.into_iter().zip(&self.subs).map(|(field, sub)| (field, sub.is_some()));
        let mut fields = [("partner_clickid", self.partner_clickid.is_some())].into_iter().chain(of_subs);
        fields.find_map(|(field, is_asked)| is_asked.then_some(field))
    }
}

/// A row of `clicks`; fields bear the names of its columns.
#[derive(Debug, Clone, Row, Deserialize)]
pub struct ClickRecord {
    #[serde(with = "clickhouse::serde::uuid")]
    pub click_id: Uuid,
    #[serde(with = "clickhouse::serde::chrono::datetime64::micros")]
    pub clicked_at: DateTime<Utc>,
    #[serde(with = "clickhouse::serde::uuid")]
    pub link_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub offer_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub partner_id: Uuid,
    #[serde(with = "clickhouse::serde::uuid")]
    pub advertiser_id: Uuid,
    pub partner_clickid: String,
    /// sub1 to sub5.
    pub subs: Vec<String>,
    pub ip: String,
    pub user_agent: String,
    pub referrer: String,
    pub country: String,
    pub device: String,
    pub parameters: BTreeMap<String, String>,
}

impl Positioned for ClickRecord {
    fn position(&self) -> Position {
        Position { time: self.clicked_at, id: self.click_id }
    }
}

/// Clicks in scope, newest first: a partner's own, or those on an advertiser's offers.
pub async fn clicks(
    log: &EventLog,
    scope: Scope,
    filter: &ClickFilter,
    request: &PageRequest,
) -> Result<Page<ClickRecord>, clickhouse::error::Error> {
    search_of(scope, filter).page(log, request).await
}

/// The search for clicks in scope, by a filter.
pub(super) fn search_of(scope: Scope, filter: &ClickFilter) -> Search {
    let mut search = Search::of(TABLE);
    // What an advertiser may look a click up by.
    let mut sought_texts: &[&'static str] = &["partner_clickid"];
    match scope {
        Scope::Everything => {}
        Scope::Advertiser(id) => {
            search.scope_id_is("advertiser_id", id.0);
            sought_texts = &[];
        }
        Scope::Partner(id) => search.scope_id_is("partner_id", id.0),
    }
    search.id_in("offer_id", &filter.offer_ids);
    search.id_in("partner_id", &filter.partner_ids);
    search.id_in("advertiser_id", &filter.advertiser_ids);
    search.id_in("link_id", &filter.link_ids);
    search.text_in("country", &filter.countries);
    search.code_in("device", filter.devices.iter().map(|item| item.code()));
    match filter.is_bot {
        None => {}
        Some(true) => search.where_is("device", "device = 'bot'"),
        Some(false) => search.where_is("device", "device != 'bot'"),
    }
    search.id_is("click_id", filter.click_id);
    search.text_is("partner_clickid", filter.private.partner_clickid.as_deref());
    for (place, sub) in filter.private.subs.iter().enumerate() {
        search.item_is("subs", place + 1, sub.as_deref());
    }
    search.finds(&["click_id"], sought_texts, filter.search.as_deref());
    search.between(filter.from, filter.to);
    // A click id tells its time, so one that is looked up is not looked for elsewhere.
    let sought = filter.search.as_deref().and_then(|text| Uuid::try_parse(text).ok());
    if let Some(id) = filter.click_id.or(sought.filter(|_| sought_texts.is_empty())) {
        search.near(id);
    }
    search
}
