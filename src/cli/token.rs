//! `ricochet token`: tokens of the GraphQL API, straight in the database.

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

use super::block_on;
use super::setup::Common;
use crate::graphql::scope::{Grant, Scope};
use crate::store::tokens::{self, Revocation, Token};
use crate::store::{Pool, pool};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. It is shown once and kept only as its hash.
    Create(CreateArgs),
    /// List all tokens, without their secrets.
    List(Common),
    /// Revoke a token for good.
    Revoke {
        /// The id that `ricochet token list` shows.
        token_id: Uuid,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(Debug, Args)]
pub struct Database {
    /// PostgreSQL URL.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What its bearer may see: everything (owner), an advertiser's or a partner's own, or
    /// everything read-only (bi), which --advertiser or --partner narrow.
    #[arg(long, value_enum)]
    role: Role,
    /// Id of the advertiser it belongs to.
    #[arg(long, value_name = "ID")]
    advertiser: Option<Uuid>,
    /// Id of the partner it belongs to.
    #[arg(long, value_name = "ID")]
    partner: Option<Uuid>,
    /// A note for whoever reads the list.
    #[arg(long, default_value = "")]
    label: String,
    #[command(flatten)]
    database: Database,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Owner,
    Advertiser,
    Partner,
    Bi,
}

impl Role {
    fn code(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Advertiser => "advertiser",
            Self::Partner => "partner",
            Self::Bi => "bi",
        }
    }
}

pub fn run(command: &TokenCommand) -> anyhow::Result<()> {
    block_on(async {
        match command {
            TokenCommand::Create(args) => create(args).await,
            TokenCommand::List(common) => list(common).await,
            TokenCommand::Revoke { token_id, database } => revoke(&connect(database)?, *token_id).await,
        }
    })
}

pub(super) fn connect(database: &Database) -> anyhow::Result<Pool> {
    pool::build(&database.database_url, 1)
}

async fn create(args: &CreateArgs) -> anyhow::Result<()> {
    let grant = Grant::from_columns(args.role.code(), args.advertiser, args.partner).context(
        "an advertiser's token needs --advertiser ID alone, a partner's --partner ID alone, an owner's neither",
    )?;
    let created = tokens::create(&connect(&args.database)?, grant, &args.label).await?;
    println!("{}", created.secret);
    eprintln!("Token {} ({}); it is not shown again.", created.token.token_id, args.role.code());
    Ok(())
}

async fn list(common: &Common) -> anyhow::Result<()> {
    let tokens = tokens::list(&common.pool()?).await?;
    let rows: Vec<Value> = tokens.iter().map(shown).collect();
    common.output.rows(&rows, &["token_id", "role", "created_at", "revoked_at", "label"])
}

fn shown(token: &Token) -> Value {
    let (advertiser, partner) = match token.grant.scope() {
        Scope::Everything => (None, None),
        Scope::Advertiser(id) => (Some(id), None),
        Scope::Partner(id) => (None, Some(id)),
    };
    json!({
        "token_id": token.token_id,
        "role": token.grant.role(),
        "advertiser_id": advertiser,
        "partner_id": partner,
        "label": token.label,
        "created_at": token.created_at,
        "revoked_at": token.revoked_at,
    })
}

async fn revoke(pool: &Pool, token_id: Uuid) -> anyhow::Result<()> {
    match tokens::revoke(pool, token_id).await? {
        Revocation::Revoked => println!("Revoked {token_id}."),
        Revocation::RevokedBefore => println!("{token_id} was revoked before."),
        Revocation::NoSuchToken => {
            anyhow::bail!("there is no token {token_id}; `ricochet token list` shows all")
        }
    }
    Ok(())
}
