//! `auditLog`: who changed what.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use serde_json::Value;

use super::caller::{owner, pool};
use crate::graphql::enums::AuditEntity;
use crate::graphql::failure::{Failure, read_store};
use crate::graphql::filter;
use crate::graphql::paging::List;
use crate::graphql::query::{page_cost, page_request};
use crate::graphql::scalars::Time;
use crate::graphql::types::{LogConnection, connection};
use crate::store::audit::{self, AuditFilter};

/// One change of the network's setup.
#[derive(SimpleObject)]
pub struct AuditEntry {
    audit_id: ID,
    happened_at: Time,
    /// The token it was made with; null for the command line and API keys.
    actor_token_id: Option<ID>,
    /// `owner`, `advertiser`, `partner`, `api_key`, `command_line` or `system`: Ricochet itself.
    actor_role: String,
    /// The token's label at the time.
    actor_label: String,
    /// What was changed, such as `offer`.
    entity: String,
    entity_id: String,
    /// What was done, such as `create`, `update` or `revoke`.
    action: String,
    /// The row before, secrets redacted; null where there was none.
    before: Option<Value>,
    /// The row after, secrets redacted.
    after: Option<Value>,
}

impl From<audit::AuditEntry> for AuditEntry {
    fn from(entry: audit::AuditEntry) -> Self {
        Self {
            audit_id: entry.audit_id.into(),
            happened_at: entry.happened_at.into(),
            actor_token_id: entry.actor_token_id.map(ID::from),
            actor_role: entry.actor_role,
            actor_label: entry.actor_label,
            entity: entry.entity,
            entity_id: entry.entity_id,
            action: entry.action,
            before: entry.before,
            after: entry.after,
        }
    }
}

/// Which entries. A list that is empty or absent restricts nothing.
#[derive(InputObject, Default)]
struct AuditLogFilter {
    entities: Option<Vec<AuditEntity>>,
    /// The id of what was changed.
    entity_id: Option<ID>,
    /// Such as `create`, `update`, `pause` or `revoke`.
    actions: Option<Vec<String>>,
    /// Changes made with this token.
    actor_token_id: Option<ID>,
    /// At this time or later.
    from: Option<Time>,
    /// Before this time.
    to: Option<Time>,
}

impl AuditLogFilter {
    fn read(self) -> Result<AuditFilter, Failure> {
        let (from, to) = filter::bounds(self.from.as_ref(), self.to.as_ref())?;
        let actions = self.actions.unwrap_or_default();
        for action in &actions {
            filter::text("actions", Some(action))?;
        }
        Ok(AuditFilter {
            entities: filter::codes(self.entities.as_deref()),
            entity_id: filter::text("entityId", self.entity_id.as_ref().map(|id| id.as_str()))?,
            actions,
            actor_token_id: filter::optional_uuid("actorTokenId", self.actor_token_id.as_ref())?,
            from,
            to,
        })
    }
}

#[derive(Default)]
pub struct AuditQuery;

#[Object]
impl AuditQuery {
    /// Every change of the network's setup, newest first. Owners only.
    #[graphql(complexity = "page_cost(first, child_complexity)")]
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        filter: Option<AuditLogFilter>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<LogConnection<AuditEntry>, Failure> {
        owner(ctx)?;
        let request = page_request(ctx, List::AuditLog, first, after)?;
        let filter = filter.unwrap_or_default().read()?;
        let page = read_store(audit::entries(pool(ctx), &filter, &request)).await?;
        Ok(connection(List::AuditLog, &request, page))
    }
}
