//! What a backend gives to be checked, and what running a check answers.

use std::any::Any;
use std::fmt;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use store_core::call::{CALL_BYTES_MAX, ENTRY_BYTES_MAX};
use store_core::{Backend, FactScope, MemoryStore, SegmentId, Seq, SessionId};

use crate::CHECKS;

/// One empty store of a backend, and the ways to it.
pub trait Harness: Send + Sync {
    /// A new empty store that shares nothing with any other.
    fn fresh() -> Self
    where
        Self: Sized;

    /// The first handle.
    fn store(&self) -> &dyn Backend;

    /// Another handle on the same store, as another process would open it.
    fn second_handle(&self) -> Box<dyn Backend>;

    /// Closes the first handle and opens the same store again. A check drops its second handles before.
    fn reopen(&mut self);

    /// What this backend does not offer beside keeping logs. The checks of it are then skipped, and every run says so, test by
    /// test, on standard error.
    fn not_offered(&self) -> &[Capability] {
        &[]
    }

    /// Leaves on the medium what a process that dies while it writes can leave there: the beginning of a line, of a
    /// file that was being made, of a log's next page. Which of these is told by `dice`. Handles are open meanwhile, and none of
    /// them may ever answer otherwise because of it. What a backend does not say here, the model test cannot try.
    fn leave_behind(&mut self, _dice: u64) {}

    /// Damages what stands at a seq of a segment, so that its stored bytes are not what was written any more, and answers whether it
    /// did: a bit of the line or the row is flipped behind the backs of all handles. A backend whose bytes the harness cannot reach says so by
    /// [`Capability::Damage`] in [`not_offered`](Self::not_offered).
    fn damage(&mut self, _session: SessionId, _segment: SegmentId, _seq: Seq) -> bool {
        false
    }

    /// Damages a fact in the same way: the one of this number in its scope, from 1. Who says that it can do [`damage`](Self::damage) does this too.
    fn damage_fact(&mut self, _scope: FactScope, _number: u64) -> bool {
        false
    }

    /// How large the largest entries and calls are. Not for backends to choose: there is only [`Limits::CONTRACT`].
    fn limits(&self) -> Limits {
        Limits::CONTRACT
    }
}

/// Something that a backend may offer beside keeping logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// [`store_core::Watch`]: tails and leases.
    Watch,
    /// [`store_core::Integrity`]: verifying, checkpoints, rollbacks, repairs, collection.
    Integrity,
    /// [`Harness::damage`]: the harness can damage stored bytes.
    Damage,
}

impl Capability {
    fn is_offered_by(self, store: &dyn Backend) -> bool {
        match self {
            Self::Watch => store.watch().is_some(),
            Self::Integrity => store.integrity().is_some(),
            // Nobody can see whether a harness that says no could have.
            Self::Damage => false,
        }
    }
}

/// The sizes and times that the checks are run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) entry_bytes_max: u64,
    pub(crate) call_bytes_max: u64,
    /// A string that is long and not the longest.
    pub(crate) string_bytes: usize,
    /// How long something is waited for that has to come.
    pub(crate) wait: Duration,
}

impl Limits {
    /// What the contract says.
    pub const CONTRACT: Self = Self {
        entry_bytes_max: ENTRY_BYTES_MAX,
        call_bytes_max: CALL_BYTES_MAX,
        string_bytes: 10 * 1024 * 1024,
        wait: Duration::from_secs(60),
    };

    /// What the stores that prove the checks have, so that proving them takes seconds.
    pub(crate) const SMALL: Self = Self {
        entry_bytes_max: 256 * 1024,
        call_bytes_max: 640 * 1024,
        string_bytes: 100 * 1024,
        wait: Duration::from_secs(2),
    };
}

/// What a check answers.
pub type Outcome = Result<(), Failure>;

/// What a store did instead of what the contract says, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with its words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// One check of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// The part of the contract it belongs to.
    pub group: &'static str,
    /// What it holds, as a statement in snake_case.
    pub name: &'static str,
    run: fn(&mut dyn Harness) -> Outcome,
}

impl Check {
    pub(crate) const fn new(group: &'static str, name: &'static str, run: fn(&mut dyn Harness) -> Outcome) -> Self {
        Self { group, name, run }
    }

    /// What a backend has to offer for this check to say anything about it; nothing: it is about every backend.
    pub fn needs(&self) -> &'static [Capability] {
        let leases = self.name.contains("lease") || self.name.contains("tail");
        match self.group {
            "watch" => &[Capability::Watch],
            "integrity" if leases => &[Capability::Integrity, Capability::Watch],
            "integrity" => &[Capability::Integrity],
            "damage" if leases => &[Capability::Integrity, Capability::Damage, Capability::Watch],
            "damage" => &[Capability::Integrity, Capability::Damage],
            _ => &[],
        }
    }

    /// Runs the check on a fresh store. A store that panics has failed it.
    ///
    /// # Errors
    /// What the store did instead of what the contract says.
    pub fn run(&self, harness: &mut dyn Harness) -> Outcome {
        catch_unwind(AssertUnwindSafe(|| (self.run)(harness)))
            .unwrap_or_else(|panic| Err(Failure(format!("the store panicked: {}", words_of(&*panic)))))
    }
}

pub(crate) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Runs one check of the list on a fresh store of `H`; what [`conformance_tests!`](crate::conformance_tests) calls.
///
/// A check of something that the harness says is not offered is skipped; standard error says so, past the capture of tests.
///
/// # Panics
/// The check fails, or the list has no such check, or the harness says that something is not offered which is.
pub fn assert_conforms<H: Harness>(group: &str, name: &str) {
    let check = CHECKS.iter().find(|check| check.group == group && check.name == name);
    let Some(check) = check else { panic!("the list has no check {group}::{name}") };
    let mut harness = H::fresh();
    if let Some(capability) = check.needs().iter().find(|needed| harness.not_offered().contains(needed)) {
        let offered = capability.is_offered_by(harness.store());
        assert!(!offered, "the harness says that the backend does not offer {capability:?}, which it does");
        // Where nobody can be told the test still says what it is by its name.
        let _ = writeln!(std::io::stderr(), "skipped {group}::{name}: the backend does not offer {capability:?}");
        return;
    }
    if let Err(failure) = check.run(&mut harness) {
        panic!("{group}::{name}: {failure}");
    }
}

/// The reference: a store in memory.
#[derive(Debug)]
pub struct MemoryHarness(MemoryStore);

impl Harness for MemoryHarness {
    fn fresh() -> Self {
        Self(MemoryStore::new())
    }

    fn store(&self) -> &dyn Backend {
        &self.0
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.0.clone())
    }

    /// A store in memory is gone with its last handle: what is opened again is a clone.
    fn reopen(&mut self) {
        self.0 = self.0.clone();
    }

    fn damage(&mut self, session: SessionId, segment: SegmentId, seq: Seq) -> bool {
        self.0.damage(session, segment, seq).is_ok()
    }

    fn damage_fact(&mut self, scope: FactScope, number: u64) -> bool {
        self.0.damage_fact(scope, number).is_ok()
    }
}
