//! The subscriptions.

use std::slice::from_ref;

use async_graphql::{Context, SimpleObject};
use chrono::{TimeDelta, Utc};
use futures_util::Stream;
use futures_util::stream;

use super::cost::rows_cost;
use super::failure::{Failure, read_store};
use super::query::{databases, scope};
use super::related::Attempts;
use super::scalars::Time;
use super::scope::Scope;
use super::types::postback_log::{PostbackAttempt, PostbackLogFilter};
use crate::tail::{Feed, Tail, Tailed};

/// The longest past that a tail shows.
const LONGEST_PAST: TimeDelta = TimeDelta::hours(24);

pub struct Subscription;

/// One attempt, as it is recorded.
#[derive(SimpleObject)]
struct TailedAttempt {
    #[graphql(flatten)]
    attempt: PostbackAttempt,
    /// When it was recorded: the order of the tail. Attempts of the past that ClickHouse tells of show
    /// `startedAt` here, and come in its order.
    recorded_at: Time,
    /// How many attempts were left out right before this one, because this subscription took them too
    /// slowly: 10,000 attempts or 8 MiB wait for it at most, and then the oldest are dropped. 0 as a rule.
    dropped_before: u64,
    /// With `since`, on the first attempt: whether ClickHouse did not answer, so that of the past only
    /// what PostgreSQL still has is shown. False as a rule.
    past_left_out: bool,
}

impl TailedAttempt {
    fn seen_by(scope: Scope, tailed: Tailed) -> Self {
        let record = &tailed.row.record;
        Self {
            attempt: PostbackAttempt::of(record.clone(), &Attempts::of(scope, from_ref(record))),
            recorded_at: tailed.row.recorded_at.into(),
            dropped_before: tailed.dropped_before,
            past_left_out: tailed.is_past_left_out,
        }
    }
}

#[async_graphql::Subscription]
impl Subscription {
    /// Every new attempt to deliver a postback that the filter finds, of all nodes, each once, within
    /// two seconds, in the order they are recorded; also while ClickHouse is away. An advertiser
    /// or partner sees those of its own postbacks.
    ///
    /// With `since`, attempts begun or recorded since then come first, at most of the last 24 hours,
    /// without a gap or a repeat between them and the new ones. After a lost connection, subscribe again
    /// with a `since` some minutes before the last `recordedAt`, and leave out what has an
    /// `attemptId` you have.
    ///
    /// WebSocket at `/graphql`, protocol `graphql-transport-ws` or `graphql-ws`, with the token in the header
    /// `Authorization` or in the payload of `connection_init`: `{"Authorization": "Bearer rt_..."}`.
    #[graphql(complexity = "rows_cost(1, child_complexity)")]
    async fn postback_log_tail(
        &self,
        ctx: &Context<'_>,
        filter: Option<PostbackLogFilter>,
        since: Option<Time>,
    ) -> Result<impl Stream<Item = Result<TailedAttempt, Failure>>, Failure> {
        let scope = scope(ctx)?;
        let filter = filter.unwrap_or_default().read()?;
        let since = since.map(|since| since.bound("since")).transpose()?;
        if since.is_some_and(|since| since < Utc::now() - LONGEST_PAST) {
            let message = "a tail shows at most the last 24 hours; take a later time, and read what is older from \
                           postbackLog or an export";
            return Err(Failure::bad_input("since", message));
        }
        let Some(feed) = ctx.data_opt::<Feed>() else {
            return Err(Failure::StoreUnavailable { detail: "only a node has a tail".into() });
        };
        let follower = read_store(async { Ok::<_, Failure>(feed.follow(scope, filter).await) }).await?;
        let tail = match since {
            None => Tail::from_now(follower),
            Some(since) => read_store(Tail::since(follower, &databases(ctx).log, since)).await?,
        };
        Ok(stream::unfold(Some(tail), move |tail| async move {
            let mut tail = tail?;
            Some(match tail.next().await {
                Ok(tailed) => (Ok(TailedAttempt::seen_by(scope, tailed)), Some(tail)),
                Err(end) => (Err(Failure::TailEnded(end)), None),
            })
        }))
    }
}
