//! The ledger of the store that a URL names.
//!
//! A ledger lies beside the sessions, and a store need not have one. A ledger in files belongs to one process at a time, so whoever writes it opens it, does what is to
//! be done, and lets go of it; [`open_ledger`] waits a while for another to do so. Reading needs no such turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use store_core::StoreError;
use store_core::ledger::{Clock, Ledger, LedgerError, LedgerResult, MemoryLedger, MemoryLedgerMedium};

use super::{BuiltIn, Found, OpenBuiltInLedger, OpenMode, OpenOptions, find, unknown};
use crate::error::Result;

/// How long is slept between two looks whether another process let go of a ledger.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

static NAMED_IN_MEMORY: Mutex<Option<HashMap<String, MemoryLedgerMedium>>> = Mutex::new(None);

/// What a ledger is opened for.
pub(super) struct LedgerUse {
    pub(super) clock: Clock,
    #[cfg_attr(
        not(any(feature = "fs", feature = "sqlite")),
        expect(dead_code, reason = "memory is written either way")
    )]
    pub(super) purpose: Purpose,
}

/// What is going to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    /// It is asked what a repair would do, also where nobody can read it.
    PlanRepair,
    Write,
}

/// Opens the ledger of the store that a URL names for writing, and makes it if the store has none. The store itself has to be there.
///
/// In a database any number of processes may write. In files one may: this waits for the other to let go of the ledger, `patience` at most. It is this process's until it is
/// shut down or dropped.
///
/// # Errors
/// As [`open`](super::open) of a store that is not made; `Ledger` with `Locked` if the other did not let go; `Unsupported` for a scheme that was registered.
pub fn open_ledger(url: &str, clock: &Clock, patience: Duration) -> Result<Arc<dyn Ledger>> {
    let usage = LedgerUse { clock: Arc::clone(clock), purpose: Purpose::Write };
    let (open, location) = of_store(url, &usage)?;
    let mut left = patience;
    loop {
        match open(location, &usage) {
            Err(LedgerError::Store(StoreError::Locked { .. })) if !left.is_zero() => {
                let time = LOOK_AGAIN.min(left);
                thread::sleep(time);
                left = left.saturating_sub(time);
            }
            Ok(Some(ledger)) => return Ok(ledger),
            Ok(None) => return Err(StoreError::Unsupported { what: "a ledger in a store of this kind" }.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens the ledger of the store that a URL names for reading, also while another process writes it. `None` if the store has none.
///
/// # Errors
/// As [`open`](super::open) of a store that is not made; `Unsupported` for a scheme that was registered.
pub fn read_ledger(url: &str, clock: &Clock) -> Result<Option<Arc<dyn Ledger>>> {
    let usage = LedgerUse { clock: Arc::clone(clock), purpose: Purpose::Read };
    let (open, location) = of_store(url, &usage)?;
    Ok(open(location, &usage)?)
}

/// Opens the ledger of the store that a URL names for a dry run of its [`repair`](Ledger::repair), also where it cannot be read for want of what a repair puts there. `None` if
/// the store has none.
///
/// # Errors
/// As [`read_ledger`].
pub fn ledger_to_plan_repair(url: &str, clock: &Clock) -> Result<Option<Arc<dyn Ledger>>> {
    let usage = LedgerUse { clock: Arc::clone(clock), purpose: Purpose::PlanRepair };
    let (open, location) = of_store(url, &usage)?;
    Ok(open(location, &usage)?)
}

/// What opens the ledger of a store that is there, and where.
fn of_store<'u>(url: &'u str, usage: &LedgerUse) -> Result<(OpenBuiltInLedger, &'u str)> {
    let (Found::BuiltIn(BuiltIn { scheme, open, open_ledger }), location) = find(url)? else {
        return Err(StoreError::Unsupported { what: "a ledger in a store of a registered scheme" }.into());
    };
    let (Some(open), Some(open_ledger)) = (open, open_ledger) else { return Err(unknown(scheme, Some(scheme))) };
    // Opening it for reading says whether a store is there, and makes nothing. It may take as long as the store is large, so whoever waits for a ledger does it once.
    open(location, &OpenOptions { mode: OpenMode::ReadOnly, now: (usage.clock)() / 1000, create: false })?;
    Ok((*open_ledger, location))
}

/// A ledger under a name lives as long as the process; one without a name as long as its handles.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside the openers that can fail")]
pub(super) fn open_in_memory(name: &str, usage: &LedgerUse) -> LedgerResult<Option<Arc<dyn Ledger>>> {
    let medium = if name.is_empty() {
        MemoryLedgerMedium::default()
    } else {
        let mut named = NAMED_IN_MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        named.get_or_insert_default().entry(name.to_owned()).or_default().clone()
    };
    Ok(Some(Arc::new(MemoryLedger::open(&medium, Arc::clone(&usage.clock)))))
}
