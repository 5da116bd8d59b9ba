//! Reconciliation: an advertiser's file against what we have, by the advertiser's own ids.
//!
//! ```text
//! upload ─► csv_file: rows ─► judge: what the pipeline would say now ─► reconciliation_rows, shown
//! apply  ─► the rows that were shown to change something, judged again; where the judgement is
//!           still the same ─► the pipeline, as any other request
//! ```
//!
//! What is applied is what was shown: a row whose judgement has changed since is left alone and
//! says so. Everything waits in PostgreSQL, so applying goes on after a crash, on any node, and a
//! repeat finds nothing but duplicates. Memory: two chunks of rows and a few pieces of the upload.

pub mod apply;
pub mod csv_file;
pub mod judge;
pub mod upload;
