//! Checkpoints: a log of its own beside the segment's, with a line for each that was made and for each that undid some.

use store_core::integrity::{Checkpoint, CheckpointLine, ListedCheckpoint, NewCheckpoint, list_checkpoints, measure};
use store_core::{Durability, Result, SegmentId, SessionId, StoreError};

use super::scan::{OPEN_PARTS_MAX, Parts};
use crate::logs::{LogKey, Purpose};
use crate::record_log::{Writers, read_replacing};
use crate::store::FsStore;

impl FsStore {
    pub(super) fn make_checkpoint(
        &self,
        session: SessionId,
        segment: SegmentId,
        new: &NewCheckpoint,
    ) -> Result<Checkpoint> {
        self.check_writable()?;
        new.check()?;
        self.before_first_write();
        let first = self.layout.log_name(session, segment);
        let made = self.logs.on(LogKey::Segment(session, segment), Purpose::Append, |log| {
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
                let text = serde_json::to_string(&checkpoint).map_err(StoreError::backend)?;
                let key = LogKey::Checkpoints(session, segment);
                self.append_side_line(key, &text, Durability::Synced)?.ok_or(StoreError::no_segment(segment))?;
                Ok(checkpoint)
            })
        })?;
        made.ok_or(StoreError::no_segment(segment))
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

fn parse(text: &str) -> Result<CheckpointLine> {
    store_core::json::from_str(text)
        .map_err(|error| crate::error::corrupt(None, 0, None, format!("not a checkpoint: {error}")))
}
