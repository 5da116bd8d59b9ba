//! `ricochet secrets`: the keys that all stored secrets are encrypted under.

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::block_on;
use super::token::{Database, connect};
use crate::store::resealing;
use crate::store::secrets::Keyring;

#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Encrypt every stored secret again under the first key of RICOCHET_MASTER_KEY, so that the
    /// others can be dropped.
    ///
    /// It can be stopped and run again at any time, beside running servers, which must have the
    /// first key in their lists already. Fails where a secret in use cannot be read.
    Reseal {
        #[command(flatten)]
        master_key: MasterKey,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Args)]
pub struct MasterKey {
    /// The keys that secrets are encrypted under, as the server has them.
    #[arg(long = "master-key", env = "RICOCHET_MASTER_KEY", hide_env_values = true, default_value = "")]
    text: String,
}

impl MasterKey {
    pub(super) fn keyring(&self) -> anyhow::Result<Keyring> {
        Keyring::parse(&self.text).ok().context(
            "RICOCHET_MASTER_KEY is not 32 bytes in hexadecimal or base64, or several such keys separated by commas",
        )
    }
}

pub fn run(command: &SecretsCommand) -> anyhow::Result<()> {
    let SecretsCommand::Reseal { master_key, database } = command;
    let keyring = master_key.keyring()?;
    block_on(async {
        let done = resealing::reseal(&connect(database)?, &keyring).await?;
        println!("{} secrets encrypted again under the first key.", done.secrets);
        done.need_every_key()?;
        if let Some(first) = done.broken.first() {
            let others = done.broken.len() - 1;
            anyhow::bail!("secret {first} and {others} others cannot be read; retire them and make new ones");
        }
        println!("No secret in use needs another key.");
        Ok(())
    })
}
