//! The views for dashboards: who may read them, what they leave out, and the names in them.

mod documents;
mod names;
mod readers;
