//! Reads the catalogue: all reference tables, as of one moment.
//!
//! A node that serves does not stand still for one row that it cannot read, such as one that a newer
//! node has written: the row stays as it was last read, or is left out, and everything else is as of
//! now. Of a postback that it has never read it knows at least the outline: what that hears of is
//! written down, and waits for a node that can read the rest. Whoever loads a catalogue for one piece of
//! work gets all of it, or an error.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use deadpool_postgres::Pool;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

use super::access_reader;
use super::error::StoreError;
use super::postback_secrets;
use super::request_settings;
use super::secrets::Keyring;
use super::session::Session;
use super::setup::postback_certificates;
use super::setup::postback_signing::read_signing;
use crate::domain::catalogue::{Action, Catalogue, Link, Offer};
use crate::domain::click::LANDING_MACROS;
use crate::domain::composite::Composite;
use crate::domain::condition::Condition;
use crate::domain::destination::rate::Rate;
use crate::domain::event::{ActionKind, Event};
use crate::domain::ids::{ActionId, AdvertiserId, IntegrationId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::money::Currency;
use crate::domain::payout::{PartnerPayout, PayoutModel};
use crate::domain::postback::{OfferPostbacks, Owner, Postback, Reading, Scope};
use crate::domain::request_settings::RequestSettings;
use crate::domain::retry::{RETRY_AFTER_CAP, RetryPolicy, RetrySchedule};
use crate::domain::signing::{Signing, SigningForm, SigningSecret};
use crate::domain::status::Refunds;
use crate::domain::template::UrlTemplate;
use crate::panics::caught_now;

pub async fn version(pool: &Pool) -> Result<i64, StoreError> {
    let row = pool.get().await?.query_one("SELECT version FROM catalogue_version", &[]).await?;
    Ok(row.get(0))
}

/// All of it; one unreadable row is an error.
pub async fn load(pool: &Pool, keyring: &Keyring) -> Result<Catalogue, StoreError> {
    read_all(pool, keyring, None).await
}

/// The same for a node that serves, where `last` is what it has read before: a row that cannot be read
/// is as it was there, or is left out (but for the outline of a postback), and the log says so.
pub async fn load_after(last: &Catalogue, pool: &Pool, keyring: &Keyring) -> Result<Catalogue, StoreError> {
    read_all(pool, keyring, Some(last)).await
}

/// `read` as it is; where it is unreadable and there was an earlier reading of the catalogue, what
/// `earlier` finds there.
fn or_earlier<T>(
    read: Result<T, StoreError>,
    last: Option<&Catalogue>,
    key: impl Display,
    earlier: impl FnOnce(&Catalogue) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    or_earlier_or(read, last, key, earlier, "it is left out")
}

/// The same; `otherwise` is what happens where nothing is found there.
fn or_earlier_or<T>(
    read: Result<T, StoreError>,
    last: Option<&Catalogue>,
    key: impl Display,
    earlier: impl FnOnce(&Catalogue) -> Option<T>,
    otherwise: &str,
) -> Result<Option<T>, StoreError> {
    match (read, last) {
        (Ok(read), _) => Ok(Some(read)),
        (Err(error @ (StoreError::Unreadable(_) | StoreError::Panicked(_))), Some(last)) => {
            let earlier = earlier(last);
            let instead = if earlier.is_some() { "it stays as it was last read" } else { otherwise };
            tracing::error!(%error, %key, instead, "a row of the catalogue cannot be read by this node");
            count_unreadable();
            Ok(earlier)
        }
        (Err(error), _) => Err(error),
    }
}

/// What becomes of a postback that this node has never been able to read.
const NEVER_READ: &str = "what it hears of is kept for it and not sent by this node: put a version in place that \
                          can read it, or save the postback anew";

pub(super) fn count_unreadable() {
    metrics::counter!("ricochet_unreadable_rows_total", "table" => "catalogue").increment(1);
}

async fn read_all(pool: &Pool, keyring: &Keyring, last: Option<&Catalogue>) -> Result<Catalogue, StoreError> {
    let session = Session::checkout(pool).await?;
    // One snapshot for all tables, so that no link is read without its offer.
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let version: i64 = session.query_one("SELECT version FROM catalogue_version", &[]).await?.get(0);
    let keys =
        session.query("SELECT key_hash, advertiser_id FROM api_keys WHERE revoked_at IS NULL", &[]).await?;
    let actions = session.query("SELECT * FROM actions ORDER BY offer_id, name", &[]).await?;
    let offers = session.query("SELECT * FROM offers", &[]).await?;
    let links = session.query("SELECT * FROM links", &[]).await?;
    let postbacks = session.query("SELECT * FROM postbacks", &[]).await?;
    let mut certificates = postback_certificates::load(&session, keyring).await?;
    let access = access_reader::load(&session, keyring, last).await?;
    let mut secrets = postback_secrets::load(&session, keyring).await?;
    let integrations = session.query("SELECT * FROM integrations", &[]).await?;
    let status_words = session.query("SELECT * FROM status_words", &[]).await?;
    let partners = session.query("SELECT partner_id, name FROM partners", &[]).await?;
    let advertisers =
        session.query("SELECT advertiser_id, name, attribution_window_hours FROM advertisers", &[]).await?;
    session.commit().await?;
    session.give_back();

    let mut actions_by_offer: HashMap<Uuid, Vec<Arc<Action>>> = HashMap::new();
    for row in &actions {
        let (offer_id, action_id): (Uuid, Uuid) = (row.get("offer_id"), row.get("action_id"));
        let read = or_earlier(action(row).map(Arc::new), last, action_id, |last| {
            let actions = &last.offers.get(&OfferId(offer_id))?.actions;
            actions.iter().find(|action| action.action_id.0 == action_id).cloned()
        })?;
        actions_by_offer.entry(offer_id).or_default().extend(read);
    }
    let mut catalogue_keys = HashMap::with_capacity(keys.len());
    for row in &keys {
        let advertiser = AdvertiserId(row.get(1));
        let hash = row.get::<_, &[u8]>(0).try_into().map_err(|_| unreadable("api_keys.key_hash", "length"));
        // No earlier reading had it either: a hash never changes.
        catalogue_keys.extend(or_earlier(hash, last, advertiser, |_| None)?.map(|hash| (hash, advertiser)));
    }
    let mut catalogue_offers = HashMap::with_capacity(offers.len());
    for row in &offers {
        let id = OfferId(row.get("offer_id"));
        let read = offer(row, actions_by_offer.remove(&id.0).unwrap_or_default()).map(Arc::new);
        let read = or_earlier(read, last, id, |last| last.offers.get(&id).cloned())?;
        catalogue_offers.extend(read.map(|offer| (id, offer)));
    }
    let mut catalogue_links = HashMap::with_capacity(links.len());
    for row in &links {
        let id = LinkId(row.get("link_id"));
        let read = or_earlier(link(row), last, id, |last| last.links.get(&id).cloned())?;
        catalogue_links.extend(read.map(|link| (id, link)));
    }
    let mut catalogue_postbacks = HashMap::with_capacity(postbacks.len());
    let mut outlines = Vec::new();
    for row in &postbacks {
        let id = PostbackId(row.get("postback_id"));
        let secrets = secrets.remove(&id).unwrap_or_default();
        let read = caught_now(|| postback(row, secrets)).unwrap_or_else(|panicked| Err(panicked.into()));
        let read = read.map(|read| Arc::new(Postback { certificate: certificates.remove(&id), ..read }));
        let earlier =
            |last: &Catalogue| last.postbacks.get(&id).map(|earlier| Arc::new(held_by_today(earlier, row)));
        match or_earlier_or(read, last, id, earlier, NEVER_READ)? {
            Some(postback) => drop(catalogue_postbacks.insert(id, postback)),
            None => outlines.push(outline(row)?),
        }
    }
    let mut catalogue =
        Catalogue::new(version, catalogue_keys, catalogue_offers, catalogue_links, catalogue_postbacks);
    catalogue.add_outlines(outlines);
    catalogue.access = access;
    for row in &integrations {
        let id = IntegrationId(row.get("integration_id"));
        let read = super::integrations::read_for_catalogue(row).map(Arc::new);
        let read = or_earlier(read, last, id, |last| last.integrations.get(&id).cloned())?;
        catalogue.integrations.extend(read.map(|integration| (id, integration)));
    }
    for row in &status_words {
        let (place, word) = (super::status_words::place(row)?, row.get("word"));
        let meaning = super::status_words::meaning(row);
        if let Some(meaning) = or_earlier(meaning, last, word, |last| last.status_words.at(place, word))? {
            catalogue.status_words.insert(place, word, meaning);
        }
    }
    catalogue.partner_names = partners.iter().map(|row| (PartnerId(row.get(0)), row.get(1))).collect();
    for row in &advertisers {
        let id = AdvertiserId(row.get("advertiser_id"));
        catalogue.advertiser_names.insert(id, row.get("name"));
        if let Some(hours) = row.get::<_, Option<i32>>("attribution_window_hours") {
            catalogue.attribution_windows.insert(id, TimeDelta::hours(hours.into()));
        }
    }
    Ok(catalogue)
}

fn offer(row: &Row, actions: Vec<Arc<Action>>) -> Result<Offer, StoreError> {
    let landing_url = UrlTemplate::parse(row.get("landing_url"), LANDING_MACROS)
        .map_err(|error| unreadable("offers.landing_url", error))?;
    Ok(Offer {
        offer_id: OfferId(row.get("offer_id")),
        advertiser_id: AdvertiserId(row.get("advertiser_id")),
        name: row.get("name"),
        landing_url,
        click_id_parameter: row.get("click_id_parameter"),
        refunds: if row.get("allows_refunds") { Refunds::Allowed } else { Refunds::Refused },
        offer_postbacks: OfferPostbacks::from_code(row.get("offer_postbacks"))
            .ok_or_else(|| unreadable("offers.offer_postbacks", row.get::<_, String>("offer_postbacks")))?,
        actions,
    })
}

fn link(row: &Row) -> Result<Link, StoreError> {
    let composite: Option<serde_json::Value> = row.get("composite");
    let composite = composite
        .map(serde_json::from_value::<Composite>)
        .transpose()
        .map_err(|error| unreadable("links.composite", error))?;
    Ok(Link {
        link_id: LinkId(row.get("link_id")),
        offer_id: OfferId(row.get("offer_id")),
        partner_id: PartnerId(row.get("partner_id")),
        composite: composite.map(Arc::new),
    })
}

fn action(row: &Row) -> Result<Action, StoreError> {
    let payout_amount: Option<Decimal> = row.get("payout_amount");
    let payout_percent: Option<Decimal> = row.get("payout_percent");
    let payout = match (payout_amount, payout_percent) {
        (Some(amount), _) => PartnerPayout::Amount(amount),
        (None, Some(percent)) => PartnerPayout::Percent(percent),
        (None, None) => return Err(unreadable("actions", "neither payout_amount nor payout_percent")),
    };
    let coded = |column: &str| row.get::<_, String>(column);
    Ok(Action {
        action_id: ActionId(row.get("action_id")),
        name: row.get("name"),
        kind: ActionKind::from_code(&coded("kind"))
            .ok_or_else(|| unreadable("actions.kind", coded("kind")))?,
        payout_model: PayoutModel::from_code(&coded("payout_model"))
            .ok_or_else(|| unreadable("actions.payout_model", coded("payout_model")))?,
        advertiser_rate: row.get("advertiser_rate"),
        commission_percent: row.get("commission_percent"),
        payout,
        currency: Currency::parse(&coded("currency"))
            .ok_or_else(|| unreadable("actions.currency", coded("currency")))?,
        repeatable: row.get("is_repeatable"),
        is_default: row.get("is_default"),
    })
}

/// A row of `postbacks`, as it is or as it was, with the secrets of today.
pub(super) fn postback(row: &Row, secrets: Vec<SigningSecret>) -> Result<Postback, StoreError> {
    let outline = outline(row)?;
    let (request, success) =
        request_settings::read(row)?.compile().map_err(|faults| request_settings::unreadable(&faults))?;
    let condition = row
        .get::<_, Option<&str>>("condition")
        .map(Condition::shared)
        .transpose()
        .map_err(|error| unreadable("postbacks.condition", error))?;
    let signing = match read_signing(row)? {
        (SigningForm::None, _) => Signing::None,
        (SigningForm::StandardWebhooks, _) => Signing::StandardWebhooks,
        (SigningForm::Url, parameters) => Signing::Url(parameters),
    };
    let schedule: Option<Vec<i64>> = row.get("retry_schedule_ms");
    let cap_ms = row.get::<_, Option<i64>>("retry_after_cap_ms").and_then(|cap| u64::try_from(cap).ok());
    let max_attempts: Option<i32> = row.get("max_attempts");
    Ok(Postback {
        reading: Reading::Whole,
        condition,
        request,
        success,
        timeout: Duration::from_millis(u64::try_from(row.get::<_, i32>("timeout_ms")).unwrap_or(10_000)),
        retry: RetryPolicy {
            schedule: schedule
                .map_or_else(RetrySchedule::default, |waits| RetrySchedule::of_milliseconds(&waits)),
            max_attempts: max_attempts.and_then(|most| u32::try_from(most).ok()),
            retry_after_cap: cap_ms.map_or(RETRY_AFTER_CAP, Duration::from_millis),
        },
        signing,
        secrets,
        ..outline
    })
}

/// What can be read of any row: whose it is, what it hears of, and what holds it back.
fn outline(row: &Row) -> Result<Postback, StoreError> {
    let owner = Owner::of(row.get("partner_id"), row.get("advertiser_id"));
    let offer_id: Option<Uuid> = row.get("offer_id");
    let link_id: Option<Uuid> = row.get("link_id");
    let scope = match (offer_id, link_id) {
        (Some(id), _) => Scope::Offer(OfferId(id)),
        (None, Some(id)) => Scope::Link(LinkId(id)),
        (None, None) => Scope::Global,
    };
    // A deleted postback hears of nothing new, but what it was promised is still sent.
    let codes: Vec<String> = if is_deleted(row) { Vec::new() } else { row.get("events") };
    let events = codes
        .iter()
        .filter_map(|code| {
            let event = Event::from_code(code);
            if event.is_none() {
                // Only a node that knows the event can make one.
                tracing::error!(postback = %row.get::<_, Uuid>("postback_id"), code, "an event is unknown to this node");
                count_unreadable();
            }
            event
        })
        .collect();
    let (request, success) = RequestSettings::get("http://unread.invalid/")
        .compile()
        .map_err(|faults| request_settings::unreadable(&faults))?;
    Ok(Postback {
        postback_id: PostbackId(row.get("postback_id")),
        reading: Reading::Outline,
        revision: row.get("revision"),
        owner,
        scope,
        events,
        condition: None,
        request,
        success,
        max_in_flight: max_in_flight(row),
        timeout: Duration::ZERO,
        rate: rate(row),
        retry: RetryPolicy::default(),
        paused: row.get("is_paused"),
        certificate: None,
        signing: Signing::None,
        secrets: Vec::new(),
    })
}

/// A postback as it was read before, as far as today's row lets it: what pauses, deletes or limits it
/// can be read of any row.
fn held_by_today(earlier: &Postback, row: &Row) -> Postback {
    Postback {
        events: if is_deleted(row) { Vec::new() } else { earlier.events.clone() },
        max_in_flight: max_in_flight(row),
        rate: rate(row),
        paused: row.get("is_paused"),
        ..earlier.clone()
    }
}

fn is_deleted(row: &Row) -> bool {
    row.get::<_, Option<chrono::DateTime<chrono::Utc>>>("deleted_at").is_some()
}

fn max_in_flight(row: &Row) -> usize {
    usize::try_from(row.get::<_, i32>("max_in_flight")).unwrap_or(1)
}

fn rate(row: &Row) -> Option<Rate> {
    let rate_per_second: Option<f64> = row.get("rate_per_second");
    let burst = row.get::<_, Option<i32>>("burst").and_then(|burst| u32::try_from(burst).ok());
    rate_per_second.map(|per_second| Rate::new(per_second, burst))
}

fn unreadable(column: &str, why: impl Display) -> StoreError {
    StoreError::Unreadable(format!("{column}: {why}"))
}
