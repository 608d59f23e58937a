//! The index: what it says of a store, however it came to know it.

mod incremental;
mod world;
