//! The same conversations in parts, again, and in another order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use session_store::import::ImportReport;
use tempfile::TempDir;

use super::world::{Told, World, complaints, files, sample};

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

/// Each file alone, cut at every line, then whole.
fn each_cut_alone(folder: &str) {
    let copied = Copied::new(folder);
    for path in copied.files() {
        let text = fs::read(&path).unwrap();
        let whole = imported(std::slice::from_ref(&path));
        for cut in line_ends(&text) {
            let world = World::memory();
            fs::write(&path, &text[..cut]).unwrap();
            world.import(std::slice::from_ref(&path));
            fs::write(&path, &text).unwrap();
            let report = world.import(std::slice::from_ref(&path));
            let when = format!("{} cut at {cut}: {:?}", path.display(), complaints(&report));
            assert_told(&world.told(), &whole, &when);
        }
    }
}

/// Each file alone, cut at every line, then whole, once by a reader that goes on there and once by one that knows nothing of it:
/// the same logs. What is read is what the file grew by.
fn each_cut_goes_on(folder: &str) {
    let copied = Copied::new(folder);
    for path in copied.files() {
        let text = fs::read(&path).unwrap();
        let records_of = |report: &ImportReport| report.sessions[0].records;
        let all = records_of(&World::memory().import(std::slice::from_ref(&path)));
        for cut in line_ends(&text) {
            fs::write(&path, &text[..cut]).unwrap();
            let mut worlds = [World::memory(), World::memory()];
            let before = worlds.each_ref().map(|world| records_of(&world.import(std::slice::from_ref(&path))))[0];
            let has_begun = !worlds[0].store.list_sessions().unwrap().is_empty();
            worlds[1].forget_the_index();
            fs::write(&path, &text).unwrap();
            let reports = worlds.each_ref().map(|world| world.import(std::slice::from_ref(&path)));
            let when = format!("{} cut at {cut}: {:?}", path.display(), complaints(&reports[0]));
            if has_begun {
                assert_eq!(records_of(&reports[0]), all - before, "{when}");
                assert_eq!(reports[0].entries, reports[1].entries, "{when}");
            }
            assert_eq!(records_of(&reports[1]), all, "{when}");
            assert!(worlds[0].logs() == worlds[1].logs(), "{when}");
            assert_eq!(worlds[0].told(), worlds[1].told(), "{when}");
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
            fn a_file_that_grew_is_read_where_it_was_left() {
                super::each_cut_goes_on($folder);
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
