//! The checks, one module per part of the contract.
//!
//! A check is linear, has one reason to fail, and is named by the statement it holds. It is part of the suite only when
//! it stands in the list of [`for_each_check!`](crate::for_each_check); one that does not is dead code, which the
//! compiler reports.

pub(crate) mod append;
pub(crate) mod blob;
pub(crate) mod change;
pub(crate) mod concurrency;
pub(crate) mod create;
pub(crate) mod create_many;
pub(crate) mod damage;
pub(crate) mod delete;
pub(crate) mod durability;
pub(crate) mod expected;
pub(crate) mod fact;
pub(crate) mod fixture;
pub(crate) mod integrity;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod limits;
pub(crate) mod list;
pub(crate) mod origin;
pub(crate) mod read;
pub(crate) mod snapshot_set;
pub(crate) mod trace;
pub(crate) mod watch;
