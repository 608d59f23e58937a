//! How an error of the operating system becomes one of the store: with the path, where it happens.

use std::io;
use std::path::Path;

use store_core::{Damage, Result, SegmentId, Seq, StoreError};

/// Names what was tried, and on what.
pub(crate) trait At<T> {
    fn at(self, op: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, op: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| match source.kind() {
            // A file that may not grow any further is as full as a disk: there is room again when the limit is lifted.
            io::ErrorKind::FileTooLarge => StoreError::NoSpace { path: Some(path.to_owned()) },
            _ => StoreError::io(op, path, source),
        })
    }
}

/// What is not there is `None`; any other error stays one.
pub(crate) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Damage at a byte of a log's first part.
pub(crate) fn corrupt(
    segment: Option<SegmentId>,
    offset: u64,
    seq: Option<Seq>,
    detail: impl Into<String>,
) -> StoreError {
    StoreError::Corrupt(Damage { segment, part: 1, offset, seq, detail: detail.into() })
}
