//! The filesystem backend: the common checks, and what is its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod crash;
mod damage;
mod durability;
mod faults;
mod format;
mod fuzz;
mod handles;
mod holes;
mod integrity;
mod ledger;
mod ledger_crash;
mod ledger_examine;
mod ledger_processes;
mod ledger_rounds;
mod leftovers;
mod lost;
mod maintenance;
mod memory;
mod model;
mod older_layouts;
mod opening;
mod parts;
mod power_loss;
mod processes;
mod recovery;
mod rounds;
mod simulate;
mod simulate_ledger;
mod snapshot_set;
mod snapshot_set_crash;
mod support;
mod system_faults;
mod watch;
mod writers;
