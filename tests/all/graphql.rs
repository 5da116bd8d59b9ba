//! The GraphQL API against both real databases: what filters find, what pages hold, what each
//! role can see, and how the door answers.

mod documents;
mod door;
mod filters;
mod pages;
pub mod rows;
mod scopes;
pub mod stage;
