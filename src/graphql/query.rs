//! The queries.

use std::sync::Arc;

use async_graphql::{Context, Object};
use deadpool_postgres::Pool;

pub(super) use super::cost::page_cost;
use super::failure::{Failure, read_log, read_store};
use super::names::{Names, parties};
use super::paging::{List, PageRequest};
use super::related::{Attempts, Conversions};
use super::scope::{Principal, Scope};
use super::types::click::{Click, ClicksFilter};
use super::types::conversion::{Conversion, ConversionsFilter};
use super::types::inbound_log::{InboundLogFilter, InboundRequest};
use super::types::postback_log::{PostbackAttempt, PostbackLogFilter};
use super::types::{LogConnection, connection_of};
use crate::event_log::{EventLog, reader};
use crate::store::conversion_search;

/// Both databases, as the resolvers find them.
pub(super) struct Databases {
    pub pool: Pool,
    pub log: EventLog,
}

#[derive(Default)]
pub struct LogQueries;

#[Object]
impl LogQueries {
    /// Every attempt to deliver a postback, newest first. An advertiser or partner sees those of
    /// its own postbacks. `first` is 50 where it is not given, and 1000 at most.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn postback_log(
        &self,
        ctx: &Context<'_>,
        filter: Option<PostbackLogFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<PostbackAttempt>, Failure> {
        const LIST: List = List::PostbackLog;
        let request = page_request(ctx, LIST, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let scope = scope(ctx)?;
        let page = read_log(reader::attempts(&databases(ctx).log, scope, &filter, &request)).await?;
        let together = Attempts::of(scope, &page.rows);
        Ok(connection_of(LIST, &request, page, |record| PostbackAttempt::of(record, &together)))
    }

    /// Every conversion request received and what it was told, newest first. An advertiser sees
    /// its own; a partner sees none. `first` is 50 where it is not given, and 1000 at most.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn inbound_log(
        &self,
        ctx: &Context<'_>,
        filter: Option<InboundLogFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<InboundRequest>, Failure> {
        const LIST: List = List::InboundLog;
        let request = page_request(ctx, LIST, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let scope = scope(ctx)?;
        let page = read_log(reader::inbound_requests(&databases(ctx).log, scope, &filter, &request)).await?;
        let ids = page.rows.iter().flat_map(|row| parties(row.offer_id, row.partner_id, row.advertiser_id));
        let names = Arc::new(Names::of(scope, ids));
        Ok(connection_of(LIST, &request, page, |record| InboundRequest::of(record, &names)))
    }

    /// Visits through links, newest first. A partner sees those through its own links; an advertiser
    /// those to its offers, without what is the partner's own affair. `first` is 50 where it is not
    /// given, and 1000 at most.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn clicks(
        &self,
        ctx: &Context<'_>,
        filter: Option<ClicksFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Click>, Failure> {
        const LIST: List = List::Clicks;
        let request = page_request(ctx, LIST, first, after)?;
        let scope = scope(ctx)?;
        let filter = filter.unwrap_or_default().read(scope)?;
        let page = read_log(reader::clicks(&databases(ctx).log, scope, &filter, &request)).await?;
        let ids = page.rows.iter().flat_map(|row| parties(row.offer_id, row.partner_id, row.advertiser_id));
        let names = Arc::new(Names::of(scope, ids));
        Ok(connection_of(LIST, &request, page, |record| Click::seen_by(scope, record, &names)))
    }

    /// Conversions as they stand now, newest first. An advertiser sees its own, a partner those
    /// of its clicks. `first` is 50 where it is not given, and 1000 at most.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn conversions(
        &self,
        ctx: &Context<'_>,
        filter: Option<ConversionsFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<Conversion>, Failure> {
        const LIST: List = List::Conversions;
        let request = page_request(ctx, LIST, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let scope = scope(ctx)?;
        let page = read_store(conversion_search::conversions(&databases(ctx).pool, scope, &filter, &request))
            .await?;
        let together = Conversions::of(scope, &page.rows);
        Ok(connection_of(LIST, &request, page, |record| Conversion::of(record, &together)))
    }
}

pub(super) fn page_request(
    ctx: &Context<'_>,
    list: List,
    first: Option<i32>,
    after: Option<String>,
) -> Result<PageRequest, Failure> {
    list.page_request(first, after.as_deref(), ctx.look_ahead().field("totalCount").exists())
}

pub(super) fn databases<'a>(ctx: &'a Context<'_>) -> &'a Databases {
    ctx.data_unchecked()
}

/// What the caller may see; who is nobody sees nothing.
pub(super) fn scope(ctx: &Context<'_>) -> Result<Scope, Failure> {
    ctx.data_opt::<Principal>().map(Principal::scope).ok_or(Failure::Unauthenticated)
}
