//! The demo: everything `ricochet dev --demo` needs beside the server itself.

pub mod tracker;
