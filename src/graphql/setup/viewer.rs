//! `viewer`: who the token makes its bearer.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use super::caller::caller;
use crate::graphql::failure::Failure;
use crate::graphql::scope::{Grant, Scope};

/// What a token makes of its bearer.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The network: sees and changes everything.
    Owner,
    Advertiser,
    Partner,
    /// Reads only: everything, or what one advertiser or partner sees.
    Bi,
}

impl From<Grant> for Role {
    fn from(grant: Grant) -> Self {
        match grant {
            Grant::Owner => Self::Owner,
            Grant::Advertiser(_) => Self::Advertiser,
            Grant::Partner(_) => Self::Partner,
            Grant::Bi(_) => Self::Bi,
        }
    }
}

impl Role {
    pub fn code(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Advertiser => "advertiser",
            Self::Partner => "partner",
            Self::Bi => "bi",
        }
    }
}

/// The ids a scope is narrowed to: advertiser, partner.
pub fn narrowed_to(scope: Scope) -> (Option<ID>, Option<ID>) {
    match scope {
        Scope::Everything => (None, None),
        Scope::Advertiser(id) => (Some(id.0.into()), None),
        Scope::Partner(id) => (None, Some(id.0.into())),
    }
}

/// The bearer of the token.
#[derive(SimpleObject)]
pub struct Viewer {
    token_id: ID,
    role: Role,
    /// The advertiser whose rows are all there are for this token.
    advertiser_id: Option<ID>,
    /// The partner whose rows are all there are for this token.
    partner_id: Option<ID>,
}

#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Who asks: the role and scope of the token.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Viewer, Failure> {
        let caller = caller(ctx)?;
        let (advertiser_id, partner_id) = narrowed_to(caller.scope());
        Ok(Viewer { token_id: caller.token_id.into(), role: caller.grant.into(), advertiser_id, partner_id })
    }
}
