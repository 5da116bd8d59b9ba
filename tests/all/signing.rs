//! Signed postbacks, as receivers get and check them, and the secrets they are signed with.

mod master_key;
mod receivers;
mod rotation;
mod stage;
/// The Rust code of docs/verifying-signatures.md, word for word; a test holds it to that.
mod verify;
