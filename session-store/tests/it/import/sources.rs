//! Sources: what changed in them is found without opening what did not, and brought in a few at a time.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use session_store::import::{ImportReport, ImportStatus, Importer, SourceFiles, put_sources, sources};
use session_store::index::Index;
use session_store::{StoreFact, put_store_fact};

use super::world::{NOON, World, files, kinds, sample};

/// A folder with copies of pi's samples.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files(&sample("pi")) {
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

fn importer(world: &World, now: u64) -> Importer<'_> {
    Importer { store: &*world.store, index: &world.index, now }
}

fn changed(world: &World, folder: &Path) -> SourceFiles {
    importer(world, NOON).changed_files(&[folder.to_owned()]).unwrap()
}

/// Brings everything in that changed; every file's path and status.
fn refresh(world: &World, folder: &Path, now: u64) -> Vec<(PathBuf, ImportStatus)> {
    let importer = importer(world, now);
    let changed = importer.changed_files(&[folder.to_owned()]).unwrap();
    let mut came = Vec::new();
    let go_on = || ControlFlow::Continue(());
    importer
        .bring_in(changed, None, &go_on, &mut |report: ImportReport, _| {
            came.extend(report.sessions.into_iter().map(|file| (file.source.into(), file.status)));
        })
        .unwrap();
    came
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn only_files_that_changed_are_looked_at_again() {
    for kind in kinds() {
        let world = World::new(kind);
        let folder = folder();
        let all = files(folder.path());
        assert_eq!(changed(&world, folder.path()).len(), all.len(), "{kind}: nothing is known yet");
        assert_eq!(refresh(&world, folder.path(), NOON).len(), all.len(), "{kind}");
        assert!(changed(&world, folder.path()).is_empty(), "{kind}");
        append(&all[0], "\n");
        assert_eq!(refresh(&world, folder.path(), NOON), [(all[0].clone(), ImportStatus::Unchanged)], "{kind}");
        let copy = folder.path().join("again.jsonl");
        fs::copy(&all[1], &copy).unwrap();
        assert_eq!(refresh(&world, folder.path(), NOON).len(), 1, "{kind}: a file that is new");
        fs::remove_file(&copy).unwrap();
        refresh(&world, folder.path(), NOON);
        fs::copy(&all[1], &copy).unwrap();
        assert_eq!(refresh(&world, folder.path(), NOON).len(), 1, "{kind}: one that was gone is new");
        let whole = World::new(kind);
        whole.import(&[folder.path().to_owned()]);
        assert_eq!(world.told(), whole.told(), "{kind}: it is what an import gives");
    }
}

#[test]
fn an_index_that_is_lost_costs_a_look_and_brings_nothing_in_twice() {
    let mut world = World::memory();
    let folder = folder();
    refresh(&world, folder.path(), NOON);
    let before = world.logs();
    world.forget_the_index();
    let again = refresh(&world, folder.path(), NOON);
    assert_eq!(again.len(), files(folder.path()).len());
    assert!(again.iter().all(|(_, status)| *status == ImportStatus::Unchanged), "{again:?}");
    assert_eq!(world.logs(), before);
}

#[test]
fn what_an_import_read_is_not_read_again_but_for_what_failed_or_changed_meanwhile() {
    let world = World::memory();
    let folder = folder();
    let all = files(folder.path());
    let notes = folder.path().join("notes.jsonl");
    fs::write(&notes, "notes\n").unwrap();
    let looked = Importer::source_files(&[folder.path().to_owned()]);
    let report = world.import(&[folder.path().to_owned()]);
    append(&all[0], "\n");
    importer(&world, NOON).saw(&looked, &report).unwrap();
    assert_eq!(changed(&world, folder.path()).len(), 1, "the one that was written to while it was read");
    assert_eq!(refresh(&world, folder.path(), NOON), [(all[0].clone(), ImportStatus::Unchanged)]);
    append(&notes, "{}\n");
    assert_eq!(refresh(&world, folder.path(), NOON), [], "what is no conversation is left out without a word");
    assert!(changed(&world, folder.path()).is_empty());
}

#[test]
fn a_file_that_fails_is_left_alone_for_a_minute_unless_it_changes() {
    let world = World::memory();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.jsonl");
    fs::copy(&files(&sample("pi"))[0], &file).unwrap();
    let looked = Importer::source_files(&[folder.path().to_owned()]);
    let failed = {
        let mut report = world.import(&[folder.path().to_owned()]);
        report.sessions[0].status = ImportStatus::Failed;
        report
    };
    importer(&world, NOON).saw(&looked, &failed).unwrap();
    let at = |now: u64| importer(&world, now).changed_files(&[folder.path().to_owned()]).unwrap().len();
    assert_eq!([at(NOON), at(NOON + 59_999), at(NOON + 60_000)], [0, 0, 1]);
    assert_eq!(at(NOON - 60_000), 1, "a clock that goes back keeps nothing away");
    append(&file, "\n");
    assert_eq!(at(NOON), 1);
}

#[test]
fn who_is_stopped_in_between_goes_on_from_there() {
    let world = World::memory();
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(&files(&sample("pi"))[0]).unwrap();
    let id = text.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for number in 0..80_u32 {
        let other = text.replace(&id, &format!("01a1fc40-60fa-7028-a9c6-{number:012}"));
        fs::write(folder.path().join(format!("{number:02}.jsonl")), other).unwrap();
    }
    let importer = importer(&world, NOON);
    let asked = Cell::new(0);
    let go_on = || {
        asked.set(asked.get() + 1);
        if asked.get() > 50 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let mut left = Vec::new();
    let changed = importer.changed_files(&[folder.path().to_owned()]).unwrap();
    importer.bring_in(changed, None, &go_on, &mut |_, still| left.push(still)).unwrap();
    let done = world.rows().len();
    assert!((40..=50).contains(&done), "{done}");
    assert_eq!(left.last(), Some(&(80 - done)));
    assert_eq!(refresh(&world, folder.path(), NOON).len(), 80 - done, "and only with those that are left");
    assert_eq!(world.rows().len(), 80);
}

#[test]
fn sources_are_facts_of_the_store_and_can_be_taken_back() {
    for kind in kinds() {
        let world = World::new(kind);
        let folders = [(PathBuf::from("/b"), "pi".to_owned()), (PathBuf::from("/a"), "codex".to_owned())];
        assert_eq!(put_sources(&*world.store, NOON, &folders).unwrap(), 2, "{kind}");
        assert_eq!(put_sources(&*world.store, NOON, &folders).unwrap(), 0, "{kind}: they are known");
        assert_eq!(sources(&*world.store).unwrap(), [PathBuf::from("/a"), PathBuf::from("/b")], "{kind}");
        let none = StoreFact::Source { path: "/a".to_owned(), value: serde_json::Value::Null };
        put_store_fact(&*world.store, NOON, &none).unwrap();
        assert_eq!(sources(&*world.store).unwrap(), [PathBuf::from("/b")], "{kind}");
        assert!(Index::open(&*world.store).unwrap().refresh(&*world.store).is_ok());
    }
}

#[test]
fn a_source_that_is_not_there_has_nothing() {
    let world = World::memory();
    assert!(changed(&world, Path::new("/no/such/folder")).is_empty());
}
