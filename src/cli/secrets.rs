//! `ricochet secrets` and `ricochet postback secret|sign`: what signs postbacks, and the keys
//! that all secrets are encrypted under.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::block_on;
use super::setup::{ACTOR, coded, flagged};
use super::token::{Database, connect};
use crate::domain::ids::PostbackId;
use crate::domain::signing::{SigningForm, UrlParameters};
use crate::graphql::scope::Scope;
use crate::store::resealing;
use crate::store::secrets::Keyring;
use crate::store::setup::postback_signing::{self, Former, SigningSettings};

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

#[derive(Debug, Subcommand)]
pub enum PostbackSecretCommand {
    /// Make a secret to sign with, and print it. It is shown once.
    Create {
        /// Id of the postback.
        postback_id: Uuid,
        /// Seconds that the secret there is signs on beside the new one; until it is retired
        /// where this is left out.
        #[arg(long, value_name = "SECONDS")]
        overlap_s: Option<u64>,
        #[command(flatten)]
        master_key: MasterKey,
        #[command(flatten)]
        database: Database,
    },
    /// Show how a postback is signed and which secrets sign, without the secrets themselves.
    List {
        /// Id of the postback.
        postback_id: Uuid,
        #[command(flatten)]
        database: Database,
    },
    /// End a secret for good.
    Retire {
        /// The id that `ricochet postback secret list` shows.
        secret_id: Uuid,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Args)]
pub struct SignPostback {
    /// Id of the postback.
    postback_id: Uuid,
    /// none, standard_webhooks or url.
    #[arg(value_parser = form)]
    form: SigningForm,
    /// For url: the names of the parameters of time, nonce and signature.
    #[arg(long, value_name = "TIME,NONCE,SIGNATURE", value_parser = parameters)]
    parameters: Option<UrlParameters>,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Args)]
pub struct MasterKey {
    /// The keys that secrets are encrypted under, as the server has them.
    #[arg(long = "master-key", env = "RICOCHET_MASTER_KEY", hide_env_values = true, default_value = "")]
    text: String,
}

impl MasterKey {
    fn keyring(&self) -> anyhow::Result<Keyring> {
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

pub fn postback_secret(command: &PostbackSecretCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            PostbackSecretCommand::Create { postback_id, overlap_s, master_key, database } => {
                let former = overlap_s
                    .map_or(Former::Stays, |seconds| Former::EndsAfter(Duration::from_secs(seconds)));
                let (pool, keyring) = (connect(database)?, master_key.keyring()?);
                let id = PostbackId(*postback_id);
                let made =
                    postback_signing::create_secret(&pool, ACTOR, Scope::Everything, &keyring, id, former)
                        .await
                        .map_err(flagged)?;
                println!("{}", made.secret);
                eprintln!("Secret {}; it is not shown again.", made.secret_id);
            }
            PostbackSecretCommand::List { postback_id, database } => {
                let pool = connect(database)?;
                let settings =
                    postback_signing::settings(&pool, Scope::Everything, PostbackId(*postback_id)).await;
                show(&settings.map_err(flagged)?);
            }
            PostbackSecretCommand::Retire { secret_id, database } => {
                let pool = connect(database)?;
                let retired =
                    postback_signing::retire_secret(&pool, ACTOR, Scope::Everything, *secret_id).await;
                show(&retired.map_err(flagged)?);
            }
        }
        Ok(())
    })
}

pub fn sign_postback(args: &SignPostback) -> anyhow::Result<()> {
    block_on(async {
        let pool = connect(&args.database)?;
        let id = PostbackId(args.postback_id);
        let parameters = args.parameters.clone();
        let set =
            postback_signing::set_signing(&pool, ACTOR, Scope::Everything, id, args.form, parameters).await;
        show(&set.map_err(flagged)?);
        Ok(())
    })
}

fn show(settings: &SigningSettings) {
    match settings.form {
        SigningForm::Url => {
            let names = &settings.parameters;
            println!("url  {}, {}, {}", names.time(), names.nonce(), names.signature());
        }
        form => println!("{}", form.code()),
    }
    for secret in &settings.secrets {
        let until = match secret.signs_until {
            Some(until) => format!("signs until {}", until.format("%Y-%m-%d %H:%M:%S")),
            None => "signs".into(),
        };
        println!("{}  made {}  {until}", secret.secret_id, secret.created_at.format("%Y-%m-%d %H:%M:%S"));
    }
}

fn form(text: &str) -> Result<SigningForm, String> {
    let text = text.replace('-', "_");
    coded(&text, SigningForm::from_code, SigningForm::ALL.iter().map(|form| form.code()))
}

fn parameters(text: &str) -> Result<UrlParameters, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    let [time, nonce, signature] = names[..] else {
        return Err("write three names separated by commas, such as ts,nonce,sig".into());
    };
    UrlParameters::new(time, nonce, signature).map_err(|error| error.to_string())
}
