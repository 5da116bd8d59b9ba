//! `ricochet advertiser`.

use clap::{ArgGroup, Args, Subcommand};

use super::flags::{Id, OrNone, flagged};
use super::{ACTOR, Common, all};
use crate::domain::ids::AdvertiserId;
use crate::graphql::scope::Scope;
use crate::store::setup::advertisers::{self, AdvertiserChange, LONGEST_WINDOW_HOURS};

pub const EXAMPLES: &str = "\
Examples:
  ricochet advertiser create 'Winter Shop'
  ricochet advertiser update \"$ADVERTISER\" --attribution-window-hours 720";

#[derive(Debug, Subcommand)]
pub enum AdvertiserCommand {
    /// Make one, and print its id.
    Create {
        /// What people call it.
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List all, newest first.
    List(Common),
    /// Change the name, or how long clicks count.
    Update(UpdateAdvertiser),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["name", "window"]))]
pub struct UpdateAdvertiser {
    /// The id that `ricochet advertiser list` shows.
    advertiser_id: Id,
    /// What people call it from now on.
    #[arg(long)]
    name: Option<String>,
    /// Hours after a click within which a new conversion counts, 1 to 87600; none: for ever.
    #[arg(long = "attribution-window-hours", id = "window", value_name = "HOURS", value_parser = hours)]
    window: Option<OrNone<i32>>,
    #[command(flatten)]
    common: Common,
}

pub async fn run(command: &AdvertiserCommand) -> anyhow::Result<()> {
    match command {
        AdvertiserCommand::Create { name, common } => {
            let made = advertisers::create(&common.pool()?, ACTOR, name).await;
            let made = made.map_err(|error| flagged(error, &[("name", "NAME")]))?;
            common.output.made(made.advertiser_id, &made)
        }
        AdvertiserCommand::List(common) => {
            let pool = common.pool()?;
            let rows = all(async |page| advertisers::list(&pool, Scope::Everything, page).await).await?;
            common.output.rows(&rows, &["advertiser_id", "attribution_window_hours", "name"])
        }
        AdvertiserCommand::Update(args) => {
            let change = AdvertiserChange {
                name: args.name.clone(),
                attribution_window_hours: args.window.map(Into::into),
            };
            let id = AdvertiserId(args.advertiser_id.0);
            let changed = advertisers::update(&args.common.pool()?, ACTOR, id, &change).await;
            let spelled = [("advertiser_id", "ADVERTISER_ID")];
            args.common.output.row(&changed.map_err(|error| flagged(error, &spelled))?)
        }
    }
}

fn hours(text: &str) -> Result<OrNone<i32>, String> {
    if text == "none" {
        return Ok(OrNone::None);
    }
    match text.parse() {
        Ok(hours) if (1..=LONGEST_WINDOW_HOURS).contains(&hours) => Ok(OrNone::Value(hours)),
        _ => Err(format!("write 1 to {LONGEST_WINDOW_HOURS} hours, or none where clicks count for ever")),
    }
}
