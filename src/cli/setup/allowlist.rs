//! `ricochet allowlist`: where the requests of an advertiser or of one integration may come from.

use clap::{ArgGroup, Args, Subcommand};
use ipnet::IpNet;
use serde_json::json;

use super::flags::{Id, flagged};
use super::{ACTOR, Common};
use crate::domain::access::allowlist::{NotANetwork, parse_network};
use crate::domain::ids::{AdvertiserId, IntegrationId};
use crate::graphql::scope::Scope;
use crate::store::setup::access;
use crate::store::setup::integrations::{self, Settings};

pub const EXAMPLES: &str = "\
Examples:
  ricochet allowlist set --advertiser \"$ADVERTISER\" 203.0.113.0/24 2001:db8::7
  ricochet allowlist set --integration \"$INTEGRATION\" 198.51.100.7
  ricochet allowlist show --advertiser \"$ADVERTISER\"
  ricochet allowlist clear --advertiser \"$ADVERTISER\"";

#[derive(Debug, Subcommand)]
pub enum AllowlistCommand {
    /// Show the networks, one a line; none: requests may come from anywhere.
    Show(Whose),
    /// Let requests come from these networks and from nowhere else.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// All of them: addresses, or networks in CIDR notation.
        #[arg(required = true, value_name = "NETWORK", value_parser = network)]
        networks: Vec<IpNet>,
    },
    /// Let requests come from anywhere.
    Clear(Whose),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("whose").required(true).args(["advertiser", "integration"]))]
pub struct Whose {
    /// Of all doors of this advertiser.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Id>,
    /// Of this integration alone.
    #[arg(long, value_name = "ID")]
    integration: Option<Id>,
    #[command(flatten)]
    common: Common,
}

pub async fn run(command: &AllowlistCommand) -> anyhow::Result<()> {
    let (whose, networks) = match command {
        AllowlistCommand::Show(whose) => (whose, whose.read().await?),
        AllowlistCommand::Set { whose, networks } => (whose, whose.write(networks).await?),
        AllowlistCommand::Clear(whose) => (whose, whose.write(&[]).await?),
    };
    if networks.is_empty() {
        eprintln!("Requests may come from anywhere.");
    }
    whose.common.output.lines(&networks, &json!({ "allowed_networks": networks }))
}

/// Whose list it is.
enum Subject {
    Advertiser(AdvertiserId),
    Integration(IntegrationId),
}

impl Whose {
    fn subject(&self) -> anyhow::Result<Subject> {
        match (self.advertiser, self.integration) {
            (Some(id), _) => Ok(Subject::Advertiser(AdvertiserId(id.0))),
            (None, Some(id)) => Ok(Subject::Integration(IntegrationId(id.0))),
            (None, None) => anyhow::bail!("name --advertiser or --integration"),
        }
    }

    async fn read(&self) -> anyhow::Result<Vec<String>> {
        let pool = self.common.pool()?;
        let networks = match self.subject()? {
            Subject::Advertiser(id) => {
                access::settings(&pool, id).await.map(|settings| texts(&settings.allowed_networks))
            }
            Subject::Integration(id) => integrations::one(&pool, Scope::Everything, id)
                .await
                .map(|record| record.settings.allowed_networks),
        };
        networks.map_err(|error| flagged(error, SPELLED))
    }

    async fn write(&self, networks: &[IpNet]) -> anyhow::Result<Vec<String>> {
        let pool = self.common.pool()?;
        let networks = match self.subject()? {
            Subject::Advertiser(id) => access::set_allowlist(&pool, ACTOR, id, networks)
                .await
                .map(|settings| texts(&settings.allowed_networks)),
            Subject::Integration(id) => {
                let change = |settings: &mut Settings| settings.allowed_networks = texts(networks);
                integrations::update(&pool, ACTOR, Scope::Everything, id, change)
                    .await
                    .map(|record| record.settings.allowed_networks)
            }
        };
        networks.map_err(|error| flagged(error, SPELLED))
    }
}

const SPELLED: &[(&str, &str)] = &[("networks", "NETWORK"), ("allowed_networks", "NETWORK")];

fn texts(networks: &[IpNet]) -> Vec<String> {
    networks.iter().map(ToString::to_string).collect()
}

fn network(text: &str) -> Result<IpNet, NotANetwork> {
    parse_network(text)
}
