//! `ricochet access`: what an advertiser's requests must fulfil.

use clap::Subcommand;
use serde_json::{Value, json};

use super::flags::{Id, OrNone, flagged, policy};
use super::{ACTOR, Common};
use crate::domain::access::signature_policy::SignaturePolicy;
use crate::domain::ids::AdvertiserId;
use crate::store::advertiser_access::AccessSettings;
use crate::store::setup::access;

pub const EXAMPLES: &str = "\
Examples:
  ricochet access show \"$ADVERTISER\"
  ricochet access signatures \"$ADVERTISER\" required
  ricochet access rate-limit \"$ADVERTISER\" 200
  ricochet access rate-limit \"$ADVERTISER\" default

Addresses are set by `ricochet allowlist`, secrets to sign with by `ricochet secret`.";

#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// Show an advertiser's rules, and the ids of its live secrets and keys.
    Show {
        /// The id that `ricochet advertiser list` shows.
        advertiser_id: Id,
        #[command(flatten)]
        common: Common,
    },
    /// Say whether an advertiser's requests are signed.
    Signatures {
        /// The id that `ricochet advertiser list` shows.
        advertiser_id: Id,
        /// off: signatures are not looked at; optional: one that is there must be right;
        /// required: every request is signed, with its time.
        #[arg(value_parser = policy)]
        policy: SignaturePolicy,
        #[command(flatten)]
        common: Common,
    },
    /// Set the most requests a second of an advertiser, on each node.
    RateLimit {
        /// The id that `ricochet advertiser list` shows.
        advertiser_id: Id,
        /// 1 or more; default: as the server's settings say.
        #[arg(value_parser = rate)]
        requests_per_second: OrNone<u32>,
        #[command(flatten)]
        common: Common,
    },
}

const SPELLED: &[(&str, &str)] = &[
    ("advertiser_id", "ADVERTISER_ID"),
    ("policy", "POLICY"),
    ("requests_per_second", "REQUESTS_PER_SECOND"),
];

pub async fn run(command: &AccessCommand) -> anyhow::Result<()> {
    let (id, common, settings) = match command {
        AccessCommand::Show { advertiser_id, common } => {
            let id = AdvertiserId(advertiser_id.0);
            (id, common, access::settings(&common.pool()?, id).await)
        }
        AccessCommand::Signatures { advertiser_id, policy, common } => {
            let id = AdvertiserId(advertiser_id.0);
            (id, common, access::set_signature_policy(&common.pool()?, ACTOR, id, *policy).await)
        }
        AccessCommand::RateLimit { advertiser_id, requests_per_second, common } => {
            let id = AdvertiserId(advertiser_id.0);
            let rate = (*requests_per_second).into();
            (id, common, access::set_rate_limit(&common.pool()?, ACTOR, id, rate).await)
        }
    };
    common.output.row(&shown(id, &settings.map_err(|error| flagged(error, SPELLED))?))
}

fn shown(id: AdvertiserId, settings: &AccessSettings) -> Value {
    let networks: Vec<String> = settings.allowed_networks.iter().map(ToString::to_string).collect();
    let secrets: Vec<_> = settings.live_secrets.iter().map(|secret| secret.secret_id).collect();
    let keys: Vec<_> = settings.live_keys.iter().map(|key| key.api_key_id).collect();
    json!({
        "advertiser_id": id,
        "signature_policy": settings.signature_policy,
        "allowed_networks": networks,
        "requests_per_second": settings.requests_per_second,
        "live_secret_ids": secrets,
        "live_api_key_ids": keys,
    })
}

fn rate(text: &str) -> Result<OrNone<u32>, &'static str> {
    let unfit = "write 1 or more requests a second, or default for what the server's settings say";
    match text {
        "default" => Ok(OrNone::None),
        _ => text.parse().ok().filter(|rate| *rate > 0).map(OrNone::Value).ok_or(unfit),
    }
}
