//! `clicks`: every visit through a link.

use std::sync::Arc;

use async_graphql::{ID, InputObject, SimpleObject};

use super::filled;
use crate::domain::click;
use crate::event_log::reader::{ClickFilter, ClickRecord, PrivateFilter};
use crate::graphql::enums::Device;
use crate::graphql::failure::{Failure, in_camel_case};
use crate::graphql::filter;
use crate::graphql::names::{Names, with_names};
use crate::graphql::scalars::Time;
use crate::graphql::scope::Scope;

/// Which clicks. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
pub struct ClicksFilter {
    offer_ids: Option<Vec<ID>>,
    partner_ids: Option<Vec<ID>>,
    advertiser_ids: Option<Vec<ID>>,
    link_ids: Option<Vec<ID>>,
    /// ISO 3166-1 alpha-2.
    countries: Option<Vec<String>>,
    devices: Option<Vec<Device>>,
    /// Only bots (true) or all but bots (false).
    is_bot: Option<bool>,
    /// Our click id.
    click_id: Option<ID>,
    /// The partner's own click id, exactly. Not for advertisers, like `sub1` to `sub5`.
    partner_clickid: Option<String>,
    sub1: Option<String>,
    sub2: Option<String>,
    sub3: Option<String>,
    sub4: Option<String>,
    sub5: Option<String>,
    /// Any id at hand, exactly: our click id, or, unless an advertiser asks, the partner's.
    search: Option<String>,
    /// Clicked at this time or later.
    from: Option<Time>,
    /// Clicked before this time.
    to: Option<Time>,
}

impl ClicksFilter {
    /// What an advertiser must not know it cannot look for either: finding would tell.
    pub fn read(&self, scope: Scope) -> Result<ClickFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        let private = PrivateFilter {
            partner_clickid: filter::text("partnerClickid", self.partner_clickid.as_deref())?,
            subs: [
                filter::text("sub1", self.sub1.as_deref())?,
                filter::text("sub2", self.sub2.as_deref())?,
                filter::text("sub3", self.sub3.as_deref())?,
                filter::text("sub4", self.sub4.as_deref())?,
                filter::text("sub5", self.sub5.as_deref())?,
            ],
        };
        if let (Scope::Advertiser(_), Some(field)) = (scope, private.first_field()) {
            let field = in_camel_case(field);
            let message = format!("filter.{field}: this is the partner's own affair; leave it out");
            return Err(Failure::Forbidden { message });
        }
        Ok(ClickFilter {
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            partner_ids: filter::uuids("partnerIds", self.partner_ids.as_deref())?,
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            link_ids: filter::uuids("linkIds", self.link_ids.as_deref())?,
            countries: filter::countries(self.countries.as_deref())?,
            devices: filter::codes(self.devices.as_deref()),
            is_bot: self.is_bot,
            click_id: filter::optional_uuid("clickId", self.click_id.as_ref())?,
            private,
            search: filter::sought(self.search.as_deref())?,
            from,
            to,
        })
    }
}

/// A parameter that a click's URL carried.
#[derive(SimpleObject, Clone)]
pub struct ClickParameter {
    name: String,
    value: String,
}

/// A visit through a link.
///
/// An advertiser sees who came to its offers, and not how the partner runs its traffic: the
/// partner's own click id, sub1 to sub5, the referrer and the further parameters are null for it.
/// The visitor's address and user agent it meets on its own site.
#[derive(SimpleObject, Clone)]
#[graphql(complex)]
pub struct Click {
    /// Our click id.
    click_id: ID,
    clicked_at: Time,
    link_id: ID,
    offer_id: ID,
    partner_id: ID,
    advertiser_id: ID,
    /// The partner's own click id; ours where none was sent. Null for advertisers.
    partner_clickid: Option<String>,
    sub1: Option<String>,
    sub2: Option<String>,
    sub3: Option<String>,
    sub4: Option<String>,
    sub5: Option<String>,
    /// IP address of the visitor.
    ip: String,
    user_agent: String,
    /// Null for advertisers.
    referrer: Option<String>,
    /// ISO 3166-1 alpha-2.
    country: Option<String>,
    /// `desktop`, `mobile`, `tablet`, `bot` or `other`.
    device: Option<String>,
    is_bot: bool,
    /// `utm_*` and every other parameter, by name. Null for advertisers.
    parameters: Option<Vec<ClickParameter>>,
    #[graphql(skip)]
    names: Arc<Names>,
}

with_names!(Click {
    /// Null where the caller may not list the offer, like the names that follow.
    offer_name: Offer of offer_id,
    partner_name: Partner of partner_id,
    advertiser_name: Advertiser of advertiser_id,
});

impl Click {
    /// As `scope` sees it.
    pub fn seen_by(scope: Scope, record: ClickRecord, names: &Arc<Names>) -> Self {
        let is_private = matches!(scope, Scope::Advertiser(_));
        let private = |text: String| filled(text).filter(|_| !is_private);
        let sub = |place: usize| private(record.subs.get(place).cloned().unwrap_or_default());
        let parameter = |(name, value)| ClickParameter { name, value };
        Self {
            click_id: record.click_id.into(),
            clicked_at: record.clicked_at.into(),
            link_id: record.link_id.into(),
            offer_id: record.offer_id.into(),
            partner_id: record.partner_id.into(),
            advertiser_id: record.advertiser_id.into(),
            sub1: sub(0),
            sub2: sub(1),
            sub3: sub(2),
            sub4: sub(3),
            sub5: sub(4),
            partner_clickid: private(record.partner_clickid),
            ip: record.ip,
            user_agent: record.user_agent,
            referrer: private(record.referrer),
            is_bot: record.device == "bot",
            country: filled(record.country),
            device: filled(record.device),
            parameters: (!is_private).then(|| record.parameters.into_iter().map(parameter).collect()),
            names: names.clone(),
        }
    }

    /// As `scope` sees one that PostgreSQL keeps.
    pub fn kept(scope: Scope, click: &click::Click, names: &Arc<Names>) -> Self {
        let record = ClickRecord {
            click_id: click.click_id.0,
            clicked_at: click.clicked_at,
            link_id: click.link_id.0,
            offer_id: click.offer_id.0,
            partner_id: click.partner_id.0,
            advertiser_id: click.advertiser_id.0,
            partner_clickid: click.partner_clickid.clone(),
            subs: click.subs.to_vec(),
            ip: click.ip.clone(),
            user_agent: click.user_agent.clone(),
            referrer: click.referrer.clone(),
            country: click.country.clone(),
            device: click.device.clone(),
            parameters: click.parameters.clone(),
        };
        Self::seen_by(scope, record, names)
    }
}
