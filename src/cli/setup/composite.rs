//! `ricochet link composite`: several values in one parameter of a link.

use clap::{ArgGroup, Args, ValueEnum};

use super::flags::{Id, flagged};
use super::{ACTOR, Common};
use crate::domain::composite::{Composite, Layout};
use crate::domain::ids::LinkId;
use crate::store::setup::links;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("layout").required(true).args(["ready", "parameter", "none"]))]
pub struct SetComposite {
    /// The id that `ricochet link list` shows.
    link_id: Id,
    /// A layout that is ready to use.
    #[arg(long, value_enum)]
    ready: Option<Ready>,
    /// The link has none from now on.
    #[arg(long)]
    none: bool,
    /// A layout of your own: the query parameter that carries it, such as tracker.
    #[arg(long, value_name = "NAME", requires_all = ["separator", "fields"])]
    parameter: Option<String>,
    /// What it begins with, such as trID_.
    #[arg(
        long,
        value_name = "TEXT",
        requires = "parameter",
        allow_hyphen_values = true,
        default_value = "",
        hide_default_value = true
    )]
    start: String,
    /// What it ends with, such as _trID.
    #[arg(
        long,
        value_name = "TEXT",
        requires = "parameter",
        allow_hyphen_values = true,
        default_value = "",
        hide_default_value = true
    )]
    end: String,
    /// What stands between its fields, such as '#-#'; begins with a sign.
    #[arg(long, value_name = "TEXT", requires = "parameter", allow_hyphen_values = true)]
    separator: Option<String>,
    /// Its fields in their order, separated by commas: sub1 to sub5, clickid, click_id (ours), any
    /// other name, or _ to read past one.
    #[arg(long, value_delimiter = ',', requires = "parameter")]
    fields: Vec<String>,
    /// The parameter of the partner's account, kept as account_id.
    #[arg(long, value_name = "NAME", requires = "parameter")]
    account_parameter: Option<String>,
    /// What that parameter always is, where the first field is account_id.
    #[arg(long, value_name = "TEXT", requires = "account_parameter")]
    account_value: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ready {
    /// Carpe Diem, revshare: the account in id, the partner's ids in tracker.
    Revshare,
    /// Carpe Diem, pay per sale: id=66013 for everybody, the account as the first field.
    Pps,
}

const SPELLED: &[(&str, &str)] = &[
    ("link_id", "LINK_ID"),
    ("composite.custom.parameter", "--parameter"),
    ("composite.custom.start", "--start"),
    ("composite.custom.end", "--end"),
    ("composite.custom.separator", "--separator"),
    ("composite.custom.fields", "--fields"),
    ("composite.custom.account_parameter", "--account-parameter"),
    ("composite.custom.account_value", "--account-value"),
];

impl SetComposite {
    fn composite(&self) -> Option<Composite> {
        match self.ready {
            Some(Ready::Revshare) => return Some(Composite::revshare()),
            Some(Ready::Pps) => return Some(Composite::pps()),
            None => {}
        }
        let layout = match (self.account_parameter.clone(), self.account_value.clone()) {
            (None, _) => Layout::Plain,
            (Some(parameter), None) => Layout::Revshare { parameter },
            (Some(parameter), Some(value)) => Layout::Pps { parameter, value },
        };
        Some(Composite {
            parameter: self.parameter.clone()?,
            start: self.start.clone(),
            end: self.end.clone(),
            separator: self.separator.clone().unwrap_or_default(),
            fields: self.fields.clone(),
            layout,
        })
    }
}

pub async fn set(args: &SetComposite) -> anyhow::Result<()> {
    let (pool, id) = (args.common.pool()?, LinkId(args.link_id.0));
    let set = links::set_composite(&pool, ACTOR, id, args.composite().as_ref()).await;
    args.common.output.row(&set.map_err(|error| flagged(error, SPELLED))?)
}
