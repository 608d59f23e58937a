//! Real processes on one database: killed while they write, at the same entry and the same id at once, and without space.
//!
//! A process is this test binary, started again for one of its tests with its task in the environment. Without a task
//! such a test does the same to a store of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use store_core::{
    AppendOptions, CreateOptions, Durability, Expected, NewEntry, Record, SegmentId, Seq, SessionId, Store as _,
    StoreError,
};
use store_sqlite::SqliteStore;

use crate::support::{Folder, SEGMENT, SESSION, fill, start};

const DATABASE: &str = "STORE_SQLITE_TEST_TASK_DATABASE";
const WRITER: &str = "STORE_SQLITE_TEST_TASK_WRITER";

/// What this process was started to do.
struct Task {
    database: PathBuf,
    writer: u64,
}

impl Task {
    fn given() -> Option<Self> {
        let database = PathBuf::from(std::env::var_os(DATABASE)?);
        Some(Self { database, writer: std::env::var(WRITER).unwrap().parse().unwrap() })
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.database).unwrap()
    }
}

fn give(mut command: Command, test: &str, folder: &Folder, writer: u64) -> Child {
    command
        .args(["--exact", &format!("processes::{test}"), "--nocapture", "--test-threads=1"])
        .env(DATABASE, folder.database())
        .env(WRITER, writer.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn spawn(test: &str, folder: &Folder, writer: u64) -> Child {
    give(Command::new(std::env::current_exe().unwrap()), test, folder, writer)
}

/// Tells the parent something, on a line of its own.
#[expect(clippy::print_stdout, reason = "a process tells its parent on its standard output")]
fn tell(what: &str) {
    println!("told: {what}");
}

/// What a process has told, to its end.
fn told(child: &mut Child) -> Vec<String> {
    told_in(BufReader::new(child.stdout.take().unwrap()))
}

fn told_in(output: impl std::io::BufRead) -> Vec<String> {
    let lines = output.lines().map_while(Result::ok);
    // The test harness writes its own words before the first line.
    lines.filter_map(|line| line.split_once("told: ").map(|(_, what)| what.to_owned())).collect()
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The segments that all processes write.
fn shared(n: u64) -> SegmentId {
    if n == 0 { SEGMENT } else { SegmentId::from_bytes([0x03; 16]) }
}

/// One entry of a call: who wrote it, the how-manieth call it is, and its place in the call.
type Mark = (u64, u64, u64, u64);

fn marked((writer, call, at, of): Mark) -> NewEntry {
    NewEntry::text(format!(r#"{{"kind":"note","ts":1,"mark":[{writer},{call},{at},{of}]}}"#))
}

fn mark_of(record: &Record) -> Mark {
    let text: serde_json::Value = serde_json::from_str(&record.text).unwrap();
    let numbers = [0, 1, 2, 3].map(|n| text["mark"][n].as_u64().unwrap());
    (numbers[0], numbers[1], numbers[2], numbers[3])
}

fn write_call(store: &SqliteStore, segment: SegmentId, writer: u64, call: u64, of: u64, durability: Durability) -> u64 {
    let entries: Vec<NewEntry> = (0..of).map(|at| marked((writer, call, at, of))).collect();
    let options = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
    let positions = store.append_with(SESSION, segment, &entries, &options).unwrap();
    let first = positions[0].seq.0;
    assert!(positions.iter().map(|position| position.seq.0).eq(first..first + of));
    first
}

/// The records behind `after`, which are whole calls and consecutive.
fn whole_calls(store: &SqliteStore, segment: SegmentId, after: u64) -> BTreeMap<(u64, u64), (u64, u64)> {
    let records = store.read_range(SESSION, segment, Seq(after), usize::MAX).unwrap();
    assert_eq!(store.read_entry_count(SESSION, segment).unwrap(), after + records.len() as u64);
    let mut calls = BTreeMap::new();
    let mut records = (after + 1..).zip(&records).peekable();
    while let Some((seq, first)) = records.next() {
        assert_eq!(first.position.seq, Seq(seq));
        let (writer, call, at, of) = mark_of(first);
        assert_eq!(at, 0, "a call begins with its first entry");
        for place in 1..of {
            let (_, next) = records.next().unwrap();
            assert_eq!((next.position.seq, mark_of(next)), (Seq(seq + place), (writer, call, place, of)));
        }
        assert_eq!(calls.insert((writer, call), (seq, of)), None, "a call is there once");
    }
    calls
}

/// Writes calls of all sizes and durabilities in three threads, and segments, until it is killed. By itself: for a while.
#[test]
fn a_process_writes_until_it_is_killed() {
    let own = Folder::new();
    let task = Task::given();
    let calls = if task.is_some() { u64::MAX } else { 20 };
    let task = task.unwrap_or_else(|| Task { database: own.database(), writer: 0 });
    let store = task.open();
    if calls < u64::MAX {
        make_shared(&store);
    }
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (store, writer) = (&store, task.writer * 3 + thread);
            scope.spawn(move || {
                let mut dice = Dice(writer);
                for call in 0..calls {
                    if dice.below(8) == 0 {
                        let segment = SegmentId::derive(writer << 20 | call, b"made");
                        let entries = [start(SESSION), marked((writer, call, 0, 2)), marked((writer, call, 1, 2))];
                        store.create_segment(SESSION, segment, &entries, &CreateOptions::default()).unwrap();
                        tell(&format!("made {segment}"));
                        continue;
                    }
                    let to = dice.below(2);
                    let of = 1 + dice.below(4);
                    let durability = if dice.below(3) == 0 { Durability::Synced } else { Durability::Buffered };
                    let first = write_call(store, shared(to), writer, call, of, durability);
                    tell(&format!("wrote {to} {writer} {call} {first} {of}"));
                }
            });
        }
    });
    assert!(store.read_entry_count(SESSION, SEGMENT).unwrap() > 1);
}

fn make_shared(store: &SqliteStore) {
    for n in 0..2 {
        store.create_segment(SESSION, shared(n), &[start(SESSION)], &CreateOptions::default()).unwrap();
    }
}

/// Reads what a process tells until it has told `lines`, kills it, and reads the rest.
fn kill_after(child: &mut Child, lines: u64) -> Vec<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let mut told = 0;
    while told < lines {
        let line = text.len();
        assert!(output.read_line(&mut text).unwrap() > 0, "a process ended before it was killed");
        told += u64::from(text[line..].contains("told: "));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    // A line that was cut off by the death was not told.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    told_in(whole.as_bytes())
}

#[test]
fn a_hundred_killed_processes_leave_every_acknowledged_call_whole() {
    const ROUNDS: u64 = 50;
    let folder = Folder::new();
    let watcher = folder.open();
    make_shared(&watcher);
    let mut dice = Dice(7);
    let mut ends = [1, 1];
    let mut cursor = watcher.changes(None).unwrap().cursor;
    let (mut acknowledged, mut made) = (0, 0);
    for round in 0..ROUNDS {
        let mut children = [0, 1].map(|n| spawn("a_process_writes_until_it_is_killed", &folder, 1 + 2 * round + n));
        let told: Vec<String> = children.iter_mut().flat_map(|child| kill_after(child, 1 + dice.below(30))).collect();
        // Two handles that were never told anything by the dead: one that was open all along and one that recovers.
        let fresh = folder.open();
        let found = [0, 1].map(|n| whole_calls(&fresh, shared(n), ends[usize::from(n > 0)]));
        let changes = watcher.changes(Some(&cursor)).unwrap();
        for (n, calls) in (0..).zip(&found) {
            assert_eq!(*calls, whole_calls(&watcher, shared(n), ends[usize::from(n > 0)]), "round {round}");
            assert!(calls.is_empty() || changes.segments.contains(&(SESSION, shared(n))), "round {round}");
        }
        for line in &told {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["made", segment] = words[..] {
                let segment: SegmentId = segment.parse().unwrap();
                assert_eq!(fresh.read_entry_count(SESSION, segment).unwrap(), 3, "round {round}");
                assert!(changes.segments.contains(&(SESSION, segment)), "round {round}");
                made += 1;
                continue;
            }
            let numbers: Vec<u64> = words[1..].iter().map(|word| word.parse().unwrap()).collect();
            let calls = &found[usize::from(numbers[0] > 0)];
            assert_eq!(calls.get(&(numbers[1], numbers[2])), Some(&(numbers[3], numbers[4])), "round {round}: {line}");
            acknowledged += 1;
        }
        ends = [0, 1].map(|n| fresh.read_entry_count(SESSION, shared(n)).unwrap());
        cursor = changes.cursor;
    }
    assert!(acknowledged >= ROUNDS && made > 0, "{acknowledged} calls and {made} segments were acknowledged");
    for segment in watcher.list_segments(SESSION).unwrap() {
        let count = watcher.read_entry_count(SESSION, segment).unwrap();
        assert!(count == 3 || segment == shared(0) || segment == shared(1), "{segment} was made with {count} entries");
    }
    let whole: String = folder.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

/// Writes 10,000 entries in calls of 20. By itself: fewer.
#[test]
fn a_process_writes_its_share() {
    let own = Folder::new();
    let given = Task::given();
    let calls = if given.is_some() { 500 } else { 5 };
    let task = given.unwrap_or_else(|| Task { database: own.database(), writer: 0 });
    let store = task.open();
    if calls == 5 {
        make_shared(&store);
    }
    for call in 0..calls {
        write_call(&store, shared(call % 2), task.writer, call, 20, Durability::Buffered);
    }
    assert!(store.read_entry_count(SESSION, SEGMENT).unwrap() > 10 * calls);
}

#[test]
fn four_processes_write_ten_thousand_entries_each_to_one_session() {
    let folder = Folder::new();
    let store = folder.open();
    make_shared(&store);
    let mut children: Vec<Child> = (0..4).map(|n| spawn("a_process_writes_its_share", &folder, n)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let mut calls = whole_calls(&store, shared(0), 1);
    calls.append(&mut whole_calls(&store, shared(1), 1));
    let expected = (0..4).flat_map(|writer| (0..500).map(move |call| (writer, call)));
    assert!(calls.keys().copied().eq(expected), "every call of every process is there once");
    for writer in 0..4 {
        for first in 0..2 {
            let places = calls.range((writer, 0)..(writer + 1, 0)).filter(|((_, call), _)| call % 2 == first);
            assert!(places.map(|(_, (seq, _))| seq).is_sorted(), "the calls of a process stand in its order");
        }
    }
}

/// Waits until the parent says that all are there. By itself there is nobody to wait for.
fn wait_for_the_others(given: bool) {
    if given {
        tell("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
    }
}

/// Starts a test in four processes, lets them go at once, and answers with what each told.
fn at_once(test: &str, folder: &Folder) -> Vec<Vec<String>> {
    let mut children: Vec<Child> = (0..4).map(|n| spawn(test, folder, n)).collect();
    let mut outputs: Vec<_> = children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap())).collect();
    for output in &mut outputs {
        let mut line = String::new();
        while !line.ends_with("told: ready\n") {
            assert!(output.read_line(&mut line).unwrap() > 0, "a process ended before it was let go");
        }
    }
    for child in &mut children {
        child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
    let told = outputs.into_iter().map(told_in).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    told
}

/// Appends 50 entries, each only behind the one it has seen last.
#[test]
fn a_process_appends_only_where_it_expects_to() {
    let own = Folder::new();
    let given = Task::given();
    let alone = given.is_none();
    let task = given.unwrap_or_else(|| Task { database: own.database(), writer: 0 });
    let store = task.open();
    if alone {
        fill(&store, 1);
    }
    wait_for_the_others(!alone);
    let (mut written, mut conflicts) = (0, 0);
    while written < 50 {
        let seen = store.read_tail(SESSION, SEGMENT, 1).unwrap()[0].position;
        let expected = if written % 2 == 0 { Expected::At(seen) } else { Expected::Count(seen.seq.0) };
        let options = AppendOptions { durability: Some(Durability::Buffered), ..AppendOptions::expecting(expected) };
        match store.append_with(SESSION, SEGMENT, &[marked((task.writer, written, seen.seq.0, 1))], &options) {
            Ok(positions) => {
                assert_eq!(positions[0].seq, seen.seq.next());
                written += 1;
            }
            Err(StoreError::Conflict { actual, .. }) => {
                assert!(actual.seq > seen.seq);
                conflicts += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    tell(&format!("conflicts {conflicts}"));
}

#[test]
fn what_a_process_expects_is_decided_where_its_entry_is_written() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    at_once("a_process_appends_only_where_it_expects_to", &folder);
    let records = store.read_range(SESSION, SEGMENT, Seq(1), usize::MAX).unwrap();
    assert_eq!(records.len(), 4 * 50);
    for record in &records {
        assert_eq!(mark_of(record).2 + 1, record.position.seq.0, "an entry stands behind the one it was written for");
    }
}

/// Creates what the others create too, each in a session of its own.
#[test]
fn a_process_races_for_segments() {
    let own = Folder::new();
    let given = Task::given();
    let alone = given.is_none();
    let task = given.unwrap_or_else(|| Task { database: own.database(), writer: 0 });
    wait_for_the_others(!alone);
    // The database is made in the race, too.
    let store = task.open();
    for n in 0..40 {
        let session = SessionId::derive(n, &task.writer.to_be_bytes());
        let entries = [start(session), marked((task.writer, n, 0, 1))];
        match store.create_segment(session, SegmentId::derive(n, b"raced"), &entries, &CreateOptions::default()) {
            Ok(_) => tell(&format!("won {n}")),
            Err(StoreError::AlreadyExists { session: holder, .. }) => {
                assert_ne!(holder, session);
                assert!(!store.exists(session).unwrap(), "who lost has no session");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn of_processes_that_create_a_segment_at_once_one_wins() {
    let folder = Folder::new();
    let told = at_once("a_process_races_for_segments", &folder);
    let store = folder.open();
    for n in 0..40 {
        let winners: Vec<u64> =
            (0..).zip(&told).filter(|(_, told)| told.contains(&format!("won {n}"))).map(|(writer, _)| writer).collect();
        let [winner] = winners[..] else { panic!("{winners:?} won segment {n}") };
        let session = SessionId::derive(n, &winner.to_be_bytes());
        let segment = SegmentId::derive(n, b"raced");
        assert_eq!(store.lookup_session_of(segment).unwrap(), Some(session));
        assert_eq!(mark_of(&store.read_tail(session, segment, 1).unwrap()[0]), (winner, n, 0, 1));
    }
    assert_eq!(store.list_sessions().unwrap().len(), 40);
}

/// No file of this process may grow beyond so many bytes; `None` lifts the limit.
fn limit_files(bytes: Option<u64>) {
    let limit = rustix::process::Rlimit { current: bytes, maximum: None };
    rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
}

/// Meets the limit at every step of the log, byte by byte around the borders of its pages. It was started so that the signal that
/// comes with the limit is ignored, without which it would not live to see the error.
#[test]
fn a_process_runs_out_of_space_and_goes_on() {
    let Some(task) = Task::given() else { return limit_files(None) };
    let store = task.open();
    let log = PathBuf::from(format!("{}-wal", task.database.display()));
    let other = task.open();
    let (mut refused, mut written) = (0, 0);
    for step in 0..60_u64 {
        let size = std::fs::metadata(&log).unwrap().len();
        // From nothing at all over the frame's head to the middle of a page and beyond.
        let room =
            [0, 1, 23, 24, 25, 1_000, 4_095, 4_096, 4_119, 4_120, 4_121, 9_000][usize::try_from(step % 12).unwrap()];
        limit_files(Some(size + room));
        let before = store.read_entry_count(SESSION, SEGMENT).unwrap();
        let durability = if step % 2 == 0 { Durability::Buffered } else { Durability::Synced };
        let options = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
        let entries = [
            marked((1, step, 0, 2)),
            NewEntry::text(format!(r#"{{"kind":"pad","ts":1,"s":"{}"}}"#, "x".repeat(20_000))),
        ];
        match store.append_with(SESSION, SEGMENT, &entries, &options) {
            Err(StoreError::NoSpace { .. } | StoreError::Io { .. }) => refused += 1,
            other => panic!("step {step}: {other:?}"),
        }
        assert_eq!(store.read_entry_count(SESSION, SEGMENT).unwrap(), before, "step {step}");
        limit_files(None);
        let handle = if step % 3 == 0 { &other } else { &store };
        written += 2;
        let positions = handle.append_with(SESSION, SEGMENT, &entries, &options).unwrap();
        assert_eq!(positions[1].seq.0, before + 2, "step {step}");
    }
    assert_eq!(store.read_all(SESSION, SEGMENT).unwrap().len(), 1 + written);
    tell(&format!("refused {refused}"));
}

#[test]
fn writing_goes_on_when_there_is_space_again() {
    let folder = Folder::new();
    let store = folder.open();
    fill(&store, 1);
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
    let mut child = give(shell, "a_process_runs_out_of_space_and_goes_on", &folder, 1);
    let told = told(&mut child);
    assert!(child.wait().unwrap().success());
    assert_eq!(told, ["refused 60"]);
    assert_eq!(store.read_all(SESSION, SEGMENT).unwrap().len(), 1 + 2 * 60);
    let whole: String = folder.raw().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}
