//! Names beside ids: of offers, partners and advertisers, and the host a postback goes to.
//!
//! Rows that were read together ask together: one query a kind, however many of them ask. Who cannot
//! list a thing is not told its name: an advertiser sees no partner's, a partner no advertiser's.

use async_graphql::{Context, ID};
use url::Url;
use uuid::Uuid;

use super::failure::{Failure, read_store};
use super::query::databases;
use super::related::shared::Shared;
use super::scope::Scope;
use crate::store::visible_names::{self, Named};

/// The names of what rows that were read together have the ids of, as far as `scope` may know them.
pub struct Names {
    scope: Scope,
    ids: Vec<(Named, Uuid)>,
    found: Shared<Named, String>,
}

/// What a row has to do with.
pub fn parties(
    offer: impl Into<Option<Uuid>>,
    partner: impl Into<Option<Uuid>>,
    advertiser: impl Into<Option<Uuid>>,
) -> [(Named, Option<Uuid>); 3] {
    [(Named::Offer, offer.into()), (Named::Partner, partner.into()), (Named::Advertiser, advertiser.into())]
}

impl Names {
    pub fn of(scope: Scope, ids: impl IntoIterator<Item = (Named, Option<Uuid>)>) -> Self {
        let mut ids: Vec<_> = ids.into_iter().filter_map(|(named, id)| Some((named, id?))).collect();
        ids.sort_unstable();
        ids.dedup();
        Self { scope, ids, found: Shared::default() }
    }

    /// The name of an id of one of the rows.
    pub async fn name(
        &self,
        ctx: &Context<'_>,
        named: Named,
        id: &impl MaybeId,
    ) -> Result<Option<String>, Failure> {
        let Some(id) = id.id().and_then(|id| Uuid::try_parse(id).ok()) else { return Ok(None) };
        let (pool, scope) = (databases(ctx).pool.clone(), self.scope);
        let of_kind = self.ids.iter().filter(|(kind, _)| *kind == named);
        let ids: Vec<Uuid> = of_kind.map(|(_, id)| *id).collect();
        let read = async move {
            let found = read_store(visible_names::find(&pool, named, scope, &ids)).await?;
            Ok(found.into_iter().map(|(id, name)| (id, shown(named, name))).collect())
        };
        self.found.of(named, id, read).await
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

/// Gives a type with [`Names`] fields with those of its ids. A type with further resolvers that cost
/// something writes them out: it has one block of them, and `child_complexity` is not seen through a
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
                    self.names.name(ctx, $crate::store::visible_names::Named::$named, &self.$id).await
                }
            )+
        }
    };
}
pub(super) use with_names;
