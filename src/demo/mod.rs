//! The demo: a tracker to send postbacks to.
