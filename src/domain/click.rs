//! A visit through a partner's link, and the landing URL it leads to.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::catalogue::{Link, Offer};
use super::composite::{ACCOUNT, Composite, IGNORED, Layout};
use super::fields::{FIELDS_PREFIX, prefixed_field, unprefixed};
use super::ids::{AdvertiserId, ClickId, LinkId, OfferId, PartnerId};
use super::template::{MacroValues, append_parameter};
use super::visit::{Mark, Query, Visit};

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
    /// The link's composite parameter, as it came or put together; empty where the link has none.
    #[serde(default)]
    pub tracker: String,
    pub clicked_at: DateTime<Utc>,
}

/// Longest text kept of any one value, in characters; the rest is cut, as a visitor cannot be
/// asked to send less.
const KEPT_CHARS: usize = 2_000;
/// Longest click id of a partner's, in bytes; less than of other texts, as it is indexed and
/// PostgreSQL refuses to index a third of a page.
const CLICKID_BYTES: usize = 1_500;
const KEPT_PARAMETERS: usize = 100;
/// Most values kept of one repeated parameter.
const KEPT_REPEATS: usize = 10;

/// Macros of a landing URL, beside `{fields.NAME}` for any parameter of the visitor's. The table
/// in `docs/clicks.md` is tested against this one.
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
    "utm_id",
    "utm_source_platform",
    "utm_creative_format",
    "utm_marketing_tactic",
    "sub1",
    "sub2",
    "sub3",
    "sub4",
    "sub5",
    "tracker",
];

const SUBS: [&str; 5] = ["sub1", "sub2", "sub3", "sub4", "sub5"];

impl Click {
    pub fn of(visit: Visit, click_id: ClickId, link: &Link, offer: &Offer, now: DateTime<Utc>) -> Self {
        let composite =
            link.composite.as_deref().map(|settings| (settings, read_composite(settings, &visit.query)));
        let fields = composite.iter().flat_map(|(_, read)| read.fields.iter().cloned());
        let has_faults = visit.query.has_faults;
        let (mut parameters, dropped) = keep(visit.query.parameters.iter().cloned().chain(fields));
        let mut partner_clickid = parameters.remove("clickid").filter(|id| !id.is_empty());
        let subs = SUBS.map(|name| parameters.remove(name).unwrap_or_default());
        // Their names are free for fields now: `fields.sub1` is no sub of the link's.
        let mut parameters: BTreeMap<String, String> =
            parameters.into_iter().map(|(name, value)| (unprefixed(&name).to_owned(), value)).collect();
        let mut mark = |mark: Mark, why: &str| parameters.insert(mark.code().to_owned(), why.to_owned());
        if has_faults {
            mark(Mark::Encoding, "invalid");
        }
        if dropped > 0 {
            mark(Mark::Dropped, &dropped.to_string());
        }
        for (which, why) in composite.iter().flat_map(|(_, read)| &read.marks) {
            mark(*which, why);
        }
        if let Some(id) = partner_clickid.as_mut().filter(|id| id.len() > CLICKID_BYTES) {
            parameters.insert(Mark::ClickId.code().to_owned(), "cut".to_owned());
            id.truncate(id.floor_char_boundary(CLICKID_BYTES));
        }
        let device = super::device::Device::of_user_agent(&visit.user_agent);
        let mut click = Self {
            click_id,
            link_id: link.link_id,
            offer_id: link.offer_id,
            partner_id: link.partner_id,
            advertiser_id: offer.advertiser_id,
            partner_clickid: partner_clickid.unwrap_or_else(|| click_id.to_string()),
            subs,
            ip: visit.ip,
            user_agent: kept(&visit.user_agent),
            referrer: kept(&visit.referrer),
            country: visit.country,
            device: device.code().to_owned(),
            parameters,
            tracker: String::new(),
            clicked_at: now,
        };
        if let Some((settings, read)) = composite {
            click.tracker = click.tracker_of(settings, read.text);
        }
        click
    }

    /// The composite for the way out. What came in goes out to the byte, but for our click id,
    /// which the sender cannot have known; where nothing came in, it is made of the click.
    fn tracker_of(&self, settings: &Composite, text: CompositeText) -> String {
        let click_id = self.click_id.to_string();
        let values: Vec<Cow<str>> = match &text {
            CompositeText::Broken(text) => return text.clone(),
            CompositeText::Values(values) => values.iter().map(|value| value.as_str().into()).collect(),
            CompositeText::Absent => {
                let of_click = |field: &String| if field == IGNORED { "".into() } else { self.value(field) };
                settings.fields.iter().map(of_click).collect()
            }
        };
        let with_our_id = settings.fields.iter().zip(values).map(|(field, value)| match field.as_str() {
            "click_id" => Cow::Borrowed(click_id.as_str()),
            _ => value,
        });
        settings.rebuild(&with_our_id.collect::<Vec<_>>())
    }

    /// Where the visitor goes: the offer's landing URL, with the click id in it.
    pub fn landing_url(&self, offer: &Offer, network_id: &str) -> String {
        Landing { click: self, click_id: self.click_id.to_string(), network_id }.url(offer)
    }

    /// The same without a click id, for who only wants to know where the link leads.
    pub fn preview_url(&self, offer: &Offer, network_id: &str) -> String {
        Landing { click: self, click_id: String::new(), network_id }.url(offer)
    }

    fn parameter(&self, name: &str) -> Option<Cow<'_, str>> {
        self.parameters.get(name).map(|value| Cow::Borrowed(value.as_str()))
    }
}

/// A link's composite as a visitor brought it.
struct ReadComposite {
    text: CompositeText,
    /// Its fields, as parameters of the visitor's.
    fields: Vec<(String, String)>,
    marks: Vec<(Mark, &'static str)>,
}

enum CompositeText {
    Absent,
    Values(Vec<String>),
    Broken(String),
}

fn read_composite(settings: &Composite, query: &Query) -> ReadComposite {
    let mut read = ReadComposite { text: CompositeText::Absent, fields: Vec::new(), marks: Vec::new() };
    if let Some(text) = query.first(&settings.parameter).map(without_nul).filter(|text| !text.is_empty()) {
        match settings.parse(&text) {
            Ok(values) => {
                let named = settings.fields.iter().zip(&values).filter(|(field, _)| *field != IGNORED);
                read.fields.extend(named.map(|(field, value)| (field.clone(), value.clone())));
                read.text = CompositeText::Values(values);
            }
            Err(fault) => {
                read.marks.push((Mark::Composite, fault.code()));
                read.text = CompositeText::Broken(kept(&text));
            }
        }
    }
    match &settings.layout {
        Layout::Plain => {}
        Layout::Revshare { parameter } => {
            let account = query.first(parameter).filter(|account| !account.is_empty());
            read.fields.extend(account.map(|account| (ACCOUNT.to_owned(), account.to_owned())));
        }
        Layout::Pps { parameter, value } => {
            if query.first(parameter).is_some_and(|account| account != value) {
                read.marks.push((Mark::Account, "unexpected"));
            }
        }
    }
    read
}

/// The parameters of a click by name, and how many had no room. Where a name repeats, the first
/// value that is not empty has it; further ones are kept as `name[2]`, `name[3]`, ….
///
/// `fields.userid` is the field `userid`, and comes before a parameter of that bare name. Only
/// where the bare name has a place of its own in a click does the prefix stay, for the caller to
/// take off once that place is filled.
fn keep(all: impl Iterator<Item = (String, String)>) -> (BTreeMap<String, String>, usize) {
    let is_ours = |(name, value): &(String, String)| name != "link" && !(name == "format" && value == "json");
    let (explicit, bare): (Vec<_>, Vec<_>) =
        all.filter(is_ours).partition(|(name, _)| prefixed_field(name).is_some());
    let explicit = explicit.into_iter().map(|(name, value)| {
        let field = unprefixed(&name);
        let has_place = field == "clickid" || SUBS.contains(&field);
        (if has_place { format!("{FIELDS_PREFIX}{field}") } else { field.to_owned() }, value)
    });
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    let mut dropped = 0;
    for (name, value) in explicit.chain(bare) {
        let (name, value) = (kept(&name), kept(&value));
        let place = match parameters.get(&name).map(String::as_str) {
            None => Some(name),
            Some(first) if value.is_empty() || value == first => continue,
            Some("") => Some(name),
            Some(_) => (2..=KEPT_REPEATS)
                .map(|number| format!("{name}[{number}]"))
                .find(|place| parameters.get(place).is_none_or(|known| *known == value)),
        };
        match place {
            Some(place) if parameters.len() < KEPT_PARAMETERS || parameters.contains_key(&place) => {
                parameters.insert(place, value);
            }
            _ => dropped += 1,
        }
    }
    (parameters, dropped)
}

/// PostgreSQL text holds no NUL.
fn without_nul(text: &str) -> String {
    text.replace('\0', "")
}

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
            "traffic_source" => {
                self.parameter(name).or_else(|| self.parameter("utm_source")).unwrap_or_default()
            }
            "timestamp" => self.clicked_at.timestamp().to_string().into(),
            "ip" => Cow::Borrowed(&self.ip),
            "country" => Cow::Borrowed(&self.country),
            "device" => Cow::Borrowed(&self.device),
            "user_agent" => Cow::Borrowed(&self.user_agent),
            "tracker" => match self.tracker.as_str() {
                "" => self.parameter(name).unwrap_or_default(),
                tracker => Cow::Borrowed(tracker),
            },
            other => self.parameter(unprefixed(other)).unwrap_or_default(),
        }
    }
}

/// What a landing URL is filled with.
struct Landing<'a> {
    click: &'a Click,
    click_id: String,
    network_id: &'a str,
}

impl Landing<'_> {
    fn url(&self, offer: &Offer) -> String {
        let template = &offer.landing_url;
        // A control character in the template (values are encoded) would be no legal header.
        let url = template.render(self).replace(char::is_control, "");
        if template.mentions("click_id") || self.click_id.is_empty() {
            url
        } else {
            append_parameter(&url, &offer.click_id_parameter, &self.click_id)
        }
    }
}

impl MacroValues for Landing<'_> {
    fn value(&self, name: &str) -> Cow<'_, str> {
        match name {
            "click_id" => Cow::Borrowed(&self.click_id),
            "network_id" => Cow::Borrowed(self.network_id),
            // Ours may stand in these, and a preview has none.
            "clickid" | "tracker" if self.click_id.is_empty() => "".into(),
            other => self.click.value(other),
        }
    }
}

#[cfg(test)]
#[path = "click_tests.rs"]
mod tests;
