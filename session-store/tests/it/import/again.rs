//! The same conversations in parts, again, and in another order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_store::import::ImportStatus;
use tempfile::TempDir;

use super::world::{Told, World, complaints, files, sample};

/// Of so many cuts one is also replayed.
const REPLAYED_EACH: usize = 7;

/// A copy of a folder of samples, whose files can be cut.
struct Copied {
    folder: TempDir,
    original: PathBuf,
}

impl Copied {
    fn new(folder: &str) -> Self {
        let copied = Self { folder: tempfile::tempdir().unwrap(), original: sample(folder) };
        let mut folders = vec![copied.original.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let to = copied.place(&path);
                    fs::create_dir_all(to.parent().unwrap()).unwrap();
                    fs::copy(&path, to).unwrap();
                }
            }
        }
        copied
    }

    /// Where the copy of an original is.
    fn place(&self, original: &Path) -> PathBuf {
        self.folder.path().join(original.strip_prefix(&self.original).unwrap())
    }

    fn files(&self) -> Vec<PathBuf> {
        files(self.folder.path())
    }
}

/// The ends of a text's lines.
fn line_ends(text: &[u8]) -> Vec<usize> {
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.filter(|end| *end < text.len()).collect()
}

fn imported(paths: &[PathBuf]) -> Vec<Told> {
    let world = World::memory();
    let report = world.import(paths);
    assert_eq!(report.failed, 0, "{:#?}", complaints(&report));
    world.told()
}

fn assert_told(told: &[Told], whole: &[Told], when: &str) {
    assert_eq!(told.len(), whole.len(), "{when}");
    for (told, whole) in told.iter().zip(whole) {
        assert_eq!(told, whole, "{when}");
    }
}

/// Each file alone, cut at every line, then whole: what is read is what the file grew by. Now and then also by one that does not
/// know where the file was left, which gives the same logs.
fn each_cut_alone(folder: &str) {
    let copied = Copied::new(folder);
    for path in copied.files() {
        let text = fs::read(&path).unwrap();
        let import_all = |world: &World| world.import(std::slice::from_ref(&path)).sessions;
        let import = |world: &World| import_all(world).remove(0);
        let whole = World::memory();
        let all = import(&whole).records;
        let whole = whole.told();
        for (number, cut) in line_ends(&text).into_iter().enumerate() {
            fs::write(&path, &text[..cut]).unwrap();
            let world = World::memory();
            let before = import_all(&world);
            let mut other = (number % REPLAYED_EACH == 0).then(World::memory);
            other.iter().for_each(|other| drop(import(other)));
            fs::write(&path, &text).unwrap();
            let after = import(&world);
            let when = format!("{} cut at {cut}: {after:?}", path.display());
            assert_told(&world.told(), &whole, &when);
            // Of a file without anything of its own nothing is kept, and one with sub-agents among its records is read whole.
            let read_before = match before.as_slice() {
                [before] if before.session_id.is_some() => before.records,
                _ => 0,
            };
            assert_eq!(after.records, all - read_before, "{when}");
            if let Some(other) = &mut other {
                other.forget_the_index();
                let replayed = import(other);
                assert_eq!((replayed.records, replayed.entries), (all, after.entries), "{when}");
                assert!(world.logs() == other.logs(), "{when}");
            }
        }
    }
}

/// The files that are related: one continues, copies or started another.
fn family(paths: &[PathBuf], path: &Path) -> Vec<PathBuf> {
    let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    // A native id or a first message in several files relates them.
    let names: Vec<&str> = paths.iter().map(|path| name_of(path)).collect();
    let own = paths.iter().position(|other| other == path).unwrap();
    let mut family = BTreeSet::from([own]);
    loop {
        let before = family.len();
        for at in 0..paths.len() {
            let is_related = |member: &usize| {
                texts[at].contains(names[*member])
                    || texts[*member].contains(names[at])
                    || first_uuid(&texts[at]).is_some_and(|uuid| first_uuid(&texts[*member]) == Some(uuid))
            };
            if family.iter().any(is_related) {
                family.insert(at);
            }
        }
        if family.len() == before {
            return family.into_iter().map(|at| paths[at].clone()).collect();
        }
    }
}

fn name_of(path: &Path) -> &str {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    stem.get(stem.len().saturating_sub(36)..).unwrap_or(stem)
}

fn first_uuid(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("\"uuid\":\"")?;
    rest.get(..36)
}

/// Each file among those it is related to, growing line by line, all of it in one store; torn in the middle of lines on
/// the way.
fn growing_among_others(folder: &str) {
    let copied = Copied::new(folder);
    for path in copied.files() {
        let text = fs::read(&path).unwrap();
        if text.len() > 60_000 {
            continue;
        }
        let all = family(&copied.files(), &path);
        let whole = imported(&all);
        let world = World::memory();
        let mut from = 0;
        for cut in line_ends(&text) {
            if from % 3 == 0 {
                fs::write(&path, &text[..from + (cut - from) / 2]).unwrap();
                world.import(&all);
            }
            fs::write(&path, &text[..cut]).unwrap();
            world.import(&all);
            from = cut;
        }
        fs::write(&path, &text).unwrap();
        let report = world.import(&all);
        let when = format!("{} grew: {:?}", path.display(), complaints(&report));
        assert_told_but_homes(&world.told(), &whole, &when);
    }
}

/// Parts may have found other homes, but what is told is the same.
fn assert_told_but_homes(told: &[Told], whole: &[Told], when: &str) {
    assert_eq!(told.len(), whole.len(), "{when}");
    for (told, whole) in told.iter().zip(whole) {
        assert_eq!(told.session, whole.session, "{when}");
        assert_eq!(told.shown, whole.shown, "{when}");
        assert_eq!(told.title, whole.title, "{when}");
    }
    let used = |told: &[Told]| told.iter().map(|told| told.usage.total_tokens).sum::<u64>();
    assert_eq!(used(told), used(whole), "{when}");
}

/// Orders that differ from the one by birth.
fn in_any_order(folder: &str) {
    let mut paths = files(&sample(folder));
    let world = World::memory();
    world.import(&paths);
    let logs = world.logs();
    for turn in 0..paths.len().min(7) {
        paths.rotate_left(3);
        if turn % 2 == 0 {
            paths.reverse();
        }
        let world = World::memory();
        world.import(&paths);
        assert!(world.logs() == logs, "{folder} in order {turn}");
    }
}

/// One file a run, the newest first: forks come before what they continue.
fn newest_first(folder: &str) {
    let mut paths = files(&sample(folder));
    let whole = imported(&paths);
    paths.sort_by_key(|path| std::cmp::Reverse(first_time(path)));
    let world = World::memory();
    for path in &paths {
        world.import(std::slice::from_ref(path));
    }
    // What is continued by reference is linked when both are there.
    world.import(&paths);
    assert_told_but_homes(&world.told(), &whole, folder);
}

fn first_time(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).unwrap();
    let records = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter_map(|record| record["timestamp"].as_str().map(str::to_owned)).next()
}

macro_rules! agents {
    ($($agent:ident $folder:literal)*) => {$(
        mod $agent {
            #[test]
            fn a_file_cut_at_any_line_and_then_whole_is_the_whole() {
                super::each_cut_alone($folder);
            }

            #[test]
            fn a_file_that_grows_line_by_line_is_the_whole() {
                super::growing_among_others($folder);
            }

            #[test]
            fn any_order_within_a_run_gives_the_same_logs() {
                super::in_any_order($folder);
            }

            #[test]
            fn a_fork_before_what_it_continues_tells_the_same_in_the_end() {
                super::newest_first($folder);
            }
        }
    )*};
}

agents! {
    claude "claude"
    codex "codex"
    older_codex "codex-0.80.0"
    pi "pi"
    constructed "constructed"
}

/// A conversation of pi with so many prompts; a changed one where `other` says.
fn prompts(count: usize, other: Option<usize>) -> String {
    let header = r#"{"type":"session","version":3,"id":"5d5a0000-0000-4000-8000-000000000001","timestamp":"2026-11-21T10:00:00.000Z","cwd":"/w"}"#;
    let prompt = |number: usize| {
        let parent = number.checked_sub(1).map_or("null".to_owned(), |parent| format!("\"{parent:08}\""));
        let text = if other == Some(number) { "Changed" } else { "Prompt" };
        format!(
            r#"{{"type":"message","id":"{number:08}","parentId":{parent},"timestamp":"2026-11-21T10:00:{number:02}.000Z","message":{{"role":"user","content":"{text} {number}"}}}}"#
        )
    };
    std::iter::once(header.to_owned()).chain((0..count).map(prompt)).map(|line| line + "\n").collect()
}

#[test]
fn a_beginning_that_changed_is_read_again_and_what_differs_is_a_branch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.jsonl");
    let world = World::memory();
    let import = |text: &str| {
        fs::write(&path, text).unwrap();
        world.import(std::slice::from_ref(&path)).sessions.remove(0)
    };
    assert_eq!(import(&prompts(5, None)).records, 6);
    let grown = import(&prompts(8, None));
    assert_eq!((grown.records, grown.warnings.len()), (3, 0));
    let changed = import(&prompts(10, Some(4)));
    assert_eq!((changed.records, changed.warnings.len()), (11, 1), "{changed:?}");
    assert_eq!(world.store.list_segments(changed.session_id.unwrap()).unwrap().len(), 2);
    let again = import(&prompts(12, Some(4)));
    assert_eq!((again.records, again.warnings.len()), (2, 0), "the branch goes on: {again:?}");
    assert_eq!(world.store.list_segments(changed.session_id.unwrap()).unwrap().len(), 2);
}

/// Size and time can be what they were; the time of the last change of any kind cannot be set.
#[cfg(unix)]
#[test]
fn an_edit_that_keeps_size_and_time_is_noticed() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.jsonl");
    let world = World::memory();
    let import = || world.import(std::slice::from_ref(&path)).sessions.remove(0);
    let text = prompts(5, None);
    fs::write(&path, &text).unwrap();
    import();
    assert_eq!(import().status, ImportStatus::Unchanged);
    let before = fs::metadata(&path).unwrap();
    let changed_at = || fs::metadata(&path).map(|meta| (meta.ctime(), meta.ctime_nsec())).unwrap();
    // A system's clock for files may stand still for some milliseconds.
    while changed_at() == (before.ctime(), before.ctime_nsec()) {
        fs::write(&path, text.replace("Prompt 3", "Edited 3")).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    }
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));
    let edited = import();
    assert_eq!((edited.status, edited.warnings.len()), (ImportStatus::Updated, 1), "{edited:?}");
}

/// The line was taken as it was at first, and has to be read again as it became.
#[test]
fn a_last_line_without_its_end_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.jsonl");
    let world = World::memory();
    let text = prompts(6, None);
    let import = |end: usize| {
        fs::write(&path, &text[..end]).unwrap();
        world.import(std::slice::from_ref(&path)).sessions.remove(0)
    };
    let whole_lines = line_ends(text.as_bytes())[3];
    import(whole_lines - 1);
    let torn = import(whole_lines + 20);
    assert_eq!((torn.records, torn.warnings.len()), (1, 1), "the line got its end and the next one is torn: {torn:?}");
    let whole = import(text.len());
    assert_eq!((whole.records, whole.warnings.len()), (3, 0), "{whole:?}");
    let other = World::memory();
    other.import(std::slice::from_ref(&path));
    assert!(world.logs() == other.logs());
}

/// The store is what counts: an entry that it lost is written again.
#[test]
fn what_was_deleted_since_is_imported_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("talk.jsonl");
    let world = World::memory();
    fs::write(&path, prompts(5, None)).unwrap();
    let first = world.import(std::slice::from_ref(&path)).sessions.remove(0);
    world.store.delete_session(first.session_id.unwrap()).unwrap();
    fs::write(&path, prompts(7, None)).unwrap();
    let second = world.import(std::slice::from_ref(&path)).sessions.remove(0);
    assert_eq!((second.status, second.records), (ImportStatus::Imported, 8));
}

#[test]
fn every_backend_holds_the_same() {
    let mut logs = BTreeMap::new();
    let kinds = [
        "memory",
        #[cfg(feature = "fs")]
        "fs",
        #[cfg(feature = "sqlite")]
        "sqlite",
    ];
    for kind in kinds {
        let world = World::new(kind);
        for folder in ["claude", "codex", "codex-0.80.0", "pi", "constructed"] {
            world.import(&[sample(folder)]);
        }
        logs.insert(kind, world.logs());
    }
    let memory = &logs["memory"];
    assert!(memory.len() > 60);
    for (kind, log) in &logs {
        assert!(log == memory, "{kind}");
    }
}
