//! Many processes that write at the same time, and processes that are killed while they do. What a process was told is
//! done it notes in a file of its own; afterwards the logs are held against the notes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use store_core::{
    AppendOptions, CreateOptions, Durability, Expected, NewEntry, Record, SegmentId, Seq, SessionId, Store as _,
    StoreError,
};
use store_fs::{FsOptions, FsStore};

use crate::support::{Folder, create, in_parts, note, note_text, options, segment, session, start};

const ROOT: &str = "STORE_FS_WRITER_ROOT";
const TASK: &str = "STORE_FS_WRITER_TASK";
const WRITER: &str = "STORE_FS_WRITER_NUMBER";
const PART_BYTES: &str = "STORE_FS_WRITER_PART_BYTES";
/// The notes of one writer are numbered from its own number times this.
const SHARE: u64 = 1_000_000;
const SEGMENTS: u64 = 8;

/// What a process does.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Appends so many notes to segment 1.
    Append(u64),
    /// Appends notes with keys to segment 1 until it is killed, from where its notes end on.
    AppendWithKeys,
    /// Appends so many notes to segment 1, each where it expects the log to end.
    Expect(u64),
    /// Tries to make so many segments, all in sessions of its own.
    Create(u64),
    /// Appends so many notes to segments 1 to 8 in turn, with a new handle for every few.
    Wander(u64),
}

impl Task {
    fn to_env(self) -> String {
        match self {
            Self::Append(count) => format!("append {count}"),
            Self::AppendWithKeys => "keys 0".to_owned(),
            Self::Expect(count) => format!("expect {count}"),
            Self::Create(count) => format!("create {count}"),
            Self::Wander(count) => format!("wander {count}"),
        }
    }

    fn from_env(text: &str) -> Self {
        let (name, count) = text.split_once(' ').unwrap();
        let count = count.parse().unwrap();
        match name {
            "append" => Self::Append(count),
            "keys" => Self::AppendWithKeys,
            "expect" => Self::Expect(count),
            "create" => Self::Create(count),
            _ => Self::Wander(count),
        }
    }
}

/// What a writer was told is done: pairs of a number and the seq it got.
struct Notes(PathBuf);

impl Notes {
    fn of(root: &Path, writer: u64) -> Self {
        Self(root.parent().unwrap().join(format!("notes-{writer}")))
    }

    fn open(&self) -> File {
        OpenOptions::new().append(true).create(true).open(&self.0).unwrap()
    }

    fn bytes(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |metadata| metadata.len())
    }

    fn read(&self) -> Vec<(u64, u64)> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        // The last line may be half written by a process that was killed.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                let (number, seq) = line.split_once(' ').unwrap();
                (number.parse().unwrap(), seq.parse().unwrap())
            })
            .collect()
    }
}

fn take_note(notes: &mut File, number: u64, seq: Seq) {
    notes.write_all(format!("{number} {}\n", seq.0).as_bytes()).unwrap();
}

fn buffered() -> AppendOptions {
    AppendOptions { durability: Some(Durability::Buffered), ..AppendOptions::default() }
}

/// How many notes the call that starts with this one has.
const fn call_length(number: u64) -> u64 {
    1 + number % 3
}

/// The options that this process was told to use.
fn own_options() -> FsOptions {
    std::env::var(PART_BYTES).map_or_else(|_| options(), |bytes| in_parts(bytes.parse().unwrap()))
}

fn do_task(root: &Path, writer: u64, task: Task) {
    let notes = Notes::of(root, writer);
    let first = writer * SHARE;
    let open = || FsStore::open(root, &own_options()).unwrap();
    match task {
        Task::Append(count) => {
            let (store, mut notes) = (open(), notes.open());
            let mut number = first;
            while number < first + count {
                let last = (number + call_length(number)).min(first + count);
                let entries: Vec<NewEntry> = (number..last).map(note).collect();
                let done = store.append_with(session(1), segment(1), &entries, &buffered()).unwrap();
                take_note(&mut notes, number, done[0].seq);
                number = last;
            }
        }
        Task::AppendWithKeys => {
            let mut number = notes.read().last().map_or(first, |(number, _)| number + call_length(*number));
            let (store, mut notes) = (open(), notes.open());
            loop {
                let last = number + call_length(number);
                let entries: Vec<NewEntry> = (number..last).map(|n| note(n).with_key(n.to_string())).collect();
                let durability = if number.is_multiple_of(7) { Durability::Synced } else { Durability::Buffered };
                let how = AppendOptions { durability: Some(durability), ..AppendOptions::default() };
                let done = store.append_with(session(1), segment(1), &entries, &how).unwrap();
                take_note(&mut notes, number, done[0].seq);
                number = last;
            }
        }
        Task::Expect(count) => {
            let (store, mut notes) = (open(), notes.open());
            let mut expected = store.read_entry_count(session(1), segment(1)).unwrap();
            for number in first..first + count {
                loop {
                    let how = AppendOptions { expected: Some(Expected::Count(expected)), ..buffered() };
                    match store.append_with(session(1), segment(1), &[note(number)], &how) {
                        Ok(done) => {
                            assert_eq!(done[0].seq, Seq(expected + 1));
                            take_note(&mut notes, number, done[0].seq);
                            expected += 1;
                            break;
                        }
                        Err(StoreError::Conflict { actual, .. }) => expected = actual.seq.0,
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
        Task::Create(count) => {
            let (store, mut notes) = (open(), notes.open());
            for n in 0..count {
                let own = session(writer * SHARE + n);
                match store.create_segment(own, segment(n), &[start(own, None)], &CreateOptions::default()) {
                    Ok(done) => take_note(&mut notes, n, done[0].seq),
                    Err(StoreError::AlreadyExists { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        Task::Wander(count) => {
            let (mut store, mut notes) = (open(), notes.open());
            for number in first..first + count {
                if number.is_multiple_of(5) {
                    store = open();
                }
                let of = 1 + number * (writer + 1) % SEGMENTS;
                let done = store.append_with(session(of), segment(of), &[note(number)], &buffered()).unwrap();
                take_note(&mut notes, of, done[0].seq);
            }
        }
    }
}

/// In a process of its own: does what it is told to. By itself: one of each of the tasks that end.
#[test]
fn a_process_does_its_task() {
    if let Some(root) = std::env::var_os(ROOT) {
        let task = Task::from_env(&std::env::var(TASK).unwrap());
        do_task(Path::new(&root), std::env::var(WRITER).unwrap().parse().unwrap(), task);
        return;
    }
    let folder = Folder::new();
    {
        let store = folder.open();
        (1..=SEGMENTS).for_each(|n| _ = create(&store, n));
    }
    for (writer, task) in (1..).zip([Task::Append(9), Task::Expect(5), Task::Create(2), Task::Wander(9)]) {
        do_task(&folder.root(), writer, task);
    }
    let count = folder.open().read_entry_count(session(1), segment(1)).unwrap();
    let wandered = Notes::of(&folder.root(), 4).read().iter().filter(|(of, _)| *of == 1).count() as u64;
    assert_eq!(count, 1 + 9 + 5 + wandered);
}

fn spawn(folder: &Folder, writer: u64, task: Task) -> Child {
    command(folder, writer, task).spawn().unwrap()
}

/// The same, where a log goes on in a new part after so many bytes.
fn spawn_in_parts(folder: &Folder, writer: u64, task: Task, part_bytes: u64) -> Child {
    command(folder, writer, task).env(PART_BYTES, part_bytes.to_string()).spawn().unwrap()
}

fn command(folder: &Folder, writer: u64, task: Task) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "writers::a_process_does_its_task", "--test-threads", "1"]).stdout(Stdio::null());
    command.env(ROOT, folder.root()).env(TASK, task.to_env()).env(WRITER, writer.to_string());
    command
}

fn run_all(folder: &Folder, writers: u64, task: Task) {
    let children: Vec<Child> = (1..=writers).map(|writer| spawn(folder, writer, task)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

fn number_of(record: &Record) -> u64 {
    let number = record.text.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap();
    assert_eq!(record.text, note_text(number));
    number
}

/// Holds segment 1 against the notes: seqs exact, nothing twice, everything noted where it was said to be, every
/// call whole and every writer's calls in order. Answers with how many notes each writer's calls have in the log.
fn check_log(folder: &Folder, writers: u64) -> BTreeMap<u64, u64> {
    let store = folder.open_read_only();
    let records = store.read_range(session(1), segment(1), Seq(1), usize::MAX).unwrap();
    let mut places = BTreeMap::new();
    let mut last = BTreeMap::new();
    for (record, seq) in records.iter().zip(2..) {
        let number = number_of(record);
        assert_eq!(record.position.seq, Seq(seq));
        assert_eq!(places.insert(number, seq), None, "note {number} stands twice");
        let before = last.insert(number / SHARE, number);
        assert_eq!(number, before.map_or(number / SHARE * SHARE, |before| before + 1), "a note is missing or late");
    }
    for writer in 1..=writers {
        for (number, seq) in Notes::of(&folder.root(), writer).read() {
            assert_eq!(places.get(&number), Some(&seq), "note {number} is not where it was said to be");
        }
    }
    last.into_iter().map(|(writer, last)| (writer, last - writer * SHARE + 1)).collect()
}

/// That the notes of each call stand side by side.
fn check_calls(folder: &Folder, count: u64) {
    let store = folder.open_read_only();
    let records = store.read_range(session(1), segment(1), Seq(1), usize::MAX).unwrap();
    let mut numbers = records.iter().map(number_of);
    while let Some(number) = numbers.next() {
        for offset in 1..call_length(number).min(count - number % SHARE) {
            assert_eq!(numbers.next(), Some(number + offset), "a call was torn apart");
        }
    }
}

#[test]
fn four_processes_write_ten_thousand_entries_each_to_one_segment() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    run_all(&folder, 4, Task::Append(10_000));
    let counts = check_log(&folder, 4);
    assert_eq!(counts, (1..=4).map(|writer| (writer, 10_000)).collect());
    check_calls(&folder, 10_000);
}

/// Numbers that look like chance and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn killed_processes_lose_nothing_that_was_acknowledged_and_write_nothing_twice() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    kill_writers(&folder, 200, |writer| spawn(&folder, writer, Task::AppendWithKeys));
}

#[test]
fn processes_that_are_killed_while_they_go_on_in_new_parts_lose_and_double_nothing() {
    const BYTES: u64 = 700;
    let folder = Folder::new();
    create(&folder.open(), 1);
    kill_writers(&folder, 60, |writer| spawn_in_parts(&folder, writer, Task::AppendWithKeys, BYTES));
    let lengths: Vec<u64> = (1..).map_while(|part| Some(fs::metadata(folder.part(1, part)).ok()?.len())).collect();
    assert!(lengths.len() > 10 && lengths.iter().all(|length| *length <= BYTES), "{lengths:?}");
}

#[test]
fn four_processes_write_one_segment_in_parts_of_a_few_calls() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    let mut children: Vec<Child> =
        (1..=4).map(|writer| spawn_in_parts(&folder, writer, Task::Append(300), 900)).collect();
    // A reader in this process meanwhile: what it counts it can read, and it never sees less than before.
    let (reader, mut before) = (folder.open_read_only(), 0);
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        let count = reader.read_entry_count(session(1), segment(1)).unwrap();
        let read = reader.read_all(session(1), segment(1)).unwrap().len() as u64;
        assert!(before <= count && count <= read, "{before}, {count}, {read}");
        before = count;
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(check_log(&folder, 4), (1..=4).map(|writer| (writer, 300)).collect());
    check_calls(&folder, 300);
}

/// Kills four writers with keys so many times, each after some more notes, and holds the log against what they noted.
fn kill_writers(folder: &Folder, kill_count: usize, spawn: impl Fn(u64) -> Child) {
    let mut chance = Chance(7);
    let mut running: Vec<(u64, Child, u64)> = (1..=4).map(|writer| (writer, spawn(writer), 200 * writer)).collect();
    let mut kills = 0;
    while kills < kill_count {
        for (writer, child, until_bytes) in &mut running {
            let notes = Notes::of(&folder.root(), *writer);
            if notes.bytes() < *until_bytes {
                assert!(child.try_wait().unwrap().is_none(), "writer {writer} stopped by itself");
                continue;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            *until_bytes = notes.bytes() + 1 + chance.below(500);
            *child = spawn(*writer);
        }
        std::thread::yield_now();
    }
    for (_, child, _) in &mut running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let counts = check_log(folder, 4);
    for writer in 1..=4 {
        let noted =
            Notes::of(&folder.root(), writer).read().last().map(|(number, _)| number % SHARE + call_length(*number));
        let written = counts[&writer];
        let noted = noted.unwrap();
        // At most one call was written and not yet noted.
        assert!(written == noted || written == noted + call_length(writer * SHARE + noted), "{noted}, {written}");
    }
    check_calls(folder, u64::MAX);
}

#[test]
fn of_processes_that_expect_the_same_end_one_writes() {
    let folder = Folder::new();
    create(&folder.open(), 1);
    run_all(&folder, 4, Task::Expect(300));
    assert_eq!(check_log(&folder, 4), (1..=4).map(|writer| (writer, 300)).collect());
}

#[test]
fn of_processes_that_make_the_same_segments_one_makes_each() {
    let folder = Folder::new();
    drop(folder.open());
    run_all(&folder, 4, Task::Create(20));
    let store = folder.open();
    let mut made: BTreeMap<u64, u64> = BTreeMap::new();
    for writer in 1..=4 {
        for (n, _) in Notes::of(&folder.root(), writer).read() {
            assert_eq!(made.insert(n, writer), None, "segment {n} was made twice");
        }
    }
    assert_eq!(made.len(), 20);
    let sessions: BTreeSet<SessionId> = made.iter().map(|(n, writer)| session(writer * SHARE + n)).collect();
    assert_eq!(store.list_sessions().unwrap().into_iter().collect::<BTreeSet<_>>(), sessions);
    for (n, writer) in made {
        assert_eq!(store.lookup_session_of(segment(n)).unwrap(), Some(session(writer * SHARE + n)));
    }
}

#[test]
fn what_processes_change_is_never_missing_from_the_changes() {
    let folder = Folder::new();
    let store = folder.open();
    (1..=SEGMENTS).for_each(|n| _ = create(&store, n));
    let mut children: Vec<Child> = (1..=3).map(|writer| spawn(&folder, writer, Task::Wander(600))).collect();
    let counts = || (1..=3).map(|writer| Notes::of(&folder.root(), writer).read().len()).collect::<Vec<_>>();
    let mut rounds = 0;
    loop {
        let cursor = store.changes(None).unwrap().cursor;
        let before = counts();
        let mut finished = false;
        while !finished && counts().iter().zip(&before).all(|(now, before)| now < &(before + 3)) {
            finished = children.iter_mut().all(|child| child.try_wait().unwrap().is_some());
        }
        let mut changed: BTreeSet<SegmentId> = BTreeSet::new();
        for (writer, before) in (1..=3).zip(before) {
            // The first of them may have been written before the cursor was taken, and noted after.
            let notes = Notes::of(&folder.root(), writer).read();
            changed.extend(notes.iter().skip(before + 1).map(|(of, _)| segment(*of)));
        }
        let told = store.changes(Some(&cursor)).unwrap();
        let told: BTreeSet<SegmentId> = told.segments.into_iter().map(|(_, segment)| segment).collect();
        assert!(changed.is_subset(&told), "{changed:?} changed, {told:?} was told");
        rounds += usize::from(!changed.is_empty());
        if finished {
            break;
        }
    }
    assert!(rounds > 3, "{rounds}");
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
}

/// Marks the log as one whose sync failed, again and again, while processes with these numbers append to it. Answers with how often.
fn replace_under(folder: &Folder, writers: RangeInclusive<u64>, count: u64) -> usize {
    let mut children: Vec<Child> = writers.map(|writer| spawn(folder, writer, Task::Append(count))).collect();
    let mut mark = folder.log(1).into_os_string();
    mark.push(".failed");
    let (mut replaced, mut marked_at) = (0, 0);
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        // Whoever writes next finds that a sync has failed, and puts another file in the log's place. A log that is
        // replaced again before anybody could write to it is refused after so many tries: between two marks somebody writes.
        let bytes = fs::metadata(folder.log(1)).unwrap().len();
        if bytes > marked_at && !Path::new(&mark).exists() {
            let protect = || fs::set_permissions(folder.log(1), fs::Permissions::from_mode(0o400)).unwrap();
            protect();
            File::create(&mark).unwrap();
            protect();
            (replaced, marked_at) = (replaced + 1, bytes);
        }
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    replaced
}

#[test]
fn processes_go_on_while_their_log_is_replaced_under_them() {
    let folder = Folder::new();
    let store = folder.open();
    create(&store, 1);
    let (mut writers, mut replaced) = (0, 0);
    // How often a log is replaced while three processes are at it depends on how busy the machine is.
    while writers < 3 || (replaced <= 20 && writers < 300) {
        replaced += replace_under(&folder, writers + 1..=writers + 3, 1500);
        writers += 3;
    }
    assert!(replaced > 20, "{replaced} by {writers} writers");
    assert_eq!(check_log(&folder, writers), (1..=writers).map(|writer| (writer, 1500)).collect());
    check_calls(&folder, 1500);
    assert!(store.events().unwrap().len() + 1 >= replaced);
}
