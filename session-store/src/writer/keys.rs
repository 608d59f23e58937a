//! The keys that stand in a writer's branch before its own segment.
//!
//! A store looks keys up in the one segment that is appended to. What is submitted again may stand in a segment that the writer's
//! continues: the writer, or the one before it, had to fork in between. So where a caller gives keys, those of the branch are
//! known too. The price is one reading of the branch, for the first submission with a key.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use store_core::{NewBody, NewEntry, Position, Seq, Store, StoreError};

use super::ticket::Landed;
use crate::error::Result;
use crate::lineage::lineage;
use crate::segment::SegmentLocation;
use crate::state::SegmentHead;

/// How many entries are read at once.
const READ: usize = 256;

#[derive(Debug)]
struct Standing {
    location: SegmentLocation,
    position: Position,
    text: [u8; 32],
}

/// Where keys stand in the segments that one continues, as far as it does.
#[derive(Debug, Default)]
pub(super) struct BranchKeys {
    standing: HashMap<String, Standing>,
}

impl BranchKeys {
    /// The keys of the branch before this segment.
    pub(super) fn read(store: &dyn Store, location: SegmentLocation) -> Result<Self> {
        let mut keys = Self::default();
        let parts = lineage(store, location.session_id, location.segment_id)?;
        for part in parts.iter().filter(|part| part.segment_id != location.segment_id) {
            let ancestor = SegmentLocation { session_id: part.session_id, segment_id: part.segment_id };
            keys.add(store, ancestor, part.through)?;
        }
        Ok(keys)
    }

    /// The writer goes on in a segment that continues where it stood.
    pub(super) fn left(&mut self, store: &dyn Store, head: &SegmentHead) -> Result<()> {
        self.add(store, head.location, head.position.seq)
    }

    fn add(&mut self, store: &dyn Store, location: SegmentLocation, through: Seq) -> Result<()> {
        let mut after = Seq::START;
        while after < through {
            let records = store.read_range(location.session_id, location.segment_id, after, READ)?;
            let Some(last) = records.last() else { break };
            after = last.position.seq;
            for record in records.into_iter().filter(|record| record.position.seq <= through) {
                let Some(key) = record.key else { continue };
                let text = Sha256::digest(record.text.as_bytes()).into();
                self.standing.insert(key, Standing { location, position: record.position, text });
            }
        }
        Ok(())
    }

    /// Where the entry stands; `None` if it does not.
    ///
    /// # Errors
    /// `KeyReused` if another entry stands there under its key.
    pub(super) fn find(&self, new: &NewEntry) -> Result<Option<Landed>> {
        let (NewBody::Typed(entry), Some(key)) = (&new.body, &new.key) else { return Ok(None) };
        let Some(standing) = self.standing.get(key) else { return Ok(None) };
        let text = entry.to_text().map_err(StoreError::backend)?;
        if <[u8; 32]>::from(Sha256::digest(text.as_bytes())) != standing.text {
            return Err(StoreError::KeyReused { key: key.clone(), position: standing.position }.into());
        }
        Ok(Some(Landed { location: standing.location, position: standing.position }))
    }
}
