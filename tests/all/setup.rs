//! Setting the network up: the mutations and who may use them, the audit log, the command line,
//! and the reconciliation of files.

mod audit;
mod hands;
mod mutations;
mod postbacks;
mod preset_statuses;
mod presets;
mod reconciliation;
mod reporting;
mod roles;
mod walkthrough;
