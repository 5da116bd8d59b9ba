//! The GraphQL API against both real databases: what filters find, what pages hold, what each
//! role can see, and how the door answers.

mod clicks;
mod deliveries;
mod documents;
pub mod door;
mod filters;
mod nested;
mod pages;
mod payouts;
pub mod rows;
mod scopes;
pub mod stage;
mod stats;
mod walk;
