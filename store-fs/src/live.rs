//! What changed, and for whom: the entries of writing handles in `live/`, and `changes.jsonl`.
//!
//! A handle lists a segment or session in an entry of its own, on stable storage, before it writes there for the
//! first time. When the handle is closed, or found dead because nobody holds its entry's lock, the list moves to
//! the end of `changes.jsonl`. Whoever asks for changes reads all of `live/` first and `changes.jsonl` after it, so that
//! a list that moves in between is seen twice rather than not at all.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use serde::{Deserialize, Serialize};
use store_core::codec::{LineFields, LogContext, encode_line};
use store_core::{
    ChangeCursor, Changes, FactScope, Position, Result, SegmentId, Seq, SessionId, Store as _, StoreError,
};
use uuid::Uuid;

use crate::disk::{Disk, DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::{Layout, LogName};
use crate::logs::{LogKey, Logs, Purpose};
use crate::record_log::{NewLine, RecordLog, View, append_all_or_nothing, lock_mutex};
use crate::store::{FsStore, make_folder};

/// Something that a handle writes to.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Touched {
    session: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<SegmentId>,
    /// It is about to be made: as long as this is listed, what leads to it may lead nowhere. Only `live/` says it.
    #[serde(default, rename = "new", skip_serializing_if = "std::ops::Not::not")]
    is_new: bool,
    /// Its entries are about to be others, from the first on.
    #[serde(default, rename = "rewritten", skip_serializing_if = "std::ops::Not::not")]
    is_rewritten: bool,
}

impl Touched {
    pub(crate) const fn session(session: SessionId) -> Self {
        Self { session, segment: None, is_new: false, is_rewritten: false }
    }

    pub(crate) const fn segment(session: SessionId, segment: SegmentId) -> Self {
        Self { session, segment: Some(segment), is_new: false, is_rewritten: false }
    }

    /// A segment that is about to be made.
    pub(crate) const fn new_segment(session: SessionId, segment: SegmentId) -> Self {
        Self { session, segment: Some(segment), is_new: true, is_rewritten: false }
    }

    /// A segment whose entries are about to be others.
    pub(crate) const fn rewritten(session: SessionId, segment: SegmentId) -> Self {
        Self { session, segment: Some(segment), is_new: false, is_rewritten: true }
    }

    const fn plain(self) -> Self {
        Self { is_new: false, is_rewritten: false, ..self }
    }

    /// The segment that is about to be made, if it is that.
    pub(crate) fn new_segment_of(&self) -> Option<(SessionId, SegmentId)> {
        self.segment.filter(|_| self.is_new).map(|segment| (self.session, segment))
    }
}

/// How much an entry lists before it is moved to `changes.jsonl`, and the handle goes on with another one: whoever asks for changes is told of
/// all that living handles list.
const LISTED_MAX: usize = 256;

/// This handle's entry in `live/`: none until its first write.
#[derive(Debug, Default)]
pub(crate) struct Live {
    entry: Mutex<Option<LiveEntry>>,
    /// Held shared by each call from before it lists what it writes to until it has written: what is listed by then is not moved before it is
    /// true.
    writing: RwLock<()>,
}

/// A call that writes to what this handle's entry lists.
#[must_use = "it is held as long as the call writes"]
pub(crate) struct Writing<'a>(
    #[expect(dead_code, reason = "held for what it keeps others from")] RwLockReadGuard<'a, ()>,
);

#[derive(Debug)]
struct LiveEntry {
    id: Uuid,
    context: LogContext,
    file: Box<dyn DiskFile>,
    /// Whether its name is on stable storage.
    is_named: bool,
    bytes: u64,
    last: Seq,
    touched: HashSet<Touched>,
    /// The sessions of all that is listed: who is told of a segment is told of its session.
    sessions: HashSet<SessionId>,
}

impl Live {
    /// Lists what is about to be written to, and returns when that is on stable storage.
    pub(crate) fn touch(&self, disk: &dyn Disk, layout: &Layout, touched: Touched) -> Result<()> {
        let mut held = lock_mutex(&self.entry);
        let entry = match &mut *held {
            Some(entry) => entry,
            none => none.insert(LiveEntry::create(disk, layout)?),
        };
        if entry.is_told(&touched) {
            // Whoever closes the list writes it out in full, as ever.
            entry.touched.insert(touched);
            return Ok(());
        }
        let path = layout.live(entry.id);
        let seq = entry.last.next();
        let mut line = Vec::new();
        let text = serde_json::to_string(&touched).map_err(StoreError::backend)?;
        encode_line(&mut line, &entry.context, &LineFields { seq, ..LineFields::default() }, &text);
        append_all_or_nothing(&*entry.file, entry.bytes, &line).at("append to", &path)?;
        entry.bytes += line.len() as u64;
        entry.last = seq;
        let synced = entry.file.sync_file().at("sync", &path).and_then(|()| entry.sync_name(disk, layout));
        if synced.is_ok() {
            entry.touched.insert(touched);
            entry.sessions.insert(touched.session);
        } else {
            // What it lists may be lost, so it is given up: without its lock it is a dead handle's, and is collected.
            *held = None;
        }
        synced
    }

    /// Lists much that is about to be written to, and lets `sync` bring that to stable storage with whatever else belongs to
    /// it; it is given the path of the list.
    pub(crate) fn touch_all(
        &self,
        disk: &dyn Disk,
        layout: &Layout,
        touched: &[Touched],
        sync: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<()> {
        let mut held = lock_mutex(&self.entry);
        let entry = match &mut *held {
            Some(entry) => entry,
            none => none.insert(LiveEntry::create(disk, layout)?),
        };
        let path = layout.live(entry.id);
        let mut lines = Vec::new();
        let mut last = entry.last;
        for touched in touched.iter().filter(|touched| !entry.is_told(touched)) {
            last = last.next();
            let text = serde_json::to_string(touched).map_err(StoreError::backend)?;
            encode_line(&mut lines, &entry.context, &LineFields { seq: last, ..LineFields::default() }, &text);
        }
        append_all_or_nothing(&*entry.file, entry.bytes, &lines).at("append to", &path)?;
        entry.bytes += lines.len() as u64;
        entry.last = last;
        let synced = sync(&path).at("sync", layout.root()).and_then(|()| entry.sync_name(disk, layout));
        if synced.is_ok() {
            entry.touched.extend(touched);
            entry.sessions.extend(touched.iter().map(|touched| touched.session));
        } else {
            // What it lists may be lost, as when the sync of the list alone fails.
            *held = None;
        }
        synced
    }

    /// Takes note that a segment was made that was about to be.
    pub(crate) fn made(&self, session: SessionId, segment: SegmentId) {
        if let Some(entry) = &mut *lock_mutex(&self.entry)
            && entry.touched.remove(&Touched::new_segment(session, segment))
        {
            entry.touched.insert(Touched::segment(session, segment));
        }
    }

    /// Whether the handle has written anything.
    fn is_begun(&self) -> bool {
        lock_mutex(&self.entry).is_some()
    }

    /// Moves a list that has grown long, unless calls are at work that need it.
    fn move_on(&self, store: &FsStore) -> Result<()> {
        let Ok(_alone) = self.writing.try_write() else { return Ok(()) };
        let is_long = lock_mutex(&self.entry).as_ref().is_some_and(|entry| entry.touched.len() >= LISTED_MAX);
        if is_long { self.close(store) } else { Ok(()) }
    }

    /// Moves the list to `changes.jsonl` and gives the entry up. The caller holds no lock.
    pub(crate) fn close(&self, store: &FsStore) -> Result<()> {
        let Some(entry) = lock_mutex(&self.entry).take() else { return Ok(()) };
        let touched: BTreeSet<Touched> = entry.touched.into_iter().collect();
        publish(store, &touched, Whose::Own)?;
        remove(&*store.disk, &store.layout, entry.id)
    }
}

impl LiveEntry {
    fn is_told(&self, touched: &Touched) -> bool {
        let listed = |is_new, is_rewritten| self.touched.contains(&Touched { is_new, is_rewritten, ..*touched });
        // Where more is said of a segment, that it is written to is said.
        if touched.segment.is_some() && *touched == touched.plain() && (listed(true, false) || listed(false, true)) {
            return true;
        }
        let by_segment = touched.segment.is_none() && self.sessions.contains(&touched.session);
        by_segment || self.touched.contains(touched)
    }

    /// Brings the entry's name to stable storage, unless it is there.
    fn sync_name(&mut self, disk: &dyn Disk, layout: &Layout) -> Result<()> {
        if !self.is_named {
            // The folder may be a new one, or its maker may not have come to syncing its name.
            for folder in [layout.live_root().as_path(), layout.root()] {
                disk.sync_folder(folder).at("sync", folder)?;
            }
            self.is_named = true;
        }
        Ok(())
    }

    /// Makes the entry. Its name is not synced before there is something in it: the sync of a file brings what the
    /// filesystem knows of names along on most, and those of the folders have little left to do.
    fn create(disk: &dyn Disk, layout: &Layout) -> Result<Self> {
        make_folder(disk, &layout.live_root())?;
        loop {
            let id = Uuid::new_v4();
            let path = layout.live(id);
            let file = disk.open(&path, OpenMode::CreateNew).at("create", &path)?;
            file.lock(LockKind::Exclusive).at("lock", &path)?;
            // Between the two calls somebody may have found the entry unlocked and cleared it away as a dead one's.
            let id_of_file = file.stat().at("stat", &path)?.id;
            if found(disk.stat(&path)).at("stat", &path)?.is_some_and(|stat| stat.id == id_of_file) {
                let context = Layout::live_context(id);
                return Ok(Self {
                    id,
                    context,
                    file,
                    is_named: false,
                    bytes: 0,
                    last: Seq::START,
                    touched: HashSet::new(),
                    sessions: HashSet::new(),
                });
            }
        }
    }
}

fn remove(disk: &dyn Disk, layout: &Layout, id: Uuid) -> Result<()> {
    let path = layout.live(id);
    found(disk.remove_file(&path)).at("remove", &path)?;
    Ok(())
}

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// This handle's, which knows what of its writes is on stable storage.
    Own,
    /// A handle's that is dead.
    Other,
}

/// Makes what was done to a list of segments and sessions last. When the list has moved, it tells nobody any more who asks from
/// where it stands: a power loss must not take anything of that back.
fn sync_touched(
    disk: &dyn Disk,
    layout: &Layout,
    logs: &Logs,
    touched: &BTreeSet<Touched>,
    whose: Whose,
) -> Result<()> {
    let mut is_gone = false;
    let facts_of = |session| LogKey::Facts(FactScope::Session(session));
    let listed = touched.iter().map(|touched| match touched.segment {
        Some(segment) => (LogKey::Segment(touched.session, segment), true),
        None => (facts_of(touched.session), true),
    });
    // A segment stands for its session too, which need not have any facts.
    let sessions: BTreeSet<SessionId> = touched.iter().map(|touched| touched.session).collect();
    let is_listed = |session: &SessionId| touched.contains(&Touched::session(*session));
    let implied = sessions.into_iter().filter(|session| !is_listed(session)).map(|session| (facts_of(session), false));
    for (key, must_exist) in listed.chain(implied) {
        if whose == Whose::Own && logs.is_settled(key) {
            continue;
        }
        match logs.on(key, Purpose::Append, RecordLog::sync) {
            Ok(synced) => is_gone |= synced.is_none() && must_exist,
            // Nobody of this version has written to it.
            Err(StoreError::Unsupported { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    if is_gone {
        // Whoever deleted it may have died before that was on stable storage.
        disk.sync_folder(layout.root()).at("sync", layout.root())?;
    }
    Ok(())
}

/// Appends a list to `changes.jsonl` and returns when it is on stable storage, and all that it tells of. The caller holds no log's lock.
fn publish(store: &FsStore, touched: &BTreeSet<Touched>, whose: Whose) -> Result<()> {
    if touched.is_empty() {
        return Ok(());
    }
    store.forget_unmade(touched)?;
    let FsStore { disk, layout, logs, .. } = store;
    let touched: &BTreeSet<Touched> = &touched.iter().map(|one| Touched { is_new: false, ..*one }).collect();
    sync_touched(&**disk, layout, logs, touched, whose)?;
    let texts: Vec<String> =
        touched.iter().map(serde_json::to_string).collect::<Result<_, _>>().map_err(StoreError::backend)?;
    let lines: Vec<NewLine<'_>> = texts.iter().map(|text| NewLine { key: None, text: text.as_bytes() }).collect();
    logs.on(LogKey::Changes, Purpose::Create, |log| {
        let written = log.with_lock(|log| {
            log.write(&lines)?;
            Ok(log.seq())
        })?;
        let Some(seq) = written else { return Ok(None) };
        log.sync_through(seq).map(Some)
    })?;
    Ok(())
}

/// The list in an entry of `live/`, as far as it was written.
fn read_entry(file: &dyn DiskFile, name: &LogName) -> Result<BTreeSet<Touched>> {
    let bytes = file.stat().at("stat", &name.path)?.bytes;
    let view = View::new(file, name, bytes).confirmed();
    let end = view.end()?;
    let mut touched = BTreeSet::new();
    view.read_from(&end, Seq(1), |_, line| {
        touched.insert(parse(&line.text())?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(touched)
}

fn parse(text: &str) -> Result<Touched> {
    serde_json::from_str(text).map_err(|error| crate::error::corrupt(None, 0, None, error.to_string()))
}

/// Whether a text is one of a list of what was touched.
pub(crate) fn is_touched(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<Touched>(text).map(drop)
}

fn live_name(layout: &Layout, id: Uuid) -> LogName {
    LogName {
        path: layout.live(id),
        context: Layout::live_context(id),
        segment: None,
        part: 1,
        quarantine: layout.live_root(),
        root: layout.root().to_owned(),
        replacing: None,
    }
}

fn list_live(disk: &dyn Disk, layout: &Layout) -> Result<Vec<Uuid>> {
    let folder = layout.live_root();
    let names = found(disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
    Ok(names.iter().filter_map(Layout::parse_live).collect())
}

impl FsStore {
    /// Looks after the lists of dead handles before this handle writes for the first time, and after its own when that has grown long. The
    /// caller holds no log's lock, which moving a list may take, and keeps what this answers with until it has written.
    pub(crate) fn before_first_write(&self) -> Writing<'_> {
        // What cannot be moved now is read where it is.
        if self.live.is_begun() {
            let _ = self.live.move_on(self);
        } else {
            let _ = self.collect_dead();
        }
        Writing(self.live.writing.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lists what is about to be written to, and returns when that is on stable storage.
    pub(crate) fn touch(&self, touched: Touched) -> Result<()> {
        self.live.touch(&*self.disk, &self.layout, touched)
    }

    /// Moves the lists of dead handles to `changes.jsonl`.
    pub(crate) fn collect_dead(&self) -> Result<()> {
        let mut first = None;
        for id in list_live(&*self.disk, &self.layout)? {
            let name = live_name(&self.layout, id);
            let Some(file) = found(self.disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? else {
                continue;
            };
            if !file.try_lock(LockKind::Exclusive).at("lock", &name.path)? {
                continue;
            }
            if found(self.disk.stat(&name.path)).at("stat", &name.path)?.is_none() {
                continue;
            }
            let moved = read_entry(&*file, &name)
                .and_then(|touched| publish(self, &touched, Whose::Other))
                .and_then(|()| remove(&*self.disk, &self.layout, id));
            // What cannot be moved stays, and is told to whoever asks. It keeps no other there.
            if let Err(error) = moved {
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    pub(crate) fn changes_since(&self, cursor: Option<&ChangeCursor>) -> Result<Changes> {
        if self.may_tidy() {
            // Who is not collected now is listed as living, which says the same.
            let _ = self.collect_dead();
        }
        // Who writes to logs of an older layout in a folder that is no store yet lists nothing.
        let known = match cursor.filter(|_| self.is_adopted()).and_then(parse_cursor) {
            Some(cursor) => self.changes_after(cursor),
            None => Ok(None),
        };
        match known {
            Ok(Some((touched, end))) => Ok(to_changes(touched, write_cursor(end))),
            // What is damaged here was only ever derived, so it costs time and nothing else.
            Ok(None) | Err(StoreError::Corrupt(_)) => self.everything(cursor.is_some()),
            Err(error) => Err(error),
        }
    }

    /// The segments that somebody says in `live/` he is about to make, living or dead.
    pub(crate) fn listed_as_new(&self) -> Result<BTreeSet<Touched>> {
        let mut listed = BTreeSet::new();
        for id in list_live(&*self.disk, &self.layout)? {
            let name = live_name(&self.layout, id);
            if let Some(file) = found(self.disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? {
                listed.extend(read_entry(&*file, &name)?.into_iter().filter(|touched| touched.is_new));
            }
        }
        Ok(listed)
    }

    /// Every name in `live/` and `changes.jsonl` that can be read.
    fn everything_named(&self) -> Result<BTreeSet<Touched>> {
        let named = Mutex::new(BTreeSet::new());
        let note = |view: &View<'_>| {
            view.read_from(&view.end()?, Seq(1), |_, line| {
                lock_mutex(&named).insert(parse(&line.text())?);
                Ok(ControlFlow::Continue(()))
            })
        };
        for id in list_live(&*self.disk, &self.layout)? {
            let name = live_name(&self.layout, id);
            let Some(file) = found(self.disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? else {
                continue;
            };
            let bytes = file.stat().at("stat", &name.path)?.bytes;
            unless_damaged(note(&View::new(&*file, &name, bytes).confirmed()).map(Some))?;
        }
        unless_damaged(self.logs.on(LogKey::Changes, Purpose::Read, |log| log.read(note)))?;
        Ok(named.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn changes_after(&self, cursor: Position) -> Result<Option<(BTreeSet<Touched>, Position)>> {
        let mut touched = BTreeSet::new();
        for id in list_live(&*self.disk, &self.layout)? {
            let name = live_name(&self.layout, id);
            let Some(file) = found(self.disk.open(&name.path, OpenMode::Read)).at("open", &name.path)? else {
                continue;
            };
            touched.append(&mut read_entry(&*file, &name)?);
        }
        let read = self.logs.on(LogKey::Changes, Purpose::Read, |log| log.read(|view| read_changes(view, cursor)))?;
        let start = Position { seq: Seq::START, crc32c: 0 };
        let Some((mut moved, end)) = read.unwrap_or((cursor == start).then(|| (BTreeSet::new(), start))) else {
            return Ok(None);
        };
        touched.append(&mut moved);
        Ok(Some((touched, end)))
    }

    /// All that there is; and to whoever has been here before also what there was, as far as it can be read: deleted sessions.
    fn everything(&self, and_what_was: bool) -> Result<Changes> {
        // The cursor is taken first: what happens while the store is listed is then told again.
        let end = self.logs.on(LogKey::Changes, Purpose::Read, |log| log.read(|view| Ok(view.end()?.position())));
        let cursor = match end {
            Ok(end) => write_cursor(end.unwrap_or(Position { seq: Seq::START, crc32c: 0 })),
            Err(StoreError::Corrupt(_)) => ChangeCursor(String::new()),
            Err(error) => return Err(error),
        };
        let mut touched = if and_what_was { self.everything_named()? } else { BTreeSet::new() };
        for session in self.list_sessions()? {
            touched.insert(Touched::session(session));
            // Who has been here before has read something, and nobody knows what became of it.
            let told = if and_what_was { Touched::rewritten } else { Touched::segment };
            touched.extend(self.list_segments(session)?.into_iter().map(|segment| told(session, segment)));
        }
        Ok(to_changes(touched, cursor))
    }
}

/// Damage stops the reading of what was only ever derived, and nothing else.
fn unless_damaged(read: Result<Option<()>>) -> Result<()> {
    match read {
        Ok(_) | Err(StoreError::Corrupt(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What stands behind a cursor, and where that ends; `None` if the cursor is not one of this log.
fn read_changes(view: &View<'_>, cursor: Position) -> Result<Option<(BTreeSet<Touched>, Position)>> {
    let end = view.end()?;
    let mut touched = BTreeSet::new();
    if cursor.seq > end.seq {
        return Ok(None);
    }
    let mut genuine = cursor == Position { seq: Seq::START, crc32c: 0 };
    let first = cursor.seq.max(Seq(1));
    if end.seq < first {
        return Ok(genuine.then_some((touched, end.position())));
    }
    view.read_from(&end, first, |_, line| {
        if line.seq > cursor.seq {
            touched.insert(parse(&line.text())?);
        } else {
            genuine = line.crc32c == cursor.crc32c;
        }
        Ok(if genuine { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(genuine.then_some((touched, end.position())))
}

fn to_changes(touched: BTreeSet<Touched>, cursor: ChangeCursor) -> Changes {
    let sessions: BTreeSet<SessionId> = touched.iter().map(|touched| touched.session).collect();
    let segments: BTreeSet<(SessionId, SegmentId)> =
        touched.iter().filter_map(|touched| Some((touched.session, touched.segment?))).collect();
    let rewritten = touched.into_iter().filter(|touched| touched.is_rewritten);
    let rewritten = rewritten.filter_map(|touched| Some((touched.session, touched.segment?))).collect();
    Changes { sessions: sessions.into_iter().collect(), segments: segments.into_iter().collect(), rewritten, cursor }
}

fn write_cursor(position: Position) -> ChangeCursor {
    ChangeCursor(position.to_string())
}

fn parse_cursor(cursor: &ChangeCursor) -> Option<Position> {
    let (seq, crc32c) = cursor.0.split_once(':')?;
    let position = Position { seq: Seq(seq.parse().ok()?), crc32c: u32::from_str_radix(crc32c, 16).ok()? };
    (position.to_string() == cursor.0).then_some(position)
}
