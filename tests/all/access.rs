//! Who may come in: signatures, addresses, rates, sizes; and that keys stay out of the logs.

mod addresses;
mod bounds;
mod setting_up;
mod signatures;
pub mod stage;
