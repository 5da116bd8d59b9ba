//! The Grafana dashboards, their alerts and the compose file that brings them: every panel asked as
//! Grafana would ask it.

mod compose;
mod dashboards;
mod layout;
mod macros;
mod panels;
mod prometheus;
