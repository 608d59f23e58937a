//! A log as a stream of records, read in pages that follow the length of its entries.

use std::collections::VecDeque;

use store_core::{Record, SegmentId, Seq, SessionId, Store, StoreError};

/// About how many bytes of text a page has.
const PAGE_BYTES: usize = 1 << 20;
/// How many records a page has at first, and at most.
const PAGE_RECORDS: (usize, usize) = (16, 256);

/// The records of a segment through some entry, in order.
pub(super) struct Records<'a> {
    store: &'a dyn Store,
    session: SessionId,
    segment: SegmentId,
    after: Seq,
    through: Seq,
    limit: usize,
    page: VecDeque<Record>,
}

impl<'a> Records<'a> {
    /// The records from the first one through `through`, inclusive.
    pub(super) fn new(store: &'a dyn Store, session: SessionId, segment: SegmentId, through: Seq) -> Self {
        let (limit, _) = PAGE_RECORDS;
        Self { store, session, segment, after: Seq::START, through, limit, page: VecDeque::new() }
    }

    /// The next record; `None` behind the last one.
    ///
    /// # Errors
    /// What reading fails with; `Conflict` if the log is shorter than it was said to be.
    pub(super) fn next(&mut self) -> Result<Option<Record>, StoreError> {
        if self.page.is_empty() && self.after < self.through {
            self.read()?;
        }
        Ok(self.page.pop_front())
    }

    fn read(&mut self) -> Result<(), StoreError> {
        let left = usize::try_from(self.through.0 - self.after.0).unwrap_or(usize::MAX);
        let records = self.store.read_range(self.session, self.segment, self.after, self.limit.min(left))?;
        let Some(last) = records.last() else {
            let actual = self.store.read_tail(self.session, self.segment, 1)?.pop();
            let actual = actual.map(|record| record.position).ok_or(StoreError::no_segment(self.segment))?;
            return Err(StoreError::Conflict { expected: store_core::Expected::Count(self.through.0), actual });
        };
        self.after = last.position.seq;
        let bytes: usize = records.iter().map(|record| record.text.len()).sum();
        let (_, limit_max) = PAGE_RECORDS;
        if bytes > PAGE_BYTES {
            self.limit = (self.limit / 2).max(1);
        } else if bytes < PAGE_BYTES / 2 {
            self.limit = (self.limit * 2).min(limit_max);
        }
        self.page = records.into();
        Ok(())
    }
}
