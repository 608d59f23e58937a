//! Opening a database: what is accepted, what is refused, and in which order, so that what is refused stays untouched.
//!
//! A database that is not one of ours is told by its head, which is read without making a file beside it. A new one is
//! built under another name and appears complete, by rename, while its maker holds the store's lock alone.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use store_core::{Durability, Result, StoreError};

use crate::connection::Connections;
use crate::disk::{Occupant, Place, not_a_store};
use crate::error::Error;
use crate::log_index::LogIndex;
use crate::schema::{self, APPLICATION_ID, Format, MIGRATIONS, VERSION};
use crate::store::SqliteStore;
use crate::store_lock::{Hold, StoreLock};
use crate::writer;

/// How long another process's creation of the database is waited for before it counts as locked.
const MAKING_WAIT: Duration = Duration::from_secs(10);

/// What is synced when a call does not say so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DurabilityPolicy {
    /// `segment_start`, `user_input`, `turn_end`, `run_completed`, `run_errored` and facts; the rest ride along.
    #[default]
    Turn,
    /// Every call the same.
    Always(Durability),
}

/// Who else may have the store open, and whether it is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OpenAs {
    /// Any number of other handles. A database that is missing is made.
    #[default]
    Shared,
    /// Any number of other handles. The database must not exist yet.
    Create,
    /// No other handle but those that only read. A database that is missing is made.
    Exclusive,
    /// Anybody: nothing is locked and nothing is written, not even beside the database.
    ReadOnly,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Who else may have it open.
    pub open_as: OpenAs,
    /// What is synced when a call does not say so itself.
    pub durability: DurabilityPolicy,
    /// How long a call waits for another handle's transaction before it fails with `Busy`, in milliseconds.
    pub busy_timeout_ms: u32,
    /// How many calls of this handle may read at the same time; more wait. At least 1.
    pub readers_max: usize,
}

impl Default for SqliteOptions {
    /// Shared, synced by turns, ten seconds, eight readers.
    fn default() -> Self {
        Self { open_as: OpenAs::Shared, durability: DurabilityPolicy::Turn, busy_timeout_ms: 10_000, readers_max: 8 }
    }
}

pub(crate) fn open(path: &Path, options: &SqliteOptions) -> Result<SqliteStore> {
    let connections = match options.open_as {
        OpenAs::ReadOnly => open_read_only(path, options)?,
        _ => open_to_write(Place::resolve(path, true)?, options)?,
    };
    Ok(SqliteStore::new(connections))
}

fn open_read_only(path: &Path, options: &SqliteOptions) -> Result<Connections> {
    let place = match Place::resolve(path, false) {
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            return Err(StoreError::NoStore { path: path.to_owned() });
        }
        resolved => resolved?,
    };
    match place.occupant()? {
        Occupant::Nothing | Occupant::EmptyFile => return Err(StoreError::NoStore { path: place.path().to_owned() }),
        Occupant::File => {}
    }
    let connections = Connections::reading(place, options);
    let format = inspect(&connections)?;
    if format.user_version > VERSION && !connections.read(schema::lets_us_read)? {
        return Err(unsupported(format));
    }
    Ok(connections)
}

fn open_to_write(place: Place, options: &SqliteOptions) -> Result<Connections> {
    if place.occupant()? != Occupant::Nothing && options.open_as == OpenAs::Create {
        return Err(already_there(&place));
    }
    if place.occupant()? == Occupant::File {
        refuse_newer(inspect(&Connections::reading(place.clone(), options))?)?;
    }
    let hold = if options.open_as == OpenAs::Exclusive { Hold::Exclusive } else { Hold::Shared };
    let lock = StoreLock::open(&place)?;
    let made = lock.wait_for(MAKING_WAIT, || make_if_missing(&place, &lock))?;
    // Going over to another hold gives the one that is held up for a moment.
    lock.wait_to_take(hold)?;
    if options.open_as == OpenAs::Create && !made {
        return Err(already_there(&place));
    }
    let at = |error: Error| error.at(place.path());
    let (mut connection, format) = open_writer(&place, options)?;
    // Somebody else may have changed it until the lock was taken.
    refuse_foreign(&place, format)?;
    refuse_newer(format)?;
    if format.user_version < VERSION {
        migrate(&place, &lock, hold, &mut connection)?;
    }
    writer::use_write_ahead_log(&connection).map_err(at)?;
    Ok(Connections::writing(place, lock, connection, options)?)
}

/// The connection that writes, with the log's index, and what the database says of itself.
fn open_writer(place: &Place, options: &SqliteOptions) -> Result<(Connection, Format)> {
    let file = place.file_id()?.ok_or_else(|| place.missing())?;
    let index = LogIndex::of(file);
    let _opening = index.begin_open().ok_or_else(|| {
        let holder = format!("a read of {} in this process", place.path().display());
        StoreError::Busy { holder, host: None, since: None }
    })?;
    let opened = writer::open(place.path(), Duration::from_millis(options.busy_timeout_ms.into()))
        // Reading opens the index.
        .and_then(|connection| schema::format(&connection).map(|format| (connection, format)));
    Ok(opened.map_err(|error| error.at(place.path()))?)
}

/// Brings the database to the current version. Its format changes only while nobody else has it open.
fn migrate(place: &Place, lock: &StoreLock, hold: Hold, writer: &mut Connection) -> Result<()> {
    if hold == Hold::Shared {
        lock.release()?;
        lock.wait_to_take(Hold::Exclusive)?;
    }
    let migrated = schema::migrate(writer, MIGRATIONS).and_then(|()| schema::format(writer));
    // A newer program may have had the lock meanwhile.
    refuse_newer(migrated.map_err(|error| error.at(place.path()))?)?;
    lock.wait_to_take(hold)
}

/// Makes a database where none stands, and answers whether it did. It holds the lock alone meanwhile and still holds it
/// afterwards. `None`: somebody else's hold is in the way.
fn make_if_missing(place: &Place, lock: &StoreLock) -> Result<Option<bool>> {
    if place.occupant()? == Occupant::File {
        return Ok(Some(false));
    }
    if !lock.try_take(Hold::Exclusive)? {
        return Ok(None);
    }
    // Whoever held the lock until now may have made it.
    let missing = place.occupant()? != Occupant::File;
    if missing {
        make(place)?;
    }
    Ok(Some(missing))
}

/// Builds a database and puts it into its place.
fn make(place: &Place) -> Result<()> {
    place.refuse_orphaned_log()?;
    let new = place.begin_new()?;
    let build = || -> Result<(), Error> {
        let mut connection = writer::open(&new, Duration::ZERO)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::create(&mut connection)?;
        writer::use_write_ahead_log(&connection)?;
        Ok(connection.close().map_err(|(_, error)| error)?)
    };
    if let Err(error) = build() {
        place.discard_new()?;
        return Err(error.at(place.path()).into());
    }
    place.publish_new()
}

/// Reads the head of a file without writing anything anywhere, and refuses one that is not ours.
fn inspect(connections: &Connections) -> Result<Format> {
    let place = connections.place();
    place.refuse_unreadable()?;
    match connections.read(schema::format) {
        Ok(format) => refuse_foreign(place, format).map(|()| format),
        Err(Error::Database { source, .. }) if source.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(not_a_store(place.path(), "it is not a SQLite database"))
        }
        Err(error) => Err(error.into()),
    }
}

fn refuse_foreign(place: &Place, format: Format) -> Result<()> {
    if format.application_id != APPLICATION_ID {
        return Err(not_a_store(place.path(), "it is a database that another program made"));
    }
    if format.user_version == 0 {
        return Err(not_a_store(place.path(), "its version is 0"));
    }
    Ok(())
}

const fn refuse_newer(format: Format) -> Result<()> {
    if format.user_version > VERSION { Err(unsupported(format)) } else { Ok(()) }
}

const fn unsupported(format: Format) -> StoreError {
    StoreError::UnsupportedVersion { found: format.user_version, known: VERSION }
}

fn already_there(place: &Place) -> StoreError {
    StoreError::io("create", place.path(), ErrorKind::AlreadyExists.into())
}
