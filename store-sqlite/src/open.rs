//! Opening a database: what is accepted, what is refused, and in which order, so that what is refused stays untouched.
//!
//! A database that is not one of ours is told by its head, which is read without making a file beside it. A new one is
//! built under another name and appears complete, by rename, while its maker holds the store's lock alone.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use store_core::{Result, StoreError};

use crate::connection::{self, Connections, Snapshot};
use crate::disk::{Hold, Occupant, Place, StoreLock, not_a_store};
use crate::error::Error;
use crate::schema::{self, APPLICATION_ID, Format, MIGRATIONS, VERSION};
use crate::store::SqliteStore;

/// What a handle on the store is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// Reading and writing beside other handles; a database that is missing is made.
    #[default]
    Shared,
    /// Reading and writing beside other handles; the database must not exist.
    Create,
    /// Reading and writing alone: nobody else has the store open for writing, nor opens it.
    Exclusive,
    /// Reading alone: nothing is written, not even beside the database, and no lock is taken.
    ReadOnly,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// What for.
    pub mode: OpenMode,
    /// How long a call waits for another handle's transaction before it fails with `Busy`, in milliseconds.
    pub busy_timeout_ms: u32,
    /// How many calls of this handle may read at the same time; more wait. At least 1.
    pub readers_max: usize,
}

impl Default for OpenOptions {
    /// Shared, ten seconds, eight readers.
    fn default() -> Self {
        Self { mode: OpenMode::Shared, busy_timeout_ms: 10_000, readers_max: 8 }
    }
}

pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<SqliteStore> {
    let connections = match options.mode {
        OpenMode::ReadOnly => open_read_only(path, options)?,
        OpenMode::Create => {
            let place = Place::resolve(path, true)?;
            if place.occupant()? != Occupant::Nothing {
                let taken = std::io::ErrorKind::AlreadyExists.into();
                return Err(StoreError::io("create", place.path(), taken));
            }
            open_to_write(place, Hold::Shared, options)?
        }
        OpenMode::Shared => open_to_write(Place::resolve(path, true)?, Hold::Shared, options)?,
        OpenMode::Exclusive => open_to_write(Place::resolve(path, true)?, Hold::Exclusive, options)?,
    };
    Ok(SqliteStore::new(connections))
}

fn busy_timeout(options: &OpenOptions) -> Duration {
    Duration::from_millis(options.busy_timeout_ms.into())
}

fn open_read_only(path: &Path, options: &OpenOptions) -> Result<Connections> {
    let place = Place::resolve(path, false)?;
    match place.occupant()? {
        Occupant::Nothing => return Err(place.missing()),
        Occupant::EmptyFile => return Err(not_a_store(place.path(), "the file is empty")),
        Occupant::File => inspect(&place, Intent::Read)?,
    }
    let connections = Connections::reading(place, busy_timeout(options), options.readers_max);
    // The head may have been changed by commits that stand in the log only.
    let (format, readable) = connections.read(|connection| {
        let format = schema::format(connection)?;
        Ok((format, format.user_version <= VERSION || schema::lets_us_read(connection)?))
    })?;
    if readable { Ok(connections) } else { Err(unsupported(format)) }
}

fn open_to_write(place: Place, hold: Hold, options: &OpenOptions) -> Result<Connections> {
    if place.occupant()? == Occupant::File {
        inspect(&place, Intent::Write)?;
    }
    let lock = StoreLock::open(&place)?;
    lock.wait_for(|| take_and_make(&place, &lock, hold))?;
    let mut writer = open_writer(&place, options)?;
    if read_format(&place, &writer)?.user_version < VERSION {
        if hold == Hold::Shared {
            // The format changes only while nobody else has the store open.
            lock.release()?;
            lock.wait_for(|| Ok(lock.try_take(Hold::Exclusive)?.then_some(())))?;
        }
        schema::migrate(&mut writer, MIGRATIONS).map_err(|error| error.at(place.path()))?;
        if hold == Hold::Shared {
            lock.wait_for(|| Ok(lock.try_take(Hold::Shared)?.then_some(())))?;
        }
    }
    connection::use_write_ahead_log(&writer).map_err(|error| error.at(place.path()))?;
    Ok(Connections::writing(place, lock, writer, busy_timeout(options), options.readers_max)?)
}

/// Takes the lock; where no database stands yet, makes one while holding the lock alone. `None`: somebody else's hold
/// is in the way.
fn take_and_make(place: &Place, lock: &StoreLock, hold: Hold) -> Result<Option<()>> {
    if place.occupant()? == Occupant::File {
        return Ok(lock.try_take(hold)?.then_some(()));
    }
    if !lock.try_take(Hold::Exclusive)? {
        return Ok(None);
    }
    // Whoever held the lock until now may have made it.
    if place.occupant()? != Occupant::File {
        let made = make(place);
        if made.is_err() {
            lock.release()?;
        }
        made?;
    }
    Ok(lock.try_take(hold)?.then_some(()))
}

fn make(place: &Place) -> Result<()> {
    let new = place.begin_new()?;
    let build = || -> Result<(), Error> {
        let mut connection = connection::open_writer(&new, Duration::ZERO)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        schema::create(&mut connection)?;
        connection::use_write_ahead_log(&connection)?;
        Ok(connection.close().map_err(|(_, error)| error)?)
    };
    if let Err(error) = build() {
        place.discard_new()?;
        return Err(error.at(place.path()).into());
    }
    place.publish_new()
}

fn open_writer(place: &Place, options: &OpenOptions) -> Result<Connection> {
    let writer = connection::open_writer(place.path(), busy_timeout(options));
    let writer = writer.map_err(|error| error.at(place.path()))?;
    // The head may have been changed by commits that stand in the log only.
    check(place, read_format(place, &writer)?, Intent::Write)?;
    Ok(writer)
}

fn read_format(place: &Place, connection: &Connection) -> Result<Format> {
    Ok(schema::format(connection).map_err(|error| error.at(place.path()))?)
}

/// What a database is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    Read,
    Write,
}

/// Looks at the head of a file without writing anything anywhere.
fn inspect(place: &Place, intent: Intent) -> Result<()> {
    let file = place.file_id()?.ok_or_else(|| place.missing())?;
    let format = Snapshot::open_head(place, file).and_then(|head| schema::format(head.connection()));
    match format {
        Ok(format) => check(place, format, intent),
        Err(Error::Statement(error)) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            Err(not_a_store(place.path(), "it is not a SQLite database"))
        }
        Err(error) => Err(error.at(place.path()).into()),
    }
}

fn check(place: &Place, format: Format, intent: Intent) -> Result<()> {
    if format.application_id != APPLICATION_ID {
        return Err(not_a_store(place.path(), "it is a database that another program made"));
    }
    if format.user_version == 0 {
        return Err(not_a_store(place.path(), "its version is 0"));
    }
    if format.user_version > VERSION && intent == Intent::Write {
        return Err(unsupported(format));
    }
    Ok(())
}

const fn unsupported(format: Format) -> StoreError {
    StoreError::UnsupportedVersion { found: format.user_version, known: VERSION }
}
