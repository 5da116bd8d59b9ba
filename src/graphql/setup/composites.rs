//! Several values in one parameter of a link.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::caller::{change, owner, pool};
use super::links::Link;
use crate::domain::composite::{Composite, Layout};
use crate::domain::ids::LinkId;
use crate::graphql::failure::Failure;
use crate::graphql::filter::uuid_at;
use crate::store::setup::links;

/// A layout that is ready to use.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyComposite {
    /// Carpe Diem, revshare: the account in `id`, the partner's ids in `tracker`.
    Revshare,
    /// Carpe Diem, pay per sale: `id=66013` for everybody, the account as the first field.
    Pps,
}

impl ReadyComposite {
    fn settings(self) -> Composite {
        match self {
            Self::Revshare => Composite::revshare(),
            Self::Pps => Composite::pps(),
        }
    }
}

/// How a link's composite parameter is read and written.
#[derive(SimpleObject)]
pub struct LinkComposite {
    /// The ready layout this is; null where it is another.
    ready: Option<ReadyComposite>,
    /// The query parameter that carries it.
    parameter: String,
    start: String,
    end: String,
    separator: String,
    fields: Vec<String>,
    /// The parameter of the partner's account; null where there is none.
    account_parameter: Option<String>,
    /// What that parameter always is, where the account is the first field; null otherwise.
    account_value: Option<String>,
}

impl From<Composite> for LinkComposite {
    fn from(composite: Composite) -> Self {
        let ready = [ReadyComposite::Revshare, ReadyComposite::Pps];
        let ready = ready.into_iter().find(|ready| ready.settings() == composite);
        let (account_parameter, account_value) = match composite.layout {
            Layout::Plain => (None, None),
            Layout::Revshare { parameter } => (Some(parameter), None),
            Layout::Pps { parameter, value } => (Some(parameter), Some(value)),
        };
        Self {
            ready,
            parameter: composite.parameter,
            start: composite.start,
            end: composite.end,
            separator: composite.separator,
            fields: composite.fields,
            account_parameter,
            account_value,
        }
    }
}

/// Either a ready layout or one of your own.
#[derive(InputObject)]
struct CompositeInput {
    ready: Option<ReadyComposite>,
    custom: Option<CustomCompositeInput>,
}

#[derive(InputObject)]
struct CustomCompositeInput {
    /// The query parameter that carries it, such as `tracker`.
    parameter: String,
    /// What it begins with, such as `trID_`; may be empty.
    start: String,
    /// What it ends with; may be empty.
    end: String,
    /// Such as `#-#`; begins with a sign.
    separator: String,
    /// In their order: `sub1` to `sub5`, `clickid`, `click_id` (ours), any other name, or `_` to
    /// read past one.
    fields: Vec<String>,
    /// The parameter of the partner's account, kept as `account_id`.
    account_parameter: Option<String>,
    /// What that parameter always is, where the first field is `account_id`.
    account_value: Option<String>,
}

#[derive(InputObject)]
struct SetLinkCompositeInput {
    link_id: ID,
    /// Null: the link has none from now on.
    composite: MaybeUndefined<CompositeInput>,
}

impl CompositeInput {
    fn read(self) -> Result<Composite, Failure> {
        match (self.ready, self.custom) {
            (Some(ready), None) => Ok(ready.settings()),
            (None, Some(custom)) => custom.read(),
            (Some(_), Some(_)) | (None, None) => {
                let message =
                    "give either ready (REVSHARE or PPS) or custom; null, for none, stands for both";
                Err(Failure::bad_input("input.composite", message))
            }
        }
    }
}

impl CustomCompositeInput {
    fn read(self) -> Result<Composite, Failure> {
        let layout = match (self.account_parameter, self.account_value) {
            (None, None) => Layout::Plain,
            (Some(parameter), None) => Layout::Revshare { parameter },
            (Some(parameter), Some(value)) => Layout::Pps { parameter, value },
            (None, Some(_)) => {
                let message = "name the parameter that always has this accountValue, such as id";
                return Err(Failure::bad_input("input.composite.custom.accountParameter", message));
            }
        };
        Ok(Composite {
            parameter: self.parameter,
            start: self.start,
            end: self.end,
            separator: self.separator,
            fields: self.fields,
            layout,
        })
    }
}

#[derive(Default)]
pub struct CompositeMutations;

#[Object]
impl CompositeMutations {
    /// Says how a link's composite parameter is read and written, for clicks from now on. Owners only.
    async fn set_link_composite(
        &self,
        ctx: &Context<'_>,
        input: SetLinkCompositeInput,
    ) -> Result<Link, Failure> {
        let actor = owner(ctx)?.into();
        let id = LinkId(uuid_at("input.linkId", &input.link_id)?);
        let composite = match input.composite {
            MaybeUndefined::Value(composite) => Some(composite.read()?),
            MaybeUndefined::Null => None,
            MaybeUndefined::Undefined => {
                let message = "say how it is read, or null for a link without one";
                return Err(Failure::bad_input("input.composite", message));
            }
        };
        let setting = links::set_composite(pool(ctx), actor, id, composite.as_ref());
        Ok(change(ctx, setting).await?.into())
    }
}
