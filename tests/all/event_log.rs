//! What ClickHouse holds: figures that equal the rows, documents that equal the tables, a seeded
//! past that equals PostgreSQL's.

mod documents;
mod reading;
mod retention;
mod rollups;
mod seed;
