//! The GraphQL API: who asks ([`scope`]), what can be asked ([`query`], [`types`]), how much at
//! once ([`paging`], [`limits`], [`cost`]), what can be changed ([`setup`]), what goes wrong ([`failure`]), and its door ([`http`]).
//!
//! ```text
//! POST /graphql ─► token ─► Principal ─► limits ─► resolver ─┬─► event_log::reader ─► ClickHouse
//!                  (store::tokens)       filter, page, scope └─► store::conversion_search ─► PostgreSQL
//! ```
//!
//! `postbackLogTail` ([`subscription`]) comes over a WebSocket and reads no database by itself: the
//! node's [`crate::tail`] feeds all of them.
//!
//! A resolver makes one query, whatever the number of rows; what hangs on each row comes by
//! [`related`], one query for all rows. The scope is an argument of every
//! reading function, so that no resolver can forget it.

mod cost;
mod deliveries;
mod destinations;
mod enums;
mod failure;
mod filter;
pub mod http;
mod limits;
mod names;
pub mod paging;
mod query;
mod related;
mod scalars;
pub mod scope;
pub mod setup;
mod stack;
mod stats;
mod subscription;
mod types;

use std::sync::Arc;

use async_graphql::{MergedObject, SDLExportOptions, SchemaBuilder};
use deadpool_postgres::Pool;

use crate::event_log::EventLog;
use crate::outbound::HttpSender;
use crate::pipeline::services::Services;
use crate::tail::Feed;
use query::Databases;
use setup::{SetupMutation, SetupQuery};
use subscription::Subscription;

/// Everything that can be asked.
#[derive(MergedObject, Default)]
pub struct Query(
    query::LogQueries,
    stats::StatsQueries,
    deliveries::DeliveryQueries,
    destinations::DestinationQueries,
    SetupQuery,
);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(deliveries::DeliveryMutations, SetupMutation);

pub type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

/// The schema over both databases, of no node: a change is seen by the nodes within a second.
pub fn schema(pool: Pool, log: EventLog) -> Schema {
    on_databases(Databases { pool, log }).finish()
}

/// The schema of a node, which sees its own changes at once.
///
/// `readers` are connections of their own: however many dashboards ask, conversions are taken.
pub fn schema_of_node(services: Arc<Services>, readers: Pool, sender: HttpSender, feed: Feed) -> Schema {
    let databases = Databases { pool: readers.clone(), log: services.log.clone() };
    on_databases(databases).data(services).data(sender).data(feed).finish()
}

fn on_databases(databases: Databases) -> SchemaBuilder<Query, Mutation, Subscription> {
    builder().data(databases)
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription)
        .limit_complexity(limits::MAX_COMPLEXITY)
        .limit_directives(10)
        .extension(limits::Limits)
        .extension(stack::Stack)
}

/// The schema as text, as it stands in `graphql/schema.graphql`.
pub fn sdl() -> String {
    let options = SDLExportOptions::new().include_specified_by();
    let sdl = builder().finish().sdl_with_options(options);
    let lines: Vec<&str> = sdl.trim().lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use futures_util::StreamExt as _;

    use super::*;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("graphql")
    }

    #[test]
    fn the_exported_schema_is_that_of_the_code() {
        let exported = fs::read_to_string(folder().join("schema.graphql")).unwrap_or_default();
        assert!(exported == sdl(), "run `ricochet schema > graphql/schema.graphql`");
    }

    /// Without databases every query fails in its resolver, which is past the validation.
    #[tokio::test]
    async fn every_example_is_valid() {
        let schema = builder().finish();
        let mut examples = 0;
        for entry in fs::read_dir(folder().join("examples")).unwrap() {
            let path = entry.unwrap().path();
            let example = fs::read_to_string(&path).unwrap();
            let response = schema.execute_stream(&example).next().await.unwrap();
            let refused_by_resolver = |error: &async_graphql::ServerError| {
                error.extensions.as_ref().and_then(|values| values.get("code"))
                    == Some(&"UNAUTHENTICATED".into())
            };
            assert!(
                !response.errors.is_empty() && response.errors.iter().all(refused_by_resolver),
                "{}: {:?}",
                path.display(),
                response.errors
            );
            assert!(example.starts_with('#'), "{} does not say what it is for", path.display());
            examples += 1;
        }
        assert!(examples >= 5, "{examples} examples");
    }
}
