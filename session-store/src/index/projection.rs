//! The index as its users hold it: opening, refreshing, asking.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use store_core::{Backend, BackendInfo, SegmentId, SessionId, Store};

use super::bookmark;
use super::ending;
use super::explain::{self, UsageRecord};
use super::list::{self, ListQuery, PageCursor};
use super::lookup::{self, NativeHome, RecordHome};
use super::reading::{MadeEntries, Nothing};
use super::refresh::{self, Refreshed};
use super::resolve::{self, Resolution, Target, Titled};
use super::rollup::Family;
use super::rows::Fault;
use super::schema::{self, Opened};
use super::search::{self, Needle, SearchHit, SearchHits, SearchProgress, SearchQuery};
use super::source::{self, SeenFile};
use super::summary::{Page, SegmentSummary, SessionSummary};
use super::usage;
use crate::error::{Result, SessionError};
use crate::leaf::current_leaf;
use crate::segment::SegmentLocation;
use crate::usage::Use;

/// The projection of a store that lists, names and look-ups are answered from.
///
/// It knows what the last [`refresh`](Self::refresh) found. Every call takes `&self`; calls of several threads wait for each
/// other.
#[derive(Debug)]
pub struct Index {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    opened: Opened,
    identity: String,
    /// The sessions were compared with those of the store.
    compared: bool,
    /// The tables were found damaged and are empty now, until the next refresh.
    lost: bool,
    /// A read transaction is open: questions are answered from one state of the tables.
    pinned: bool,
}

impl Index {
    /// Opens the index of a store: in the file that the backend names, else in memory. A file that is damaged, of
    /// another version, or of another store is made anew, empty. Nothing is read from the store yet.
    ///
    /// # Errors
    /// `Busy` if another process keeps the file for longer than the bounded wait; `Index` if even memory does not serve.
    pub fn open(backend: &dyn Backend) -> Result<Self> {
        Self::open_at(backend.info())
    }

    pub(super) fn open_at(info: BackendInfo) -> Result<Self> {
        let identity = identity(&info);
        let path = info.projection_path.filter(|_| !info.read_only);
        let opened = schema::open(path.as_deref(), &identity).map_err(Fault::from)?;
        Ok(Self { inner: Mutex::new(Inner { opened, identity, compared: false, lost: false, pinned: false }) })
    }

    /// A second handle on its file, for another thread; none if there is no file, or before the first [`refresh`](Self::refresh). It knows what
    /// this one knows, and this one what it brings in.
    pub fn second_handle(&self) -> Option<Self> {
        let inner = self.lock();
        let path = inner.opened.path.as_ref().filter(|_| inner.compared && !inner.lost)?;
        let opened = schema::open_second(path, &inner.identity).ok()?;
        Some(Self {
            inner: Mutex::new(Inner {
                opened,
                identity: inner.identity.clone(),
                compared: true,
                lost: false,
                pinned: false,
            }),
        })
    }

    /// The index of a store, empty and without a name, to be held against the one that is kept.
    pub(crate) fn nameless(backend: &dyn Backend) -> Result<Self> {
        let identity = identity(&backend.info());
        let opened = schema::nameless(&identity).map_err(Fault::from)?;
        Ok(Self { inner: Mutex::new(Inner { opened, identity, compared: false, lost: false, pinned: false }) })
    }

    /// A copy of it that is thrown away, to be fed with what will not be kept.
    ///
    /// # Errors
    /// `Busy`; `Index`.
    pub(crate) fn copy(&self) -> Result<Self> {
        let inner = self.lock();
        let opened = schema::copy(&inner.opened.db).map_err(Fault::from)?;
        let Inner { compared, lost, .. } = *inner;
        Ok(Self {
            inner: Mutex::new(Inner { opened, identity: inner.identity.clone(), compared, lost, pinned: false }),
        })
    }

    /// Whether it is kept in a file and need not be made anew by the next process.
    pub fn is_kept(&self) -> bool {
        self.lock().opened.path.is_some()
    }

    /// Brings the index up to date with the store, which must be the one that it was opened for.
    ///
    /// Reads only what has changed. A log that cannot be read is marked and does not stop the rest. A file that turns
    /// out to be damaged is made anew; one that cannot be written is given up for memory.
    ///
    /// # Errors
    /// What the store fails with as a whole; `Busy`; `Index`.
    pub fn refresh(&self, store: &dyn Store) -> Result<Refreshed> {
        self.lock().healing(|inner| inner.refresh(store))
    }

    /// Brings in some segments and their sessions, and nothing else: for who writes many logs one after the other, asks about
    /// each before the next, and refreshes in the end. Cost follows these segments, however many others have changed.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub fn refresh_segments(&self, store: &dyn Store, segments: &[SegmentLocation]) -> Result<Refreshed> {
        self.refresh_made(store, &Nothing, segments)
    }

    /// As [`refresh_segments`](Self::refresh_segments), where some of the segments' entries are in memory.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub(crate) fn refresh_made(
        &self,
        store: &dyn Store,
        made: &dyn MadeEntries,
        segments: &[SegmentLocation],
    ) -> Result<Refreshed> {
        self.lock().healing(|inner| {
            // What was healed away comes back whole, or the answers would lack what was there before.
            if inner.compared {
                refresh::refresh_segments(&mut inner.opened.db, store, made, segments)
            } else {
                inner.refresh(store)
            }
        })
    }

    /// One page of conversations.
    ///
    /// # Errors
    /// `BadCursor` for a cursor of another order, or none at all; `Index`.
    pub fn list(&self, query: &ListQuery) -> Result<Page> {
        let cursor = match &query.cursor {
            Some(text) => {
                let parsed = PageCursor::parse(query.sort, text);
                Some(parsed.ok_or_else(|| SessionError::BadCursor { cursor: text.clone() })?)
            }
            None => None,
        };
        self.ask(|db| list::list(db, query, cursor.as_ref()))
    }

    /// The row of one session; `None` for one that is not known.
    ///
    /// # Errors
    /// `Index`.
    pub fn summary(&self, session: SessionId) -> Result<Option<SessionSummary>> {
        self.ask(|db| resolve::summary(db, session))
    }

    /// The segments of a session in the order in which they began; none for an unknown session.
    ///
    /// # Errors
    /// `Index`.
    pub fn segments(&self, session: SessionId) -> Result<Vec<SegmentSummary>> {
        self.ask(|db| Ok(Family::load(db, session)?.map(|family| family.segments()).unwrap_or_default()))
    }

    /// What an id means: a session, a segment, an agent's own id, each in full or as a prefix or suffix of at least 4
    /// characters, an exact title (in `folder`, if it is there), or `@last`. An exact id of any kind wins. A UUID, and the
    /// beginning or end of one, may be in upper case, and without hyphens from its beginning on.
    ///
    /// The index finds the session; which leaf it goes on from is asked of the store, so that the answer does not depend
    /// on when the index read what. A named segment is answered as it is, damaged or not.
    ///
    /// # Errors
    /// For a session, an agent's own id, a title: as [`current_leaf`]. `Index`.
    pub fn resolve(&self, store: &dyn Store, text: &str, folder: Option<&str>) -> Result<Resolution> {
        match self.ask(|db| resolve::resolve(db, text, folder, Titled::InUse))? {
            Resolution::Found(target) if !target.exact_segment => {
                let segment = current_leaf(store, target.session)?;
                Ok(Resolution::Found(Target { segment, ..target }))
            }
            other => Ok(other),
        }
    }

    /// What an id means, as [`resolve`](Self::resolve), by what the index knows alone: the leaf of a session is the one that it was last seen to go on
    /// from. For who wants to name what cannot be read.
    ///
    /// # Errors
    /// `Index`.
    pub fn find(&self, text: &str, folder: Option<&str>) -> Result<Resolution> {
        self.ask(|db| resolve::resolve(db, text, folder, Titled::InUse))
    }

    /// What an id means to who takes conversations out of the trash, as [`find`](Self::find): a title is one of a conversation in the trash.
    ///
    /// # Errors
    /// `Index`.
    pub fn find_in_trash(&self, text: &str, folder: Option<&str>) -> Result<Resolution> {
        self.ask(|db| resolve::resolve(db, text, folder, Titled::InTrash))
    }

    /// For each id, how many characters of its end [`resolve`](Self::resolve) needs to find it alone: at least 4, and
    /// all of them where another name ends with the whole id.
    ///
    /// # Errors
    /// `Index`.
    pub fn unique_endings(&self, ids: &[String]) -> Result<Vec<usize>> {
        self.ask(|db| ending::unique_endings(db, ids))
    }

    /// The segments that an agent's own id names, of any agent if none is given; ordered by session, then segment.
    ///
    /// # Errors
    /// `Index`.
    pub fn find_native(&self, agent: Option<&str>, native_id: &str) -> Result<Vec<NativeHome>> {
        self.ask(|db| lookup::find_native(db, agent, native_id))
    }

    /// The segments of an agent's conversations that hold entries of a record, oldest conversation first. The id of a
    /// record is what its entries' keys have before their last `#`.
    ///
    /// # Errors
    /// `Index`.
    pub fn record_homes(&self, agent: &str, record_id: &str) -> Result<Vec<RecordHome>> {
        self.ask(|db| lookup::record_homes(db, agent, record_id))
    }

    /// As [`record_homes`](Self::record_homes), from the state of the tables in which this was asked first, until [`unpin`](Self::unpin): for who
    /// asks for one record after the other, because most of what such a question costs is that it begins and ends.
    ///
    /// # Errors
    /// `Index`.
    pub(crate) fn record_homes_pinned(&self, agent: &str, record_id: &str) -> Result<Vec<RecordHome>> {
        self.lock().pin().map_err(Fault::from)?;
        self.ask(|db| lookup::record_homes(db, agent, record_id))
    }

    /// Answers from what stands there now.
    pub(crate) fn unpin(&self) {
        self.lock().unpin();
    }

    /// The segments of one session that hold entries of a record.
    ///
    /// # Errors
    /// `Index`.
    pub fn records_of(&self, session: SessionId, record_id: &str) -> Result<Vec<RecordHome>> {
        self.ask(|db| lookup::records_of(db, session, record_id))
    }

    /// Reads some of the texts that changed since the last time somebody searched, so that [`search`](Self::search) finds them; `false` if none are left.
    /// Each call takes a fraction of a second, and others may use the index between two of them.
    ///
    /// Only what the last [`refresh`](Self::refresh) found is read. A log that is damaged is read up to there.
    ///
    /// # Errors
    /// What the store fails with as a whole; `Busy`; `Index`.
    pub fn read_texts(&self, store: &dyn Store, progress: &mut SearchProgress) -> Result<bool> {
        self.lock().healing(|inner| {
            if !inner.compared {
                // What was healed away is empty.
                inner.refresh(store)?;
            }
            search::fill(&mut inner.opened.db, store, progress)
        })
    }

    /// The entries that say what is searched for, as far as [`read_texts`](Self::read_texts) has read them. Words that turn out to be damaged are
    /// read anew first.
    ///
    /// # Errors
    /// `NothingToSearch` for a query without a word; what the store fails with as a whole; `Index`.
    pub fn search(&self, store: &dyn Backend, query: &SearchQuery) -> Result<SearchHits> {
        let expression = Needle::expression(&query.query).ok_or(SessionError::NothingToSearch)?;
        let needles = Needle::all(&query.query);
        let find = || self.ask(|db| search::find(db, store, &expression, query));
        let found = match find() {
            Err(SessionError::Index { .. }) if self.lock().lost => {
                self.refresh(store)?;
                while self.read_texts(store, &mut SearchProgress::default())? {}
                find()?
            }
            found => found?,
        };
        let sessions: BTreeSet<SessionId> = found.iter().map(|found| found.session).collect();
        let total = found.iter().map(|found| found.seqs.len() as u64).sum();
        let (limit, per_session) = (query.limit.unwrap_or(usize::MAX), query.per_session.unwrap_or(usize::MAX));
        let mut hits: Vec<SearchHit> = Vec::new();
        let mut of_session = 0;
        for found in &found {
            if hits.last().is_none_or(|last| last.session_id != found.session) {
                of_session = 0;
            }
            for seq in &found.seqs {
                if hits.len() == limit || of_session == per_session {
                    break;
                }
                if let Some(hit) = search::hit_at(store, found, *seq, &needles)? {
                    hits.push(hit);
                    of_session += 1;
                }
            }
            if hits.len() == limit {
                break;
            }
        }
        Ok(SearchHits { hits, total, sessions: sessions.len() as u64 })
    }

    /// The sub-agents that a session started itself, oldest id first.
    ///
    /// # Errors
    /// `Index`.
    pub fn subagents_of(&self, session: SessionId) -> Result<Vec<SessionId>> {
        self.ask(|db| lookup::subagents_of(db, session))
    }

    /// The segments of other sessions whose origin is in this one, with their sessions; oldest id first.
    ///
    /// # Errors
    /// `Index`.
    pub fn continued_by(&self, session: SessionId) -> Result<Vec<(SessionId, SegmentId)>> {
        self.ask(|db| lookup::continued_by(db, session))
    }

    /// Every provider request of the store, once, with the session that owns it.
    ///
    /// # Errors
    /// `Index`.
    pub fn uses(&self) -> Result<Vec<Use>> {
        self.ask(|db| usage::uses(db, None, []))
    }

    /// The provider requests that a session owns, by name ascending.
    ///
    /// # Errors
    /// `Index`.
    pub fn own_uses(&self, session: SessionId) -> Result<Vec<Use>> {
        self.ask(|db| usage::own(db, session))
    }

    /// Every usage record of a session, or of one segment of it, and what it counts for.
    ///
    /// # Errors
    /// `Index`.
    pub fn explain_usage(&self, session: SessionId, segment: Option<SegmentId>) -> Result<Vec<UsageRecord>> {
        self.ask(|db| explain::explain(db, session, segment))
    }

    /// The sessions that go on behind a compaction of their own.
    ///
    /// # Errors
    /// `Index`.
    pub fn compacted_sessions(&self) -> Result<BTreeSet<SessionId>> {
        self.ask(lookup::compacted_sessions)
    }

    /// What an importer kept of where it left the file of a conversation.
    ///
    /// # Errors
    /// `Index`.
    pub(crate) fn bookmark(&self, session: SessionId, native_id: &str) -> Result<Option<String>> {
        self.ask(|db| bookmark::state(db, session, native_id))
    }

    /// One piece of the notes that belong to a bookmark.
    ///
    /// # Errors
    /// `Index`.
    pub(crate) fn bookmark_notes(&self, session: SessionId, native_id: &str, number: u64) -> Result<Option<Vec<u8>>> {
        self.ask(|db| bookmark::notes(db, session, native_id, number))
    }

    /// Keeps a piece of notes for the bookmark that follows.
    ///
    /// # Errors
    /// `Index`.
    pub(crate) fn put_bookmark_notes(
        &self,
        session: SessionId,
        native_id: &str,
        number: u64,
        notes: &[u8],
    ) -> Result<()> {
        self.unpin();
        self.ask(|db| bookmark::put_notes(db, session, native_id, number, notes))
    }

    /// Keeps bookmarks, each with the last pieces of its notes: session, native id, state, pieces.
    ///
    /// # Errors
    /// `Busy`; `Index`.
    pub(crate) fn put_bookmarks(
        &self,
        bookmarks: impl Iterator<Item = (SessionId, String, String, Vec<(u64, Vec<u8>)>)>,
    ) -> Result<()> {
        let mut inner = self.lock();
        inner.unpin();
        Ok(bookmark::put(&mut inner.opened.db, bookmarks).map_err(Fault::from)?)
    }

    /// What importers have seen of the files of sources, by path.
    ///
    /// # Errors
    /// `Index`.
    pub(crate) fn seen_files(&self) -> Result<HashMap<String, SeenFile>> {
        self.ask(source::all)
    }

    /// Remembers what was seen of files, and forgets those that are gone.
    ///
    /// # Errors
    /// `Busy`; `Index`.
    pub(crate) fn saw_files(&self, seen: &[(String, SeenFile)], gone: &[String]) -> Result<()> {
        if seen.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut inner = self.lock();
        let db = &mut inner.opened.db;
        source::put(db, seen, gone).map_err(Fault::from)?;
        Ok(())
    }

    /// Answers from the tables. Damage that shows only now has them made anew: the question fails, and so do all others until
    /// the next refresh, of this process or another one, has filled them.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut inner = self.lock();
        if inner.lost {
            return Err(SessionError::Index { detail: "it was damaged: refresh it".to_owned(), source: None });
        }
        question(&inner.opened.db).map_err(|error| {
            if schema::is_damage(&error) {
                // Should that fail too, the next refresh tries again and tells.
                let _ = inner.heal(&error);
            }
            Fault::from(error).into()
        })
    }

    /// Changes the tables. Damage that shows only now is dealt with as in [`ask`](Self::ask).
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T> {
        let mut inner = self.lock();
        inner.unpin();
        change(&mut inner.opened.db).map_err(|error| {
            if schema::is_damage(&error) {
                // Should that fail too, the next refresh tries again and tells.
                let _ = inner.heal(&error);
            }
            Fault::from(error).into()
        })
    }

    /// Empties the tables, until the next refresh.
    pub(super) fn forget(&self) -> rusqlite::Result<()> {
        let mut inner = self.lock();
        inner.unpin();
        let identity = inner.identity.clone();
        schema::empty(&mut inner.opened.db, &identity)?;
        inner.compared = false;
        inner.lost = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a store is called: however the way there is written, it is the same one.
fn identity(info: &BackendInfo) -> String {
    let location = std::fs::canonicalize(&info.location);
    let location = location.map_or_else(|_| info.location.clone(), |path| path.display().to_string());
    format!("{}:{location}", info.scheme)
}

impl Inner {
    /// Does something; once more with an index that was made anew if its database fails.
    fn healing<T>(&mut self, mut work: impl FnMut(&mut Self) -> Result<T, Fault>) -> Result<T> {
        self.unpin();
        match work(self) {
            Err(Fault::Db(error)) if !schema::is_busy(&error) => {
                self.heal(&error)?;
                Ok(work(self)?)
            }
            done => Ok(done?),
        }
    }

    fn pin(&mut self) -> rusqlite::Result<()> {
        if !self.pinned {
            self.opened.db.execute_batch("BEGIN")?;
            self.pinned = true;
        }
        Ok(())
    }

    fn unpin(&mut self) {
        if std::mem::take(&mut self.pinned) {
            // Nothing was written: a transaction that cannot be ended so is over already.
            let _ = self.opened.db.execute_batch("COMMIT");
        }
    }

    /// Brings everything up to date.
    fn refresh(&mut self, store: &dyn Store) -> Result<Refreshed, Fault> {
        let done = refresh::refresh(&mut self.opened.db, store, !self.compared)?;
        self.compared = true;
        self.lost = false;
        Ok(done)
    }

    /// Makes the index anew after its database failed: in its file if the file was at fault, else in memory.
    fn heal(&mut self, error: &rusqlite::Error) -> Result<(), Fault> {
        self.compared = false;
        self.lost = true;
        self.pinned = false;
        let path = self.opened.path.take();
        let path = path.filter(|_| !schema::is_unwritable(error));
        // The connection is closed before its file goes: its last act would be to remove files by name.
        self.opened.db = Connection::open_in_memory()?;
        if let Some(path) = path.as_ref().filter(|_| schema::is_damage(error)) {
            // A file that cannot be removed cannot be opened for writing either, and that is dealt with there.
            let _ = schema::discard(path);
        }
        self.opened = schema::open(path.as_deref(), &self.identity)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use store_core::{BackendInfo, CreateOptions, LogEntry, MemoryStore, NewEntry, SegmentId, SegmentStart};

    use super::*;

    /// Damage that no check of the whole file finds: one row is not what was written.
    fn damage(index: &Index) {
        index.lock().opened.db.execute("UPDATE session SET summary = '{'", []).unwrap();
    }

    fn is_index_error<T>(answer: &Result<T>) -> bool {
        matches!(answer, Err(SessionError::Index { .. }))
    }

    #[test]
    fn damage_that_shows_late_fails_questions_until_the_next_refresh_and_empties_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index.db");
        let store = MemoryStore::new();
        let session = SessionId::mint(1);
        let start = LogEntry::SegmentStart(Box::new(SegmentStart::new(session, 1)));
        let segment = SegmentId::mint(1);
        store.create_segment(session, segment, &[NewEntry::typed(start)], &CreateOptions::default()).unwrap();
        let info = BackendInfo { projection_path: Some(path), ..store.info() };
        let opened = || Index::open_at(info.clone()).unwrap();

        let index = opened();
        index.refresh(&store).unwrap();
        damage(&index);
        assert!(is_index_error(&index.list(&ListQuery::default())), "never a wrong row");
        assert!(is_index_error(&index.segments(session)), "never nothing where there is something");
        assert_eq!(opened().refresh(&store).unwrap().sessions, 1, "the next process starts anew");
        index.refresh(&store).unwrap();
        assert_eq!(index.list(&ListQuery::default()).unwrap().total, 1);

        // A refresh that comes across it heals it at once.
        index.lock().opened.db.execute("UPDATE segment SET own = '[', damaged = 1", []).unwrap();
        index.refresh(&store).unwrap();
        assert_eq!(index.segments(session).unwrap().len(), 1);
    }
}
