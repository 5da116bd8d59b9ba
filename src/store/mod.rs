//! PostgreSQL: one module an entity.

pub mod conversion_search;
pub mod tokens;
