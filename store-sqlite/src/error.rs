//! What goes wrong inside this crate, and what a caller is told of it.

use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
use store_core::{Damage, SegmentId, Seq, StoreError};

/// The result of everything inside this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// An error on its way to a [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Already in the caller's terms.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// SQLite failed in a statement.
    #[error(transparent)]
    Statement(#[from] rusqlite::Error),
    /// SQLite failed on this database.
    #[error("{}: {source}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
}

impl Error {
    /// The same error with the database it happened on.
    pub(crate) fn at(self, path: &Path) -> Self {
        match self {
            Self::Statement(source) => Self::Database { path: path.to_owned(), source },
            other => other,
        }
    }

    fn sqlite(&self) -> Option<ffi::Error> {
        match self {
            Self::Statement(source) | Self::Database { source, .. } => source.sqlite_error().copied(),
            Self::Store(_) => None,
        }
    }

    /// Whether another's transaction was waited for in vain.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.sqlite(), Some(ffi::Error { code: ErrorCode::DatabaseBusy, .. }))
    }

    /// Whether SQLite met a page that it cannot make sense of, or a row is not what was written.
    pub(crate) fn is_corrupt(&self) -> bool {
        matches!(self, Self::Store(StoreError::Corrupt(_)))
            || matches!(self.sqlite(), Some(ffi::Error { code: ErrorCode::DatabaseCorrupt, .. }))
    }

    /// Whether the system could not bring something to stable storage.
    pub(crate) fn is_failed_sync(&self) -> bool {
        let codes = [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC];
        self.sqlite().is_some_and(|error| codes.contains(&error.extended_code))
    }

    /// Whether a reader that writes nothing may have met writers who were coming or going.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Statement(source) | Self::Database { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::FileLockingProtocolFailed
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                )
            ),
            Self::Store(_) => false,
        }
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error,
            Error::Statement(source) => classify(None, source),
            Error::Database { path, source } => classify(Some(path), source),
        }
    }
}

fn classify(path: Option<PathBuf>, source: rusqlite::Error) -> StoreError {
    use rusqlite::Error as Sql;
    if matches!(
        source,
        Sql::InvalidColumnType(..)
            | Sql::FromSqlConversionFailure(..)
            | Sql::IntegralValueOutOfRange(..)
            | Sql::Utf8Error(..)
            | Sql::QueryReturnedNoRows
    ) {
        return damage(None, None, source.to_string());
    }
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            busy(path.as_deref())
        }
        Some(ErrorCode::DiskFull) => StoreError::NoSpace { path },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damage(None, None, source.to_string()),
        code => match (path, code) {
            (Some(path), Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied)) => {
                StoreError::io("open", &path, std::io::Error::other(source))
            }
            (Some(path), Some(ErrorCode::SystemIoFailure)) => {
                StoreError::io("use", &path, std::io::Error::other(source))
            }
            (Some(path), _) => StoreError::backend(Error::Database { path, source }),
            (None, _) => StoreError::backend(source),
        },
    }
}

/// Somebody else's transaction on this database did not end in time.
pub(crate) fn busy(path: Option<&Path>) -> StoreError {
    let holder =
        path.map_or_else(|| "another writer".to_owned(), |path| format!("another writer of {}", path.display()));
    StoreError::Busy { holder, host: None, since: None }
}

/// A sync of this database failed, now or earlier: whether the call is written is unknown.
pub(crate) fn failed_sync(path: &Path, reason: &str) -> StoreError {
    let reason =
        format!("a sync failed, and nothing that is written before the store is opened anew can be trusted: {reason}");
    StoreError::io("sync", path, std::io::Error::other(reason))
}

/// A damaged row. `offset` of the damage is the row's number in its table's order, which is its seq.
pub(crate) fn damage(segment: Option<SegmentId>, seq: Option<u64>, detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt(Damage { segment, part: 1, offset: seq.unwrap_or(0), seq: seq.map(Seq), detail: detail.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_says_is_told_in_the_callers_terms() {
        let codes = [
            ("busy", ffi::SQLITE_BUSY),
            ("busy snapshot", ffi::SQLITE_BUSY_SNAPSHOT),
            ("protocol", ffi::SQLITE_PROTOCOL),
            ("full", ffi::SQLITE_FULL),
            ("read-only", ffi::SQLITE_READONLY),
            ("corrupt", ffi::SQLITE_CORRUPT),
            ("not a database", ffi::SQLITE_NOTADB),
            ("cannot open", ffi::SQLITE_CANTOPEN),
            ("i/o", ffi::SQLITE_IOERR_FSYNC),
            ("misuse", ffi::SQLITE_MISUSE),
        ];
        let told: Vec<String> = codes
            .iter()
            .map(|(name, code)| {
                let error = Error::from(rusqlite::Error::SqliteFailure(ffi::Error::new(*code), None));
                format!("{name}: {}", StoreError::from(error.at(Path::new("/folder/store.db"))))
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }
}
