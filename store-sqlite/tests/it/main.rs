//! The SQLite backend: the common checks, and what is its own.

mod conformance;
mod damage;
mod foreign;
mod handles;
mod modes;
mod read_only;
mod schema;
mod support;
