//! `ricochet secret`: what an advertiser signs its requests with.

use std::io::Read as _;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use super::flags::{Id, flagged};
use super::{ACTOR, Common};
use crate::domain::ids::AdvertiserId;
use crate::store::advertiser_access::SecretSource;
use crate::store::secrets::Keyring;
use crate::store::setup::access;

pub const EXAMPLES: &str = "\
Examples:
  SECRET=$(ricochet secret create --advertiser \"$ADVERTISER\")
  ricochet secret list --advertiser \"$ADVERTISER\"
  ricochet secret retire \"$SECRET_ID\" --advertiser \"$ADVERTISER\"

Two are live at most, so that one can replace the other without a gap. `ricochet access
signatures` says whether they are asked for.";

#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Make a secret to sign with, and print it. It is shown once and kept encrypted.
    Create(CreateSecret),
    /// List an advertiser's live secrets, without the secrets themselves.
    List {
        /// Whose they are.
        #[arg(long, value_name = "ID")]
        advertiser: Id,
        #[command(flatten)]
        common: Common,
    },
    /// End a secret for good. The last one stays while signatures are looked at.
    Retire {
        /// The id that `ricochet secret list` shows.
        secret_id: Id,
        /// Whose it is.
        #[arg(long, value_name = "ID")]
        advertiser: Id,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
pub struct CreateSecret {
    /// Whose it is to be.
    #[arg(long, value_name = "ID")]
    advertiser: Id,
    /// Take the advertiser's own secret, of 24 to 255 characters, from standard input.
    #[arg(long)]
    from_stdin: bool,
    /// What secrets are encrypted under: the very keys that the servers have.
    #[arg(
        long,
        env = "RICOCHET_MASTER_KEY",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    master_key: String,
    #[command(flatten)]
    common: Common,
}

const SPELLED: &[(&str, &str)] = &[("secret_id", "SECRET_ID"), ("secret", "the secret")];

pub async fn run(command: &SecretCommand) -> anyhow::Result<()> {
    match command {
        SecretCommand::Create(args) => create(args).await,
        SecretCommand::List { advertiser, common } => {
            let settings = access::settings(&common.pool()?, AdvertiserId(advertiser.0)).await;
            let settings = settings.map_err(|error| flagged(error, SPELLED))?;
            common.output.rows(&settings.live_secrets, &["secret_id", "created_at"])
        }
        SecretCommand::Retire { secret_id, advertiser, common } => {
            let advertiser = AdvertiserId(advertiser.0);
            let retired = access::retire_secret(&common.pool()?, ACTOR, advertiser, secret_id.0).await;
            let left = retired.map_err(|error| flagged(error, SPELLED))?.live_secrets;
            common.output.done(&format!("Retired {}.", secret_id.0), &left)
        }
    }
}

async fn create(args: &CreateSecret) -> anyhow::Result<()> {
    let keyring = Keyring::parse(&args.master_key).map_err(|_| {
        anyhow::anyhow!("--master-key (RICOCHET_MASTER_KEY): write 32 bytes in hexadecimal or base64, as the servers have them")
    })?;
    let mut own = String::new();
    if args.from_stdin {
        std::io::stdin().lock().take(4_096).read_to_string(&mut own).context("--from-stdin")?;
    }
    let source = if args.from_stdin { SecretSource::Given(own.trim_end()) } else { SecretSource::MadeHere };
    let advertiser = AdvertiserId(args.advertiser.0);
    let made = access::add_secret(&args.common.pool()?, ACTOR, &keyring, advertiser, source).await;
    let made = made.map_err(|error| flagged(error, SPELLED))?;
    let shown = json!({ "secret_id": made.secret_id, "secret": &made.secret });
    args.common.output.made(&made.secret, &shown)?;
    eprintln!("Secret {}; it is not shown again.", made.secret_id);
    Ok(())
}
