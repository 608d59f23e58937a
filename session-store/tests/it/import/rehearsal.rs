//! Imports that write nothing.

use std::fs;
use std::path::{Path, PathBuf};

use session_store::import::{ImportOptions, ImportReport};
use tempfile::TempDir;

use super::durable::long;
use super::world::{World, files, kinds, sample};

fn rehearse(world: &World, paths: &[PathBuf]) -> ImportReport {
    world.import_with(paths, &ImportOptions { dry_run: true, ..ImportOptions::default() })
}

/// Rehearses, which leaves the store and its index as they are, then imports, which does what was told.
fn rehearse_and_import(world: &World, paths: &[PathBuf], when: &str) -> ImportReport {
    let before = (world.logs(), world.rows());
    let told = rehearse(world, paths);
    assert!((world.logs(), world.rows()) == before, "{when}");
    let real = world.import(paths);
    assert_eq!(told, real, "{when}");
    real
}

/// A copy of a folder of samples.
fn copy(folder: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy_into(&sample(folder), to.path());
    to
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy_into(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

#[test]
fn a_rehearsal_tells_what_the_import_does_and_leaves_nothing_behind() {
    for kind in kinds() {
        for folder in ["claude", "codex", "pi", "constructed"] {
            let world = World::new(kind);
            let copied = copy(folder);
            let paths = [copied.path().to_owned()];
            // Half of each file first, then all of it, then nothing new.
            let texts: Vec<(PathBuf, Vec<u8>)> =
                files(copied.path()).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
            for (path, text) in &texts {
                fs::write(path, &text[..text.len() / 2]).unwrap();
            }
            rehearse_and_import(&world, &paths, &format!("{kind}, halves of {folder}"));
            for (path, text) in &texts {
                fs::write(path, text).unwrap();
            }
            let grown = rehearse_and_import(&world, &paths, &format!("{kind}, {folder}"));
            assert!(grown.entries > 0, "{kind}, {folder}: {grown:?}");
            let again = rehearse_and_import(&world, &paths, &format!("{kind}, {folder} again"));
            assert_eq!(again.entries, 0, "{kind}, {folder}");
        }
    }
}

#[test]
fn a_rehearsal_goes_on_where_a_long_file_was_left_and_tells_of_one_that_changed() {
    for kind in kinds() {
        let world = World::new(kind);
        let (_folder, path) = long(300);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
        let half = rehearse_and_import(&world, std::slice::from_ref(&path), kind);
        fs::write(&path, &text).unwrap();
        let whole = rehearse_and_import(&world, std::slice::from_ref(&path), kind);
        assert_eq!(half.sessions[0].records + whole.sessions[0].records, 600, "{kind}");
        fs::write(&path, text.replace("answer 201", "another answer")).unwrap();
        let changed = rehearse_and_import(&world, std::slice::from_ref(&path), kind);
        assert_eq!(changed.sessions[0].warnings.len(), 1, "{kind}: {changed:?}");
    }
}
