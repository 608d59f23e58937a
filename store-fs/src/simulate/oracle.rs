//! What must be true of a store after a crash, whatever the crash left.
//!
//! Everything here reads through the contract, or reads bytes that `docs/FORMAT.md` describes on its own. Nothing is excused: what a
//! reader is told of a store that no medium has spoilt is never `Corrupt`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use store_core::{Durability, LogEntry, SegmentId, SegmentOrigin, SessionId, Store as _};

use super::disk::{SimDisk, Snapshot};
use super::machine::{Machine, Setting, open};
use super::picture::{list_logs, read_texts};
use super::record::{Entry, History, Kept, LogId, Picture, Record};
use super::tally::Tally;
use super::tree::{Tree, bytes_of, differing, is_leftover, is_quarantined, name_of, newest_part, valid_length};
use crate::{EventKind, FsStore, Hole, OpenAs};

type Check<T = ()> = Result<T, String>;

/// What a store was found to hold.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) picture: Picture,
    /// What segments continue.
    pub(super) origins: BTreeMap<SegmentId, SegmentOrigin>,
    /// What a power loss left behind the ends of segments.
    pub(super) holes: BTreeMap<SegmentId, Hole>,
}

/// What a recovery did, to be crashed in turn.
pub(super) struct Recovery {
    pub(super) seen: Seen,
    /// The disk before it.
    before: Tree,
    pub(super) record: Record,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) number: u64,
}

impl Seen {
    /// A record that begins with what was seen, all of which is on stable storage.
    pub(super) fn to_record(&self) -> Record {
        Record::beginning_with(&self.picture, &self.origins)
    }
}

/// Checks everything about what a crash left, and recovers it.
pub(super) fn examine(
    (record, mark): (&Record, usize),
    kept: Kept,
    disk: &SimDisk,
    (number, setting): (u64, Setting),
    tally: &mut Tally,
) -> Check<Recovery> {
    let before = disk.tree();
    let store =
        open(Arc::new(disk.start_process()), OpenAs::Shared, setting).map_err(|error| format!("opening: {error}"))?;
    let seen = observe(&store, &before)?;
    tally.holes += seen.holes.len() as u64;
    check_logs_untouched(&before, &disk.tree(), &seen)?;
    hold_against(&record.until(mark), kept, &seen, &store)?;
    check_changes(record, mark, &seen, &store, tally)?;
    drop(store);
    let recovery = recover(seen, before, disk, number, setting)?;
    check_recovered(&recovery, disk, (number, setting.honest()), tally)?;
    Ok(recovery)
}

/// What stands on a disk, without changing anything of it.
pub(super) fn look(disk: &SimDisk) -> Check<Seen> {
    let store = open(Arc::new(disk.start_process()), OpenAs::ReadOnly, Setting::default())
        .map_err(|error| format!("opening: {error}"))?;
    observe(&store, &disk.tree())
}

/// Reads all that a store holds, in every way that there is.
fn observe(store: &FsStore, tree: &Tree) -> Check<Seen> {
    let mut seen = Seen::default();
    for log in list_logs(store).map_err(|error| format!("listing: {error}"))? {
        let texts = read_texts(store, log).map_err(|error| format!("reading {log:?}: {error}"))?;
        if let LogId::Segment(session, segment) = log {
            if let Some(Ok(LogEntry::SegmentStart(start))) = texts.first().map(|text| LogEntry::from_text(text)) {
                seen.origins.extend(start.origin().map(|origin| (segment, *origin)));
            }
            let found = store.lookup_session_of(segment).map_err(|error| format!("looking up {segment}: {error}"))?;
            if found != Some(session) {
                return Err(format!("{segment} is listed in {session} and looked up in {found:?}"));
            }
            let count = store.read_entry_count(session, segment).map_err(|error| error.to_string())?;
            let tail = store.read_tail(session, segment, 2).map_err(|error| error.to_string())?;
            let tail: Vec<String> = tail.into_iter().map(|record| record.text).collect();
            if count != texts.len() as u64 || tail != texts[texts.len().saturating_sub(2)..] {
                return Err(format!("{segment}: {count} entries counted, {} read, tail {tail:?}", texts.len()));
            }
            let hole = store.hole(session, segment).map_err(|error| error.to_string())?;
            check_hole(log, hole, tree)?;
            seen.holes.extend(hole.map(|hole| (segment, hole)));
        }
        seen.picture.insert(log, texts);
    }
    check_index(store, &seen)?;
    Ok(seen)
}

/// What stands behind the last whole call is a hole exactly where it has zeros.
fn check_hole(log: LogId, hole: Option<Hole>, tree: &Tree) -> Check {
    let bytes = bytes_of(tree, log);
    let length = valid_length(log, &bytes);
    let (part, sealed) = newest_part(tree, log);
    let stands = bytes[length..].contains(&0).then(|| (part, length - sealed, bytes.len() - length));
    let stands = stands.map(|(part, offset, bytes)| (part, offset as u64, bytes as u64));
    let told = hole.map(|hole| (hole.part, hole.offset, hole.bytes));
    if stands == told { Ok(()) } else { Err(format!("{log:?} has a hole at {stands:?}, and {told:?} is told")) }
}

/// What leads to logs is in step with them.
fn check_index(store: &FsStore, seen: &Seen) -> Check {
    for (child, origin) in &seen.origins {
        let children = store.children_of(origin.segment_id).map_err(|error| error.to_string())?;
        if !children.contains(child) {
            return Err(format!("{child} continues {}, which does not know it", origin.segment_id));
        }
    }
    let listed: BTreeSet<_> = seen.picture.keys().filter_map(|log| log.session()).collect();
    for session in listed {
        if !seen.picture.keys().any(|log| matches!(log, LogId::Segment(of, _) if *of == session)) {
            return Err(format!("session {session} is listed and has no segment"));
        }
    }
    // Nobody takes a log away here: what a crash leaves must not look so.
    match store.lost_segments(None).map_err(|error| error.to_string())?.first() {
        Some((session, segment)) => Err(format!("the log of {segment} of {session} is told to be gone")),
        None => Ok(()),
    }
}

/// Opening and reading changes no log.
fn check_logs_untouched(before: &Tree, after: &Tree, seen: &Seen) -> Check {
    for log in seen.picture.keys() {
        if bytes_of(before, *log) != bytes_of(after, *log) {
            return Err(format!("opening or reading changed {log:?}"));
        }
    }
    Ok(())
}

fn hold_against(history: &History<'_>, kept: Kept, seen: &Seen, store: &FsStore) -> Check {
    let (origins, facts) = (history.origins(), history.first_facts());
    let mut created = BTreeMap::new();
    for (log, texts) in &seen.picture {
        match *log {
            LogId::Segment(session, segment) => {
                let at = history.check_segment(session, segment, texts, kept)?;
                created.insert(segment, at);
                check_origin(&origins, texts, seen)?;
                check_whole(&facts, session, texts, seen)?;
            }
            LogId::Facts(session) => history.check_facts(session, texts, kept)?,
            LogId::Trace(..) => {}
        }
    }
    for (log, texts) in &seen.picture {
        if let LogId::Trace(_, segment) = *log
            && let Some(at) = created.get(&segment)
        {
            history.check_log(*log, *at, texts, kept)?;
        }
    }
    for segment in history.segments() {
        if !seen.picture.keys().any(|log| matches!(log, LogId::Segment(_, of) if *of == segment)) {
            history.check_absent(segment, kept)?;
            let found = store.lookup_session_of(segment).map_err(|error| error.to_string())?;
            if let Some(session) = found {
                return Err(format!("{segment} is looked up in {session} and not listed"));
            }
        }
    }
    let blobs = history.blobs();
    for reference in seen.picture.values().flatten().filter_map(|text| blobs.get(text.as_str())) {
        store.get_blob(reference).map_err(|error| format!("an entry refers to it: {error}"))?;
    }
    Ok(())
}

/// What a segment continues must not be lost while the segment stays.
fn check_origin(origins: &BTreeMap<&str, SegmentOrigin>, texts: &[String], seen: &Seen) -> Check {
    let Some(origin) = texts.first().and_then(|text| origins.get(text.as_str())) else { return Ok(()) };
    let count = seen.picture.get(&LogId::Segment(origin.session_id, origin.segment_id)).map_or(0, Vec::len);
    if (count as u64) < origin.seq.0 {
        return Err(format!("a segment continues {} at {}, and that has {count}", origin.segment_id, origin.seq));
    }
    Ok(())
}

/// A session that was made together with what is said of it is never there without that.
fn check_whole(facts: &BTreeMap<&str, &str>, session: SessionId, texts: &[String], seen: &Seen) -> Check {
    let Some(fact) = texts.first().and_then(|text| facts.get(text.as_str())) else { return Ok(()) };
    let said = seen.picture.get(&LogId::Facts(Some(session)));
    let is_said = said.is_some_and(|said| said.iter().any(|text| text == fact));
    if is_said { Ok(()) } else { Err(format!("session {session} is there without what is said of it: {fact}")) }
}

/// Checks that whoever asks from a place that was known before is told of all that differs from what was there then.
fn check_changes(record: &Record, mark: usize, seen: &Seen, store: &FsStore, tally: &mut Tally) -> Check {
    for place in record.places.iter().filter(|place| place.mark <= mark) {
        let changes = store.changes(Some(&place.cursor)).map_err(|error| format!("changes: {error}"))?;
        tally.cursors += 1;
        let logs: BTreeSet<LogId> = place.picture.keys().chain(seen.picture.keys()).copied().collect();
        for log in logs {
            let (then, now) = (place.picture.get(&log), seen.picture.get(&log));
            let is_named = match log {
                LogId::Segment(session, segment) if now.is_some() => changes.segments.contains(&(session, segment)),
                LogId::Segment(session, _) | LogId::Facts(Some(session)) => changes.sessions.contains(&session),
                LogId::Facts(None) | LogId::Trace(..) => true,
            };
            let is_missing = |texts: Option<&Vec<String>>| texts.is_none_or(Vec::is_empty);
            if then != now && !(is_missing(then) && is_missing(now)) && !is_named {
                let lengths = (then.map(Vec::len), now.map(Vec::len));
                return Err(format!("{log:?} changed since {:?} and is not named: {lengths:?}", place.cursor));
            }
        }
    }
    Ok(())
}

/// The first append to everything, by one process, which is then closed.
fn recover(seen: Seen, before: Tree, disk: &SimDisk, number: u64, setting: Setting) -> Check<Recovery> {
    disk.keep_snapshots();
    let record = seen.to_record();
    let mut machine = Machine::new(disk.clone(), record, number, setting);
    append_everywhere(&mut machine, &seen);
    // What stopped creations left is cleared away before the next one.
    machine.make_another();
    machine.close();
    let (number, snapshots) = (machine.number(), disk.take_snapshots());
    match machine.complaints.first() {
        Some(complaint) => Err(format!("recovering: {complaint}")),
        None => Ok(Recovery { seen, before, record: machine.record, snapshots, number }),
    }
}

fn append_everywhere(machine: &mut Machine, seen: &Seen) {
    for log in seen.picture.keys() {
        match *log {
            LogId::Segment(session, segment) => {
                let text = machine.text("note", 10);
                machine.append_once(0, session, segment, &[Entry::plain(text)], Some(Durability::Buffered));
            }
            LogId::Facts(session) => machine.fact(0, session),
            LogId::Trace(session, segment) => machine.trace(0, session, segment),
        }
    }
}

/// One recovery leaves nothing for a second, and has kept and recorded what it took out.
fn check_recovered(recovery: &Recovery, disk: &SimDisk, (number, setting): (u64, Setting), tally: &mut Tally) -> Check {
    let after = disk.tree();
    let has_touched = recovery.seen.picture.keys().any(|log| log.session().is_some());
    if let Some(path) = after.keys().find(|path| is_leftover(path, has_touched)) {
        return Err(format!("{} is left over", path.display()));
    }
    check_taken_out(recovery, &after, tally)?;
    let store = open(Arc::new(disk.start_process()), OpenAs::Shared, setting)
        .map_err(|error| format!("opening again: {error}"))?;
    let seen = observe(&store, &after)?;
    if let Some((segment, hole)) = seen.holes.first_key_value() {
        return Err(format!("{segment} still has a hole: {hole:?}"));
    }
    hold_against(&recovery.record.until(usize::MAX), Kept::Acknowledged, &seen, &store)?;
    check_recorded(recovery, &store)?;
    drop(store);
    let again = disk.tree();
    if let Some(path) = differing(&after, &again).next() {
        return Err(format!("opening a second time changed {}", path.display()));
    }
    let mut machine = Machine::new(disk.clone(), Record::default(), number + 1_000_000, setting);
    append_everywhere(&mut machine, &seen);
    machine.close();
    let last = disk.tree();
    for log in seen.picture.keys() {
        if !bytes_of(&last, *log).starts_with(&bytes_of(&after, *log)) {
            return Err(format!("a second recovery changed {log:?}"));
        }
    }
    let quarantined = |tree: &Tree| tree.keys().filter(|path| is_quarantined(path)).count();
    if quarantined(&last) != quarantined(&after) {
        return Err("a second recovery took something out".to_owned());
    }
    Ok(())
}

/// Each hole that was taken out stands in the record of what was done.
fn check_recorded(recovery: &Recovery, store: &FsStore) -> Check {
    let events = store.events().map_err(|error| format!("reading what was done: {error}"))?;
    for (of, hole) in &recovery.seen.holes {
        let is_recorded = events.iter().any(|event| match &event.what {
            EventKind::HoleTakenOut { segment, offset, bytes, .. } => {
                *segment == Some(*of) && (*offset, *bytes) == (hole.offset, hole.bytes)
            }
            _ => false,
        });
        if !is_recorded {
            return Err(format!("the hole in {of} was taken out and not recorded: {hole:?}"));
        }
    }
    Ok(())
}

/// What stood behind the last whole call of a log stands in quarantine if it does not stand in the log any more.
fn check_taken_out(recovery: &Recovery, after: &Tree, tally: &mut Tally) -> Check {
    for log in recovery.seen.picture.keys() {
        let (was, is) = (bytes_of(&recovery.before, *log), bytes_of(after, *log));
        if is.starts_with(&was) || !after.contains_key(&name_of(*log).path) {
            continue;
        }
        let cut = valid_length(*log, &was);
        let kept = after
            .iter()
            .filter(|(path, _)| is_quarantined(path))
            .any(|(_, bytes)| bytes.as_deref() == Some(&was[cut..]));
        if !kept {
            return Err(format!("{log:?}: {} bytes from {cut} on were taken out and not kept", was.len() - cut));
        }
        tally.taken_out += 1;
    }
    Ok(())
}

impl Recovery {
    /// Whether there was something to take out.
    pub(super) fn has_taken_out(&self) -> bool {
        self.seen.picture.keys().any(|log| {
            let bytes = bytes_of(&self.before, *log);
            valid_length(*log, &bytes) < bytes.len()
        })
    }

    /// Checks that a crash in the middle of the recovery has lost none of what it was to keep.
    pub(super) fn check_interrupted(&self, disk: &SimDisk) -> Check {
        check_taken_out(self, &disk.tree(), &mut Tally::default())
    }
}
