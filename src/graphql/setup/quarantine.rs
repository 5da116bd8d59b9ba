//! Requests whose status word nobody had mapped: seen, released, discarded.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use chrono::Utc;
use rust_decimal::Decimal;

use super::by_hand::{decider, inbound_ids, note};
use super::caller::{caller, pool, writing_pool};
use crate::graphql::enums::Meaning;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter;
use crate::graphql::paging::{List, MAX_PAGE_ROWS};
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::types::{LogConnection, connection};
use crate::store::StoreError;
use crate::store::quarantine::{self, Discarding, NotWaiting, QuarantineItem};

/// A request that waits for somebody to say what its status word means.
#[derive(SimpleObject)]
pub struct QuarantinedRequest {
    inbound_id: ID,
    /// The status word, in lower case.
    word: String,
    advertiser_id: ID,
    offer_id: Option<ID>,
    integration_id: Option<ID>,
    /// Our click id.
    click_id: Option<ID>,
    request_id: Option<ID>,
    action: Option<String>,
    customer_id: Option<ID>,
    /// Full price as reported.
    amount: Option<Decimal>,
    /// ISO 4217.
    currency: Option<String>,
    is_test: bool,
    /// Raw parameters as JSON: `[[name, value], …]`, with secrets redacted.
    parameters: String,
    /// IP address it came from.
    source_ip: String,
    received_at: Time,
    /// The request's own time: its `datetime`, or when it came.
    occurred_at: Time,
    /// What somebody decided for this request alone; it is processed within seconds.
    decided_meaning: Option<Meaning>,
}

impl From<QuarantineItem> for QuarantinedRequest {
    fn from(item: QuarantineItem) -> Self {
        let filled = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            inbound_id: item.inbound_id.0.into(),
            word: item.word,
            advertiser_id: item.advertiser_id.0.into(),
            offer_id: item.offer_id.map(|id| id.0.into()),
            integration_id: item.integration_id.map(|id| id.0.into()),
            click_id: item.click_id.map(|id| id.0.into()),
            request_id: filled(item.request.request_id).map(ID::from),
            action: filled(item.request.action),
            customer_id: item.request.customer_id.map(ID::from),
            amount: item.request.price,
            currency: item.request.currency.map(|currency| currency.code().to_owned()),
            is_test: item.request.is_test,
            parameters: serde_json::to_string(&item.parameters).expect("pairs of texts are JSON"),
            source_ip: item.source_ip,
            received_at: item.received_at.into(),
            occurred_at: item.occurred_at.into(),
            decided_meaning: item.decided_meaning.map(Meaning::from),
        }
    }
}

/// Which requests. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct QuarantineFilter {
    advertiser_ids: Option<Vec<ID>>,
    offer_ids: Option<Vec<ID>>,
    integration_ids: Option<Vec<ID>>,
    /// The status word, in any case.
    word: Option<String>,
}

impl QuarantineFilter {
    fn read(&self) -> Result<quarantine::QuarantineFilter, Failure> {
        Ok(quarantine::QuarantineFilter {
            advertiser_ids: filter::uuids("advertiserIds", self.advertiser_ids.as_deref())?,
            offer_ids: filter::uuids("offerIds", self.offer_ids.as_deref())?,
            integration_ids: filter::uuids("integrationIds", self.integration_ids.as_deref())?,
            word: filter::text("word", self.word.as_deref())?,
        })
    }
}

/// A status word that requests wait for.
#[derive(SimpleObject)]
struct QuarantineWord {
    word: String,
    /// How many requests wait.
    count: u64,
    /// When the first of them came.
    oldest: Time,
    advertiser_id: ID,
    offer_id: Option<ID>,
    integration_id: Option<ID>,
}

impl From<quarantine::WaitingWord> for QuarantineWord {
    fn from(word: quarantine::WaitingWord) -> Self {
        Self {
            word: word.word,
            count: word.requests,
            oldest: word.oldest.into(),
            advertiser_id: word.advertiser_id.0.into(),
            offer_id: word.offer_id.map(|id| id.0.into()),
            integration_id: word.integration_id.map(|id| id.0.into()),
        }
    }
}

#[derive(Default)]
pub struct QuarantineQueries;

#[Object]
impl QuarantineQueries {
    /// Requests whose status word nobody has mapped, newest first. An advertiser sees its own; a
    /// partner sees none.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn quarantine(
        &self,
        ctx: &Context<'_>,
        filter: Option<QuarantineFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<QuarantinedRequest>, Failure> {
        let request = page_request(ctx, List::Quarantine, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let scope = caller(ctx)?.scope();
        let page = read_store(quarantine::list(pool(ctx), scope, &filter, &request)).await?;
        Ok(connection(List::Quarantine, &request, page))
    }

    /// The words requests wait for, the most frequent first; at most 1000. An advertiser sees
    /// its own.
    #[graphql(complexity = "MAX_PAGE_ROWS + child_complexity")]
    async fn quarantine_words(&self, ctx: &Context<'_>) -> Result<Vec<QuarantineWord>, Failure> {
        let scope = caller(ctx)?.scope();
        let reading = async {
            let client = pool(ctx).get().await.map_err(StoreError::from)?;
            quarantine::words(&client, scope).await
        };
        Ok(read_store(reading).await?.into_iter().map(QuarantineWord::from).collect())
    }
}

#[derive(InputObject)]
struct ReleaseQuarantineInput {
    /// 1 to 1000 requests.
    inbound_ids: Vec<ID>,
    /// What their status word means, for them alone.
    meaning: Meaning,
}

#[derive(InputObject)]
struct DiscardQuarantineInput {
    /// 1 to 1000 requests.
    inbound_ids: Vec<ID>,
    /// Why; it stays in the inbound log and the audit log.
    reason: String,
}

#[derive(Default)]
pub struct QuarantineMutations;

#[Object]
impl QuarantineMutations {
    /// Says what the word of these requests means, for them alone. They are processed within
    /// seconds, as of their own times. Where one of them is not in quarantine, none is released.
    /// Owners, and the advertiser whose requests they are. Returns how many there are.
    async fn release_quarantine(
        &self,
        ctx: &Context<'_>,
        input: ReleaseQuarantineInput,
    ) -> Result<usize, Failure> {
        let caller = decider(ctx)?;
        let ids = inbound_ids("input.inboundIds", &input.inbound_ids)?;
        let meaning = input.meaning.into();
        read_store(quarantine::release(writing_pool(ctx), caller.scope(), &ids, meaning, caller.into())).await
    }

    /// Throws requests away. Where one of them is not in quarantine, none is. Owners, and the
    /// advertiser whose requests they are. Returns how many there were.
    async fn discard_quarantine(
        &self,
        ctx: &Context<'_>,
        input: DiscardQuarantineInput,
    ) -> Result<usize, Failure> {
        let caller = decider(ctx)?;
        let ids = inbound_ids("input.inboundIds", &input.inbound_ids)?;
        let why = Discarding { actor: caller.into(), reason: note("input.reason", &input.reason)? };
        read_store(quarantine::discard(writing_pool(ctx), caller.scope(), &ids, why, Utc::now())).await
    }
}

impl From<NotWaiting> for Failure {
    fn from(error: NotWaiting) -> Self {
        let message = error.to_string();
        match error {
            NotWaiting::NotFound(_) => Self::NotFound { field: "input.inboundIds".into(), message },
            NotWaiting::Store(error) => error.into(),
        }
    }
}
