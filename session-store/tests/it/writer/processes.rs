//! Two processes that write to one session at the same time, also while they are killed. What a process was told is written it notes
//! in a file of its own; afterwards the store is held against the notes.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions as FileOptions};
use std::io::{Read as _, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use session_store::{
    Clock, Landed, NewSegment, OpenOptions, SegmentLocation, SegmentState, SessionWriter, Submission, Ticket,
    WriterOptions, create_segment, leaves, open, restore_by_segment,
};
use store_core::integrity::{VerifyOptions, verify};
use store_core::{Backend, Durability, Record, SegmentId, Seq};

use super::{prompts, text_of};
use crate::common::{NOW, prompt};

const URL: &str = "SESSION_WRITER_URL";
const NOTES: &str = "SESSION_WRITER_NOTES";
const NUMBER: &str = "SESSION_WRITER_NUMBER";
/// How many entries each of the two processes writes.
const EACH: u64 = 5_000;
/// How many submissions may be without an answer.
const AHEAD: usize = 200;

/// What a process was told: a line for each of its entries, number, session, segment, seq.
struct Notes(PathBuf);

impl Notes {
    fn of(folder: &Path, process: u64) -> Self {
        Self(folder.join(format!("notes-{process}")))
    }

    fn read(&self) -> Vec<(u64, SegmentLocation, Seq)> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        // The last line may be half written by a process that was killed.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let note = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let location =
                SegmentLocation { session_id: words[1].parse().unwrap(), segment_id: words[2].parse().unwrap() };
            (words[0].parse().unwrap(), location, Seq(words[3].parse().unwrap()))
        };
        whole.lines().map(note).collect()
    }
}

fn open_store(url: &str) -> Arc<dyn Backend> {
    open(url, &OpenOptions::at(NOW)).unwrap()
}

fn entry(process: u64, number: u64) -> Submission {
    Submission::from(prompt(&format!("{process}:{number}"))).with_key(format!("{process}:{number}"))
}

/// Goes on where the notes end, and notes what it is told.
fn write_all(url: &str, folder: &Path, process: u64) {
    let store = open_store(url);
    let notes = Notes::of(folder, process);
    let noted = notes.read();
    let session = store.list_sessions().unwrap().remove(0);
    let oldest = store.list_segments(session).unwrap().into_iter().min().unwrap();
    let begins = SegmentLocation { session_id: session, segment_id: oldest };
    let (next, at) = noted.last().map_or((0, begins), |(number, location, _)| (number + 1, *location));
    let state = SegmentState::open(&*store, at).unwrap();
    let options = WriterOptions {
        durability: Some(Durability::Buffered),
        ..WriterOptions::new(format!("process {process}"), Clock::new(|| NOW))
    };
    wait_for_the_other(folder, process);
    let writer = SessionWriter::start(store, state, options).unwrap();
    let mut file = FileOptions::new().append(true).create(true).open(&notes.0).unwrap();
    let mut ahead: VecDeque<(u64, Ticket)> = VecDeque::new();
    for number in next..EACH {
        ahead.push_back((number, writer.submit_waiting(entry(process, number)).unwrap()));
        if ahead.len() > AHEAD {
            note_first(&mut file, &mut ahead);
        }
    }
    while !ahead.is_empty() {
        note_first(&mut file, &mut ahead);
    }
    writer.close().unwrap();
}

/// Says that this process knows where it stands, and goes on when its input ends.
fn wait_for_the_other(folder: &Path, process: u64) {
    std::fs::write(ready(folder, process), "").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn ready(folder: &Path, process: u64) -> PathBuf {
    folder.join(format!("ready-{process}"))
}

fn note_first(file: &mut File, ahead: &mut VecDeque<(u64, Ticket)>) {
    let (number, ticket) = ahead.pop_front().unwrap();
    let Landed { location, position } = ticket.wait().unwrap();
    let line = format!("{number} {} {} {}\n", location.session_id, location.segment_id, position.seq.0);
    file.write_all(line.as_bytes()).unwrap();
}

/// In a process of its own: writes its entries. By itself: nothing, because there is nobody to write for.
#[test]
fn a_process_writes_its_entries() {
    if let Ok(url) = std::env::var(URL) {
        let folder = PathBuf::from(std::env::var_os(NOTES).unwrap());
        write_all(&url, &folder, std::env::var(NUMBER).unwrap().parse().unwrap());
    }
}

fn spawn(url: &str, folder: &Path, process: u64, input: Stdio) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "writer::processes::a_process_writes_its_entries", "--test-threads", "1"]);
    command.stdin(input).stdout(Stdio::null()).env(URL, url).env(NOTES, folder).env(NUMBER, process.to_string());
    command.spawn().unwrap()
}

/// Both processes, which begin to write when both know where they stand: at the same place.
fn spawn_both(url: &str, folder: &Path) -> [Child; 2] {
    let mut children = [1, 2].map(|process| spawn(url, folder, process, Stdio::piped()));
    for process in 1..=2 {
        while !ready(folder, process).exists() {
            for child in &mut children {
                assert_eq!(child.try_wait().unwrap(), None, "it ended before it began");
            }
            pause();
        }
    }
    // Their inputs end.
    children.iter_mut().for_each(|child| drop(child.stdin.take()));
    children
}

fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(2));
}

fn schemes() -> Vec<&'static str> {
    let built_in = session_store::schemes();
    ["fs", "sqlite"].into_iter().filter(|scheme| built_in.iter().any(|known| known == scheme)).collect()
}

/// A session in a store of its own, which no handle of this process has open.
fn prepare(scheme: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{scheme}:{}", folder.path().join("store").display());
    create_segment(&*open_store(&url), NOW, NewSegment::default()).unwrap();
    (folder, url)
}

/// Nothing lost, nothing twice, everything where it was said to be, every leaf restorable, everything as it was written.
fn check(scheme: &str, url: &str, folder: &Path) {
    let store = open_store(url);
    let session = store.list_sessions().unwrap().remove(0);
    let segments = store.list_segments(session).unwrap();
    assert!(segments.len() >= 2, "{scheme}: two processes wrote to one segment");
    let read = |segment: &SegmentId| store.read_range(session, *segment, Seq::START, usize::MAX).unwrap();
    let logs: HashMap<SegmentId, Vec<Record>> = segments.iter().map(|segment| (*segment, read(segment))).collect();
    for process in 1..=2 {
        let noted = Notes::of(folder, process).read();
        let expected: Vec<String> = (0..EACH).map(|number| format!("{process}:{number}")).collect();
        for (number, at, seq) in &noted {
            let there = &logs[&at.segment_id][usize::try_from(seq.0 - 1).unwrap()];
            let said = expected.get(usize::try_from(*number).unwrap());
            assert_eq!((there.position.seq, text_of(&there.entry).as_ref()), (*seq, said), "{scheme}");
        }
        let (_, last, _) = noted.last().unwrap();
        let own = prompts(&*store, *last).into_iter().filter(|text| text.starts_with(&format!("{process}:")));
        assert_eq!(own.collect::<Vec<_>>(), expected, "{scheme}: process {process}");
    }
    for leaf in leaves(&*store, session).unwrap() {
        restore_by_segment(&*store, leaf).unwrap();
        assert_eq!(store.watch().unwrap().leased(session, leaf).unwrap(), None, "{scheme}: the dead hold no lease");
    }
    let report = verify(store.integrity().unwrap(), &VerifyOptions::default(), &|_| ControlFlow::Continue(())).unwrap();
    assert!(report.ok && report.damage.is_empty(), "{scheme}: {:?}", report.damage);
    assert!(report.entries > 2 * EACH, "{scheme}: {}", report.entries);
}

#[test]
fn two_processes_write_ten_thousand_entries_to_one_session() {
    for scheme in schemes() {
        let (folder, url) = prepare(scheme);
        for mut child in spawn_both(&url, folder.path()) {
            assert!(child.wait().unwrap().success(), "{scheme}");
        }
        check(scheme, &url, folder.path());
    }
}

#[test]
fn two_processes_that_are_killed_lose_nothing_that_they_were_told() {
    for scheme in schemes() {
        let (folder, url) = prepare(scheme);
        std::thread::scope(|scope| {
            for (child, process) in spawn_both(&url, folder.path()).into_iter().zip(1..) {
                let (folder, url) = (folder.path(), url.as_str());
                scope.spawn(move || write_and_be_killed(url, folder, (process, child)));
            }
        });
        check(scheme, &url, folder.path());
    }
}

/// Kills the process whenever it has made some progress, each time at another place, and lets the last one finish.
fn write_and_be_killed(url: &str, folder: &Path, (process, mut child): (u64, Child)) {
    for kill in 1..=4_u64 {
        let enough = kill * EACH / 5 + process * 37;
        while (Notes::of(folder, process).read().len() as u64) < enough {
            assert!(child.try_wait().unwrap().is_none_or(|status| status.success()), "process {process} failed");
            pause();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        child = spawn(url, folder, process, Stdio::null());
    }
    assert!(child.wait().unwrap().success(), "process {process} failed");
}
