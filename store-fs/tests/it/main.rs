//! The filesystem backend: the common checks, and what is its own.

mod conformance;
