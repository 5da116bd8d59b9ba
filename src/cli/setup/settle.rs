//! `ricochet settle`: paying partners.

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::flags::{Id, time, uuids};
use super::{ACTOR, Common};
use crate::store::by_hand::ByHand;
use crate::store::settlement::{self, SettleFilter, Settlement};

pub const EXAMPLES: &str = "\
Examples:
  ricochet settle --partner \"$PARTNER\" --to 2026-11-01T00:00:00Z
  ricochet settle --partner \"$PARTNER\" --to 2026-11-01T00:00:00Z --apply";

#[derive(Debug, Args)]
pub struct SettleArgs {
    /// Settle what is shown; without it nothing is changed.
    #[arg(long)]
    apply: bool,
    /// Only this conversion; may be repeated.
    #[arg(long, value_name = "LEAD_ID")]
    lead: Vec<Id>,
    /// Only of this offer; may be repeated.
    #[arg(long, value_name = "ID")]
    offer: Vec<Id>,
    /// Only of this partner; may be repeated.
    #[arg(long, value_name = "ID")]
    partner: Vec<Id>,
    /// Only of this advertiser; may be repeated.
    #[arg(long, value_name = "ID")]
    advertiser: Vec<Id>,
    /// Only recorded at this time or later, such as 2026-10-01T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// Only recorded before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<DateTime<Utc>>,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: &SettleArgs) -> anyhow::Result<()> {
    let filter = SettleFilter {
        lead_ids: uuids(&args.lead),
        offer_ids: uuids(&args.offer),
        partner_ids: uuids(&args.partner),
        advertiser_ids: uuids(&args.advertiser),
        from: args.from,
        to: args.to,
    };
    let (pool, now) = (args.common.pool()?, Utc::now());
    let settlement = if args.apply {
        settlement::settle(&pool, &filter, ByHand { actor: ACTOR, note: "" }, now).await?
    } else {
        settlement::preview(&pool, &filter, now).await?
    };
    args.common.output.done(&sentence(args.apply, &settlement), &shown(args.apply, &settlement))?;
    if !args.apply && settlement.conversions > 0 {
        eprintln!("Nothing was changed. To settle this, say it again with --apply.");
    }
    Ok(())
}

fn sentence(is_applied: bool, settlement: &Settlement) -> String {
    let verb = if is_applied { "Settled" } else { "To settle:" };
    let sums = settlement.payouts.iter().map(|(currency, sum)| format!("{sum} {currency}"));
    let sums: Vec<String> = sums.collect();
    let count = settlement.conversions;
    let conversions = if count == 1 { "conversion" } else { "conversions" };
    if sums.is_empty() {
        return format!("{verb} {count} {conversions}.");
    }
    format!("{verb} {count} {conversions}: {}.", sums.join(", "))
}

fn shown(is_applied: bool, settlement: &Settlement) -> Value {
    json!({
        "settled": is_applied,
        "conversions": settlement.conversions,
        "payouts": settlement.payouts,
    })
}
