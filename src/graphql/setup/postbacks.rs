//! Postbacks.
//!
//! Owners make them for anybody, a partner or advertiser for itself. Wherever a URL points, what it
//! leads to is vetted before each sending (`domain/address_policy.rs`).

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};

use super::caller::{caller, change, outbound_policy, pool, writer};
use super::postback_request::{
    BodyKind, Header, Method, PostbackWarning, RequestInput, SuccessRule, Translated,
};
use super::sending::{PostbackLimits, PostbackLimitsInput, PostbackRetry, PostbackRetryInput, change_of};
use crate::domain::ids::{AdvertiserId, LinkId, OfferId, PartnerId, PostbackId};
use crate::domain::postback::{Owner, Scope as PostbackScope};
use crate::graphql::enums::Event;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter::uuid_at;
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::scope::{Grant, Scope};
use crate::graphql::types::{LogConnection, connection};
use crate::store::setup::ChangeError;
use crate::store::setup::postback_listing::{OwnerKind, PostbackFilter, ScopeKind, TextIn};
use crate::store::setup::postback_twins::Twins;
use crate::store::setup::postbacks::{
    self, Beginning, HealthRecord, PostbackChange, PostbackRecord, Sending,
};

/// A destination that is told of events.
#[derive(SimpleObject)]
pub struct Postback {
    postback_id: ID,
    name: Option<String>,
    /// The system of the preset it was made of.
    preset: Option<String>,
    /// `partner`, `advertiser` or `platform`.
    owner: &'static str,
    partner_id: Option<ID>,
    advertiser_id: Option<ID>,
    /// Only conversions of this offer.
    offer_id: Option<ID>,
    /// Only conversions of clicks through this link.
    link_id: Option<ID>,
    events: Vec<Event>,
    url_template: String,
    /// What is filtered out by it is skipped, and the log says why; null: nothing is.
    condition: Option<String>,
    method: Method,
    headers: Vec<Header>,
    body_kind: BodyKind,
    body_template: String,
    /// Null where it follows the kind of the body.
    content_type: Option<String>,
    /// Where one of these is empty, nothing is sent: the delivery is skipped.
    required_macros: Vec<String>,
    success_rules: Vec<SuccessRule>,
    /// In the answer to a change: what was written in another system's notation, and what it was
    /// read as.
    translated: Vec<Translated>,
    /// In the answer to a change: what of the request likely says something else than was meant.
    warnings: Vec<PostbackWarning>,
    /// Most requests to it at once.
    max_in_flight: i32,
    /// Milliseconds that one attempt may take in all.
    timeout_ms: i32,
    /// Milliseconds between attempts; null for the default schedule.
    retry_schedule_ms: Option<Vec<i64>>,
    limits: PostbackLimits,
    retry: PostbackRetry,
    /// Its deliveries wait.
    is_paused: bool,
    /// Why, where Ricochet paused it by itself: its destination answered 410.
    paused_reason: Option<String>,
    created_at: Time,
    health: PostbackHealth,
}

/// How a destination is doing, over all nodes. Written where it changes and every few seconds
/// while attempts fail.
#[derive(SimpleObject)]
pub struct PostbackHealth {
    /// When the first attempt failed after which none has succeeded; null: it is well.
    failing_since: Option<Time>,
    /// Attempts that have failed since the last one that succeeded.
    consecutive_failures: i64,
    /// The last success before, or at the end of, the last failing.
    last_success_at: Option<Time>,
    last_failure_at: Option<Time>,
    /// What the last failed attempt said.
    last_error: Option<String>,
    /// Warnings given of this failing: 0 to 2.
    warnings: i32,
}

impl From<HealthRecord> for PostbackHealth {
    fn from(record: HealthRecord) -> Self {
        Self {
            failing_since: record.failing_since.map(Time::from),
            consecutive_failures: record.consecutive_failures,
            last_success_at: record.last_success_at.map(Time::from),
            last_failure_at: record.last_failure_at.map(Time::from),
            last_error: Some(record.last_error).filter(|error| !error.is_empty()),
            warnings: record.warnings.into(),
        }
    }
}

/// Whose a postback is.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "OwnerKind")]
pub enum PostbackOwnerKind {
    Partner,
    Advertiser,
    /// The network's own.
    Platform,
}

/// What a postback is for.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "ScopeKind")]
pub enum PostbackScopeKind {
    /// All offers.
    Global,
    Offer,
    Link,
}

/// Which postbacks. What is absent restricts nothing.
#[derive(InputObject, Default)]
struct PostbacksFilter {
    owner: Option<PostbackOwnerKind>,
    partner_id: Option<ID>,
    advertiser_id: Option<ID>,
    /// Only those of this offer or of one of its links.
    offer_id: Option<ID>,
    /// Only those of this link.
    link_id: Option<ID>,
    scope: Option<PostbackScopeKind>,
    is_paused: Option<bool>,
    /// Made of the preset of this system.
    preset: Option<String>,
    /// In the name or the URL, whatever its case.
    text: Option<String>,
    /// Only those whose destinations are failing, or only those whose are not.
    is_failing: Option<bool>,
}

impl PostbacksFilter {
    fn read(self) -> Result<PostbackFilter, Failure> {
        let id = |name: &str, id: Option<ID>| id.map(|id| uuid_at(name, &id)).transpose();
        Ok(PostbackFilter {
            owner: self.owner.map(OwnerKind::from),
            partner_id: id("filter.partnerId", self.partner_id)?,
            advertiser_id: id("filter.advertiserId", self.advertiser_id)?,
            offer_id: id("filter.offerId", self.offer_id)?,
            link_id: id("filter.linkId", self.link_id)?,
            scope: self.scope.map(ScopeKind::from),
            is_paused: self.is_paused,
            is_failing: self.is_failing,
            preset: self.preset,
            text: self.text,
            text_in: TextIn::NameAndUrl,
        })
    }
}

impl From<PostbackRecord> for Postback {
    fn from(record: PostbackRecord) -> Self {
        let owner = match (record.partner_id, record.advertiser_id) {
            (Some(_), _) => "partner",
            (None, Some(_)) => "advertiser",
            (None, None) => "platform",
        };
        Self {
            postback_id: record.postback_id.into(),
            name: record.name,
            preset: record.preset,
            owner,
            partner_id: record.partner_id.map(ID::from),
            advertiser_id: record.advertiser_id.map(ID::from),
            offer_id: record.offer_id.map(ID::from),
            link_id: record.link_id.map(ID::from),
            events: record.events.into_iter().map(Event::from).collect(),
            condition: record.condition,
            url_template: record.request.url_template,
            method: record.request.method.into(),
            headers: record.request.headers.into_iter().map(Header::from).collect(),
            body_kind: record.request.body_kind.into(),
            body_template: record.request.body_template,
            content_type: record.request.content_type,
            required_macros: record.request.required_macros,
            success_rules: record.request.success_rules.into_iter().map(SuccessRule::from).collect(),
            translated: record.translated.into_iter().map(Translated::from).collect(),
            warnings: record.warnings.into_iter().map(PostbackWarning::from).collect(),
            max_in_flight: record.max_in_flight,
            timeout_ms: record.timeout_ms,
            limits: PostbackLimits::of(record.max_in_flight, &record.sending),
            retry: PostbackRetry::of(&record.sending),
            retry_schedule_ms: record.sending.retry_schedule_ms,
            is_paused: record.is_paused,
            paused_reason: record.paused_reason,
            created_at: record.created_at.into(),
            health: record.health.into(),
        }
    }
}

#[derive(InputObject)]
struct CreatePostbackInput {
    /// What people call it.
    name: Option<String>,
    /// A partner's postback; with neither this nor advertiserId it is the platform's own.
    partner_id: Option<ID>,
    /// An advertiser's postback.
    advertiser_id: Option<ID>,
    /// Only for this offer.
    offer_id: Option<ID>,
    /// Only for this link.
    link_id: Option<ID>,
    /// Make it also where another of the same owner sends the same already: everything is told twice then.
    #[graphql(default)]
    allow_duplicate: bool,
    events: Vec<Event>,
    /// An http:// or https:// URL; macros such as `{clickid}` and `{payout}` may stand after the host.
    url_template: String,
    /// An expression over the event's fields, such as `payout >= 10 && country in ["DE", "AT"]`:
    /// events it is not true of are skipped.
    condition: Option<String>,
    #[graphql(flatten)]
    request: RequestInput,
    /// 16 where it is not given.
    max_in_flight: Option<i32>,
    /// 10000 where it is not given.
    timeout_ms: Option<i32>,
    /// Milliseconds between attempts.
    retry_schedule_ms: Option<Vec<i64>>,
    limits: Option<PostbackLimitsInput>,
    retry: Option<PostbackRetryInput>,
    /// True: what it hears of waits until `resumePostback`, so that it can be tried out before with
    /// `testPostback`.
    paused: Option<bool>,
}

/// What is left out stays as it is.
#[derive(InputObject)]
struct UpdatePostbackInput {
    postback_id: ID,
    /// An empty one removes it.
    name: Option<String>,
    /// Let it send the same as another of the same owner: everything is told twice then.
    #[graphql(default)]
    allow_duplicate: bool,
    events: Option<Vec<Event>>,
    url_template: Option<String>,
    /// An empty one removes it.
    condition: Option<String>,
    #[graphql(flatten)]
    request: RequestInput,
    max_in_flight: Option<i32>,
    timeout_ms: Option<i32>,
    retry_schedule_ms: Option<Vec<i64>>,
    limits: Option<PostbackLimitsInput>,
    retry: Option<PostbackRetryInput>,
}

fn twins(are_allowed: bool) -> Twins {
    if are_allowed { Twins::Allowed } else { Twins::Refused }
}

fn events_of(events: Vec<Event>) -> Vec<crate::domain::event::Event> {
    events.into_iter().map(Into::into).collect()
}

/// Whose postback an input names.
pub fn owner_of(partner: Option<&ID>, advertiser: Option<&ID>) -> Result<Owner, Failure> {
    match (partner, advertiser) {
        (None, None) => Ok(Owner::Platform),
        (Some(id), None) => Ok(Owner::Partner(PartnerId(uuid_at("input.partnerId", id)?))),
        (None, Some(id)) => Ok(Owner::Advertiser(AdvertiserId(uuid_at("input.advertiserId", id)?))),
        (Some(_), Some(_)) => {
            let message = "a postback belongs to a partner or an advertiser; leave one of the two out";
            Err(Failure::bad_input("input.advertiserId", message))
        }
    }
}

/// What an input's postback is for.
pub fn scope_of(offer: Option<&ID>, link: Option<&ID>) -> Result<PostbackScope, Failure> {
    match (offer, link) {
        (None, None) => Ok(PostbackScope::Global),
        (Some(id), None) => Ok(PostbackScope::Offer(OfferId(uuid_at("input.offerId", id)?))),
        (None, Some(id)) => Ok(PostbackScope::Link(LinkId(uuid_at("input.linkId", id)?))),
        (Some(_), Some(_)) => {
            let message = "a postback is for one offer or one link; leave one of the two out";
            Err(Failure::bad_input("input.linkId", message))
        }
    }
}

/// Who only reads is not shown the secrets that stand in a request.
fn shown(record: PostbackRecord, grant: Grant) -> PostbackRecord {
    match grant {
        Grant::Bi(_) => PostbackRecord { request: record.request.without_secrets(), ..record },
        Grant::Owner | Grant::Advertiser(_) | Grant::Partner(_) => record,
    }
}

#[derive(Default)]
pub struct PostbackQueries;

#[Object]
impl PostbackQueries {
    /// Postbacks, newest first; an advertiser or partner sees its own. Who only reads sees no secrets in
    /// their URLs, headers and bodies, and finds a `text` in names and hosts.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn postbacks(
        &self,
        ctx: &Context<'_>,
        filter: Option<PostbacksFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Postback>, Failure> {
        let request = page_request(ctx, List::Postbacks, first, after)?;
        let caller = caller(ctx)?;
        let filter = filter.unwrap_or_default().read()?;
        let only_reads = matches!(caller.grant, Grant::Bi(_));
        let text_in = if only_reads { TextIn::NameAndHost } else { TextIn::NameAndUrl };
        let filter = PostbackFilter { text_in, ..filter };
        let mut page = read_store(postbacks::list(pool(ctx), caller.scope(), &filter, &request)).await?;
        page.rows = page.rows.into_iter().map(|record| shown(record, caller.grant)).collect();
        Ok(connection(List::Postbacks, &request, page))
    }

    /// One postback; null where there is none, or none that the caller may see.
    async fn postback(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Postback>, Failure> {
        let caller = caller(ctx)?;
        let id = PostbackId(uuid_at("id", &id)?);
        match postbacks::get(pool(ctx), caller.scope(), id).await {
            Ok(record) => Ok(Some(shown(record, caller.grant).into())),
            Err(ChangeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[derive(Default)]
pub struct PostbackMutations;

#[Object]
impl PostbackMutations {
    /// Makes a postback: an owner for a partner, an advertiser or the platform; a partner or advertiser for
    /// itself, where neither id is needed.
    async fn create_postback(
        &self,
        ctx: &Context<'_>,
        input: CreatePostbackInput,
    ) -> Result<Postback, Failure> {
        let caller = writer(ctx)?;
        let named = owner_of(input.partner_id.as_ref(), input.advertiser_id.as_ref())?;
        // A partner or advertiser need not name itself.
        let belongs_to = match (caller.scope(), named) {
            (Scope::Partner(id), Owner::Platform) => Owner::Partner(id),
            (Scope::Advertiser(id), Owner::Platform) => Owner::Advertiser(id),
            (_, named) => named,
        };
        let beginning = Beginning {
            owner: belongs_to,
            scope: scope_of(input.offer_id.as_ref(), input.link_id.as_ref())?,
            sending: if input.paused == Some(true) { Sending::Paused } else { Sending::Resumed },
        };
        let (max_in_flight, sending) =
            change_of(input.limits, input.retry, input.max_in_flight, input.retry_schedule_ms)?;
        let settings = PostbackChange {
            name: input.name,
            twins: twins(input.allow_duplicate),
            events: Some(events_of(input.events)),
            request: input.request.with_url(Some(input.url_template)),
            condition: input.condition,
            max_in_flight,
            timeout_ms: input.timeout_ms,
            sending,
        };
        let (policy, reach) = (outbound_policy(ctx), caller.scope());
        let creating = postbacks::create(pool(ctx), caller.into(), reach, &policy, beginning, settings);
        Ok(change(ctx, creating).await?.into())
    }

    /// Changes a postback; attempts from now on follow it. Its owner and owners of the network.
    async fn update_postback(
        &self,
        ctx: &Context<'_>,
        input: UpdatePostbackInput,
    ) -> Result<Postback, Failure> {
        let caller = writer(ctx)?;
        let id = PostbackId(uuid_at("input.postbackId", &input.postback_id)?);
        let (max_in_flight, sending) =
            change_of(input.limits, input.retry, input.max_in_flight, input.retry_schedule_ms)?;
        let settings = PostbackChange {
            name: input.name,
            twins: twins(input.allow_duplicate),
            events: input.events.map(events_of),
            request: input.request.with_url(input.url_template),
            condition: input.condition,
            max_in_flight,
            timeout_ms: input.timeout_ms,
            sending,
        };
        let policy = outbound_policy(ctx);
        let updating = postbacks::update(pool(ctx), caller.into(), &policy, caller.scope(), id, settings);
        Ok(change(ctx, updating).await?.into())
    }

    /// Lets the deliveries of a postback wait. Its owner and owners of the network.
    async fn pause_postback(&self, ctx: &Context<'_>, postback_id: ID) -> Result<Postback, Failure> {
        set_sending(ctx, &postback_id, Sending::Paused).await
    }

    /// Sends what has been waiting, and what comes. Its owner and owners of the network.
    async fn resume_postback(&self, ctx: &Context<'_>, postback_id: ID) -> Result<Postback, Failure> {
        set_sending(ctx, &postback_id, Sending::Resumed).await
    }

    /// Deletes a postback: it hears of nothing new, and what it was promised is still sent. Its
    /// owner and owners of the network. Answers its id.
    async fn delete_postback(&self, ctx: &Context<'_>, postback_id: ID) -> Result<ID, Failure> {
        let caller = writer(ctx)?;
        let id = PostbackId(uuid_at("postbackId", &postback_id)?);
        change(ctx, postbacks::delete(pool(ctx), caller.into(), caller.scope(), id)).await?;
        Ok(id.0.into())
    }
}

async fn set_sending(ctx: &Context<'_>, postback_id: &ID, sending: Sending) -> Result<Postback, Failure> {
    let caller = writer(ctx)?;
    let id = PostbackId(uuid_at("postbackId", postback_id)?);
    let setting = postbacks::set_sending(pool(ctx), caller.into(), caller.scope(), id, sending);
    Ok(change(ctx, setting).await?.into())
}
