//! Postbacks: destinations, what they hear of, and how they are called.

use chrono::{DateTime, Utc};
use deadpool_postgres::{Pool, Transaction};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::postback_checks::checked;
use super::postback_listing::PostbackFilter;
use super::postback_reach::{check_audience, check_owner_and_scope, check_reach, lock_in_scope, owners_in};
use super::postback_twins::{self, Twins};
use super::sending::{self, SendingChange, SendingRecord};
use super::{ChangeError, Position, Positioned, label, position, positioned_by};
use crate::domain::address_policy::Policy;
use crate::domain::event::Event;
use crate::domain::ids::PostbackId;
use crate::domain::postback::{Owner, Scope as PostbackScope};
use crate::domain::request_settings::{Fault, RequestChange, RequestSettings, Translated};
use crate::graphql::paging::{Page, PageRequest};
use crate::graphql::scope::Scope;
use crate::store::audit::{self, Actor, Entity};
use crate::store::destination_news;
use crate::store::error::StoreError;
use crate::store::network::{self, NewPostback};
use crate::store::request_settings;
use crate::store::search::{Columns, page};

#[derive(Debug, Clone, Serialize)]
pub struct PostbackRecord {
    pub postback_id: Uuid,
    pub name: Option<String>,
    /// The preset it was made of.
    pub preset: Option<String>,
    pub partner_id: Option<Uuid>,
    pub advertiser_id: Option<Uuid>,
    pub offer_id: Option<Uuid>,
    pub link_id: Option<Uuid>,
    pub events: Vec<Event>,
    #[serde(flatten)]
    pub request: RequestSettings,
    /// Where a change has just been made: what of it was written in another system's notation.
    pub translated: Vec<Translated>,
    /// And what of the request likely says something else than was meant.
    pub warnings: Vec<Fault>,
    pub condition: Option<String>,
    pub max_in_flight: i32,
    pub timeout_ms: i32,
    #[serde(flatten)]
    pub sending: SendingRecord,
    pub is_paused: bool,
    /// Set where Ricochet paused it by itself.
    pub paused_reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub health: HealthRecord,
}
positioned_by!(PostbackRecord, postback_id);

impl PostbackRecord {
    pub fn owner(&self) -> Owner {
        Owner::of(self.partner_id, self.advertiser_id)
    }
}

/// How its destination is doing, over all nodes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct HealthRecord {
    pub failing_since: Option<DateTime<Utc>>,
    pub consecutive_failures: i64,
    pub last_success_at: Option<DateTime<Utc>>,
    pub last_failure_at: Option<DateTime<Utc>>,
    pub last_error: String,
    pub warnings: i16,
}

/// What to set of a postback; `None` leaves it as it is, or as it is by default.
#[derive(Debug, Clone, Default)]
pub struct PostbackChange {
    /// An empty one removes it.
    pub name: Option<String>,
    pub events: Option<Vec<Event>>,
    pub request: RequestChange,
    /// An empty one removes it.
    pub condition: Option<String>,
    pub max_in_flight: Option<i32>,
    pub timeout_ms: Option<i32>,
    pub sending: SendingChange,
    pub twins: Twins,
}

impl PostbackChange {
    /// Whether it touches what a postback asks for, so that it may come to ask for the same as another.
    fn concerns_request(&self) -> bool {
        let RequestChange { method, url_template, body_kind, body_template, .. } = &self.request;
        self.events.is_some()
            || self.condition.is_some()
            || method.is_some()
            || url_template.is_some()
            || body_kind.is_some()
            || body_template.is_some()
    }
}

const FROM: &str = "postbacks LEFT JOIN postback_health USING (postback_id)";
/// Whatever [`read`] reads.
pub const COLUMNS: Columns = Columns { selected: "*", from: FROM, time: "created_at", id: "postback_id" };

pub(super) const MAX_IN_FLIGHT: i32 = 16;
pub(super) const TIMEOUT_MS: i32 = 10_000;
pub(super) const MAX_RETRIES: usize = 50;
pub(super) const MAX_WAIT_MS: i64 = 7 * 24 * 3_600 * 1_000;

/// What a new postback is, beside its settings.
#[derive(Debug, Clone, Copy)]
pub struct Beginning {
    pub owner: Owner,
    pub scope: PostbackScope,
    /// Paused, it can be tried out before anything is sent; what it hears of meanwhile waits.
    pub sending: Sending,
}

pub async fn create(
    pool: &Pool,
    actor: Actor,
    reach: Scope,
    policy: &Policy,
    beginning: Beginning,
    change: PostbackChange,
) -> Result<PostbackRecord, ChangeError> {
    let Beginning { owner, scope, sending } = beginning;
    let change = PostbackChange { events: Some(change.events.unwrap_or_default()), ..change };
    let (request, translated) = checked(&change, RequestSettings::get(""), policy, reach, owner)?;
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    check_owner_and_scope(&transaction, owner, scope).await?;
    check_reach(&transaction, reach, owner, scope).await?;
    check_audience(owner == Owner::Platform && scope == PostbackScope::Global, change.events.as_deref())?;
    let new = NewPostback {
        owner,
        scope,
        events: &without_repeats(change.events.as_deref().unwrap_or_default()),
        url_template: &request.url_template,
        retry_schedule_ms: None,
        timeout_ms: change.timeout_ms.unwrap_or(TIMEOUT_MS),
        max_in_flight: change.max_in_flight.unwrap_or(MAX_IN_FLIGHT),
    };
    let id = network::add_postback(&transaction, &new).await?;
    request_settings::write(&transaction, id, &request).await?;
    set_condition(&transaction, id, change.condition.as_deref()).await?;
    set_name(&transaction, id, change.name.as_deref()).await?;
    change.sending.make(&transaction, id).await?;
    if sending == Sending::Paused {
        let pause = "UPDATE postbacks SET is_paused = true WHERE postback_id = $1";
        transaction.execute(pause, &[&id.0]).await?;
    }
    postback_twins::refuse(&transaction, id, change.twins).await?;
    audit::record(&transaction, actor, Entity::Postback, id.0, "create", None).await?;
    finish(transaction, id, Told::OfRequest(translated)).await
}

pub async fn update(
    pool: &Pool,
    actor: Actor,
    policy: &Policy,
    scope: Scope,
    id: PostbackId,
    change: PostbackChange,
) -> Result<PostbackRecord, ChangeError> {
    let events: Option<Vec<&str>> = change
        .events
        .as_deref()
        .map(|events| without_repeats(events).iter().map(|event| event.code()).collect());
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = lock_in_scope(&transaction, scope, id).await?;
    let is_absent = |column: &str| before[column].is_null();
    let hears_all = ["partner_id", "advertiser_id", "offer_id", "link_id"].into_iter().all(is_absent);
    check_audience(hears_all, change.events.as_deref())?;
    let row = transaction.query_one("SELECT * FROM postbacks WHERE postback_id = $1", &[&id.0]).await?;
    let owner = Owner::of(row.try_get("partner_id")?, row.try_get("advertiser_id")?);
    let (request, translated) = checked(&change, request_settings::read(&row)?, policy, scope, owner)?;
    request_settings::write(&transaction, id, &request).await?;
    transaction
        .execute(
            "UPDATE postbacks SET events = COALESCE($2, events),
                                  max_in_flight = COALESCE($3, max_in_flight),
                                  timeout_ms = COALESCE($4, timeout_ms)
             WHERE postback_id = $1",
            &[&id.0, &events, &change.max_in_flight, &change.timeout_ms],
        )
        .await?;
    set_condition(&transaction, id, change.condition.as_deref()).await?;
    set_name(&transaction, id, change.name.as_deref()).await?;
    let twins = if change.concerns_request() { change.twins } else { Twins::Allowed };
    change.sending.make(&transaction, id).await?;
    postback_twins::refuse(&transaction, id, twins).await?;
    audit::record(&transaction, actor, Entity::Postback, id.0, "update", Some(before)).await?;
    finish(transaction, id, Told::OfRequest(translated)).await
}

/// Events from now on are filtered by it. `None` leaves it as it is, an empty one removes it.
pub(super) async fn set_condition(
    transaction: &Transaction<'_>,
    id: PostbackId,
    condition: Option<&str>,
) -> Result<(), ChangeError> {
    if let Some(condition) = condition.map(str::trim) {
        let set = "UPDATE postbacks SET condition = NULLIF($2, '') WHERE postback_id = $1";
        transaction.execute(set, &[&id.0, &condition]).await?;
    }
    Ok(())
}

/// `None` leaves it as it is, an empty one removes it.
async fn set_name(
    transaction: &Transaction<'_>,
    id: PostbackId,
    name: Option<&str>,
) -> Result<(), ChangeError> {
    if let Some(name) = name {
        let name = label("name", name)?;
        let set = "UPDATE postbacks SET name = NULLIF($2, '') WHERE postback_id = $1";
        transaction.execute(set, &[&id.0, &name]).await?;
    }
    Ok(())
}

/// Whether deliveries are sent or wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    Paused,
    Resumed,
}

/// Paused, its deliveries wait; resumed, they are sent, also where the destination has asked to be
/// left alone for longer.
pub async fn set_sending(
    pool: &Pool,
    actor: Actor,
    scope: Scope,
    id: PostbackId,
    sending: Sending,
) -> Result<PostbackRecord, ChangeError> {
    let (is_paused, action) = match sending {
        Sending::Paused => (true, "pause"),
        Sending::Resumed => (false, "resume"),
    };
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = lock_in_scope(&transaction, scope, id).await?;
    let set = "UPDATE postbacks SET is_paused = $2, paused_reason = NULL WHERE postback_id = $1";
    transaction.execute(set, &[&id.0, &is_paused]).await?;
    if sending == Sending::Resumed {
        destination_news::lift_hold(&transaction, id).await?;
    }
    audit::record(&transaction, actor, Entity::Postback, id.0, action, Some(before)).await?;
    finish(transaction, id, Told::Nothing).await
}

/// It hears of nothing new; what it was promised before is still sent.
pub async fn delete(pool: &Pool, actor: Actor, scope: Scope, id: PostbackId) -> Result<(), ChangeError> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    let before = lock_in_scope(&transaction, scope, id).await?;
    let set = "UPDATE postbacks SET deleted_at = now() WHERE postback_id = $1";
    transaction.execute(set, &[&id.0]).await?;
    audit::record(&transaction, actor, Entity::Postback, id.0, "delete", Some(before)).await?;
    transaction.commit().await?;
    Ok(())
}

/// Postbacks that are not deleted, newest first; an advertiser or partner sees its own.
pub async fn list(
    pool: &Pool,
    scope: Scope,
    filter: &PostbackFilter,
    request: &PageRequest,
) -> Result<Page<PostbackRecord>, StoreError> {
    page(pool, COLUMNS, filter.search(scope), request, read).await
}

/// A postback in scope that is not deleted.
pub async fn get(pool: &Pool, scope: Scope, id: PostbackId) -> Result<PostbackRecord, ChangeError> {
    let (advertiser, partner) = owners_in(scope);
    let visible = format!(
        "SELECT * FROM {FROM} WHERE postback_id = $1 AND deleted_at IS NULL \
         AND ($2::uuid IS NULL OR advertiser_id = $2) AND ($3::uuid IS NULL OR partner_id = $3)"
    );
    let row = pool.get().await?.query_opt(&visible, &[&id.0, &advertiser, &partner]).await?;
    let not_found = ChangeError::NotFound { field: "postback_id", what: "postback" };
    Ok(read(&row.ok_or(not_found)?)?)
}

/// What the answer to a change says beside the postback as it is now.
enum Told {
    Nothing,
    /// How the request was read.
    OfRequest(Vec<Translated>),
}

async fn finish(
    transaction: Transaction<'_>,
    id: PostbackId,
    told: Told,
) -> Result<PostbackRecord, ChangeError> {
    let select = format!("SELECT * FROM {FROM} WHERE postback_id = $1");
    let row = transaction.query_one(&select, &[&id.0]).await?;
    transaction.commit().await?;
    let record = read(&row)?;
    let (translated, warnings) = match told {
        Told::OfRequest(translated) => (translated, record.request.warnings(record.owner())),
        Told::Nothing => (Vec::new(), Vec::new()),
    };
    Ok(PostbackRecord { translated, warnings, ..record })
}

fn without_repeats(events: &[Event]) -> Vec<Event> {
    Event::ALL.iter().copied().filter(|event| events.contains(event)).collect()
}

pub fn read(row: &Row) -> Result<PostbackRecord, StoreError> {
    let codes: Vec<String> = row.try_get("events")?;
    let events = codes
        .iter()
        .map(|code| {
            Event::from_code(code).ok_or_else(|| StoreError::Unreadable(format!("postbacks.events: {code}")))
        })
        .collect::<Result<_, _>>()?;
    Ok(PostbackRecord {
        postback_id: row.try_get("postback_id")?,
        name: row.try_get("name")?,
        preset: row.try_get("preset")?,
        partner_id: row.try_get("partner_id")?,
        advertiser_id: row.try_get("advertiser_id")?,
        offer_id: row.try_get("offer_id")?,
        link_id: row.try_get("link_id")?,
        events,
        request: request_settings::read(row)?,
        translated: Vec::new(),
        warnings: Vec::new(),
        condition: row.try_get("condition")?,
        max_in_flight: row.try_get("max_in_flight")?,
        timeout_ms: row.try_get("timeout_ms")?,
        sending: sending::read(row)?,
        is_paused: row.try_get("is_paused")?,
        paused_reason: row.try_get("paused_reason")?,
        created_at: row.try_get("created_at")?,
        health: read_health(row)?,
    })
}

fn read_health(row: &Row) -> Result<HealthRecord, StoreError> {
    Ok(HealthRecord {
        failing_since: row.try_get("failing_since")?,
        consecutive_failures: row.try_get::<_, Option<i64>>("consecutive_failures")?.unwrap_or_default(),
        last_success_at: row.try_get("last_success_at")?,
        last_failure_at: row.try_get("last_failure_at")?,
        last_error: row.try_get::<_, Option<String>>("last_error")?.unwrap_or_default(),
        warnings: row.try_get::<_, Option<i16>>("warnings")?.unwrap_or_default(),
    })
}
