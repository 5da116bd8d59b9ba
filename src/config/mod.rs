//! Settings, from the environment and an optional TOML file.
//!
//! Every setting stands once, in [`SETTINGS`]: its variable, default and meaning. The reader,
//! `docs/configuration.md` and the refusal of unknown names all work from that table.

mod origins;
mod table;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::header::HeaderName;

use crate::domain::access::allowlist::{Allowlist, parse_networks};
use crate::domain::access::rates::Rates;
use crate::domain::address_policy::{Policy, Ports};
use crate::domain::health::Thresholds;
use crate::event_log::retention::LogRetention;
use crate::outbound::OutboundSettings;
use crate::outbound::proxy::Proxy;
use crate::store::secrets::{Keyring, NotAKeyring};

pub use origins::Origins;
pub use table::{SETTINGS, Setting, markdown_table};

/// Everything `ricochet serve` needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub database_url: String,
    pub clickhouse_url: String,
    pub listen: SocketAddr,
    pub workers: usize,
    pub lanes: usize,
    pub database_connections: usize,
    pub batch_requests: usize,
    pub queue_requests: usize,
    pub outbound_requests: usize,
    pub grace_period: Duration,
    /// Without any, no secrets can be kept.
    pub keyring: Keyring,
    pub trusted_proxies: Allowlist,
    pub rates: Rates,
    pub body_timeout: Duration,
    pub click_retention_days: u32,
    pub history_retention_days: u32,
    pub log_retention: LogRetention,
    /// Where not set, the log is on one server.
    pub clickhouse_cluster: Option<String>,
    /// After how long of failing a destination is warned of.
    pub failing: Thresholds,
    pub graphiql_dir: Option<String>,
    pub websockets: usize,
    pub websockets_per_token: usize,
    pub websocket_origins: Origins,
    /// Most exports at once.
    pub exports: usize,
    pub network_id: String,
    pub geo_database: Option<String>,
    pub country_header: Option<HeaderName>,
    pub outbound: OutboundSettings,
}

/// A setting that cannot be used; the server does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{variable} is not set: {meaning}")]
    Missing { variable: &'static str, meaning: &'static str },
    #[error("{variable} is {value:?}, which is not {expected}")]
    Invalid { variable: &'static str, value: String, expected: &'static str },
    #[error("{name} is no setting; docs/configuration.md lists them all{}", nearest(.name))]
    Unknown { name: String },
    #[error("the configuration file {path} cannot be read: {reason}")]
    File { path: String, reason: String },
}

fn nearest(name: &str) -> String {
    SETTINGS
        .iter()
        .map(|setting| (strsim::jaro_winkler(name, setting.variable), setting.variable))
        .filter(|(similarity, _)| *similarity > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, variable)| format!("; did you mean {variable}?"))
        .unwrap_or_default()
}

impl Settings {
    /// Reads the process environment over the file, if one is given.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut values = match file {
            Some(path) => read_file(path)?,
            None => BTreeMap::new(),
        };
        values.extend(environment());
        Self::from_values(values)
    }

    /// Reads settings by variable name. Names that are none are refused.
    pub fn from_values(values: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        if let Some(name) = values.keys().find(|name| table::find(name).is_none()) {
            return Err(ConfigError::Unknown { name: name.clone() });
        }
        let reader = Reader { values };
        Ok(Self {
            database_url: reader.text("DATABASE_URL")?,
            clickhouse_url: reader.clickhouse_url("CLICKHOUSE_URL")?,
            listen: reader.parse("RICOCHET_LISTEN", "an address and port such as 127.0.0.1:8080")?,
            workers: reader.in_range("RICOCHET_WORKERS", 1, 64)?,
            lanes: reader.in_range("RICOCHET_LANES", 1, 64)?,
            database_connections: reader.in_range("RICOCHET_DATABASE_CONNECTIONS", 8, 1_000)?,
            batch_requests: reader.in_range("RICOCHET_BATCH_REQUESTS", 1, 2_000)?,
            queue_requests: reader.in_range("RICOCHET_QUEUE_REQUESTS", 1, 1_000_000)?,
            outbound_requests: reader.in_range("RICOCHET_OUTBOUND_REQUESTS", 16, 1_000_000)?,
            grace_period: Duration::from_secs(reader.in_range("RICOCHET_GRACE_PERIOD_S", 0, 600)?),
            keyring: reader.keyring("RICOCHET_MASTER_KEY")?,
            trusted_proxies: reader.networks("RICOCHET_TRUSTED_PROXIES")?,
            rates: Rates {
                node: reader.rate("RICOCHET_REQUESTS_PER_SECOND")?,
                source: reader.rate("RICOCHET_SOURCE_REQUESTS_PER_SECOND")?,
                advertiser: reader.rate("RICOCHET_KEY_REQUESTS_PER_SECOND")?,
                refusals: reader.rate("RICOCHET_REFUSALS_PER_SECOND")?,
            },
            body_timeout: Duration::from_secs(reader.in_range("RICOCHET_BODY_TIMEOUT_S", 1, 3_600)?),
            click_retention_days: reader.in_range("RICOCHET_CLICK_RETENTION_DAYS", 31, 36_500)?,
            history_retention_days: reader.in_range("RICOCHET_HISTORY_RETENTION_DAYS", 31, 36_500)?,
            log_retention: reader.log_retention()?,
            clickhouse_cluster: reader.cluster("RICOCHET_CLICKHOUSE_CLUSTER")?,
            failing: Thresholds {
                first: Duration::from_secs(reader.in_range("RICOCHET_FAILING_WARNING_S", 1, 31_536_000)?),
                second: Duration::from_secs(reader.in_range(
                    "RICOCHET_FAILING_SECOND_WARNING_S",
                    1,
                    31_536_000,
                )?),
            },
            graphiql_dir: reader.optional("RICOCHET_GRAPHIQL_DIR"),
            websockets: reader.in_range("RICOCHET_WEBSOCKETS", 1, 100_000)?,
            websockets_per_token: reader.in_range("RICOCHET_WEBSOCKETS_PER_TOKEN", 1, 100_000)?,
            websocket_origins: reader
                .parse_optional(
                    "RICOCHET_WEBSOCKET_ORIGINS",
                    "a list of origins such as https://dashboard.example, or *",
                )?
                .unwrap_or_default(),
            exports: reader.in_range("RICOCHET_EXPORTS", 1, 1_000)?,
            network_id: reader.optional("RICOCHET_NETWORK_ID").unwrap_or_default(),
            geo_database: reader.optional("RICOCHET_GEO_DATABASE"),
            country_header: reader.parse_optional("RICOCHET_COUNTRY_HEADER", "the name of a header")?,
            outbound: OutboundSettings {
                policy: reader.outbound_policy()?,
                proxy: reader.outbound_proxy("RICOCHET_OUTBOUND_PROXY")?,
                ca_file: reader.optional("RICOCHET_OUTBOUND_CA_FILE").map(PathBuf::from),
                name_servers: reader.name_servers("RICOCHET_OUTBOUND_NAME_SERVERS")?,
            },
        })
    }
}

/// Where postbacks may go by the environment of this process, for commands that need no more.
pub fn outbound_policy() -> Result<Policy, ConfigError> {
    Reader { values: environment() }.outbound_policy()
}

/// The master keys in the environment of this process, for commands that need no more.
pub fn master_keys() -> Result<Keyring, ConfigError> {
    Reader { values: environment() }.keyring("RICOCHET_MASTER_KEY")
}

/// The settings in the environment of this process, by variable.
pub fn environment() -> BTreeMap<String, String> {
    // Not `vars`: that panics on a variable that is not UTF-8, which need not be ours.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| table::is_ours(name))
        .collect()
}

struct Reader {
    values: BTreeMap<String, String>,
}

impl Reader {
    fn optional(&self, variable: &str) -> Option<String> {
        let setting = table::find(variable).expect("only settings of the table are read");
        let value =
            self.values.get(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        value.or_else(|| setting.default.map(str::to_owned))
    }

    fn text(&self, variable: &'static str) -> Result<String, ConfigError> {
        let meaning = table::find(variable).map_or("", |setting| setting.meaning);
        self.optional(variable).ok_or(ConfigError::Missing { variable, meaning })
    }

    fn parse<T: FromStr>(&self, variable: &'static str, expected: &'static str) -> Result<T, ConfigError> {
        let value = self.text(variable)?;
        value.parse().map_err(|_| ConfigError::Invalid { variable, value, expected })
    }

    fn parse_optional<T: FromStr>(
        &self,
        variable: &'static str,
        expected: &'static str,
    ) -> Result<Option<T>, ConfigError> {
        self.optional(variable).map(|_| self.parse(variable, expected)).transpose()
    }

    fn in_range<T: FromStr + PartialOrd>(
        &self,
        variable: &'static str,
        low: T,
        high: T,
    ) -> Result<T, ConfigError> {
        let expected = table::find(variable).map_or("", |setting| setting.accepts);
        let number: T = self.parse(variable, expected)?;
        if number < low || number > high {
            return Err(ConfigError::Invalid { variable, value: self.text(variable)?, expected });
        }
        Ok(number)
    }

    /// Requests a second; 0 sets no limit.
    fn rate(&self, variable: &'static str) -> Result<Option<NonZeroU32>, ConfigError> {
        // One nanosecond a request is as fine as a token bucket counts.
        self.in_range(variable, 0, 4_000_000_000).map(NonZeroU32::new)
    }

    fn networks(&self, variable: &'static str) -> Result<Allowlist, ConfigError> {
        let value = self.optional(variable).unwrap_or_default();
        let expected = "a list of networks such as 10.0.0.0/8,2001:db8::/32";
        let networks =
            parse_networks(&value).map_err(|_| ConfigError::Invalid { variable, value, expected })?;
        Ok(Allowlist::new(networks))
    }

    fn outbound_policy(&self) -> Result<Policy, ConfigError> {
        let variable = "RICOCHET_OUTBOUND_PORTS";
        let value = self.text(variable)?;
        let expected = "a list of ports such as 80,443,1024-65535";
        let ports = Ports::parse(&value).map_err(|_| ConfigError::Invalid { variable, value, expected })?;
        Ok(Policy { allowed_networks: self.networks("RICOCHET_OUTBOUND_ALLOWED_NETWORKS")?, ports })
    }

    fn outbound_proxy(&self, variable: &'static str) -> Result<Option<Proxy>, ConfigError> {
        let Some(text) = self.optional(variable) else { return Ok(None) };
        // The value may hold a password, so it is not repeated.
        let expected = "a proxy's address such as http://user:password@proxy.example:3128";
        let invalid = |_| ConfigError::Invalid { variable, value: "…".into(), expected };
        text.parse().map(Some).map_err(invalid)
    }

    fn name_servers(&self, variable: &'static str) -> Result<Vec<SocketAddr>, ConfigError> {
        let value = self.optional(variable).unwrap_or_default();
        let expected = "a list of addresses such as 10.0.0.53 or 127.0.0.1:5353";
        let server = |text: &str| {
            let text = text.trim();
            text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, DNS_PORT)))
        };
        let servers = value.split(',').filter(|text| !text.trim().is_empty()).map(server);
        servers.collect::<Result<_, _>>().map_err(|_| ConfigError::Invalid { variable, value, expected })
    }

    fn log_retention(&self) -> Result<LogRetention, ConfigError> {
        let days = |variable| self.in_range(variable, 31, 36_500);
        let attempt_days = days("RICOCHET_LOG_ATTEMPT_RETENTION_DAYS")?;
        Ok(LogRetention {
            attempt_days,
            inbound_days: days("RICOCHET_LOG_INBOUND_RETENTION_DAYS")?,
            click_days: days("RICOCHET_LOG_CLICK_RETENTION_DAYS")?,
            conversion_days: days("RICOCHET_LOG_CONVERSION_RETENTION_DAYS")?,
            // Else a total would be counted from figures that are gone.
            rollup_days: self.in_range("RICOCHET_LOG_ROLLUP_RETENTION_DAYS", attempt_days, 36_500)?,
        })
    }

    fn cluster(&self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.optional(variable) else { return Ok(None) };
        let is_name =
            value.chars().all(|character| character.is_ascii_alphanumeric() || "_-.{}".contains(character));
        let expected = "the name of a cluster: letters, digits, _, - and .";
        if is_name { Ok(Some(value)) } else { Err(ConfigError::Invalid { variable, value, expected }) }
    }

    fn keyring(&self, variable: &'static str) -> Result<Keyring, ConfigError> {
        let text = self.optional(variable).unwrap_or_default();
        // The value is a secret, so it is not repeated.
        let expected = "32 bytes in hexadecimal or base64, or several such keys separated by commas";
        Keyring::parse(&text).map_err(|NotAKeyring| ConfigError::Invalid {
            variable,
            value: "…".into(),
            expected,
        })
    }

    fn clickhouse_url(&self, variable: &'static str) -> Result<String, ConfigError> {
        let value = self.text(variable)?;
        let legal = url::Url::parse(&value)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        // The value may hold a password, so it is not repeated.
        let expected = "an HTTP address such as http://user:password@127.0.0.1:8123/ricochet";
        if legal { Ok(value) } else { Err(ConfigError::Invalid { variable, value: "…".into(), expected }) }
    }
}

/// Where DNS servers listen.
const DNS_PORT: u16 = 53;

fn read_file(path: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let failed = |reason: String| ConfigError::File { path: path.display().to_string(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| failed(error.message().to_owned()))?;
    let mut values = BTreeMap::new();
    for (key, value) in table {
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            _ => return Err(failed(format!("{key} must be a text, a number or true/false"))),
        };
        values.insert(table::variable_of_key(&key), value);
    }
    Ok(values)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
