//! The index: what it says of a store, however it came to know it.

mod file;
mod incremental;
mod world;
