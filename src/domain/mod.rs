//! The decisions, and nothing else: no clock, no SQL, no actors, no network.
//!
//! [`address_policy`] says where postbacks may go.
//!
//! A visitor meets [`visit`], [`composite`], [`device`] and [`click`].
//! A conversion meets these files in this order: [`access`] says whether it may come in,
//! [`fields`] reads what the caller sent,
//! [`catalogue`] says what the network has agreed, [`completion`] adds what a door may add, [`status`] turns words into a status,
//! [`decision`] compares the request with what is already known, [`payout`] computes the
//! money, [`event`] and [`facts`] say what happened, [`postback`] and [`condition`] say who wants to
//! know, [`request_template`] and [`template`] write the request with what [`background`] knows of today, [`signing`] signs it, [`destination`]
//! says when it may go, [`success_rule`] reads the answer, [`retry`] says when to try again.
//! What is counted afterwards falls into the [`time_bucket`]s of a [`zone`].

pub mod access;
pub mod address_policy;
pub mod background;
pub mod catalogue;
pub mod click;
pub mod client_certificate;
pub(crate) mod coded;
pub mod completion;
pub mod composite;
pub mod condition;
pub mod decision;
pub mod destination;
pub mod device;
pub mod event;
pub mod explanation;
pub mod facts;
pub mod fields;
pub mod health;
pub mod ids;
pub mod integration;
pub mod lease;
pub mod money;
pub mod note;
pub mod party_names;
pub mod path_secrets;
pub mod payout;
pub mod postback;
pub mod reconciliation;
pub mod redact;
pub mod request;
pub mod request_settings;
pub mod request_template;
pub mod request_values;
pub mod resend;
pub mod retry;
pub mod sample;
pub mod signing;
pub mod status;
pub mod status_words;
pub mod success_rule;
pub mod template;
pub mod time_bucket;
pub mod verdict;
pub mod visit;
pub mod zone;

#[cfg(test)]
mod postbacks_document_tests;
