//! Making many sessions at once, each whole: all are made under names of their own and synced together, and then each appears by one
//! rename.
//!
//! The order is that of a single creation (`create`), with one sync where that has one for each file and folder: everything that has to be on
//! stable storage before a log has its name is, before any of them has. The price is that a sync that fails fails all of them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::call::{self, Prepared, Slot};
use store_core::origin::{self, SegmentFacts};
use store_core::{
    Created, FactScope, NewSegment, NewSession, Position, Result, SegmentId, SegmentOrigin, Seq, SessionId, Store as _,
    StoreError,
};

use crate::disk::OpenMode;
use crate::error::At as _;
use crate::layout::{Layout, LogName};
use crate::live::Touched;
use crate::logs::LogKey;
use crate::record_log::{NewLine, RecordLog};
use crate::store::{FsStore, make_folder};

/// How many logs are open at once while their sessions are being made.
const OPEN_MAX: usize = 256;

/// A segment whose entries may be written.
struct Ready {
    segment: SegmentId,
    prepared: Vec<Prepared>,
    slots: Vec<Slot>,
    origin: Option<SegmentOrigin>,
}

/// A session that was made and has not appeared.
struct Staged {
    /// Its place in the call.
    at: usize,
    session: SessionId,
    folder: PathBuf,
    logs: Vec<RecordLog>,
    keys: Vec<LogKey>,
    answer: Vec<Vec<Position>>,
}

/// The sessions that appear together, and what has to be on stable storage before they do.
#[derive(Default)]
struct Round {
    staged: Vec<Staged>,
    segments: HashMap<SegmentId, SegmentFacts>,
    files: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
    open: usize,
}

impl FsStore {
    pub(crate) fn create_all(&self, sessions: &[NewSession]) -> Result<Vec<Created>> {
        let ready: Vec<Result<(Vec<Ready>, Vec<String>)>> = sessions.iter().map(prepare).collect();
        let _writing = self.before_first_write();
        for (segments, _) in ready.iter().flatten() {
            for origin in segments.iter().filter_map(|segment| segment.origin) {
                self.modernise_origin(&origin)?;
            }
        }
        let _create = self.lock_create()?;
        self.clear_leftovers_once();
        let mut answers: Vec<Created> = Vec::with_capacity(sessions.len());
        let mut round = Round::default();
        for (at, (new, ready)) in sessions.iter().zip(ready).enumerate() {
            let staged = match ready {
                Ok((segments, facts)) => {
                    let continues = |segment: &Ready| segment.origin.is_some_and(|origin| round.has(origin.session_id));
                    if round.open + segments.len() >= OPEN_MAX
                        || segments.iter().any(continues)
                        || round.has(new.session)
                    {
                        self.settle(&mut round, &mut answers)?;
                    }
                    self.stage(&mut round, at, new.session, &segments, &facts)
                }
                Err(error) => Err(error),
            };
            answers.push(staged.map(|()| Vec::new()));
        }
        self.settle(&mut round, &mut answers)?;
        Ok(answers)
    }

    /// What others continue is in a layout that can be synced, maintained and counted on.
    fn modernise_origin(&self, origin: &SegmentOrigin) -> Result<()> {
        if self.lookup_session_of(origin.segment_id)? == Some(origin.session_id) {
            self.modernise(origin.session_id, origin.segment_id)?;
        }
        Ok(())
    }

    /// Makes a session under a name of its own. Nothing of it is left if it is refused.
    fn stage(
        &self,
        round: &mut Round,
        at: usize,
        session: SessionId,
        segments: &[Ready],
        facts: &[String],
    ) -> Result<()> {
        let first = segments.first().map_or(SegmentId::from_bytes(*session.as_bytes()), |first| first.segment);
        if self.exists(session)? {
            return Err(StoreError::AlreadyExists { session, segment: first });
        }
        let known = self.check_segments(round, session, segments)?;
        let folder = self.layout.new_name();
        self.disk.create_folder(&folder).at("create", &folder)?;
        let staged = Staged { at, session, folder, logs: Vec::new(), keys: Vec::new(), answer: Vec::new() };
        match self.write_staged(round, staged, segments, facts) {
            Ok(staged) => {
                round.open += staged.logs.len();
                round.staged.push(staged);
                round.segments.extend(known);
                Ok(())
            }
            Err((folder, error)) => {
                // What stays is a leftover, and is cleared away with the others.
                let _ = self.clear_away(&folder);
                Err(error)
            }
        }
    }

    /// Refuses what the store, or the round, does not take; answers with what the segments will be.
    fn check_segments(
        &self,
        round: &Round,
        session: SessionId,
        segments: &[Ready],
    ) -> Result<HashMap<SegmentId, SegmentFacts>> {
        let mut known: HashMap<SegmentId, SegmentFacts> = HashMap::new();
        for Ready { segment, prepared, slots, origin } in segments {
            let own = known.get(segment).or_else(|| round.segments.get(segment)).map(|facts| facts.session);
            let holder = match own {
                Some(holder) => Some(holder),
                None => self.session_of(*segment)?,
            };
            if let Some(session) = holder {
                return Err(StoreError::AlreadyExists { session, segment: *segment });
            }
            if let Some(start) = prepared.first().and_then(|first| first.start.as_deref()) {
                origin::check_origin(*segment, start, |id| match known.get(&id) {
                    Some(facts) => Ok(Some(facts.clone())),
                    None => self.facts_of_segment(id),
                })?;
            }
            let entry_count = call::entries_to_write(prepared, slots).len() as u64;
            known.insert(*segment, SegmentFacts { session, entry_count, origin: *origin });
        }
        Ok(known)
    }

    fn write_staged(
        &self,
        round: &mut Round,
        mut staged: Staged,
        segments: &[Ready],
        facts: &[String],
    ) -> Result<Staged, (PathBuf, StoreError)> {
        let session = staged.session;
        let done = segments.iter().try_for_each(|ready| {
            self.make_way(round, session, ready)?;
            let path = Layout::log_in(&staged.folder, ready.segment);
            let writes = call::entries_to_write(&ready.prepared, &ready.slots);
            let lines: Vec<NewLine<'_>> =
                writes.iter().map(|entry| NewLine { key: entry.key.as_deref(), text: entry.text.as_bytes() }).collect();
            let written = self.write_staged_log(&mut staged, Self::new_log_name(&path, ready.segment), &[&lines])?;
            staged.keys.push(LogKey::Segment(session, ready.segment));
            staged.answer.push(call::answer(&ready.slots, &written));
            Ok(())
        });
        let done = done.and_then(|()| {
            if facts.is_empty() {
                return Ok(());
            }
            let name = self.layout.session_facts_name(session).moved_to(&staged.folder);
            let lines: Vec<[NewLine<'_>; 1]> =
                facts.iter().map(|text| [NewLine { key: None, text: text.as_bytes() }]).collect();
            let calls: Vec<&[NewLine<'_>]> = lines.iter().map(<[_; 1]>::as_slice).collect();
            self.write_staged_log(&mut staged, name, &calls)?;
            staged.keys.push(LogKey::Facts(FactScope::Session(session)));
            Ok(())
        });
        match done {
            Ok(()) => {
                round.files.extend(staged.logs.iter().map(|log| log.path().to_owned()));
                round.folders.insert(staged.folder.clone());
                Ok(staged)
            }
            Err(error) => Err((staged.folder, error)),
        }
    }

    /// Makes what leads to a segment's log.
    fn make_way(&self, round: &mut Round, session: SessionId, ready: &Ready) -> Result<()> {
        self.make_lasting(round, self.layout.by_segment_root())?;
        self.make_lasting(round, self.layout.by_segment_folder(ready.segment))?;
        self.make_look_up(session, ready.segment)?;
        round.files.insert(self.layout.by_segment(ready.segment));
        if let Some(origin) = &ready.origin {
            if origin.session_id != session {
                self.sync_origin(origin)?;
            }
            self.make_lasting(round, self.layout.by_origin_root())?;
            self.make_lasting(round, self.layout.by_origin_folder(origin.segment_id))?;
            self.make_by_origin(origin.segment_id, ready.segment)?;
        }
        Ok(())
    }

    /// Makes a folder of the store's own if it is not there. Its name and those in it are to last with the round.
    fn make_lasting(&self, round: &mut Round, folder: PathBuf) -> Result<()> {
        if !round.folders.contains(&folder) {
            make_folder(&*self.disk, &folder)?;
            // Also where it stood already: whoever made it may not have come to syncing its name.
            round.folders.extend(folder.parent().map(Path::to_owned));
            round.folders.insert(folder);
        }
        Ok(())
    }

    /// Writes a log that has no write bits until its name is on stable storage, so that whoever finds it sooner sees to that first.
    fn write_staged_log(&self, staged: &mut Staged, name: LogName, calls: &[&[NewLine<'_>]]) -> Result<Vec<Position>> {
        let path = name.path.clone();
        let file = self.disk.open(&path, OpenMode::CreateNew).at("create", &path)?;
        let log = RecordLog::new(Arc::clone(&self.disk), name, file, Some(Seq::START), None)?;
        let written = log.with_lock(|log| {
            let mut written = Vec::new();
            for lines in calls {
                written.extend(log.write(lines)?);
            }
            Ok(written)
        })?;
        let positions = written.ok_or_else(|| StoreError::backend("a log that was being made is gone"))?;
        log.protect()?;
        staged.logs.push(log);
        Ok(positions)
    }

    /// Lets what was made appear, when all of it is on stable storage.
    fn settle(&self, round: &mut Round, answers: &mut [Created]) -> Result<()> {
        let Round { staged, files, folders, .. } = std::mem::take(round);
        if staged.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.make_last(&staged, files, &folders) {
            staged.iter().for_each(|staged| drop(self.clear_away(&staged.folder)));
            return Err(error);
        }
        let mut appeared = Vec::with_capacity(staged.len());
        for staged in staged {
            let named = self.disk.rename(&staged.folder, &self.layout.session(staged.session));
            match named.at("rename", &staged.folder) {
                Ok(()) => appeared.push(staged),
                Err(error) => {
                    let _ = self.clear_away(&staged.folder);
                    answers[staged.at] = Err(error);
                }
            }
        }
        self.disk.sync_folder(self.layout.root()).at("sync", self.layout.root())?;
        for Staged { at, logs, keys, answer, .. } in appeared {
            logs.iter().try_for_each(RecordLog::unprotect)?;
            for key in keys {
                if let LogKey::Segment(session, segment) = key {
                    self.live.made(session, segment);
                }
                self.logs.is_made(key);
            }
            answers[at] = Ok(answer);
        }
        Ok(())
    }

    /// Returns when the sessions are listed in this handle's entry of `live/`, and that and all of them is on stable storage.
    fn make_last(&self, staged: &[Staged], mut files: BTreeSet<PathBuf>, folders: &BTreeSet<PathBuf>) -> Result<()> {
        let touched: Vec<Touched> = staged
            .iter()
            .flat_map(|staged| staged.keys.iter().map(|key| (staged.session, *key)))
            .map(|(session, key)| match key {
                LogKey::Segment(_, segment) => Touched::new_segment(session, segment),
                _ => Touched::session(session),
            })
            .collect();
        self.live.touch_all(&*self.disk, &self.layout, &touched, |live| {
            files.insert(live.to_owned());
            let files: Vec<PathBuf> = files.into_iter().collect();
            let folders: Vec<PathBuf> = folders.iter().cloned().collect();
            self.disk.sync_all(self.layout.root(), &files, &folders)
        })
    }
}

impl Round {
    fn has(&self, session: SessionId) -> bool {
        self.staged.iter().any(|staged| staged.session == session)
    }
}

fn prepare(new: &NewSession) -> Result<(Vec<Ready>, Vec<String>)> {
    new.check(false)?;
    let segments = new.segments.iter().map(|NewSegment { segment, entries }| {
        let prepared = call::prepare_create(new.session, entries)?;
        let slots = call::resolve_keys(&prepared, |_| Ok(None))?;
        let start = prepared.first().and_then(|first| first.start.as_deref());
        let origin = start.and_then(|start| start.origin().copied());
        Ok(Ready { segment: *segment, prepared, slots, origin })
    });
    let facts = new.facts.iter().map(call::prepare_fact);
    Ok((segments.collect::<Result<_>>()?, facts.collect::<Result<_>>()?))
}
