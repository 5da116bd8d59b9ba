//! `ricochet action`: the paid goals of offers.

use clap::{ArgGroup, Args, Subcommand};
use rust_decimal::Decimal;

use super::flags::{Id, amount, flagged, kind, payout_model, uuids, yes_or_no};
use super::{ACTOR, Common, all};
use crate::domain::event::ActionKind;
use crate::domain::ids::{ActionId, OfferId};
use crate::domain::payout::PayoutModel;
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::setup::actions::{self, ActionChange, ActionTerms};
use crate::store::setup::offers;

pub const EXAMPLES: &str = "\
Examples:
  ricochet action create --offer \"$OFFER\" --name sale --kind sale \\
      --advertiser-rate 30 --commission-percent 20 --payout 24 --currency USD --default
  ricochet action update \"$ACTION\" --payout 26 --hold-days 14";

#[derive(Debug, Subcommand)]
pub enum ActionCommand {
    /// Add a paid goal to an offer, and print its id.
    Create(Box<CreateAction>),
    /// List the actions of all offers.
    List {
        /// Only those of this offer; may be repeated.
        #[arg(long, value_name = "ID")]
        offer: Vec<Id>,
        #[command(flatten)]
        common: Common,
    },
    /// Change the terms of an action for conversions from now on. Its kind and payout model stay:
    /// make another action instead.
    Update(Box<UpdateAction>),
}

#[derive(Debug, Args)]
pub struct CreateAction {
    /// Id of the offer.
    #[arg(long, value_name = "ID")]
    offer: Id,
    /// What the advertiser reports it by.
    #[arg(long)]
    name: String,
    /// lead, registration, deposit, trial, sale, rebill or custom.
    #[arg(long, value_parser = kind)]
    kind: ActionKind,
    /// fixed, percent or recurring; where left out, fixed or percent by what is paid.
    #[arg(long, value_parser = payout_model)]
    payout_model: Option<PayoutModel>,
    /// What the partner gets for each.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    payout: Option<Decimal>,
    /// The partner's share of the price.
    #[arg(long, value_name = "PERCENT", value_parser = amount)]
    payout_percent: Option<Decimal>,
    /// What the advertiser pays: an amount, or percent where the partner gets a share.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    advertiser_rate: Decimal,
    /// The network's share of the advertiser's rate, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = amount, default_value = "0")]
    commission_percent: Decimal,
    /// ISO 4217 code.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// One click can have it more than once.
    #[arg(long)]
    repeatable: bool,
    /// Conversions that name no action are of this one.
    #[arg(long)]
    default: bool,
    /// Days until a conversion should be decided on.
    #[arg(long, default_value_t = 0)]
    hold_days: i32,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["name", "payout",
    "payout_percent", "advertiser_rate", "commission_percent", "currency", "repeatable", "default", "hold_days"]))]
pub struct UpdateAction {
    /// The id that `ricochet action list` shows.
    action_id: Id,
    /// What the advertiser reports it by.
    #[arg(long)]
    name: Option<String>,
    /// What the partner gets for each; takes the place of a share.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    payout: Option<Decimal>,
    /// The partner's share of the price; takes the place of an amount.
    #[arg(long, value_name = "PERCENT", value_parser = amount)]
    payout_percent: Option<Decimal>,
    /// What the advertiser pays: an amount, or percent where the partner gets a share.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    advertiser_rate: Option<Decimal>,
    /// The network's share of the advertiser's rate, in percent.
    #[arg(long, value_name = "PERCENT", value_parser = amount)]
    commission_percent: Option<Decimal>,
    /// ISO 4217 code.
    #[arg(long)]
    currency: Option<String>,
    /// Whether one click can have it more than once: yes or no.
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    repeatable: Option<bool>,
    /// Whether conversions that name no action are of this one: yes or no. Yes takes the mark
    /// from any other.
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    default: Option<bool>,
    /// Days until a conversion should be decided on.
    #[arg(long)]
    hold_days: Option<i32>,
    #[command(flatten)]
    common: Common,
}

const SPELLED: &[(&str, &str)] = &[("payout_amount", "--payout"), ("action_id", "ACTION_ID")];

impl CreateAction {
    fn terms(&self) -> ActionTerms {
        let by_payout = if self.payout_percent.is_some() { PayoutModel::Percent } else { PayoutModel::Fixed };
        ActionTerms {
            name: self.name.clone(),
            kind: self.kind,
            payout_model: self.payout_model.unwrap_or(by_payout),
            advertiser_rate: self.advertiser_rate,
            commission_percent: self.commission_percent,
            payout_amount: self.payout,
            payout_percent: self.payout_percent,
            currency: self.currency.clone(),
            is_repeatable: self.repeatable,
            is_default: self.default,
            hold_days: self.hold_days,
        }
    }
}

impl UpdateAction {
    fn change(&self) -> ActionChange {
        ActionChange {
            name: self.name.clone(),
            advertiser_rate: self.advertiser_rate,
            commission_percent: self.commission_percent,
            payout_amount: self.payout,
            payout_percent: self.payout_percent,
            currency: self.currency.clone(),
            is_repeatable: self.repeatable,
            is_default: self.default,
            hold_days: self.hold_days,
        }
    }
}

pub async fn run(command: &ActionCommand) -> anyhow::Result<()> {
    match command {
        ActionCommand::Create(args) => {
            let offer = OfferId(args.offer.0);
            let made = actions::create(&args.common.pool()?, ACTOR, offer, &args.terms()).await;
            let made = made.map_err(|error| flagged(error, SPELLED))?;
            args.common.output.made(made.action_id, &made)
        }
        ActionCommand::List { offer, common } => {
            let pool = common.pool()?;
            let list = async |page: &PageRequest| {
                offers::list(&pool, Scope::Everything, uuids(offer), Vec::new(), page).await
            };
            let actions: Vec<_> = all(list).await?.into_iter().flat_map(|offer| offer.actions).collect();
            let columns = ["action_id", "offer_id", "name", "kind", "payout_model", "payout_amount"];
            let more = ["payout_percent", "advertiser_rate", "commission_percent", "currency", "hold_days"];
            common.output.rows(&actions, &[&columns[..], &more[..]].concat())
        }
        ActionCommand::Update(args) => {
            let id = ActionId(args.action_id.0);
            let changed = actions::update(&args.common.pool()?, ACTOR, id, args.change()).await;
            args.common.output.row(&changed.map_err(|error| flagged(error, SPELLED))?)
        }
    }
}
