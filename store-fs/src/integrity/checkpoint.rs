//! Checkpoints: a log of its own beside the segment's, with a line for each that was made and for each that undid some.

use serde::{Deserialize, Serialize};
use store_core::integrity::{Checkpoint, CheckpointLine, ListedCheckpoint, NewCheckpoint, list_checkpoints, measure};
use store_core::{Durability, Result, SegmentId, SessionId, StoreError};

use super::scan::{OPEN_PARTS_MAX, Parts};
use crate::logs::LogKey;
use crate::record_log::{Writers, read_replacing};
use crate::store::FsStore;

/// A line of the record. The checkpoint stands in a field of its own, because it has a `seq`, as the line has.
// Persisted: never rename a field.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Said {
    Made { made: Checkpoint },
    Void { void_after: u64 },
}

impl FsStore {
    pub(super) fn make_checkpoint(
        &self,
        session: SessionId,
        segment: SegmentId,
        new: &NewCheckpoint,
    ) -> Result<Checkpoint> {
        self.check_writable()?;
        new.check()?;
        let _writing = self.before_first_write();
        let first = self.layout.log_name(session, segment);
        let made = self.on_segment(session, segment, |log| {
            log.with_lock(|log| {
                // The log's lock keeps other checkpoints and every rollback out until this one stands in the record.
                let parts = Parts::open(&*self.disk, &first, OPEN_PARTS_MAX)?;
                let measured = measure(segment, None, |visit| parts.scan(&*self.disk, Writers::KeptOut, visit))?;
                log.settle_end()?;
                let checkpoint = Checkpoint {
                    number: ListedCheckpoint::next_number(&self.read_checkpoints(session, segment)?),
                    seq: measured.chain.seq,
                    head: measured.chain.head,
                    last_crc32c: measured.last_crc32c,
                    bytes: measured.bytes,
                    name: new.name.clone(),
                    reason: new.reason.clone(),
                    created_at: new.now,
                };
                let said = Said::Made { made: checkpoint.clone() };
                let text = serde_json::to_string(&said).map_err(StoreError::backend)?;
                let key = LogKey::Checkpoints(session, segment);
                self.append_side_line(key, &text, Durability::Synced)?.ok_or(StoreError::no_segment(segment))?;
                Ok(checkpoint)
            })
        })?;
        made.ok_or_else(|| self.without_log(session, segment))
    }

    pub(super) fn read_checkpoints(&self, session: SessionId, segment: SegmentId) -> Result<Vec<ListedCheckpoint>> {
        if !self.has_log(session, segment)? {
            return Err(StoreError::no_segment(segment));
        }
        let decided = read_replacing(&*self.disk, &self.layout.log_name(session, segment))?;
        let texts = self.read_side_texts(LogKey::Checkpoints(session, segment))?;
        let mut lines: Vec<CheckpointLine> = texts.iter().map(|text| parse(text)).collect::<Result<_>>()?;
        // What is decided holds already; it does no harm where it was said meanwhile.
        lines.extend(decided.and_then(|what| what.void_after).map(|void_after| CheckpointLine::Void { void_after }));
        Ok(list_checkpoints(lines))
    }
}

/// What a text of the record says.
pub(super) fn read_line(text: &str) -> Result<CheckpointLine, serde_json::Error> {
    Ok(match store_core::json::from_str(text)? {
        Said::Made { made } => CheckpointLine::Made(made),
        Said::Void { void_after } => CheckpointLine::Void { void_after },
    })
}

/// What says that the later checkpoints are void.
pub(crate) fn void_text(void_after: u64) -> Result<String> {
    serde_json::to_string(&Said::Void { void_after }).map_err(StoreError::backend)
}

/// The text of a line.
pub(super) fn said_text(line: &CheckpointLine) -> Result<String> {
    let said = match line.clone() {
        CheckpointLine::Made(made) => Said::Made { made },
        CheckpointLine::Void { void_after } => Said::Void { void_after },
    };
    serde_json::to_string(&said).map_err(StoreError::backend)
}

fn parse(text: &str) -> Result<CheckpointLine> {
    read_line(text).map_err(|error| crate::error::corrupt(None, 0, None, format!("not a checkpoint: {error}")))
}
