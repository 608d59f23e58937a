//! What an exported file was made of: its records up to the first one that the agent added.
//!
//! Each of those records has the id of the entry that it tells, so that what an agent adds can stand behind any of them. What stands between them (a title, the
//! end of a turn) repeats what the store has.

use store_core::Store;

use super::copies::{Copied, Copies};
use crate::error::Result;
use crate::export::Origins;
use crate::import::exported::Home;
use crate::import::record::{Parent, Step};
use crate::import::walk::Place;

/// Passes over what a file was made of.
pub(super) struct Exported<'a> {
    store: &'a dyn Store,
    home: Home,
    /// Read when the first record comes, and gone with the last one.
    origins: Option<Origins>,
    is_over: bool,
    /// Copies among what was added.
    behind: Copies<'a>,
}

impl<'a> Exported<'a> {
    pub(super) const fn new(store: &'a dyn Store, home: Home, behind: Copies<'a>) -> Self {
        Self { store, home, origins: None, is_over: false, behind }
    }

    /// The last record, if it was a copy; `None` before the first one that was added.
    pub(super) fn last(&self) -> Option<Option<String>> {
        self.is_over.then(|| self.behind.last()).flatten()
    }

    pub(super) fn resume(&mut self, last: Option<String>) {
        self.is_over = true;
        self.behind.resume(last);
    }

    /// Tells whose a step is.
    pub(super) fn take(&mut self, step: Step, behind: &dyn Fn(&Parent) -> Option<Place>) -> Result<Copied> {
        if self.is_over {
            return self.behind.take(step, behind);
        }
        let (record, line) = match &step {
            Step::Entries { record, line, .. }
            | Step::Compact { record, line, .. }
            | Step::RollBack { record, line, .. } => (record.clone(), *line),
            Step::Skipped { .. } | Step::Warning { .. } | Step::Subagent { .. } => return Ok(Copied::own(step)),
            _ => return Ok(Copied::Held),
        };
        if self.origins.is_none() {
            self.origins = Some(self.home.origins(self.store)?);
        }
        let origin = self.origins.as_ref().and_then(|origins| origins.get(&record));
        if let Some((session, segment, seq)) = origin {
            let at = Place { session, segment, seq };
            let is_same = self.home.is_same;
            return Ok(if is_same { Copied::Known { record, line, at } } else { Copied::Copy { record, line, at } });
        }
        let told = self.behind.take(step, behind)?;
        if matches!(told, Copied::Own { .. }) {
            self.is_over = true;
            self.origins = None;
        }
        Ok(told)
    }
}
