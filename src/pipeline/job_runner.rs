//! Works at jobs that make many deliveries: resends by a filter of the log, and late postbacks.
//!
//! A job is a row: any node can take it up where another left it. Each step reads what comes next,
//! and writes the deliveries and the job's progress in one small transaction; so a job that is
//! interrupted anywhere neither leaves out nor repeats a delivery. What it makes are ordinary
//! deliveries that wait; the dispatchers find them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use chrono::{DateTime, TimeDelta, Utc};

use super::services::Services;
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, JobId};
use crate::domain::postback::{Postback, subscribers};
use crate::domain::resend::{JobState, Pace, PassedOver};
use crate::event_log::reader::{self, AttemptFilter};
use crate::event_log::rows::Log;
use crate::panics::{as_failure, caught};
use crate::store::deliveries::{Claimed, NewDelivery};
use crate::store::delivery_jobs::{self as jobs, Counts, Held, PastSelection, Progress, Selection};
use crate::store::late_postbacks::{self, Listener};
use crate::store::resend::{Batch, Wish, resend_batch};
use crate::store::setup::ChangeError;
use crate::store::{StoreError, log_batches};

/// Jobs of one node at once. Further ones wait for another node, or their turn.
const MOST_JOBS: usize = 4;
/// Between rounds.
const ROUND: Duration = Duration::from_millis(100);
/// Of all the time, looks for jobs to take up take at most one part in this many: each passes over what
/// PostgreSQL could not clear away of jobs that were worked at, as long as somebody's transaction is older.
const LOOK_SHARE: u32 = 20;
/// How long one job may keep the others waiting.
const TURN: Duration = Duration::from_millis(500);
/// Between tries where something is away, or late.
const WAIT: Duration = Duration::from_secs(1);
/// Deliveries made in one transaction: few enough to hold their locks briefly.
const STEP: usize = 200;
/// Deliveries read from the log at once.
const LOG_PAGE: usize = 5_000;
/// How long after a change's time its transaction has surely ended.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// Bound: [`MOST_JOBS`] jobs, each with a page of ids.
pub struct JobRunner {
    services: Arc<Services>,
    held: Vec<Work>,
    next_look: Instant,
}

/// A job, and what this node knows of it beside its row.
struct Work {
    held: Held,
    /// Of a resend: ids read from the log and not dealt with.
    page: VecDeque<DeliveryId>,
    /// The log has no more ids than those.
    is_exhausted: bool,
    /// Every attempt recorded before the job was made is in ClickHouse.
    is_shipped: bool,
    /// Of late postbacks: the events that are for it.
    listener: Option<Listener>,
    not_before: Instant,
}

/// What follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Step,
    /// Its pace says so.
    Later,
    /// Something else is not ready.
    Wait,
    /// Done, or no longer this node's.
    Over,
}

impl JobRunner {
    pub fn new(services: Arc<Services>) -> Self {
        Self { services, held: Vec::new(), next_look: Instant::now() }
    }

    fn next_round(&mut self, ctx: &mut Context<Self>) {
        let services = self.services.clone();
        let held = std::mem::take(&mut self.held);
        let next_look = self.next_look;
        let round = caught(async move { go_round(&services, held, next_look).await });
        ctx.spawn(round.into_actor(self).map(move |round, this, ctx| {
            let is_ended = round.is_err();
            (this.held, this.next_look) = round.unwrap_or_else(|error| {
                tracing::error!(%error, "a round of jobs was ended; all are let go of, and taken up again");
                (Vec::new(), next_look)
            });
            ctx.run_later(if is_ended { WAIT } else { ROUND }, Self::next_round);
        }));
    }
}

impl Actor for JobRunner {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.next_round(ctx);
    }
}

impl Supervised for JobRunner {}

/// Gives each job its turn. One that fails by PostgreSQL is let go of: whether its last step was
/// saved is read from its row by whoever takes it up. Returns what is held, and when to look for more.
async fn go_round(services: &Services, held: Vec<Work>, mut next_look: Instant) -> (Vec<Work>, Instant) {
    if services.slots.is_closed() {
        // The server stops; another node goes on, or this one when it is back.
        return (Vec::new(), next_look);
    }
    let mut kept = Vec::new();
    for mut work in held {
        match as_failure(turn(services, &mut work)).await {
            Ok(Next::Over) => {}
            Ok(_) => kept.push(work),
            Err(error) => {
                tracing::warn!(%error, job = %work.held.job.job_id, "a job is let go of, and taken up again")
            }
        }
    }
    let began = Instant::now();
    if kept.len() < MOST_JOBS && began >= next_look {
        match jobs::claim(&services.pool, services.node, MOST_JOBS - kept.len()).await {
            Ok(claimed) => kept.extend(claimed.into_iter().map(Work::new)),
            Err(error) => tracing::debug!(%error, "no job could be claimed"),
        }
        next_look = Instant::now() + began.elapsed() * LOOK_SHARE;
    }
    (kept, next_look)
}

async fn turn(services: &Services, work: &mut Work) -> Result<Next, StoreError> {
    let begun = Instant::now();
    if work.not_before > begun {
        return Ok(Next::Wait);
    }
    loop {
        let next = match work.held.job.selection.clone() {
            Selection::Log(filter) => work.resend_step(services, &filter).await?,
            Selection::Past(past) => work.past_step(services, &past).await?,
            Selection::Deliveries(ids) => {
                work.page = ids.into_iter().map(DeliveryId).collect();
                work.is_exhausted = true;
                work.save_resends(services).await?
            }
        };
        if next == Next::Wait {
            work.not_before = Instant::now() + WAIT;
        }
        if next != Next::Step || begun.elapsed() > TURN {
            return Ok(next);
        }
    }
}

impl Work {
    fn new(held: Held) -> Self {
        Self {
            held,
            page: VecDeque::new(),
            is_exhausted: false,
            is_shipped: false,
            listener: None,
            not_before: Instant::now(),
        }
    }

    fn job_id(&self) -> JobId {
        self.held.job.job_id
    }

    /// Says what the job waits for.
    async fn wait_for(&mut self, services: &Services, what: &str) -> Result<Next, StoreError> {
        let is_held = jobs::note(&services.pool, &mut self.held, what).await?;
        Ok(if is_held { Next::Wait } else { Next::Over })
    }

    async fn resend_step(&mut self, services: &Services, filter: &AttemptFilter) -> Result<Next, StoreError> {
        if !self.is_shipped {
            let created_at = self.held.job.created_at;
            let rows = log_batches::rows_before(&services.pool, Log::Attempts, created_at).await?;
            if rows > 0 {
                let what = format!("waiting until {rows} attempts are in ClickHouse, where the filter looks");
                return self.wait_for(services, &what).await;
            }
            self.is_shipped = true;
        }
        if self.page.is_empty() && !self.is_exhausted {
            let (scope, cursor) = (self.held.job.scope, self.held.cursor());
            let reading = reader::matched_deliveries(&services.log, scope, filter, cursor, LOG_PAGE);
            match reading.await {
                Ok(ids) => {
                    self.is_exhausted = ids.len() < LOG_PAGE;
                    self.page = ids.into_iter().map(DeliveryId).collect();
                }
                Err(error) => {
                    tracing::warn!(%error, job = %self.job_id(), "a job waits for ClickHouse");
                    return self.wait_for(services, "waiting for ClickHouse, which does not answer").await;
                }
            }
        }
        self.save_resends(services).await
    }

    /// Deals with the next ids of the page.
    async fn save_resends(&mut self, services: &Services) -> Result<Next, StoreError> {
        let now = services.now();
        let pace = self.pace(now);
        let allowed = pace.allows().min(STEP);
        if allowed == 0 && !self.page.is_empty() {
            return Ok(Next::Later);
        }
        let ids: Vec<DeliveryId> = self.page.iter().take(allowed).copied().collect();
        let ends = self.is_exhausted && ids.len() == self.page.len();

        let mut client = services.pool.get().await?;
        let transaction = client.transaction().await?;
        let job = &self.held.job;
        let wish = Wish {
            job: job.job_id,
            scope: job.scope,
            request: job.request,
            conditions: job.conditions,
            node: services.node,
        };
        let Batch { results, .. } = match ids.is_empty() {
            true => Batch::default(),
            false => resend_batch(&transaction, wish, &ids, now).await?,
        };
        let counts = Counts::of(results.iter().map(|(_, result)| result));
        let used = usize::try_from(counts.made + counts.hastened).unwrap_or(usize::MAX);
        let progress = Progress {
            counts,
            cursor: ids.last().map(|id| id.0),
            paced_until: pace.used_up_by(used),
            ends: ends.then_some(JobState::Done),
            note: String::new(),
        };
        if !jobs::save(&transaction, &self.held, &progress).await? {
            return Ok(Next::Over);
        }
        transaction.commit().await?;
        self.held.has_saved(&progress);
        self.page.drain(..ids.len());
        Ok(if ends { Next::Over } else { Next::Step })
    }

    async fn past_step(&mut self, services: &Services, past: &PastSelection) -> Result<Next, StoreError> {
        let now = services.now();
        let pace = self.pace(now);
        let allowed = pace.allows().min(STEP);
        if allowed == 0 {
            return Ok(Next::Later);
        }
        let Some(listener) = self.listener(services, past).await? else {
            let note = "the postback was deleted".to_owned();
            return self.end(services, JobState::Failed, note).await;
        };
        // What may still be committed is looked at later, so that nothing is passed by.
        let settled = PastSelection { to: past.to.min(now - SETTLED), ..past.clone() };
        let cursor = self.held.cursor();
        let changes = {
            let client = services.pool.get().await?;
            late_postbacks::changes(&client, &listener, &settled, cursor, STEP).await?
        };
        let is_last = changes.len() < STEP;

        let catalogue = services.catalogue();
        let (mut wishes, mut last) = (Vec::new(), None);
        let (mut is_cut, mut kept_back) = (false, 0);
        for change in &changes {
            if wishes.len() >= allowed {
                is_cut = true;
                break;
            }
            last = Some(change.change_id.0);
            let heard = subscribers(&catalogue, &change.facts, &change.events);
            let is_asked_for =
                |(postback, _): &(&Arc<Postback>, Event)| postback.postback_id == past.postback_id;
            for (postback, event) in heard.filter(is_asked_for) {
                if postback.admits(event, &change.facts, &catalogue).is_err() {
                    kept_back += 1;
                    continue;
                }
                wishes.push(NewDelivery {
                    delivery_id: DeliveryId::of(change.change_id, past.postback_id, event.code()),
                    postback_id: past.postback_id,
                    change_id: change.change_id,
                    event,
                    lead_id: change.facts.lead_id,
                    is_claimed: Claimed::waiting_for(postback),
                });
            }
        }
        let reaches_end = is_last && !is_cut;
        let ends = reaches_end && now - SETTLED >= past.to;
        if last.is_none() && !ends {
            // The time asked for reaches into the present.
            return Ok(Next::Wait);
        }

        let mut client = services.pool.get().await?;
        let transaction = client.transaction().await?;
        let made = late_postbacks::insert_missing(&transaction, self.job_id().0, now, &wishes).await?;
        let matched = wishes.len() as u64 + kept_back;
        let mut counts = Counts { matched, made: made.len() as u64, ..Counts::default() };
        let had = (wishes.len() - made.len()) as u64;
        if had > 0 {
            counts.skipped.insert(PassedOver::HasDelivery, had);
        }
        if kept_back > 0 {
            counts.skipped.insert(PassedOver::ConditionUnmet, kept_back);
        }
        let progress = Progress {
            counts,
            cursor: last,
            paced_until: pace.used_up_by(made.len()),
            ends: ends.then_some(JobState::Done),
            note: String::new(),
        };
        if !jobs::save(&transaction, &self.held, &progress).await? {
            return Ok(Next::Over);
        }
        transaction.commit().await?;
        self.held.has_saved(&progress);
        Ok(match (ends, reaches_end) {
            (true, _) => Next::Over,
            (false, true) => Next::Wait,
            (false, false) => Next::Step,
        })
    }

    /// The postback of late postbacks; the catalogue is read again first, which may not know it yet.
    async fn listener(
        &mut self,
        services: &Services,
        past: &PastSelection,
    ) -> Result<Option<Listener>, StoreError> {
        if self.listener.is_none() {
            services.refresh_catalogue().await?;
            let scope = self.held.job.scope;
            match late_postbacks::listener(&services.pool, scope, past.postback_id).await {
                Ok(listener) => self.listener = Some(listener),
                Err(ChangeError::Store(error)) => return Err(error),
                Err(
                    ChangeError::NotFound { .. } | ChangeError::BadValue { .. } | ChangeError::BadValues(_),
                ) => {}
            }
        }
        Ok(self.listener.clone())
    }

    async fn end(&mut self, services: &Services, state: JobState, note: String) -> Result<Next, StoreError> {
        let progress = Progress {
            counts: Counts::default(),
            cursor: None,
            paced_until: self.held.paced_until(),
            ends: Some(state),
            note,
        };
        let client = services.pool.get().await?;
        jobs::save(&client, &self.held, &progress).await?;
        Ok(Next::Over)
    }

    fn pace(&self, now: DateTime<Utc>) -> Pace {
        Pace::at(self.held.paced_until(), now, self.held.job.rate_per_second)
    }
}
