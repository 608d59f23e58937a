//! Which backend a URL means. The only file that names one.
//!
//! A URL is `scheme:location`. `fs:PATH` and `sqlite:PATH` come with the cargo features of the same name, `memory:NAME` is
//! always there, and a program may [`register`] schemes of its own before it opens them.

mod ledger;
mod salvage;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::Serialize;
use store_core::ledger::{Ledger, LedgerResult};
use store_core::{Backend, MemoryStore, TimestampMs};

use self::ledger::LedgerUse;
#[cfg(any(feature = "fs", feature = "sqlite"))]
use self::ledger::Purpose;
pub use self::ledger::{ledger_to_plan_repair, open_ledger, read_ledger};
pub use self::salvage::{HeaderRepaired, SalvageLedgerLoss, SalvageLoss, Salvaged, repair_header, salvage_into};
use crate::error::{Result, SessionError};

/// What a store is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OpenMode {
    /// Reading and writing, beside any number of others.
    #[default]
    ReadWrite,
    /// Reading: opening writes nothing anywhere, and the store refuses every write. In memory it is the same as
    /// [`OpenMode::ReadWrite`], because such a store is its process's own.
    ReadOnly,
    /// Reading and writing while nobody else writes. In memory it is the same as [`OpenMode::ReadWrite`].
    Exclusive,
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// What for.
    pub mode: OpenMode,
    /// The present time, in milliseconds since the epoch.
    pub now: TimestampMs,
    /// Whether a store that is not there is made. Never with [`OpenMode::ReadOnly`].
    pub create: bool,
}

impl OpenOptions {
    /// Reading and writing at the given time; what is not there is made.
    pub const fn at(now: TimestampMs) -> Self {
        Self { mode: OpenMode::ReadWrite, now, create: true }
    }

    /// The same in another mode.
    #[must_use]
    pub const fn with_mode(mut self, mode: OpenMode) -> Self {
        self.mode = mode;
        self
    }
}

/// Opens the store at the location behind a URL's scheme.
#[derive(Clone)]
pub struct OpenFn(Arc<Opener>);

type Opener = dyn Fn(&str, &OpenOptions) -> Result<Arc<dyn Backend>> + Send + Sync;

impl OpenFn {
    /// A function that gets the location, which is everything behind the first colon of the URL.
    pub fn new(open: impl Fn(&str, &OpenOptions) -> Result<Arc<dyn Backend>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }
}

impl fmt::Debug for OpenFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenFn")
    }
}

type OpenBuiltIn = fn(&str, &OpenOptions) -> Result<Arc<dyn Backend>>;

type OpenBuiltInLedger = fn(&str, &LedgerUse) -> LedgerResult<Option<Arc<dyn Ledger>>>;

/// A backend that comes with this crate.
struct BuiltIn {
    scheme: &'static str,
    /// `None`: built without it.
    open: Option<OpenBuiltIn>,
    /// Opens the ledger of the store at a location, which is there.
    open_ledger: Option<OpenBuiltInLedger>,
}

static BUILT_IN: [BuiltIn; 3] = [
    BuiltIn { scheme: "fs", open: fs::OPEN, open_ledger: fs::OPEN_LEDGER },
    BuiltIn { scheme: "memory", open: Some(open_memory), open_ledger: Some(ledger::open_in_memory) },
    BuiltIn { scheme: "sqlite", open: sqlite::OPEN, open_ledger: sqlite::OPEN_LEDGER },
];

static REGISTERED: RwLock<BTreeMap<String, OpenFn>> = RwLock::new(BTreeMap::new());
static NAMED_IN_MEMORY: Mutex<Option<HashMap<String, MemoryStore>>> = Mutex::new(None);

/// Opens the store that a URL names.
///
/// # Errors
/// `BadUrl`; `UnknownScheme`, also for a backend that this program was built without; what the backend fails with.
pub fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
    match find(url)? {
        (Found::BuiltIn(built_in), location) => {
            let open = built_in.open.ok_or_else(|| unknown(built_in.scheme, Some(built_in.scheme)))?;
            open(location, options)
        }
        (Found::Registered(OpenFn(open)), location) => open(location, options),
    }
}

/// What a URL's scheme means.
enum Found {
    BuiltIn(&'static BuiltIn),
    Registered(OpenFn),
}

/// What a URL's scheme means, and the location behind it.
fn find(url: &str) -> Result<(Found, &str)> {
    let bad = |detail: &str| SessionError::BadUrl { url: url.to_owned(), detail: detail.to_owned() };
    let (scheme, location) = url.split_once(':').ok_or_else(|| bad("it wants the form scheme:location"))?;
    if !is_scheme(scheme) {
        return Err(bad("a scheme has lower-case letters, digits, '+', '-' and '.', a letter first"));
    }
    let Some(built_in) = BUILT_IN.iter().find(|built_in| built_in.scheme == scheme) else {
        let open = REGISTERED.read().unwrap_or_else(PoisonError::into_inner).get(scheme).cloned();
        return Ok((Found::Registered(open.ok_or_else(|| unknown(scheme, None))?), location));
    };
    // A backend that this program was built without is told as such, whatever stands behind its colon.
    if location.is_empty() && scheme != "memory" && built_in.open.is_some() {
        return Err(bad("it wants a path behind the colon"));
    }
    Ok((Found::BuiltIn(built_in), location))
}

/// Gives a scheme a backend, for the life of the process.
///
/// # Errors
/// `BadUrl` if it is not a scheme; `SchemeTaken` if it has a backend, or is the name of one that this program was built
/// without.
pub fn register(scheme: &str, open: OpenFn) -> Result<()> {
    if !is_scheme(scheme) {
        let detail = "a scheme has lower-case letters, digits, '+', '-' and '.', a letter first".to_owned();
        return Err(SessionError::BadUrl { url: scheme.to_owned(), detail });
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    if BUILT_IN.iter().any(|built_in| built_in.scheme == scheme) || registered.contains_key(scheme) {
        return Err(SessionError::SchemeTaken { scheme: scheme.to_owned() });
    }
    registered.insert(scheme.to_owned(), open);
    Ok(())
}

/// The schemes that [`open`] knows, sorted.
pub fn schemes() -> Vec<String> {
    let built_in =
        BUILT_IN.iter().filter(|built_in| built_in.open.is_some()).map(|built_in| built_in.scheme.to_owned());
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    let mut schemes: Vec<String> = built_in.chain(registered.keys().cloned()).collect();
    schemes.sort_unstable();
    schemes
}

/// Whether a folder lies on a medium whose locks and syncs depend on another machine or program: NFS, SMB, FUSE and the like. `None` if this program
/// was built without what could tell, or the folder cannot be asked.
pub fn is_remote(folder: &Path) -> Option<bool> {
    fs::is_remote(folder)
}

/// A process that has a store open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockHolder {
    /// Its number; 0 for one that this process cannot see.
    pub pid: u32,
    /// What it is called, if it is there to be asked.
    pub name: Option<String>,
    /// Whether it has the store for itself.
    pub exclusive: bool,
}

/// Who has the store that a URL names open, this process too if it has; the store need not be open for that, nor can be. `None` where nobody says it:
/// that takes a store in a folder, and Linux.
pub fn lock_holders(url: &str) -> Option<Vec<LockHolder>> {
    let (scheme, location) = url.split_once(':')?;
    if scheme == "fs" { fs::lock_holders(Path::new(location)) } else { None }
}

fn unknown(scheme: &str, feature: Option<&'static str>) -> SessionError {
    SessionError::UnknownScheme { scheme: scheme.to_owned(), known: schemes(), feature }
}

fn is_scheme(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(rest)
}

/// A store under a name lives as long as the process; one without a name as long as its handles.
#[expect(clippy::unnecessary_wraps, reason = "it stands beside the openers that can fail")]
fn open_memory(name: &str, _options: &OpenOptions) -> Result<Arc<dyn Backend>> {
    if name.is_empty() {
        return Ok(Arc::new(MemoryStore::new()));
    }
    let mut named = NAMED_IN_MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Arc::new(named.get_or_insert_default().entry(name.to_owned()).or_default().clone()))
}

#[cfg(feature = "fs")]
mod fs {
    use std::path::Path;
    use std::sync::Arc;

    use std::io::ErrorKind;

    use store_core::ledger::{Ledger, LedgerError, LedgerResult};
    use store_core::{Backend, StoreError, TimestampMs};
    use store_fs::disk::{Disk as _, Medium, OsDisk};
    use store_fs::{FsLedger, FsOptions, FsStore, LedgerOptions};

    use super::{
        HeaderRepaired, LedgerUse, LockHolder, OpenBuiltIn, OpenBuiltInLedger, OpenMode, OpenOptions, Purpose,
    };
    use crate::error::Result;

    pub(super) const OPEN: Option<OpenBuiltIn> = Some(open);
    pub(super) const OPEN_LEDGER: Option<OpenBuiltInLedger> = Some(open_ledger);

    fn open_ledger(path: &str, usage: &LedgerUse) -> LedgerResult<Option<Arc<dyn Ledger>>> {
        let options = LedgerOptions::new(Arc::clone(&usage.clock));
        let opened = match usage.purpose {
            Purpose::Write => FsLedger::open(path, &options),
            Purpose::Read => FsLedger::open_read_only(path, &options),
            Purpose::PlanRepair => FsLedger::open_to_plan_repair(path, &options),
        };
        match opened {
            Ok(ledger) => Ok(Some(Arc::new(ledger))),
            Err(LedgerError::Store(StoreError::Io { source, .. }))
                if usage.purpose != Purpose::Write && source.kind() == ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn lock_holders(root: &Path) -> Option<Vec<LockHolder>> {
        let holders = store_fs::lock_holders(root)?.into_iter();
        Some(holders.map(|one| LockHolder { pid: one.pid, name: one.name, exclusive: one.exclusive }).collect())
    }

    pub(super) fn is_remote(folder: &Path) -> Option<bool> {
        let medium = OsDisk.medium_of(folder).ok()?;
        Some(medium == Medium::Remote)
    }

    pub(super) fn repair_header(folder: &str, now: TimestampMs, dry_run: bool) -> Result<Option<HeaderRepaired>> {
        let done = store_fs::repair_header(folder, now, dry_run)?;
        Ok(done.map(|done| HeaderRepaired { created_at: done.created_at, kept: done.kept }))
    }

    fn open(path: &str, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
        let fs = FsOptions::at(options.now);
        if !options.create && options.mode != OpenMode::ReadOnly {
            // Opening for reading makes nothing, and says so if there is nothing.
            FsStore::open_read_only(path, &fs)?;
        }
        Ok(Arc::new(match options.mode {
            OpenMode::ReadWrite => FsStore::open(path, &fs)?,
            OpenMode::ReadOnly => FsStore::open_read_only(path, &fs)?,
            OpenMode::Exclusive => FsStore::open_exclusive(path, &fs)?,
        }))
    }
}

#[cfg(not(feature = "fs"))]
mod fs {
    pub(super) const OPEN: Option<super::OpenBuiltIn> = None;
    pub(super) const OPEN_LEDGER: Option<super::OpenBuiltInLedger> = None;

    pub(super) const fn lock_holders(_root: &std::path::Path) -> Option<Vec<super::LockHolder>> {
        None
    }

    pub(super) const fn is_remote(_folder: &std::path::Path) -> Option<bool> {
        None
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands in the place of one that can fail")]
    pub(super) const fn repair_header(
        _folder: &str,
        _now: super::TimestampMs,
        _dry_run: bool,
    ) -> crate::error::Result<Option<super::HeaderRepaired>> {
        Ok(None)
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::Arc;

    use store_core::ledger::{Ledger, LedgerResult};
    use store_core::{Backend, TimestampMs};
    use store_sqlite::{LostEntries, LostEvents, OpenAs, SqliteLedger, SqliteOptions, SqliteStore, salvage_database};

    use super::{
        LedgerUse, OpenBuiltIn, OpenBuiltInLedger, OpenMode, OpenOptions, Purpose, SalvageLedgerLoss, SalvageLoss,
        Salvaged,
    };
    use crate::error::Result;

    pub(super) const OPEN: Option<OpenBuiltIn> = Some(open);
    pub(super) const OPEN_LEDGER: Option<OpenBuiltInLedger> = Some(open_ledger);

    fn open_ledger(path: &str, usage: &LedgerUse) -> LedgerResult<Option<Arc<dyn Ledger>>> {
        let open_as = if usage.purpose == Purpose::Write { OpenAs::Shared } else { OpenAs::ReadOnly };
        let options = SqliteOptions { open_as, ..SqliteOptions::default() };
        Ok(Some(Arc::new(SqliteLedger::open_with(path, &options, Arc::clone(&usage.clock))?)))
    }

    pub(super) fn salvage(path: &str, into: &str, now: TimestampMs) -> Result<Salvaged> {
        let saved = salvage_database(path, into, now)?;
        let loss = |of: LostEntries| SalvageLoss { session_id: of.session, segment_id: of.segment, lost: of.seqs };
        let of_book = |of: LostEvents| SalvageLedgerLoss { book: of.book, from: of.from, through: of.through };
        Ok(Salvaged {
            sessions: saved.sessions,
            segments: saved.segments,
            entries: saved.entries,
            blobs: saved.blobs,
            lost: saved.lost.into_iter().map(loss).collect(),
            segments_lost: saved.segments_lost,
            without_session: saved.without_session,
            blobs_lost: saved.blobs_lost,
            beside_lost: saved.side_rows_lost,
            ledger_books: saved.ledger_books,
            ledger_events: saved.ledger_events,
            ledger_lost: saved.ledger_lost.into_iter().map(of_book).collect(),
        })
    }

    fn open(path: &str, options: &OpenOptions) -> Result<Arc<dyn Backend>> {
        if !options.create && options.mode != OpenMode::ReadOnly {
            // Opening for reading makes nothing, and says so if there is nothing.
            SqliteStore::open_read_only(path)?;
        }
        Ok(Arc::new(match options.mode {
            OpenMode::ReadWrite => SqliteStore::open(path)?,
            OpenMode::ReadOnly => SqliteStore::open_read_only(path)?,
            OpenMode::Exclusive => SqliteStore::open_exclusive(path)?,
        }))
    }
}

#[cfg(not(feature = "sqlite"))]
mod sqlite {
    pub(super) const OPEN: Option<super::OpenBuiltIn> = None;
    pub(super) const OPEN_LEDGER: Option<super::OpenBuiltInLedger> = None;

    pub(super) fn salvage(_path: &str, _into: &str, _now: u64) -> crate::error::Result<super::Salvaged> {
        Err(super::unknown("sqlite", Some("sqlite")))
    }
}
