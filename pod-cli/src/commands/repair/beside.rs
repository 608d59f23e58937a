//! What lies beside the logs, in a repair: facts, traces, checkpoints, and the record of what was done to the store.

use std::io::Write;

use serde::Serialize;
use store_core::integrity::{RecordAt, RecordKind, RecordRepair};
use store_core::{MigrationId, SegmentId, SessionId, StoreError};

use super::Taken;
use crate::app::App;
use crate::commands::damage::counted;
use crate::commands::rollback::options;
use crate::error::Result;
use crate::keeper::Keeper;
use crate::output::Output;
use crate::render::{clean, thousands};

/// The repair of one record as JSON shows it.
#[derive(Clone, Serialize)]
pub(super) struct Row {
    record: RecordKind,
    session_id: Option<SessionId>,
    segment_id: Option<SegmentId>,
    kept: u64,
    lost: u64,
    quarantined: Vec<Taken>,
    migration_id: Option<MigrationId>,
    /// `repaired`, `would_repair`.
    outcome: &'static str,
}

/// What would be done beside the logs that were named; `whole`: and with what belongs to the store.
pub(super) fn plan(
    app: &App,
    keeper: &Keeper,
    sessions: impl IntoIterator<Item = SessionId>,
    whole: bool,
) -> Result<Vec<Row>> {
    let integrity = keeper.integrity()?;
    // Whatever is done is written down there, or fails.
    let of_store = whole || matches!(integrity.events(), Err(StoreError::Corrupt(_)));
    let mut rows = Vec::new();
    for scope in of_store.then_some(None).into_iter().chain(sessions.into_iter().map(Some)) {
        let done = integrity.repair_beside(scope, &options(app, true))?;
        rows.extend(done.into_iter().map(|done| row(done, true)));
    }
    Ok(rows)
}

/// Does what was planned.
pub(super) fn repair(app: &App, keeper: &Keeper, planned: &[Row]) -> Result<Vec<Row>> {
    let integrity = keeper.integrity()?;
    let mut rows = Vec::new();
    for of_scope in planned.chunk_by(|a, b| a.session_id == b.session_id) {
        let Some(first) = of_scope.first() else { continue };
        let done = integrity.repair_beside(first.session_id, &options(app, false))?;
        rows.extend(done.into_iter().map(|done| row(done, false)));
    }
    Ok(rows)
}

fn row(done: RecordRepair, dry_run: bool) -> Row {
    let RecordRepair { migration_id, at: RecordAt { record, session, segment }, kept, lost, quarantined } = done;
    Row {
        record,
        session_id: session,
        segment_id: segment,
        kept,
        lost,
        quarantined: quarantined.into_iter().map(Taken::from).collect(),
        migration_id: (!dry_run).then_some(migration_id),
        outcome: if dry_run { "would_repair" } else { "repaired" },
    }
}

impl Row {
    /// Tells it to a person.
    pub(super) fn write(&self, out: &mut Output) -> Result<()> {
        let what = match self.record {
            RecordKind::Facts => "facts",
            RecordKind::Traces => "trace",
            RecordKind::Checkpoints => "checkpoints",
            RecordKind::Events => "record of what was done to the store",
        };
        match (self.segment_id, self.session_id) {
            (Some(segment), _) => writeln!(out, "{what} of segment {segment}")?,
            (None, Some(session)) => writeln!(out, "{what} of session {session}")?,
            (None, None) if self.record == RecordKind::Events => writeln!(out, "{what}")?,
            (None, None) => writeln!(out, "{what} about the store")?,
        }
        let would = if self.outcome == "would_repair" { "would be " } else { "" };
        writeln!(out, "  {} {would}kept", counted(self.kept, "line"))?;
        if self.lost > 0 {
            writeln!(out, "  {} lost", counted(self.lost, "line"))?;
        }
        let bytes: u64 = self.quarantined.iter().map(|one| one.bytes).sum();
        if bytes > 0 {
            writeln!(out, "  {} bytes {would}taken out", thousands(bytes))?;
        }
        for path in self.quarantined.iter().filter_map(|one| one.path.as_deref()) {
            writeln!(out, "  kept in {}", clean(path))?;
        }
        Ok(())
    }
}
