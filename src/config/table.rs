//! The one table of settings.

/// One setting: a variable of the environment and a key of the file.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    pub variable: &'static str,
    /// `None`: it must be given.
    pub default: Option<&'static str>,
    pub accepts: &'static str,
    pub meaning: &'static str,
    pub is_optional: bool,
}

const fn required(variable: &'static str, accepts: &'static str, meaning: &'static str) -> Setting {
    Setting { variable, default: None, accepts, meaning, is_optional: false }
}

const fn defaulted(
    variable: &'static str,
    default: &'static str,
    accepts: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { variable, default: Some(default), accepts, meaning, is_optional: false }
}

const fn optional(variable: &'static str, accepts: &'static str, meaning: &'static str) -> Setting {
    Setting { variable, default: None, accepts, meaning, is_optional: true }
}

pub const SETTINGS: &[Setting] = &[
    required(
        "DATABASE_URL",
        "a PostgreSQL URL",
        "PostgreSQL 14 or later, such as postgres://user:password@host/ricochet; add ?sslmode=require for \
         verified TLS. `ricochet dev` starts its own where this is not set.",
    ),
    required(
        "CLICKHOUSE_URL",
        "an http:// or https:// URL",
        "ClickHouse 24.8 or later over HTTP, such as http://user:password@host:8123/ricochet; the path is the \
         database, which is created. `ricochet dev` starts its own where this is not set.",
    ),
    defaulted(
        "RICOCHET_LISTEN",
        "127.0.0.1:8080",
        "an address and port",
        "Where the server listens; port 0 takes a free one.",
    ),
    defaulted("RICOCHET_WORKERS", "2", "a whole number from 1 to 64", "HTTP worker threads."),
    defaulted(
        "RICOCHET_LANES",
        "1",
        "a whole number from 1 to 64",
        "Conversion batches in flight at once, a core of PostgreSQL's each; requests of one click always take the same lane.",
    ),
    defaulted(
        "RICOCHET_DATABASE_CONNECTIONS",
        "16",
        "a whole number from 8 to 1000",
        "Most PostgreSQL connections of this node; a quarter of them is kept for GraphQL.",
    ),
    defaulted(
        "RICOCHET_BATCH_REQUESTS",
        "500",
        "a whole number from 1 to 2000",
        "Most requests written in one transaction.",
    ),
    defaulted(
        "RICOCHET_QUEUE_REQUESTS",
        "10000",
        "a whole number from 1 to 1000000",
        "Most requests waiting for a transaction, over all lanes; past it callers get 503 with Retry-After.",
    ),
    defaulted(
        "RICOCHET_OUTBOUND_REQUESTS",
        "8192",
        "a whole number from 16 to 1000000",
        "Most requests to destinations under way at once on this node, over all destinations; each is an open \
         file, so at most half of those the system allows (`ulimit -n`) are used. A quarter is kept for \
         destinations that answer, whatever hangs.",
    ),
    defaulted(
        "RICOCHET_GRACE_PERIOD_S",
        "10",
        "a whole number from 0 to 600",
        "Seconds that requests and postbacks under way get after SIGTERM.",
    ),
    optional(
        "RICOCHET_MASTER_KEY",
        "32 bytes in hexadecimal or base64, or several such keys separated by commas",
        "Encrypts the secrets that must be readable again, such as those of signatures. Make one with \
         `openssl rand -hex 32` and keep it: without it the secrets are lost. The first of several encrypts, all \
         decrypt; to change it, add the new one at the end on every node, then move it to the front on every \
         node, then drop the old one. `ricochet dev` makes its own.",
    ),
    optional(
        "RICOCHET_TRUSTED_PROXIES",
        "networks in CIDR notation separated by commas",
        "Your own proxies and load balancers; only their X-Forwarded-For and country header are believed.",
    ),
    defaulted(
        "RICOCHET_REQUESTS_PER_SECOND",
        "0",
        "a whole number from 0 to 4000000000",
        "Most requests a second of this node at the doors; past it callers get 429 with Retry-After. 0 sets no limit.",
    ),
    defaulted(
        "RICOCHET_SOURCE_REQUESTS_PER_SECOND",
        "0",
        "a whole number from 0 to 4000000000",
        "The same for each IP address (each /64 network of IPv6).",
    ),
    defaulted(
        "RICOCHET_KEY_REQUESTS_PER_SECOND",
        "0",
        "a whole number from 0 to 4000000000",
        "The same for the API keys of each advertiser that has no rate of its own.",
    ),
    defaulted(
        "RICOCHET_REFUSALS_PER_SECOND",
        "20",
        "a whole number from 0 to 4000000000",
        "Requests refused for their key, address or signature that one IP address is told of and that are logged; \
         past it it gets 429, and the log one row a second. 0 sets no limit.",
    ),
    defaulted(
        "RICOCHET_BODY_TIMEOUT_S",
        "30",
        "a whole number from 1 to 3600",
        "Seconds that a request's body may take to arrive; past them callers get 408. Streams of lines and \
         files are read for as long as they come.",
    ),
    defaulted(
        "RICOCHET_CLICK_RETENTION_DAYS",
        "400",
        "a whole number from 31 to 36500",
        "Days a click is kept in PostgreSQL; conversions of older clicks are refused as unknown.",
    ),
    defaulted(
        "RICOCHET_HISTORY_RETENTION_DAYS",
        "400",
        "a whole number from 31 to 36500",
        "Days the status history and finished deliveries are kept in PostgreSQL; ClickHouse keeps its own.",
    ),
    defaulted(
        "RICOCHET_LOG_ATTEMPT_RETENTION_DAYS",
        "400",
        "a whole number from 31 to 36500",
        "Days ClickHouse keeps attempts; whole parts of a month go together, so up to a month longer. Write the \
         same on every node, here and in the next four.",
    ),
    defaulted(
        "RICOCHET_LOG_INBOUND_RETENTION_DAYS",
        "400",
        "a whole number from 31 to 36500",
        "The same of inbound requests.",
    ),
    defaulted(
        "RICOCHET_LOG_CLICK_RETENTION_DAYS",
        "400",
        "a whole number from 31 to 36500",
        "The same of clicks.",
    ),
    defaulted(
        "RICOCHET_LOG_CONVERSION_RETENTION_DAYS",
        "1100",
        "a whole number from 31 to 36500",
        "The same of conversion events.",
    ),
    defaulted(
        "RICOCHET_LOG_ROLLUP_RETENTION_DAYS",
        "1100",
        "a whole number from 31 to 36500, not less than RICOCHET_LOG_ATTEMPT_RETENTION_DAYS",
        "The same of the figures by minute and day.",
    ),
    optional(
        "RICOCHET_CLICKHOUSE_CLUSTER",
        "the name of a cluster",
        "ClickHouse cluster that the tables of the log are spread over, replicated and distributed; see \
         clickhouse/clustered. Not set, they are on the one server of CLICKHOUSE_URL. Set it before the first start.",
    ),
    defaulted(
        "RICOCHET_FAILING_WARNING_S",
        "3600",
        "a whole number from 1 to 31536000",
        "Seconds that every attempt to a destination fails before it is warned of: in the log, the metrics, and to \
         postbacks that subscribed to destination_failing. Write the same on every node.",
    ),
    defaulted(
        "RICOCHET_FAILING_SECOND_WARNING_S",
        "86400",
        "a whole number from 1 to 31536000",
        "The same before it is warned of once more.",
    ),
    optional(
        "RICOCHET_GRAPHIQL_DIR",
        "a folder",
        "The node_modules folder that holds graphiql, react and react-dom, for the page at GET /graphql. \
         `ricochet dev` sets it.",
    ),
    defaulted(
        "RICOCHET_WEBSOCKETS",
        "1000",
        "a whole number from 1 to 100000",
        "Most WebSockets at /graphql on this node; past it callers get 429 with Retry-After.",
    ),
    defaulted(
        "RICOCHET_WEBSOCKETS_PER_TOKEN",
        "20",
        "a whole number from 1 to 100000",
        "Most of them with one token.",
    ),
    optional(
        "RICOCHET_WEBSOCKET_ORIGINS",
        "origins separated by commas, or *",
        "Other sites whose pages may open WebSockets at /graphql, such as https://dashboard.example; those of \
         this server's own address always may, and programs that are no browser.",
    ),
    defaulted(
        "RICOCHET_EXPORTS",
        "4",
        "a whole number from 1 to 1000",
        "Most exports at once on this node; past it callers get 429 with Retry-After.",
    ),
    optional(
        "RICOCHET_NETWORK_ID",
        "any text",
        "What {network_id} stands for in landing URLs; empty where not set.",
    ),
    optional(
        "RICOCHET_GEO_DATABASE",
        "a .mmdb file",
        "MaxMind-format database that tells a visitor's country, such as GeoLite2-Country.mmdb; read again \
         within 5 seconds of its file changing.",
    ),
    optional(
        "RICOCHET_COUNTRY_HEADER",
        "the name of a header",
        "Header in which a trusted proxy tells the visitor's country, such as CF-IPCountry; it comes before \
         the database.",
    ),
    optional(
        "RICOCHET_OUTBOUND_ALLOWED_NETWORKS",
        "networks in CIDR notation separated by commas",
        "Networks that postbacks may be sent to although they are not public, such as 10.1.0.0/16; a cloud's \
         metadata service only opens by its address alone. `ricochet dev` allows 127.0.0.0/8 and ::1.",
    ),
    defaulted(
        "RICOCHET_OUTBOUND_PORTS",
        "80,443,1024-65535",
        "ports and ranges separated by commas",
        "Ports that postbacks may be sent to. Those of databases, caches and other protocols, such as 6379, are \
         in no range: name them one by one.",
    ),
    optional(
        "RICOCHET_OUTBOUND_PROXY",
        "an http:// URL",
        "Proxy that all postbacks go through, such as http://user:password@proxy.example:3128. It is asked to \
         CONNECT to addresses, which are looked up and vetted here; HTTP_PROXY and its likes are not heeded.",
    ),
    optional(
        "RICOCHET_OUTBOUND_CA_FILE",
        "a PEM file",
        "Certificate authorities that postbacks' TLS trusts besides the machine's own.",
    ),
    optional(
        "RICOCHET_OUTBOUND_NAME_SERVERS",
        "addresses separated by commas, with ports where they are not 53",
        "DNS servers that are asked for the names of destinations, such as 10.0.0.53, instead of those of \
         /etc/resolv.conf. /etc/hosts is still read.",
    ),
    optional(
        "RICOCHET_LOG",
        "a tracing filter",
        "What is logged, such as info or ricochet=debug; default info.",
    ),
    optional("RICOCHET_LOG_FORMAT", "text or json", "json writes one object a line; default text."),
    optional(
        "RICOCHET_CACHE_DIR",
        "a folder",
        "Where `ricochet dev` keeps the unpacked engines; default is the user's cache, /var/cache/ricochet for root.",
    ),
];

pub fn find(variable: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.variable == variable)
}

/// Whether a variable of the environment is meant for us; others are nobody's business.
pub fn is_ours(variable: &str) -> bool {
    variable.starts_with("RICOCHET_") || find(variable).is_some()
}

/// `listen` in the file is `RICOCHET_LISTEN` in the environment; `database_url` is `DATABASE_URL`.
pub fn variable_of_key(key: &str) -> String {
    let upper = key.to_uppercase();
    if find(&upper).is_some() { upper } else { format!("RICOCHET_{upper}") }
}

/// The table as it stands in `docs/configuration.md`.
pub fn markdown_table() -> String {
    let mut table =
        String::from("| variable | file key | default | accepts | meaning |\n|---|---|---|---|---|\n");
    for setting in SETTINGS {
        let key = setting.variable.trim_start_matches("RICOCHET_").to_lowercase();
        let default = match setting.default {
            Some(default) => format!("`{default}`"),
            None if setting.is_optional => "none".into(),
            None => "required".into(),
        };
        let meaning = setting.meaning;
        table.push_str(&format!(
            "| `{}` | `{key}` | {default} | {} | {meaning} |\n",
            setting.variable, setting.accepts
        ));
    }
    table
}
