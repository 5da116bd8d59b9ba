//! The files the embedded ClickHouse is configured by.
//!
//! The session that starts the server logs in as `default` without a password, and nothing can
//! change that. So `default` is made worthless: HTTP requests pass only when they name one of
//! the two real users, by `X-ClickHouse-User` or by basic authentication; `default` holds just
//! the grants of the start-up statements; and a quota ends its reading after those two. (Basic
//! authentication with `?user=default` still reaches it, and gets no table and no file.)
//!
//! Credentials as `user=` and `password=` in the query string are refused: a request that
//! carries only those matches no rule.

use std::path::Path;

/// May do everything.
pub(super) const OWNER: &str = "ricochet";
/// May read the views, with bounds on time and memory.
pub(super) const READER: &str = "dash";
/// Who the reader is and what it may: the same file that a ClickHouse of one's own is given. It
/// stands in `users.d`, and takes the password from [`READER_PASSWORD_VARIABLE`].
pub(super) const READER_CONFIG: &str = include_str!("../../clickhouse/users/dash.xml");
pub(super) const READER_PASSWORD_VARIABLE: &str = "CLICKHOUSE_DASH_PASSWORD";

pub(super) struct Passwords {
    pub owner: String,
    pub reader: String,
}

/// Sized for two cores that the service and PostgreSQL share.
pub(super) fn server_config(directory: &Path, port: u16) -> String {
    let directory = escaped(&directory.display().to_string());
    // Base64 turns three bytes into four characters: nine of `ricochet:` into twelve, six of
    // `dash:` and one more into eight, of which the last two depend on the password.
    let basic = "^Basic (cmljb2NoZXQ6|ZGFzaD[opqr])";
    format!(
        r#"<clickhouse>
  <path>{directory}/data/</path>
  <tmp_path>{directory}/tmp/</tmp_path>
  <users_config>{directory}/users.xml</users_config>
  <logger/>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <!-- Longer than our client keeps an idle connection (2 s): the one that may use it again closes it. -->
  <keep_alive_timeout>3</keep_alive_timeout>
  <shutdown_wait_unfinished>1</shutdown_wait_unfinished>
  <max_server_memory_usage>2000000000</max_server_memory_usage>
  <mark_cache_size>134217728</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_common_pool_size>2</background_common_pool_size>
  <background_schedule_pool_size>4</background_schedule_pool_size>
  <max_concurrent_queries>64</max_concurrent_queries>
  <max_thread_pool_size>500</max_thread_pool_size>
  <asynchronous_metrics_update_period_s>60</asynchronous_metrics_update_period_s>
  <http_handlers>
    <rule>
      <url>/ping</url>
      <methods>GET,HEAD</methods>
      <handler><type>ping</type></handler>
    </rule>
    <rule>
      <methods>GET,HEAD,POST</methods>
      <headers><X-ClickHouse-User>regex:^({OWNER}|{READER})$</X-ClickHouse-User></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
    <rule>
      <methods>GET,HEAD,POST</methods>
      <headers><Authorization>regex:{basic}.*$</Authorization></headers>
      <handler><type>dynamic_query_handler</type><query_param_name>query</query_param_name></handler>
    </rule>
  </http_handlers>
</clickhouse>
"#
    )
}

/// The users beside the reader.
pub(super) fn users_config(owner: &str) -> String {
    format!(
        r#"<clickhouse>
  <profiles>
    <default>
      <!-- Both cores, although the memory that is allowed is no gigabyte for each. -->
      <max_threads_min_free_memory_per_thread>0</max_threads_min_free_memory_per_thread>
    </default>
  </profiles>
  <quotas>
    <default/>
    <start-up><interval><duration>2147483647</duration><queries>2</queries></interval></start-up>
  </quotas>
  <users>
    <default>
      <password/>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>start-up</quota>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT READ ON FILE</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
      </grants>
    </default>
    <{OWNER}>
      <password>{owner}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </{OWNER}>
  </users>
</clickhouse>
"#
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_break_out_of_its_element() {
        let config = server_config(Path::new("/tmp/a<b&c"), 8123);
        assert!(config.contains("<path>/tmp/a&lt;b&amp;c/data/</path>"));
        assert!(config.contains("<http_port>8123</http_port>"));
    }

    #[test]
    fn the_readers_file_names_the_reader_and_its_variable() {
        assert!(READER_CONFIG.contains(&format!("<{READER}>")));
        assert!(READER_CONFIG.contains(&format!("<password from_env=\"{READER_PASSWORD_VARIABLE}\"/>")));
    }
}
