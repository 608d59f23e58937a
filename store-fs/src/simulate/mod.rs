//! A disk in memory that loses what was not synced, and a judge of what the store makes of it.
//!
//! [`SimDisk`] is the disk: it keeps what was synced and, at a crash, loses, tears or reorders any subset of the rest.
//! A [`Script`] is realistic work through the public contract; a [`Simulation`] runs it, stops it at every call, and holds
//! what is left against what was asked and what was acknowledged. A [`Lie`] is a mistake planted under the store, to see
//! that it is found. A [`LedgerScript`] is the same for a ledger.
//!
//! Everything follows from a seed, but for the random names of files that are being made: nothing depends on those.

mod disk;
mod file;
mod files;
mod image;
mod ledger;
mod lies;
mod machine;
mod older;
mod oracle;
mod picture;
mod random;
mod record;
mod run;
mod script;
mod scripts;
mod tally;
mod tree;
mod watching;

pub use disk::{CallKind, Fault, SimDisk, Snapshot};
pub use image::Loss;
pub use ledger::{LedgerScript, LedgerStep};
pub use lies::{Lie, LyingDisk};
pub use random::Random;
pub use run::{Failure, Simulation};
pub use script::{Beginning, How, Script, Step};
pub use tally::Tally;
