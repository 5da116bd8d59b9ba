//! What `ricochet seed` is told.

use clap::{Args, value_parser};

use super::network::Sizes;

/// Fill an empty network with a believable past, for trying dashboards and measuring
///
/// Makes advertisers, offers, partners, links and paused postbacks, and then clicks, inbound requests,
/// conversions, their events and the attempts to deliver their postbacks, in both databases. About
/// one click in three converts, and each conversion causes about seven attempts. Nothing is ever
/// sent: the postbacks are paused and their hosts end in `.invalid`.
#[derive(Debug, Clone, Args)]
pub struct SeedArgs {
    /// How many clicks.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    pub clicks: u64,
    /// Over how many days until now.
    #[arg(long, value_name = "D", default_value_t = 30, value_parser = value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Which throw of the dice; another one makes another network beside the first.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = value_parser!(u32).range(1..=100_000))]
    partners: u32,
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..=10_000))]
    advertisers: u32,
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000))]
    offers: u32,
    /// Fill only ClickHouse, beside the network itself: for measuring the log with many millions of rows.
    /// Conversions and deliveries, which are read from PostgreSQL, are then missing.
    #[arg(long)]
    log_only: bool,
    /// Seed although the network has advertisers that were not seeded.
    #[arg(long)]
    pub beside_others: bool,
    /// PostgreSQL URL.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// ClickHouse URL.
    #[arg(long, value_name = "URL", env = "CLICKHOUSE_URL", hide_env_values = true)]
    pub clickhouse_url: String,
}

/// How much of a past there will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Everything,
    LogOnly,
}

impl SeedArgs {
    pub fn depth(&self) -> Depth {
        if self.log_only { Depth::LogOnly } else { Depth::Everything }
    }

    pub fn sizes(&self) -> Sizes {
        Sizes {
            partners: self.partners as usize,
            advertisers: self.advertisers as usize,
            offers: self.offers as usize,
        }
    }
}
