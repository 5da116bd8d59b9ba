//! Names beside ids: of offers, partners and advertisers, and the host a postback goes to.
//!
//! One query a kind, however many rows ask. Who cannot list a thing is not told its name: an
//! advertiser sees no partner's, a partner no advertiser's.

use std::collections::HashMap;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::{Context, ID};
use deadpool_postgres::Pool;
use url::Url;
use uuid::Uuid;

use super::failure::{Failure, read_store};
use super::query::scope;
use super::scope::Scope;
use crate::store::StoreError;
use crate::store::visible_names::{self, Named};

/// Whose name, and who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NameOf {
    named: Named,
    scope: Scope,
    id: Uuid,
}

/// Loads names in batches.
pub struct Names {
    pool: Pool,
}

pub type NameLoader = DataLoader<Names>;

pub fn loader(pool: Pool) -> NameLoader {
    DataLoader::new(Names { pool }, tokio::spawn)
}

impl Loader<NameOf> for Names {
    type Value = String;
    type Error = std::sync::Arc<StoreError>;

    async fn load(&self, keys: &[NameOf]) -> Result<HashMap<NameOf, String>, Self::Error> {
        let mut asked: HashMap<(Named, Scope), Vec<Uuid>> = HashMap::new();
        for key in keys {
            asked.entry((key.named, key.scope)).or_default().push(key.id);
        }
        let mut found = HashMap::new();
        for ((named, scope), ids) in asked {
            for (id, name) in visible_names::find(&self.pool, named, scope, &ids).await? {
                found.insert(NameOf { named, scope, id }, shown(named, name));
            }
        }
        Ok(found)
    }
}

/// Of a postback's URL only the host: its parameters may hold secrets.
fn shown(named: Named, name: String) -> String {
    match named {
        Named::Postback => {
            Url::parse(&name).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
        }
        Named::Offer | Named::Partner | Named::Advertiser => name,
    }
}

/// An id that a row has, or has not.
pub trait MaybeId {
    fn id(&self) -> Option<&ID>;
}

impl MaybeId for ID {
    fn id(&self) -> Option<&ID> {
        Some(self)
    }
}

impl MaybeId for Option<ID> {
    fn id(&self) -> Option<&ID> {
        self.as_ref()
    }
}

/// The name of an id, if the caller may know it.
pub async fn name(ctx: &Context<'_>, named: Named, id: &impl MaybeId) -> Result<Option<String>, Failure> {
    let Some(id) = id.id().and_then(|id| Uuid::try_parse(id).ok()) else { return Ok(None) };
    let key = NameOf { named, scope: scope(ctx)?, id };
    let loading = ctx.data_unchecked::<NameLoader>().load_one(key);
    read_store(async {
        loading.await.map_err(|error| Failure::StoreUnavailable { detail: error.to_string() })
    })
    .await
}

/// Gives a type fields with the names of its ids. A type with further resolvers that cost something
/// writes them out by [`name`]: it has one block of them, and `child_complexity` is not seen through a
/// macro.
macro_rules! with_names {
    ($type:ident { $($(#[$doc:meta])* $field:ident: $named:ident of $id:ident),+ $(,)? }) => {
        #[async_graphql::ComplexObject]
        impl $type {
            $(
                $(#[$doc])*
                async fn $field(
                    &self,
                    ctx: &async_graphql::Context<'_>,
                ) -> Result<Option<String>, $crate::graphql::failure::Failure> {
                    $crate::graphql::names::name(ctx, $crate::store::visible_names::Named::$named, &self.$id).await
                }
            )+
        }
    };
}
pub(super) use with_names;
