//! Whether a check came to the point where threads race, so that its outcome may be another the next time.
//!
//! A check that fails before that point fails always: only what follows it is left to the scheduler. What a check can
//! catch is held against what it caught before, and there the two must not be taken for each other.

use std::cell::Cell;

thread_local! {
    static BEGAN: Cell<bool> = const { Cell::new(false) };
}

/// Says that from here on the check that runs on this thread depends on what other threads do meanwhile.
pub(crate) fn begin() {
    BEGAN.set(true);
}

/// Runs a check and says whether threads raced in it.
pub(crate) fn watch<T>(check: impl FnOnce() -> T) -> (T, bool) {
    BEGAN.set(false);
    let outcome = check();
    (outcome, BEGAN.replace(false))
}
