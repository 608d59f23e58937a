//! What goes wrong inside this crate, and what a caller is told of it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
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
            let holder = path
                .map_or_else(|| "another writer".to_owned(), |path| format!("another writer of {}", path.display()));
            StoreError::Busy { holder, host: None, since: None }
        }
        Some(ErrorCode::DiskFull) => StoreError::NoSpace { path },
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damage(None, None, source.to_string()),
        _ => match path {
            Some(path) => StoreError::backend(Error::Database { path, source }),
            None => StoreError::backend(source),
        },
    }
}

/// A damaged row. `offset` of the damage is the row's number in its table's order, which is its seq.
pub(crate) fn damage(segment: Option<SegmentId>, seq: Option<u64>, detail: impl Into<String>) -> StoreError {
    StoreError::Corrupt(Damage { segment, part: 1, offset: seq.unwrap_or(0), seq: seq.map(Seq), detail: detail.into() })
}
