//! `ricochet postback sign|secret`: how a postback is signed, and with what.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::flags::{Id, coded, flagged};
use super::{ACTOR, Common};
use crate::cli::secrets::MasterKey;
use crate::domain::ids::PostbackId;
use crate::domain::signing::{SigningForm, UrlParameters};
use crate::graphql::scope::Scope;
use crate::store::setup::postback_signing::{self, Former};

#[derive(Debug, Subcommand)]
pub enum PostbackSecretCommand {
    /// Make a secret to sign with, and print it. It is shown once.
    Create {
        /// Id of the postback.
        postback_id: Id,
        /// Seconds that the secret there is signs on beside the new one; until it is retired
        /// where this is left out.
        #[arg(long, value_name = "SECONDS")]
        overlap_s: Option<u64>,
        #[command(flatten)]
        master_key: MasterKey,
        #[command(flatten)]
        common: Common,
    },
    /// List the secrets that sign, newest first, without the secrets themselves.
    List {
        /// Id of the postback.
        postback_id: Id,
        #[command(flatten)]
        common: Common,
    },
    /// End a secret for good.
    Retire {
        /// The id that `ricochet postback secret list` shows.
        secret_id: Id,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
pub struct SignPostback {
    /// Id of the postback.
    postback_id: Id,
    /// none, standard_webhooks or url.
    #[arg(value_parser = form)]
    form: SigningForm,
    /// For url: the names of the parameters of time, nonce and signature.
    #[arg(long, value_name = "TIME,NONCE,SIGNATURE", value_parser = parameters)]
    parameters: Option<UrlParameters>,
    #[command(flatten)]
    common: Common,
}

const SPELLED: &[(&str, &str)] = &[
    ("postback_id", "POSTBACK_ID"),
    ("secret_id", "SECRET_ID"),
    ("form", "FORM"),
    ("secret", "--master-key"),
];
const COLUMNS: &[&str] = &["secret_id", "created_at", "signs_until"];

pub async fn sign(args: &SignPostback) -> anyhow::Result<()> {
    let id = PostbackId(args.postback_id.0);
    let (pool, parameters) = (args.common.pool()?, args.parameters.clone());
    let set = postback_signing::set_signing(&pool, ACTOR, Scope::Everything, id, args.form, parameters).await;
    let set = set.map_err(|error| flagged(error, SPELLED))?;
    let names = &set.parameters;
    let (time, nonce, signature) = (names.time(), names.nonce(), names.signature());
    let sentence = match set.form {
        SigningForm::None => "It is not signed.".to_owned(),
        SigningForm::StandardWebhooks => "It is signed in its headers.".to_owned(),
        SigningForm::Url => format!("It is signed in its URL, by {time}, {nonce} and {signature}."),
    };
    args.common.output.done(&sentence, &set)
}

pub async fn secret(command: &PostbackSecretCommand) -> anyhow::Result<()> {
    match command {
        PostbackSecretCommand::Create { postback_id, overlap_s, master_key, common } => {
            let ends_after = |seconds: &u64| Former::EndsAfter(Duration::from_secs(*seconds));
            let former = overlap_s.as_ref().map_or(Former::Stays, ends_after);
            let (pool, keyring) = (common.pool()?, master_key.keyring()?);
            let id = PostbackId(postback_id.0);
            let made =
                postback_signing::create_secret(&pool, ACTOR, Scope::Everything, &keyring, id, former).await;
            let made = made.map_err(|error| flagged(error, SPELLED))?;
            common
                .output
                .made(&made.secret, &json!({ "secret_id": made.secret_id, "secret": &made.secret }))?;
            eprintln!("Secret {}; it is not shown again.", made.secret_id);
            Ok(())
        }
        PostbackSecretCommand::List { postback_id, common } => {
            let id = PostbackId(postback_id.0);
            let settings = postback_signing::settings(&common.pool()?, Scope::Everything, id).await;
            common.output.rows(&settings.map_err(|error| flagged(error, SPELLED))?.secrets, COLUMNS)
        }
        PostbackSecretCommand::Retire { secret_id, common } => {
            let pool = common.pool()?;
            let retired = postback_signing::retire_secret(&pool, ACTOR, Scope::Everything, secret_id.0).await;
            let left = retired.map_err(|error| flagged(error, SPELLED))?;
            common.output.done(&format!("Retired {}.", secret_id.0), &left)
        }
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
