//! `ricochet offer`.

use clap::{ArgGroup, Args, Subcommand};

use super::flags::{Id, flagged, offer_postbacks, uuids, yes_or_no};
use super::{ACTOR, Common, all};
use crate::domain::ids::{AdvertiserId, OfferId};
use crate::domain::postback::OfferPostbacks;
use crate::graphql::paging::PageRequest;
use crate::graphql::scope::Scope;
use crate::store::setup::offers::{self, OfferChange};

pub const EXAMPLES: &str = "\
Examples:
  ricochet offer create --advertiser \"$ADVERTISER\" --name 'Winter Boots' \\
      --landing-url 'https://shop.example/boots?sub={sub1}'
  ricochet offer update \"$OFFER\" --allows-refunds no";

#[derive(Debug, Subcommand)]
pub enum OfferCommand {
    /// Make an offer, and print its id.
    Create(Box<CreateOffer>),
    /// List offers, newest first; --json shows their actions too.
    List {
        /// Only those of this advertiser; may be repeated.
        #[arg(long, value_name = "ID")]
        advertiser: Vec<Id>,
        #[command(flatten)]
        common: Common,
    },
    /// Change an offer; clicks and conversions from now on follow it.
    Update(Box<UpdateOffer>),
}

#[derive(Debug, Args)]
pub struct CreateOffer {
    /// Id of the advertiser it belongs to.
    #[arg(long, value_name = "ID")]
    advertiser: Id,
    /// What people call it.
    #[arg(long)]
    name: String,
    /// Where visitors go: an http:// or https:// URL with macros such as {click_id} or {sub1}.
    #[arg(long, value_name = "URL")]
    landing_url: String,
    #[command(flatten)]
    rest: OfferRest,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true)
    .args(["name", "landing_url", "click_id_parameter", "allows_refunds", "offer_postbacks"]))]
pub struct UpdateOffer {
    /// The id that `ricochet offer list` shows.
    offer_id: Id,
    /// What people call it from now on.
    #[arg(long)]
    name: Option<String>,
    /// Where visitors go: an http:// or https:// URL with macros such as {click_id} or {sub1}.
    #[arg(long, value_name = "URL")]
    landing_url: Option<String>,
    #[command(flatten)]
    rest: OfferRest,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub struct OfferRest {
    /// Query parameter of the landing page that gets the click id where the URL does not place
    /// it; click_id where nothing is said.
    #[arg(long, value_name = "NAME")]
    click_id_parameter: Option<String>,
    /// Whether an approved conversion can still be rejected: yes or no; yes where nothing is said.
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    allows_refunds: Option<bool>,
    /// What the offer's postbacks are to the global ones of the same owner: join (both are told) or
    /// replace; join where nothing is said.
    #[arg(long, value_name = "JOIN|REPLACE", value_parser = offer_postbacks)]
    offer_postbacks: Option<OfferPostbacks>,
}

impl OfferRest {
    fn change(&self, name: Option<String>, landing_url: Option<String>) -> OfferChange {
        let (click_id_parameter, allows_refunds) = (self.click_id_parameter.clone(), self.allows_refunds);
        let offer_postbacks = self.offer_postbacks;
        OfferChange { name, landing_url, click_id_parameter, allows_refunds, offer_postbacks }
    }
}

pub async fn run(command: &OfferCommand) -> anyhow::Result<()> {
    match command {
        OfferCommand::Create(args) => {
            let settings = args.rest.change(Some(args.name.clone()), Some(args.landing_url.clone()));
            let advertiser = AdvertiserId(args.advertiser.0);
            let made = offers::create(&args.common.pool()?, ACTOR, advertiser, settings).await;
            let made = made.map_err(|error| flagged(error, &[]))?;
            args.common.output.made(made.offer_id, &made)?;
            eprintln!("Add what is paid for next: ricochet action create --offer {} …", made.offer_id);
            Ok(())
        }
        OfferCommand::List { advertiser, common } => {
            let pool = common.pool()?;
            let list = async |page: &PageRequest| {
                offers::list(&pool, Scope::Everything, Vec::new(), uuids(advertiser), page).await
            };
            let rows = all(list).await?;
            common.output.rows(&rows, &["offer_id", "advertiser_id", "name", "landing_url"])
        }
        OfferCommand::Update(args) => {
            let settings = args.rest.change(args.name.clone(), args.landing_url.clone());
            let changed =
                offers::update(&args.common.pool()?, ACTOR, OfferId(args.offer_id.0), settings).await;
            let spelled = [("offer_id", "OFFER_ID")];
            args.common.output.row(&changed.map_err(|error| flagged(error, &spelled))?)
        }
    }
}
