//! Measuring the stores: beside the limits of the machine and beside published engines, in one run.
//!
//! A [`contest::Contest`] is one kind of work and the ways to do it. The ways take turns, round after round, so that what else the
//! machine does meets all of them; a figure is the median of its rounds, and a ratio the median of the rounds' ratios. Nothing
//! here says whether a figure is good enough: `docs/PERFORMANCE.md` does.

pub mod claude;
pub mod command;
pub mod contest;
#[cfg(feature = "engines")]
pub mod engines;
pub mod entries;
pub mod ledgers;
pub mod machine;
pub mod ours;
pub mod work;

/// What ends a measurement before its end.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a measurement answers.
pub type Result<T> = std::result::Result<T, Failure>;
