//! Conversations that were compressed.

use std::fs;
use std::path::{Path, PathBuf};

use session_store::SessionFacts;
use session_store::import::{Agent, ImportStatus};
use tempfile::TempDir;

use super::world::{World, complaints, files, sample};

fn pack(text: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::copy(&mut &*text, &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// A folder with compressed copies of all conversations below a folder of the samples, and what lies beside them.
fn packed(folder: &str) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for path in files(&sample(folder)) {
        let place = to.path().join(path.strip_prefix(sample(folder)).unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place.with_extension("jsonl.zst"), pack(&fs::read(&path).unwrap())).unwrap();
        let description = path.with_extension("meta.json");
        if description.exists() {
            fs::copy(description, place.with_extension("meta.json")).unwrap();
        }
        copy_outputs(&path.with_extension("").join("tool-results"), &place.with_extension("").join("tool-results"));
    }
    to
}

fn copy_outputs(from: &Path, to: &Path) {
    let Ok(outputs) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for output in outputs {
        let output = output.unwrap();
        fs::copy(output.path(), to.join(output.file_name())).unwrap();
    }
}

#[test]
fn a_compressed_file_tells_the_same_as_the_plain_one() {
    for folder in ["claude", "codex", "codex-0.80.0", "pi", "constructed/codex"] {
        let plain = World::of(&[folder]);
        let world = World::memory();
        let folder = packed(folder);
        let report = world.import(&[folder.path().to_owned()]);
        assert_eq!(report.failed, 0, "{:#?}", complaints(&report));
        assert_eq!(world.told(), plain.told(), "{folder:?}");
    }
}

#[test]
fn what_was_compressed_since_has_nothing_new_and_back_again() {
    for name in ["codex", "claude", "pi"] {
        let world = World::of(&[name]);
        let logs = world.logs();
        let folder = packed(name);
        for paths in [folder.path().to_owned(), sample(name)] {
            let report = world.import(&[paths]);
            assert_eq!((report.failed, report.entries), (0, 0), "{:#?}", complaints(&report));
            assert!(report.sessions.iter().all(|file| file.status == ImportStatus::Unchanged), "{report:#?}");
            assert!(world.logs() == logs, "{name}");
        }
    }
}

const ROLLOUT: &str = "codex/archived_sessions/rollout-2026-11-21T03-55-29-01a1fc3e-b322-7c70-bd0b-341f8244c8d4.jsonl";
const THREAD: &str = "01a1fc3e-b322-7c70-bd0b-341f8244c8d4";

fn both() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join(Path::new(ROLLOUT).file_name().unwrap());
    let packed = plain.with_extension("jsonl.zst");
    (folder, plain, packed)
}

#[test]
fn both_forms_beside_each_other_are_one_session() {
    let text = fs::read(sample(ROLLOUT)).unwrap();
    let (folder, plain, packed) = both();
    fs::write(&plain, &text).unwrap();
    fs::write(&packed, pack(&text)).unwrap();
    let world = World::memory();
    let report = world.import(&[folder.path().to_owned()]);
    assert_eq!((report.imported, report.unchanged, report.failed), (1, 1, 0));
    assert_eq!(world.rows().len(), 1);
    let again = world.import(&[folder.path().to_owned()]);
    assert_eq!((again.unchanged, again.entries), (2, 0));
}

#[test]
fn a_cursor_counts_the_text_and_not_what_it_is_compressed_to() {
    let text = fs::read(sample(ROLLOUT)).unwrap();
    let (_folder, _, packed) = both();
    fs::write(&packed, pack(&text)).unwrap();
    let world = World::memory();
    world.import(&[packed]);
    let facts = SessionFacts::read(&*world.store, world.session(THREAD).unwrap()).unwrap();
    assert_eq!(facts.cursors[THREAD]["bytes"], text.len());
}

/// Cut at any byte of the compressed file, and then whole.
#[test]
fn a_cut_file_gives_what_decodes_and_the_whole_one_the_rest() {
    // Many small frames, so that cuts meet more than headers.
    let text = fs::read_to_string(sample(ROLLOUT)).unwrap();
    let whole: Vec<u8> = text.split_inclusive('\n').flat_map(|line| pack(line.as_bytes())).collect();
    let plain = World::of(&[ROLLOUT]);
    let (_folder, _, packed) = both();
    let mut seen = 0;
    for cut in (whole.len() / 9..whole.len()).step_by(whole.len() / 23) {
        fs::write(&packed, &whole[..cut]).unwrap();
        let world = World::memory();
        let report = world.import(std::slice::from_ref(&packed));
        let file = &report.sessions[0];
        let is_told = file.warnings.iter().any(|warning| warning.line.is_none() && warning.message.contains("is cut"));
        seen += usize::from(is_told);
        fs::write(&packed, &whole).unwrap();
        let report = world.import(std::slice::from_ref(&packed));
        // The folder tells what is archived, and this is none.
        let told = |world: &World| {
            world.told().into_iter().map(|told| (told.session, told.leaf, told.shown)).collect::<Vec<_>>()
        };
        assert_eq!(told(&world), told(&plain), "cut at {cut}: {:?}", complaints(&report));
        assert_eq!(world.usage(), plain.usage(), "cut at {cut}");
    }
    assert!(seen > 10, "{seen} cuts were told");
}

#[test]
fn a_damaged_file_gives_what_stands_before_the_damage() {
    let text = fs::read_to_string(sample(ROLLOUT)).unwrap();
    let frames: Vec<Vec<u8>> = text.split_inclusive('\n').map(|line| pack(line.as_bytes())).collect();
    let before: usize = frames[..frames.len() / 2].iter().map(Vec::len).sum();
    let mut bytes = frames.concat();
    bytes[before..before + 8].fill(0xFF);
    let (_folder, _, packed) = both();
    fs::write(&packed, &bytes).unwrap();
    let world = World::memory();
    let report = world.import(std::slice::from_ref(&packed));
    let warnings = &report.sessions[0].warnings;
    assert!(warnings.iter().any(|warning| warning.message.contains("is damaged")), "{warnings:?}");
    let lines: String = text.split_inclusive('\n').take(frames.len() / 2).collect();
    let (_other, plain, _) = both();
    fs::write(&plain, lines).unwrap();
    let expected = World::memory();
    expected.import(&[plain]);
    assert_eq!(world.told(), expected.told());
}

#[test]
fn the_name_of_a_compressed_file_is_the_native_id() {
    let folder = packed("constructed/claude");
    let world = World::memory();
    let report = world.import(&[folder.path().join("torn_and_fused_lines.jsonl.zst")]);
    let file = &report.sessions[0];
    assert_eq!((file.agent, file.native_id.as_deref()), (Some(Agent::Claude), Some("torn_and_fused_lines")));
}
