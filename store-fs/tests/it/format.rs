//! The bytes: a store of format version 1 as it was shipped, and the page that describes it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use store_core::integrity::{EventKind, Integrity as _, MaintenanceOptions, VerifyOptions, verify};
use store_core::{
    AppendOptions, CreateOptions, Fact, FactScope, Item, ItemEntry, LogEntry, NewEntry, Part, Role, SegmentOrigin,
    SegmentStart, Seq, SessionConfig, Store as _, TraceEntry, TurnEnd, UserInput,
};
use store_fs::FsStore;

use crate::support::{Folder, NOW, append, create, in_parts, note_texts, options, segment, session, texts, tree};

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// How long a part of the shipped log of three parts may be: two calls of two notes, and not three.
const PART_BYTES: u64 = 300;

fn copy(fixture: &Path, folder: &Folder) {
    for (name, bytes) in tree(fixture) {
        let path = folder.root().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn shown(files: &[(String, Vec<u8>)]) -> Vec<(&str, String)> {
    files.iter().map(|(name, bytes)| (name.as_str(), String::from_utf8_lossy(bytes).into_owned())).collect()
}

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md")).unwrap()
}

/// The calls whose bytes the fixture holds.
fn write_example(store: &FsStore) {
    let config = SessionConfig { model: Some("m-1".into()), ..SessionConfig::default() };
    let first = SegmentStart { config, ..SegmentStart::new(session(1), NOW) };
    let first = [NewEntry::typed(LogEntry::SegmentStart(Box::new(first)))];
    store.create_segment(session(1), segment(1), &first, &CreateOptions::default()).unwrap();
    let asked = LogEntry::UserInput(UserInput { ts: NOW + 1000, content: vec![Part::text("Why is the sky blue?")] });
    store.append(session(1), segment(1), &asked).unwrap();
    let item = Item::message(Role::Assistant, "Short waves scatter more.");
    let turn = [
        NewEntry::typed(LogEntry::AssistantItem(ItemEntry { ts: NOW + 2000, item })).with_key("answer-1"),
        NewEntry::typed(LogEntry::TurnEnd(TurnEnd { ts: NOW + 2001, turn_count: 1 })),
    ];
    store.append_with(session(1), segment(1), &turn, &AppendOptions::default()).unwrap();
    let trace = TraceEntry { ts: NOW + 1500, event: "request".into(), payload: serde_json::json!({"attempt": 1}) };
    store.append_trace(session(1), segment(1), &trace).unwrap();
    let title = serde_json::json!({"text": "The sky", "by": "person"});
    store
        .put_fact(FactScope::Session(session(1)), &Fact { ts: NOW + 3000, domain: "title".into(), value: title })
        .unwrap();
    let seen = Fact { ts: NOW + 3001, domain: "source.notes.jsonl".into(), value: serde_json::json!({"bytes": 12}) };
    store.put_fact(FactScope::Store, &seen).unwrap();
    let origin = SegmentOrigin { session_id: session(1), segment_id: segment(1), seq: Seq(4), at_turn_index: 1 };
    let fork = SegmentStart { forked_from: Some(origin), ..SegmentStart::new(session(2), NOW + 4000) };
    let fork = [NewEntry::typed(LogEntry::SegmentStart(Box::new(fork)))];
    store.create_segment(session(2), segment(2), &fork, &CreateOptions::default()).unwrap();
    store.put_blob(b"kept by content\n").unwrap();
}

/// The calls whose bytes the fixture of a log of three parts holds.
fn write_parts(store: &FsStore) {
    create(store, 1);
    for n in 1..=4 {
        append(store, 1, &[2 * n - 1, 2 * n]).unwrap();
    }
}

fn parts_fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1-parts")
}

#[test]
fn the_same_calls_write_the_bytes_of_a_log_of_three_parts() {
    let folder = Folder::new();
    write_parts(&FsStore::open(folder.root(), &in_parts(PART_BYTES)).unwrap());
    assert_eq!(shown(&tree(&folder.root())), shown(&tree(&parts_fixture())));
    assert!(folder.part(1, 3).exists() && !folder.part(1, 4).exists());
}

#[test]
fn a_log_of_three_parts_as_it_was_shipped_is_read_and_written_on() {
    let shipped = FsStore::open_read_only(parts_fixture(), &options()).unwrap();
    let all = note_texts(&[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(texts(&shipped, 1).unwrap(), all);
    assert_eq!(shipped.read_entry_count(session(1), segment(1)).unwrap(), 9);
    let folder = Folder::new();
    copy(&parts_fixture(), &folder);
    assert_eq!(append(&folder.open(), 1, &[9]).unwrap()[0].seq, Seq(10));
    assert_eq!(texts(&folder.open(), 1).unwrap(), [all, note_texts(&[9])].concat());
}

#[test]
fn the_same_calls_write_the_bytes_of_version_1() {
    let folder = Folder::new();
    write_example(&folder.open());
    let written = tree(&folder.root());
    let shipped = tree(&fixture());
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&written), names(&shipped));
    for ((name, written), (_, shipped)) in written.iter().zip(&shipped) {
        assert_eq!(String::from_utf8_lossy(written), String::from_utf8_lossy(shipped), "{name}");
    }
}

#[test]
fn a_store_of_version_1_says_what_was_put_into_it() {
    let folder = Folder::new();
    let fresh = folder.open();
    write_example(&fresh);
    let before = tree(&fixture());
    let shipped = FsStore::open_read_only(fixture(), &options()).unwrap();
    assert_eq!(shipped.list_sessions().unwrap(), [session(2), session(1)]);
    for n in 1..=2 {
        assert_eq!(shipped.lookup_session_of(segment(n)).unwrap(), Some(session(n)));
        let all = |store: &FsStore| store.read_range(session(n), segment(n), Seq::START, usize::MAX).unwrap();
        assert_eq!(all(&shipped), all(&fresh));
        assert_eq!(
            shipped.read_traces(session(n), segment(n)).unwrap(),
            fresh.read_traces(session(n), segment(n)).unwrap()
        );
        let scope = FactScope::Session(session(n));
        assert_eq!(shipped.facts(scope).unwrap(), fresh.facts(scope).unwrap());
    }
    assert_eq!(shipped.facts(FactScope::Store).unwrap(), fresh.facts(FactScope::Store).unwrap());
    let blob = fresh.put_blob(b"kept by content\n").unwrap();
    assert_eq!(shipped.get_blob(blob.reference()).unwrap(), b"kept by content\n");
    assert_eq!(shipped.changes(None).unwrap().segments.len(), 2);
    drop(shipped);
    assert_eq!(tree(&fixture()), before, "reading changed the fixture");
}

#[test]
fn a_store_of_version_1_is_written_on() {
    let folder = Folder::new();
    copy(&fixture(), &folder);
    let store = folder.open();
    assert_eq!(append(&store, 1, &[1]).unwrap()[0].seq, Seq(5));
    let again = [NewEntry::text(store.read_range(session(1), segment(1), Seq(2), 1).unwrap()[0].text.clone())
        .with_key("answer-1")];
    let positions = store.append_with(session(1), segment(1), &again, &AppendOptions::default()).unwrap();
    assert_eq!(positions[0].seq, Seq(3));
    store.delete_session(session(2)).unwrap();
}

/// A copy of a shipped store, with the modes that the store gives its files.
fn copy_of(name: &str) -> Folder {
    let folder = Folder::new();
    let private = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for (file, bytes) in tree(&fixture().with_file_name(name)) {
        let path = folder.root().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path.ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(folder.root()))
            .for_each(|above| private(above, 0o700));
        std::fs::write(&path, bytes).unwrap();
        private(&path, 0o600);
    }
    folder
}

fn verified(store: &FsStore) -> bool {
    let report = verify(store, &VerifyOptions::default(), &|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    report.ok
}

/// A segment of two parts with three checkpoints, rolled back to the first of them.
#[test]
fn a_store_that_was_rolled_back_says_so() {
    let folder = copy_of("v1-rolled-back");
    let store = folder.open();
    assert_eq!(texts(&store, 1).unwrap(), note_texts(&[1, 2]));
    let listed = store.checkpoints(session(1), segment(1)).unwrap();
    let short: Vec<_> = listed.iter().map(|one| (one.checkpoint.number, one.checkpoint.seq, one.void)).collect();
    assert_eq!(short, [(1, Seq(3), false), (2, Seq(5), true), (3, Seq(7), true)]);
    assert_eq!(listed[0].checkpoint.name.as_deref(), Some("good"));
    let [event] = &store.events().unwrap()[..] else { panic!("one thing was done") };
    let EventKind::RolledBack { checkpoint: 1, quarantined, .. } = &event.what else { panic!("{event:?}") };
    let kept = folder.root().join(quarantined[0].path.as_ref().unwrap());
    assert_eq!(std::fs::metadata(kept).unwrap().len(), quarantined[0].bytes);
    assert!(verified(&store));
    let done = store.rollback(session(1), segment(1), 1, &MaintenanceOptions::default()).unwrap();
    assert_eq!((done.removed, done.quarantined.len()), (0, 0));
}

/// The same segment, whose process died when the rollback was decided: nothing had its name yet.
#[test]
fn a_store_that_was_being_rolled_back_is_rolled_back() {
    let folder = copy_of("v1-being-replaced");
    let before = tree(&folder.root());
    let reader = folder.open_read_only();
    assert_eq!(texts(&reader, 1).unwrap(), note_texts(&[1, 2]));
    assert!(reader.checkpoints(session(1), segment(1)).unwrap()[2].void);
    assert!(verified(&reader));
    assert_eq!(tree(&folder.root()), before, "reading changed something");
    let store = folder.open();
    append(&store, 1, &[3]).unwrap();
    for store in [&store, &reader] {
        assert_eq!(texts(store, 1).unwrap(), note_texts(&[1, 2, 3]));
        assert!(verified(store));
    }
    let left = tree(&folder.root()).into_iter().map(|(name, _)| name);
    let left: Vec<_> = left
        .filter(|name| name.ends_with(".replacing") || name.ends_with(".new") || name.ends_with(".2.jsonl"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_page_shows_what_a_rollback_leaves() {
    let page = page();
    for (fixture_name, ending) in [("v1-rolled-back", ".checkpoints.jsonl"), ("v1-being-replaced", ".replacing")] {
        let files = tree(&fixture().with_file_name(fixture_name));
        let (name, bytes) = files.into_iter().find(|(name, _)| name.ends_with(ending)).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(page.contains(&format!("```\n{text}```\n")), "docs/FORMAT.md shows {name} otherwise:\n{text}");
    }
}

#[test]
fn the_page_shows_every_file_of_the_example_as_it_is() {
    let page = page();
    // Of the second example the page shows the log.
    let parts = tree(&parts_fixture()).into_iter().filter(|(name, _)| name.contains('/') && name.ends_with(".jsonl"));
    for (name, bytes) in tree(&fixture()).into_iter().chain(parts) {
        let text = String::from_utf8(bytes).unwrap();
        assert!(page.contains(&name), "docs/FORMAT.md does not name {name}");
        if !text.is_empty() {
            assert!(
                page.contains(&format!("`{name}`\n\n```\n{text}```\n")),
                "docs/FORMAT.md shows {name} otherwise:\n{text}"
            );
        }
    }
}

#[test]
fn the_page_names_the_limits_and_versions_of_the_code() {
    let page = page();
    let mebibytes = store_core::call::LINE_BYTES_MAX / 1024 / 1024;
    assert!(page.contains(&format!("A line has at most {mebibytes} MiB")));
    assert!(page.contains(&format!("format version {}", store_fs::FORMAT_VERSION)));
    for field in store_core::call::RESERVED_FIELDS {
        assert!(page.contains(&format!("`{field}`")), "docs/FORMAT.md does not name the field {field}");
    }
}
