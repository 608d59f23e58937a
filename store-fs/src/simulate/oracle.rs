//! What must be true of a store after a crash, whatever the crash left.
//!
//! Everything here reads through the contract, or reads bytes that `docs/FORMAT.md` describes on its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::codec::{LogContext, decode_line};
use store_core::{Durability, LogEntry, SegmentId, SegmentOrigin, Store as _, StoreError};

use super::disk::{SimDisk, Snapshot};
use super::lies::Lie;
use super::machine::{Machine, STORE, list_logs, open, read_texts};
use super::record::{Entry, History, Kept, LogId, Picture, Record};
use super::tally::Tally;
use crate::layout::{Layout, LogName};
use crate::{FsStore, OpenAs};

type Check<T = ()> = Result<T, String>;
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What a store was found to hold.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) picture: Picture,
    /// What segments continue.
    pub(super) origins: BTreeMap<SegmentId, SegmentOrigin>,
    /// How many texts of a log stand in whole lines: a last line that lacks its closing bytes is not safe before it has them.
    closed: BTreeMap<LogId, usize>,
    /// Logs with zeros in them; the picture has what stands before.
    pub(super) holed: BTreeSet<LogId>,
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

fn layout() -> Layout {
    Layout::new(Path::new(STORE))
}

fn name_of(log: LogId) -> LogName {
    match log {
        LogId::Segment(session, segment) => layout().log_name(session, segment),
        LogId::Trace(session, segment) => layout().trace_name(session, segment),
        LogId::Facts(Some(session)) => layout().session_facts_name(session),
        LogId::Facts(None) => layout().facts_name(),
    }
}

fn bytes_of(tree: &Tree, log: LogId) -> &[u8] {
    tree.get(&name_of(log).path).and_then(Option::as_deref).unwrap_or_default()
}

/// What a line may lack at its end, without its newline.
const CLOSINGS: [&[u8]; 3] = [b"", b"}", b"\"}"];

/// The texts of the whole calls that a log begins with, and how many bytes they take, read from the bytes alone.
fn whole_calls(context: &LogContext, bytes: &[u8]) -> (Vec<String>, usize) {
    let (mut texts, mut counted, mut length, mut at) = (Vec::new(), 0, 0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        // Where a line's closing bytes were lost with what came behind it, the line is there.
        let end = line.iter().position(|byte| matches!(byte, 0 | b'\n')).unwrap_or(line.len());
        let closed = CLOSINGS.map(|closing| [&line[..end], closing].concat());
        let decoded = closed.iter().find_map(|line| decode_line(context, line).ok());
        let is_whole = line[end..] == *b"\n" && decode_line(context, &line[..end]).is_ok();
        let Some(line) = decoded.filter(|_| is_whole || line[end..].starts_with(b"\0")) else { break };
        texts.push(line.text());
        if line.seq.0 != texts.len() as u64 {
            break;
        }
        if line.more == 0 {
            (counted, length) = (texts.len(), at);
        }
    }
    texts.truncate(counted);
    (texts, length)
}

/// Where what counts of a log ends: a last line that lacks only its closing bytes counts.
fn valid_length(log: LogId, bytes: &[u8]) -> usize {
    let context = name_of(log).context;
    let (_, length) = whole_calls(&context, bytes);
    for closing in ["\n", "}\n", "\"}\n"] {
        let closed = [bytes, closing.as_bytes()].concat();
        if whole_calls(&context, &closed).1 == closed.len() {
            return bytes.len();
        }
    }
    length
}

impl Seen {
    /// A record that begins with what was seen.
    pub(super) fn to_record(&self) -> Record {
        let mut record = Record::beginning_with(&self.picture, &self.closed, &self.origins);
        record.holed.clone_from(&self.holed);
        record
    }
}

/// Checks everything about what a crash left, and recovers it.
pub(super) fn examine(
    (record, mark): (&Record, usize),
    kept: Kept,
    disk: &SimDisk,
    (number, lie): (u64, Option<Lie>),
    tally: &mut Tally,
) -> Check<Recovery> {
    let before = disk.tree();
    let store = open(Arc::new(disk.start_process()), OpenAs::Shared).map_err(|error| format!("opening: {error}"))?;
    let seen = observe(&store, &before, tally)?;
    check_logs_untouched(&before, &disk.tree(), &seen)?;
    hold_against(&record.until(mark), kept, &seen, &store)?;
    check_changes(record, mark, (&seen, &before), &store, tally)?;
    drop(store);
    let recovery = recover(seen, before, disk, number, lie)?;
    check_recovered(&recovery, disk, number, tally)?;
    Ok(recovery)
}

/// Reads all that a store holds, in every way that there is.
fn observe(store: &FsStore, tree: &Tree, tally: &mut Tally) -> Check<Seen> {
    let mut seen =
        Seen { picture: Picture::new(), origins: BTreeMap::new(), closed: BTreeMap::new(), holed: BTreeSet::new() };
    let logs = list_logs(store).map_err(|error| format!("listing: {error}"))?;
    for log in logs {
        let bytes = bytes_of(tree, log);
        let texts = match read_texts(store, log) {
            Ok(texts) => texts,
            Err(StoreError::Corrupt(_)) if bytes.contains(&0) => {
                tally.holes_refused += 1;
                seen.holed.insert(log);
                match log {
                    LogId::Trace(..) => texts_of_side_log(log, bytes),
                    LogId::Facts(_) => texts_of_side_log(log, bytes),
                    LogId::Segment(..) => whole_calls(&name_of(log).context, bytes).0,
                }
            }
            Err(error) => return Err(format!("reading {log:?}: {error}")),
        };
        if bytes.contains(&0) && !seen.holed.contains(&log) {
            tally.holes_taken_for_torn += 1;
        }
        if let LogId::Segment(session, segment) = log {
            if let Some(Ok(LogEntry::SegmentStart(start))) = texts.first().map(|text| LogEntry::from_text(text)) {
                seen.origins.extend(start.origin().map(|origin| (segment, *origin)));
            }
            let found = store.lookup_session_of(segment).map_err(|error| format!("looking up {segment}: {error}"))?;
            if found != Some(session) {
                return Err(format!("{segment} is listed in {session} and looked up in {found:?}"));
            }
            if !seen.holed.contains(&log) {
                let count = store.read_entry_count(session, segment).map_err(|error| error.to_string())?;
                let tail = store.read_tail(session, segment, 2).map_err(|error| error.to_string())?;
                let tail: Vec<String> = tail.into_iter().map(|record| record.text).collect();
                if count != texts.len() as u64 || tail != texts[texts.len().saturating_sub(2)..] {
                    return Err(format!("{segment}: {count} entries counted, {} read, tail {tail:?}", texts.len()));
                }
            }
        }
        seen.closed.insert(log, whole_calls(&name_of(log).context, bytes).0.len());
        seen.picture.insert(log, texts);
    }
    let listed: BTreeSet<_> = seen.picture.keys().filter_map(|log| log.session()).collect();
    for session in listed {
        if !seen.picture.keys().any(|log| matches!(log, LogId::Segment(of, _) if *of == session)) {
            return Err(format!("session {session} is listed and has no segment"));
        }
    }
    Ok(seen)
}

fn texts_of_side_log(log: LogId, bytes: &[u8]) -> Vec<String> {
    let (texts, _) = whole_calls(&name_of(log).context, bytes);
    let told = |text: String| match log {
        LogId::Trace(..) => serde_json::from_str(&text).ok().map(|trace| super::machine::trace_text(&trace)),
        _ => serde_json::from_str(&text).ok().map(|fact| super::machine::fact_text(&fact)),
    };
    texts.into_iter().filter_map(told).collect()
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
    let origins = history.origins();
    let mut created = BTreeMap::new();
    for (log, texts) in seen.picture.iter().filter(|(log, _)| !history.holed.contains(log)) {
        match *log {
            LogId::Segment(session, segment) if !(texts.is_empty() && seen.holed.contains(log)) => {
                let at = history.check_segment(session, segment, texts, kept)?;
                created.insert(segment, at);
                check_origin(&origins, texts, seen)?;
            }
            LogId::Facts(session) => history.check_facts(session, texts, kept)?,
            LogId::Segment(..) | LogId::Trace(..) => {}
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

/// Checks that whoever asks from a place that was known before is told of all that differs from what was there then.
fn check_changes(
    record: &Record,
    mark: usize,
    (seen, tree): (&Seen, &Tree),
    store: &FsStore,
    tally: &mut Tally,
) -> Check {
    let is_holed = tree.iter().any(|(path, bytes)| tells_changes(path) && has_zeros(bytes));
    for place in record.places.iter().filter(|place| place.mark <= mark) {
        let changes = store.changes(Some(&place.cursor)).map_err(|error| format!("changes: {error}"))?;
        tally.cursors += 1;
        let holed = |log: &LogId| record.holed.contains(log) || seen.holed.contains(log);
        let logs: BTreeSet<LogId> = place.picture.keys().chain(seen.picture.keys()).copied().collect();
        for log in logs.into_iter().filter(|log| !holed(log)) {
            let (then, now) = (place.picture.get(&log), seen.picture.get(&log));
            let is_named = match log {
                LogId::Segment(session, segment) if now.is_some() => changes.segments.contains(&(session, segment)),
                LogId::Segment(session, _) | LogId::Facts(Some(session)) => changes.sessions.contains(&session),
                LogId::Facts(None) | LogId::Trace(..) => true,
            };
            if is_holed && now.is_none() && !is_named {
                // Whoever cannot say what changed names everything there is, which a deleted session is not.
                tally.deletions_unnamed += 1;
                continue;
            }
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
fn recover(seen: Seen, before: Tree, disk: &SimDisk, number: u64, lie: Option<Lie>) -> Check<Recovery> {
    disk.keep_snapshots();
    let record = seen.to_record();
    let mut machine = Machine::new(disk.clone(), record, number, lie);
    append_everywhere(&mut machine, &seen);
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
            LogId::Trace(..) => {}
        }
    }
}

/// One recovery leaves nothing for a second, and has kept what it took out.
fn check_recovered(recovery: &Recovery, disk: &SimDisk, number: u64, tally: &mut Tally) -> Check {
    let after = disk.tree();
    // Whoever touches something looks for dead handles; nothing else does.
    let has_touched = recovery.seen.picture.keys().any(|log| log.session().is_some());
    check_no_leftovers(&after, has_touched, tally)?;
    check_taken_out(recovery, &after, tally)?;
    let store = open(Arc::new(disk.start_process()), OpenAs::Shared).map_err(|error| format!("opening again: {error}"))?;
    let mut nothing = Tally::default();
    let seen = observe(&store, &after, &mut nothing)?;
    hold_against(&recovery.record.until(usize::MAX), Kept::Acknowledged, &seen, &store)?;
    drop(store);
    let again = disk.tree();
    if let Some(path) = differing(&after, &again).next() {
        return Err(format!("opening a second time changed {}", path.display()));
    }
    let mut machine = Machine::new(disk.clone(), Record::default(), number + 1_000_000, None);
    machine.record.holed.clone_from(&seen.holed);
    append_everywhere(&mut machine, &seen);
    machine.close();
    let last = disk.tree();
    for log in seen.picture.keys().filter(|log| !seen.holed.contains(log)) {
        if !bytes_of(&last, *log).starts_with(bytes_of(&after, *log)) {
            return Err(format!("a second recovery changed {log:?}"));
        }
    }
    let quarantined = |tree: &Tree| tree.keys().filter(|path| is_quarantined(path)).count();
    if seen.holed.is_empty() && quarantined(&last) != quarantined(&after) {
        return Err("a second recovery took something out".to_owned());
    }
    Ok(())
}

fn differing<'a>(one: &'a Tree, other: &'a Tree) -> impl Iterator<Item = &'a PathBuf> {
    let gone = one.iter().filter(|(path, bytes)| other.get(*path) != Some(bytes)).map(|(path, _)| path);
    gone.chain(other.keys().filter(|path| !one.contains_key(*path)))
}

fn has_zeros(bytes: &Option<Vec<u8>>) -> bool {
    bytes.as_deref().is_some_and(|bytes| bytes.contains(&0))
}

/// Whether a file is one from which changes are told.
fn tells_changes(path: &Path) -> bool {
    path == layout().changes_name().path || path.starts_with(layout().live_root())
}

fn is_quarantined(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|name| name == "quarantine")
}

fn check_no_leftovers(tree: &Tree, has_touched: bool, tally: &mut Tally) -> Check {
    for (path, bytes) in tree {
        let text = path.to_string_lossy();
        if text.contains("/live/")
            && (has_zeros(bytes) || tree.get(&layout().changes_name().path).is_some_and(has_zeros))
        {
            tally.live_holes += 1;
            continue;
        }
        if text.contains("/.new-") || (has_touched && text.contains("/live/")) {
            return Err(format!("{text} is left over"));
        }
    }
    Ok(())
}

/// What stood behind the last whole call of a log stands in quarantine if it does not stand in the log any more.
fn check_taken_out(recovery: &Recovery, after: &Tree, tally: &mut Tally) -> Check {
    for log in recovery.seen.picture.keys().filter(|log| !recovery.seen.holed.contains(log)) {
        let (was, is) = (bytes_of(&recovery.before, *log), bytes_of(after, *log));
        if is.starts_with(was) || !after.contains_key(&name_of(*log).path) {
            continue;
        }
        let cut = valid_length(*log, was);
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
            valid_length(*log, bytes) < bytes.len()
        })
    }

    /// Checks that a crash in the middle of the recovery has lost none of what it was to keep.
    pub(super) fn check_interrupted(&self, disk: &SimDisk) -> Check {
        check_taken_out(self, &disk.tree(), &mut Tally::default())
    }
}
