//! What the rows of a group have in common, as fields.

use std::sync::Arc;

use async_graphql::{Enum, ID, SimpleObject};
use chrono::DateTime;
use uuid::Uuid;

use crate::domain::retry;
use crate::domain::status::Status;
use crate::domain::zone::Zone;
use crate::domain::{event, verdict};
use crate::event_log::reader::stats::Dimension;
use crate::graphql::enums::{ConversionStatus, ErrorKind, Event, Outcome, Verdict};
use crate::graphql::names::{Names, with_names};
use crate::graphql::scalars::Time;
use crate::store::visible_names::Named;

/// The keys of one row, and how to read them.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub dimensions: &'a [Dimension],
    pub texts: &'a [String],
    /// Those of all rows.
    pub names: &'a Arc<Names>,
}

/// The ids of a row that have names, where `dimensions` are those of its keys.
pub fn named_ids(dimensions: &[Dimension], texts: &[String]) -> Vec<(Named, Option<Uuid>)> {
    let named = |dimension: &Dimension| match dimension {
        Dimension::Offer => Some(Named::Offer),
        Dimension::Partner => Some(Named::Partner),
        Dimension::Advertiser => Some(Named::Advertiser),
        Dimension::Postback => Some(Named::Postback),
        _ => None,
    };
    let pairs = dimensions.iter().zip(texts);
    pairs.filter_map(|(dimension, text)| Some((named(dimension)?, Uuid::try_parse(text).ok()))).collect()
}

impl Keys<'_> {
    /// The value of a dimension; `None` where it was not asked for, or the rows have none.
    fn text(self, dimension: Dimension) -> Option<String> {
        let place = self.dimensions.iter().position(|asked| *asked == dimension)?;
        self.texts.get(place).filter(|text| !text.is_empty()).cloned()
    }

    fn id(self, dimension: Dimension) -> Option<ID> {
        self.text(dimension).map(ID)
    }

    fn number(self, dimension: Dimension) -> Option<u16> {
        self.text(dimension)?.parse().ok()
    }

    fn code<D, G: From<D>>(self, dimension: Dimension, from_code: fn(&str) -> Option<D>) -> Option<G> {
        self.text(dimension).and_then(|text| from_code(&text)).map(G::from)
    }
}

/// The bucket of a row.
#[derive(SimpleObject)]
pub struct BucketKey {
    /// When the bucket begins; null without `bucket`.
    bucket: Option<Time>,
    /// The same as the clocks of `timeZone` show it, with their offset from UTC, such as
    /// `2025-03-30T00:00:00+01:00`.
    bucket_local: Option<String>,
    /// 0 to 23, by the clocks of `timeZone`.
    hour_of_day: Option<u16>,
}

impl BucketKey {
    pub fn of(keys: Keys, bucket_start: Option<i64>, zone: Zone) -> Self {
        let start = bucket_start.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Self {
            bucket: start.map(Time::from),
            bucket_local: start.map(|start| zone.rfc3339(start)),
            hour_of_day: keys.number(Dimension::HourOfDay),
        }
    }
}

/// A property that attempts can be grouped by.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostbackDimension {
    Status,
    Outcome,
    Offer,
    Partner,
    Advertiser,
    Postback,
    Link,
    /// Who configured the postback: partner, advertiser or platform.
    Owner,
    Event,
    Action,
    /// Of the amount.
    Currency,
    /// Of the click.
    Country,
    /// Of the click.
    Device,
    ErrorKind,
    ResponseCode,
    /// HTTP method.
    Method,
    /// The number of the attempt, from 1.
    Attempt,
    /// By the clocks of `timeZone`.
    HourOfDay,
}

impl From<PostbackDimension> for Dimension {
    fn from(dimension: PostbackDimension) -> Self {
        match dimension {
            PostbackDimension::Status => Self::Status,
            PostbackDimension::Outcome => Self::Outcome,
            PostbackDimension::Offer => Self::Offer,
            PostbackDimension::Partner => Self::Partner,
            PostbackDimension::Advertiser => Self::Advertiser,
            PostbackDimension::Postback => Self::Postback,
            PostbackDimension::Link => Self::Link,
            PostbackDimension::Owner => Self::Owner,
            PostbackDimension::Event => Self::Event,
            PostbackDimension::Action => Self::Action,
            PostbackDimension::Currency => Self::Currency,
            PostbackDimension::Country => Self::Country,
            PostbackDimension::Device => Self::Device,
            PostbackDimension::ErrorKind => Self::ErrorKind,
            PostbackDimension::ResponseCode => Self::ResponseCode,
            PostbackDimension::Method => Self::Method,
            PostbackDimension::Attempt => Self::Attempt,
            PostbackDimension::HourOfDay => Self::HourOfDay,
        }
    }
}

/// What a group of attempts has in common; null for what was not asked for, and for what the
/// attempts have none of.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PostbackKey {
    status: Option<ConversionStatus>,
    outcome: Option<Outcome>,
    offer_id: Option<ID>,
    partner_id: Option<ID>,
    advertiser_id: Option<ID>,
    postback_id: Option<ID>,
    link_id: Option<ID>,
    owner: Option<String>,
    event: Option<Event>,
    action: Option<String>,
    currency: Option<String>,
    country: Option<String>,
    device: Option<String>,
    error_kind: Option<ErrorKind>,
    /// Null where no answer came.
    response_code: Option<u16>,
    method: Option<String>,
    attempt: Option<u16>,
    #[graphql(skip)]
    names: Arc<Names>,
}

with_names!(PostbackKey {
    /// Null where the caller may not list the offer, like the names that follow.
    offer_name: Offer of offer_id,
    partner_name: Partner of partner_id,
    advertiser_name: Advertiser of advertiser_id,
    /// The host its URL goes to; null for the postbacks of others.
    postback_host: Postback of postback_id,
});

impl PostbackKey {
    pub fn of(keys: Keys) -> Self {
        Self {
            status: keys.code(Dimension::Status, Status::from_code),
            outcome: keys.code(Dimension::Outcome, retry::Outcome::from_code),
            offer_id: keys.id(Dimension::Offer),
            partner_id: keys.id(Dimension::Partner),
            advertiser_id: keys.id(Dimension::Advertiser),
            postback_id: keys.id(Dimension::Postback),
            link_id: keys.id(Dimension::Link),
            owner: keys.text(Dimension::Owner),
            event: keys.code(Dimension::Event, event::Event::from_code),
            action: keys.text(Dimension::Action),
            currency: keys.text(Dimension::Currency),
            country: keys.text(Dimension::Country),
            device: keys.text(Dimension::Device),
            error_kind: keys.code(Dimension::ErrorKind, retry::ErrorKind::from_code),
            response_code: keys.number(Dimension::ResponseCode).filter(|code| *code > 0),
            method: keys.text(Dimension::Method),
            attempt: keys.number(Dimension::Attempt),
            names: keys.names.clone(),
        }
    }
}

/// A property that changes of conversions can be grouped by.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConversionDimension {
    /// What the conversion became.
    Status,
    /// A change that carries several events counts in the group of each.
    Event,
    Offer,
    Partner,
    Advertiser,
    Link,
    Action,
    /// Of the amount.
    Currency,
    /// Of the click.
    Country,
    /// Of the click.
    Device,
    /// By the clocks of `timeZone`.
    HourOfDay,
}

impl From<ConversionDimension> for Dimension {
    fn from(dimension: ConversionDimension) -> Self {
        match dimension {
            ConversionDimension::Status => Self::Status,
            ConversionDimension::Event => Self::Event,
            ConversionDimension::Offer => Self::Offer,
            ConversionDimension::Partner => Self::Partner,
            ConversionDimension::Advertiser => Self::Advertiser,
            ConversionDimension::Link => Self::Link,
            ConversionDimension::Action => Self::Action,
            ConversionDimension::Currency => Self::Currency,
            ConversionDimension::Country => Self::Country,
            ConversionDimension::Device => Self::Device,
            ConversionDimension::HourOfDay => Self::HourOfDay,
        }
    }
}

/// What a group of changes has in common; null for what was not asked for, and for what the
/// changes have none of.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ConversionKey {
    status: Option<ConversionStatus>,
    event: Option<Event>,
    offer_id: Option<ID>,
    partner_id: Option<ID>,
    advertiser_id: Option<ID>,
    link_id: Option<ID>,
    action: Option<String>,
    currency: Option<String>,
    country: Option<String>,
    device: Option<String>,
    #[graphql(skip)]
    names: Arc<Names>,
}

with_names!(ConversionKey {
    /// Null where the caller may not list the offer, like the names that follow.
    offer_name: Offer of offer_id,
    partner_name: Partner of partner_id,
    advertiser_name: Advertiser of advertiser_id,
});

impl ConversionKey {
    pub fn of(keys: Keys) -> Self {
        Self {
            status: keys.code(Dimension::Status, Status::from_code),
            event: keys.code(Dimension::Event, event::Event::from_code),
            offer_id: keys.id(Dimension::Offer),
            partner_id: keys.id(Dimension::Partner),
            advertiser_id: keys.id(Dimension::Advertiser),
            link_id: keys.id(Dimension::Link),
            action: keys.text(Dimension::Action),
            currency: keys.text(Dimension::Currency),
            country: keys.text(Dimension::Country),
            device: keys.text(Dimension::Device),
            names: keys.names.clone(),
        }
    }
}

/// A property that inbound requests can be grouped by.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundDimension {
    Verdict,
    ReasonCode,
    /// Which door they came in by.
    Door,
    Advertiser,
    Offer,
    Partner,
    Integration,
    /// HTTP method.
    Method,
    /// HTTP status they were answered with.
    HttpStatus,
    /// By the clocks of `timeZone`.
    HourOfDay,
}

impl From<InboundDimension> for Dimension {
    fn from(dimension: InboundDimension) -> Self {
        match dimension {
            InboundDimension::Verdict => Self::Verdict,
            InboundDimension::ReasonCode => Self::ReasonCode,
            InboundDimension::Door => Self::Door,
            InboundDimension::Advertiser => Self::Advertiser,
            InboundDimension::Offer => Self::Offer,
            InboundDimension::Partner => Self::Partner,
            InboundDimension::Integration => Self::Integration,
            InboundDimension::Method => Self::Method,
            InboundDimension::HttpStatus => Self::HttpStatus,
            InboundDimension::HourOfDay => Self::HourOfDay,
        }
    }
}

/// What a group of requests has in common; null for what was not asked for, and for what the
/// requests have none of.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct InboundKey {
    verdict: Option<Verdict>,
    /// Null where all went well.
    reason_code: Option<String>,
    door: Option<String>,
    advertiser_id: Option<ID>,
    offer_id: Option<ID>,
    partner_id: Option<ID>,
    integration_id: Option<ID>,
    method: Option<String>,
    http_status: Option<u16>,
    #[graphql(skip)]
    names: Arc<Names>,
}

with_names!(InboundKey {
    /// Null where the caller may not list the offer, like the names that follow.
    offer_name: Offer of offer_id,
    partner_name: Partner of partner_id,
    advertiser_name: Advertiser of advertiser_id,
});

impl InboundKey {
    pub fn of(keys: Keys) -> Self {
        Self {
            verdict: keys.code(Dimension::Verdict, verdict::VerdictKind::from_code),
            reason_code: keys.text(Dimension::ReasonCode),
            door: keys.text(Dimension::Door),
            advertiser_id: keys.id(Dimension::Advertiser),
            offer_id: keys.id(Dimension::Offer),
            partner_id: keys.id(Dimension::Partner),
            integration_id: keys.id(Dimension::Integration),
            method: keys.text(Dimension::Method),
            http_status: keys.number(Dimension::HttpStatus),
            names: keys.names.clone(),
        }
    }
}
