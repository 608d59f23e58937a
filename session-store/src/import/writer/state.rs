//! What a writer knows between two lines of a file, so that another one can go on there.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use store_core::{Durability, Position, SegmentId, Seq};

use super::log::LogState;
use super::{Keys, Said, Target, Writer};
use crate::error::Result;
use crate::import::bookmark;
use crate::import::memory::{self, Notes};
use crate::import::walk::{Folds, Place};

/// All but what is remembered of single records.
#[derive(Serialize, Deserialize)]
struct WriterState {
    log: LogState,
    at: Option<Place>,
    folds: Folds,
    keys: Keys,
    last: String,
    said: Said,
    copied_line: Option<u64>,
    /// The last record, if it was a copy.
    last_copy: Option<String>,
    continues: Option<Place>,
}

/// Says in a writer's state where the last entries of its segments stand, of those that stood nowhere yet.
pub(in crate::import) fn place(state: &mut Value, position: &dyn Fn(SegmentId, Seq) -> Option<Position>) {
    let Some(log) = state.get_mut("log") else { return };
    if let Some(mut placed) = bookmark::read::<LogState>(log.take()) {
        placed.place(position);
        *log = bookmark::value(&placed).unwrap_or_default();
    }
}

impl<'a> Writer<'a> {
    /// Writes what waits and syncs it, and tells what another writer can go on with; nothing where that depends on what was not decided yet.
    pub(in crate::import) fn pause(&mut self) -> Result<Option<Value>> {
        self.flush(Durability::Synced)?;
        let Some(last_copy) = self.copies.last() else { return Ok(None) };
        let state = WriterState {
            log: self.log.state(),
            at: self.at,
            folds: self.folds.clone(),
            keys: self.keys.clone(),
            last: self.last.clone(),
            said: self.said.clone(),
            copied_line: self.copied_line,
            last_copy,
            continues: self.target.continues,
        };
        Ok(bookmark::value(&state))
    }

    /// A writer that goes on where another one ended; `None` if the store, or what the file continues, is not as it was then.
    pub(in crate::import) fn resume(target: Target<'a>, state: Value) -> Result<Option<Self>> {
        let Some(state) = bookmark::read::<WriterState>(state).filter(|state| state.continues == target.continues)
        else {
            return Ok(None);
        };
        let mut writer = Self::new(target)?;
        if !writer.log.existed() || !writer.log.resume(state.log)? {
            return Ok(None);
        }
        writer.copies.resume(state.last_copy);
        writer.at = state.at;
        writer.folds = state.folds;
        writer.keys = state.keys;
        writer.last = state.last;
        writer.said = state.said;
        writer.copied_line = state.copied_line;
        Ok(Some(writer))
    }

    /// Fails if anything that was remembered is lost.
    pub(in crate::import) fn check(&mut self) -> Result<()> {
        memory::check(self.memories())
    }

    /// What is remembered of single records, always in the same order.
    pub(in crate::import) fn memories(&mut self) -> Vec<&mut dyn Notes> {
        vec![self.log.places().memory(), &mut self.usage, &mut self.marks]
    }
}
