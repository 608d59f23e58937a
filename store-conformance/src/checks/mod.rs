//! The checks, one module per part of the contract.

pub(crate) mod create;
mod fixture;
