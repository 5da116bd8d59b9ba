//! The development engines.
