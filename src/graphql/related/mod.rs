//! What hangs on a row: the history, deliveries, attempts and click of a conversion, the attempts of
//! a delivery, and the way back.
//!
//! Rows that were read together ask together: the first of them that wants its history has that of
//! all read by one query, and the others wait for it ([`shared`]). So a page takes as many readings as
//! one row would, whatever is nested in it. (A loader that waits a moment for further keys does not
//! do: async-graphql comes to the rows of a page over many moments.)
//!
//! The scope is kept with the rows, and what lies outside it is not there.

pub(super) mod shared;

use std::sync::Arc;

use async_graphql::Context;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use self::shared::{Shared, lists};
use super::deliveries::Delivery;
use super::failure::{Failure, read_log, read_store};
use super::names::{Names, parties};
use super::query::databases;
use super::scope::Scope;
use super::types::change::ConversionChange;
use super::types::click::Click;
use super::types::conversion::Conversion;
use super::types::postback_log::PostbackAttempt;
use crate::event_log::EventLog;
use crate::event_log::reader::{self, AttemptRecord, AttemptsOf, CLOCKS, time_of};
use crate::store::conversion_search::ConversionRecord;
use crate::store::delivery_search::DeliveryRecord;
use crate::store::visible_names::Named;
use crate::store::{clicks, conversion_history, conversion_search, delivery_search};

/// Conversions that were read together.
pub struct Conversions {
    scope: Scope,
    leads: Vec<Uuid>,
    clicks: Vec<Uuid>,
    /// No attempt of theirs begins before this.
    since: DateTime<Utc>,
    history: Shared<usize, Vec<ConversionChange>>,
    deliveries: Shared<usize, Vec<Delivery>>,
    attempts: Shared<usize, Vec<PostbackAttempt>>,
    click: Shared<(), Click>,
    names: Names,
}

impl Conversions {
    pub fn of(scope: Scope, rows: &[ConversionRecord]) -> Arc<Self> {
        Arc::new(Self {
            scope,
            leads: rows.iter().map(|row| row.lead_id).collect(),
            clicks: rows.iter().map(|row| row.click_id).collect(),
            since: rows.iter().map(|row| row.created_at - CLOCKS).min().unwrap_or_default(),
            history: Shared::default(),
            deliveries: Shared::default(),
            attempts: Shared::default(),
            click: Shared::default(),
            names: Names::of(
                scope,
                rows.iter().flat_map(|row| parties(row.offer_id, row.partner_id, row.advertiser_id)),
            ),
        })
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// What has happened to one of them, oldest first; `each` changes at most.
    pub async fn history(
        &self,
        ctx: &Context<'_>,
        lead_id: Uuid,
        each: usize,
    ) -> Result<Vec<ConversionChange>, Failure> {
        let (pool, scope, leads) = (databases(ctx).pool.clone(), self.scope, self.leads.clone());
        let read = async move {
            let rows = conversion_history::of_leads(&pool, scope, &leads, each);
            let rows = read_store(rows).await?.into_iter();
            Ok(lists(rows.map(|row| (Some(row.lead_id), ConversionChange::seen_by(scope, row)))))
        };
        Ok(self.history.of(each, lead_id, read).await?.unwrap_or_default())
    }

    /// The deliveries that tell of one of them, in the order of their events.
    pub async fn deliveries(
        &self,
        ctx: &Context<'_>,
        lead_id: Uuid,
        each: usize,
    ) -> Result<Vec<Delivery>, Failure> {
        let (pool, scope, leads) = (databases(ctx).pool.clone(), self.scope, self.leads.clone());
        let read = async move {
            let rows = read_store(delivery_search::of_leads(&pool, scope, &leads, each)).await?;
            let together = Deliveries::of(scope, &rows);
            Ok(lists(rows.into_iter().map(|row| (row.lead_id, Delivery::of(row, &together)))))
        };
        Ok(self.deliveries.of(each, lead_id, read).await?.unwrap_or_default())
    }

    /// The lines of one of them in the postback log, oldest first.
    pub async fn attempts(
        &self,
        ctx: &Context<'_>,
        lead_id: Uuid,
        each: usize,
    ) -> Result<Vec<PostbackAttempt>, Failure> {
        let log = databases(ctx).log.clone();
        let read = lines(log, self.scope, AttemptsOf::Conversion, self.leads.clone(), self.since, each);
        Ok(self.attempts.of(each, lead_id, read).await?.unwrap_or_default())
    }

    pub async fn click(&self, ctx: &Context<'_>, click_id: Uuid) -> Result<Option<Click>, Failure> {
        let (pool, scope, ids) = (databases(ctx).pool.clone(), self.scope, self.clicks.clone());
        let read = async move {
            let clicks = read_store(clicks::by_ids(&pool, scope, &ids)).await?;
            let ids = clicks
                .iter()
                .flat_map(|click| parties(click.offer_id.0, click.partner_id.0, click.advertiser_id.0));
            let names = Arc::new(Names::of(scope, ids));
            Ok(clicks.iter().map(|click| (click.click_id.0, Click::kept(scope, click, &names))).collect())
        };
        self.click.of((), click_id, read).await
    }
}

/// Deliveries that were read together.
pub struct Deliveries {
    scope: Scope,
    deliveries: Vec<Uuid>,
    leads: Vec<Uuid>,
    attempts: Shared<usize, Vec<PostbackAttempt>>,
    conversion: Shared<(), Conversion>,
    names: Names,
}

impl Deliveries {
    pub fn of(scope: Scope, rows: &[DeliveryRecord]) -> Arc<Self> {
        let postbacks = rows.iter().map(|row| (Named::Postback, Some(row.postback_id)));
        let parties = rows.iter().flat_map(|row| parties(row.offer_id, row.partner_id, row.advertiser_id));
        Arc::new(Self {
            scope,
            deliveries: rows.iter().map(|row| row.delivery_id).collect(),
            leads: distinct(rows.iter().filter_map(|row| row.lead_id)),
            attempts: Shared::default(),
            conversion: Shared::default(),
            names: Names::of(scope, postbacks.chain(parties)),
        })
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The lines of one of them in the postback log, oldest first.
    pub async fn attempts(
        &self,
        ctx: &Context<'_>,
        delivery_id: Uuid,
        each: usize,
    ) -> Result<Vec<PostbackAttempt>, Failure> {
        // No attempt begins before its event, whose time an id begins with.
        let since =
            self.deliveries.iter().map(|id| time_of(*id).map_or(DateTime::UNIX_EPOCH, |time| time - CLOCKS));
        let since = since.min().unwrap_or_default();
        let log = databases(ctx).log.clone();
        let read = lines(log, self.scope, AttemptsOf::Delivery, self.deliveries.clone(), since, each);
        Ok(self.attempts.of(each, delivery_id, read).await?.unwrap_or_default())
    }

    pub async fn conversion(
        &self,
        ctx: &Context<'_>,
        lead_id: Option<Uuid>,
    ) -> Result<Option<Conversion>, Failure> {
        conversion(ctx, self.scope, &self.conversion, &self.leads, lead_id).await
    }
}

/// Lines of the postback log that were read together.
pub struct Attempts {
    scope: Scope,
    deliveries: Vec<Uuid>,
    leads: Vec<Uuid>,
    delivery: Shared<(), Delivery>,
    conversion: Shared<(), Conversion>,
    names: Names,
}

impl Attempts {
    pub fn of(scope: Scope, rows: &[AttemptRecord]) -> Arc<Self> {
        let postbacks = rows.iter().map(|row| (Named::Postback, Some(row.postback_id)));
        let parties = rows.iter().flat_map(|row| parties(row.offer_id, row.partner_id, row.advertiser_id));
        Arc::new(Self {
            scope,
            deliveries: distinct(rows.iter().map(|row| row.delivery_id)),
            leads: distinct(rows.iter().filter_map(|row| row.lead_id)),
            delivery: Shared::default(),
            conversion: Shared::default(),
            names: Names::of(scope, postbacks.chain(parties)),
        })
    }

    pub fn scope(&self) -> Scope {
        self.scope
    }

    pub fn names(&self) -> &Names {
        &self.names
    }

    pub async fn delivery(&self, ctx: &Context<'_>, delivery_id: Uuid) -> Result<Option<Delivery>, Failure> {
        let (pool, scope, ids) = (databases(ctx).pool.clone(), self.scope, self.deliveries.clone());
        let read = async move {
            let rows = read_store(delivery_search::by_ids(&pool, scope, &ids)).await?;
            let together = Deliveries::of(scope, &rows);
            Ok(rows.into_iter().map(|row| (row.delivery_id, Delivery::of(row, &together))).collect())
        };
        self.delivery.of((), delivery_id, read).await
    }

    pub async fn conversion(
        &self,
        ctx: &Context<'_>,
        lead_id: Option<Uuid>,
    ) -> Result<Option<Conversion>, Failure> {
        conversion(ctx, self.scope, &self.conversion, &self.leads, lead_id).await
    }
}

async fn lines(
    log: EventLog,
    scope: Scope,
    of: AttemptsOf,
    ids: Vec<Uuid>,
    since: DateTime<Utc>,
    each: usize,
) -> Result<shared::ByRow<Vec<PostbackAttempt>>, Failure> {
    let rows = read_log(reader::attempts_of(&log, scope, of, &ids, since, each)).await?;
    let together = Attempts::of(scope, &rows);
    Ok(lists(rows.into_iter().map(|row| (of.id(&row), PostbackAttempt::of(row, &together)))))
}

async fn conversion(
    ctx: &Context<'_>,
    scope: Scope,
    shared: &Shared<(), Conversion>,
    leads: &[Uuid],
    lead_id: Option<Uuid>,
) -> Result<Option<Conversion>, Failure> {
    let Some(lead_id) = lead_id else { return Ok(None) };
    let (pool, leads) = (databases(ctx).pool.clone(), leads.to_vec());
    let read = async move {
        let rows = read_store(conversion_search::by_ids(&pool, scope, &leads)).await?;
        let together = Conversions::of(scope, &rows);
        Ok(rows.into_iter().map(|row| (row.lead_id, Conversion::of(row, &together))).collect())
    };
    shared.of((), lead_id, read).await
}

fn distinct(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
