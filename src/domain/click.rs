//! A visit through a partner's link, and the landing URL it leads to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::catalogue::{Link, Offer};
use super::ids::{AdvertiserId, ClickId, LinkId, OfferId, PartnerId};
use super::template::{MacroValues, append_parameter};

/// A recorded click.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Click {
    pub click_id: ClickId,
    pub link_id: LinkId,
    pub offer_id: OfferId,
    pub partner_id: PartnerId,
    pub advertiser_id: AdvertiserId,
    /// The partner's own click id; ours where the partner sent none.
    pub partner_clickid: String,
    pub subs: [String; 5],
    pub ip: String,
    pub user_agent: String,
    pub referrer: String,
    /// ISO 3166-1 alpha-2 in upper case, or empty.
    pub country: String,
    pub device: String,
    /// Every parameter that has no place of its own: `utm_*` and the rest.
    pub parameters: BTreeMap<String, String>,
    pub clicked_at: DateTime<Utc>,
}

/// What the visitor's request says, besides the link.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    pub parameters: Vec<(String, String)>,
    pub ip: String,
    pub user_agent: String,
    pub referrer: String,
    pub country: String,
}

/// Longest text kept of any one value, in characters; the rest is cut, as a visitor cannot be
/// asked to send less.
const KEPT_CHARS: usize = 2_000;
const KEPT_PARAMETERS: usize = 100;

/// Macros of a landing URL.
pub const LANDING_MACROS: &[&str] = &[
    "click_id",
    "clickid",
    "campaign_id",
    "promo_id",
    "offer_id",
    "partner_id",
    "network_id",
    "timestamp",
    "traffic_source",
    "ip",
    "country",
    "device",
    "user_agent",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
];

const SUBS: [&str; 5] = ["sub1", "sub2", "sub3", "sub4", "sub5"];

impl Click {
    pub fn of(visit: Visit, click_id: ClickId, link: &Link, offer: &Offer, now: DateTime<Utc>) -> Self {
        let mut parameters: BTreeMap<String, String> = visit
            .parameters
            .into_iter()
            .filter(|(name, _)| name != "link" && name != "format")
            .take(KEPT_PARAMETERS)
            .map(|(name, value)| (kept(&name), kept(&value)))
            .collect();
        let partner_clickid = parameters.remove("clickid").filter(|id| !id.is_empty());
        let device = super::device::Device::of_user_agent(&visit.user_agent);
        Self {
            click_id,
            link_id: link.link_id,
            offer_id: link.offer_id,
            partner_id: link.partner_id,
            advertiser_id: offer.advertiser_id,
            partner_clickid: partner_clickid.unwrap_or_else(|| click_id.to_string()),
            subs: SUBS.map(|name| parameters.remove(name).unwrap_or_default()),
            ip: visit.ip,
            user_agent: kept(&visit.user_agent),
            referrer: kept(&visit.referrer),
            country: visit.country,
            device: device.code().to_owned(),
            parameters,
            clicked_at: now,
        }
    }

    /// Where the visitor goes: the offer's landing URL, with the click id in it.
    pub fn landing_url(&self, offer: &Offer) -> String {
        let url = offer.landing_url.render(self);
        if offer.landing_url.mentions("click_id") {
            url
        } else {
            append_parameter(&url, &offer.click_id_parameter, &self.click_id.to_string())
        }
    }

    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.parameters.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }
}

/// PostgreSQL text holds no NUL.
fn kept(text: &str) -> String {
    text.chars().filter(|char| *char != '\0').take(KEPT_CHARS).collect()
}

impl MacroValues for Click {
    fn value(&self, name: &str) -> Cow<'_, str> {
        if let Some(index) = SUBS.iter().position(|sub| *sub == name) {
            return Cow::Borrowed(&self.subs[index]);
        }
        match name {
            "click_id" => self.click_id.to_string().into(),
            "clickid" => Cow::Borrowed(&self.partner_clickid),
            "offer_id" => self.offer_id.to_string().into(),
            "partner_id" => self.partner_id.to_string().into(),
            // A campaign is an offer and a promo is a link, unless the visitor's URL says more.
            "campaign_id" => self.parameter(name).unwrap_or_else(|| self.offer_id.to_string().into()),
            "promo_id" => self.parameter(name).unwrap_or_else(|| self.link_id.to_string().into()),
            "timestamp" => self.clicked_at.timestamp().to_string().into(),
            "ip" => Cow::Borrowed(&self.ip),
            "country" => Cow::Borrowed(&self.country),
            "device" => Cow::Borrowed(&self.device),
            "user_agent" => Cow::Borrowed(&self.user_agent),
            other => self.parameter(other.strip_prefix("fields.").unwrap_or(other)).unwrap_or_default(),
        }
    }
}
