//! A file that was imported comes back byte for byte.

use std::io::Write;
use std::path::{Path, PathBuf};

use session_store::export::{ExportOptions, Exported, export};
use session_store::import::{Agent, ImportOptions, ImportStatus, RawArchive};
use session_store::{SegmentLocation, SegmentState, current_leaf, save_user_input};
use store_core::{FactScope, Part, SessionId};

use crate::import::world::{NOON, World, files, kinds, sample};

fn agent_of(name: &str) -> Agent {
    Agent::ALL.into_iter().find(|agent| agent.name() == name).unwrap()
}

fn back(world: &World, session: SessionId) -> Exported {
    let agent = agent_of(world.index.summary(session).unwrap().unwrap().agent.as_deref().unwrap());
    let leaf = current_leaf(&*world.store, session).unwrap();
    export(&*world.store, session, leaf, agent, &ExportOptions::default()).unwrap()
}

fn options(raw: RawArchive) -> ImportOptions {
    ImportOptions { raw, ..ImportOptions::default() }
}

#[test]
fn every_sample_file_comes_back_byte_for_byte() {
    let samples = files(&sample(""));
    for kind in kinds() {
        let world = World::new(kind);
        let report = world.import(&samples);
        let mut compared = 0;
        // The sub-agents among a conversation's records are in its file.
        for file in report.sessions.iter().filter(|file| !file.native_id.as_deref().unwrap().starts_with("agent-5e55"))
        {
            let Some(session) = file.session_id else { continue };
            let source = std::fs::read(&file.source).unwrap();
            if file.native_id.as_deref().is_some_and(|id| id.starts_with("agent-") && !file.source.contains("agent-")) {
                continue;
            }
            let made = back(&world, session);
            assert!(made.is_exact && made.bytes == source, "{kind}: {}", file.source);
            if !file.source.contains("constructed") {
                assert!(Path::new(&file.source).ends_with(&made.path), "{}: {}", file.source, made.path.display());
            }
            compared += 1;
        }
        assert!(compared >= 80, "{kind}: {compared} of {}", samples.len());
    }
}

/// A file of two halves in a folder of its own.
fn halves() -> (tempfile::TempDir, PathBuf, Vec<u8>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let source = files(&sample("codex/sessions")).remove(0);
    let path = folder.path().join(source.file_name().unwrap());
    let whole = std::fs::read(&source).unwrap();
    let lines: Vec<usize> =
        whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    let half = lines[lines.len() / 2];
    (folder, path, whole, half)
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// How much text all cursors keep.
fn kept_bytes(world: &World, session: SessionId) -> u64 {
    let facts = world.store.facts(FactScope::Session(session)).unwrap();
    let cursors = facts.iter().filter(|fact| fact.domain.starts_with("cursor."));
    let pieces = cursors.flat_map(|fact| fact.value["raw"]["pieces"].as_array().cloned().unwrap_or_default());
    pieces.map(|piece| piece["bytes"].as_u64().unwrap()).sum()
}

#[test]
fn a_file_that_grows_is_kept_once_wherever_it_was_cut() {
    for kind in kinds() {
        let (_folder, path, whole, half) = halves();
        // In the middle of a line, and at the end of one; with what the index knows, and without.
        for (cut, forgets) in [(half, false), (half, true), (half - 20, false), (half - 20, true)] {
            let mut world = World::new(kind);
            write(&path, &whole[..cut]);
            world.import(std::slice::from_ref(&path));
            if forgets {
                world.forget_the_index();
                world.index.refresh(&*world.store).unwrap();
            }
            append(&path, &whole[cut..]);
            world.import(std::slice::from_ref(&path));
            let session = world.rows()[0].session_id;
            assert_eq!(back(&world, session).bytes, whole, "{kind}: {cut}");
            let twice = kept_bytes(&world, session) - whole.len() as u64;
            assert!(twice < 2_000, "{kind}: {cut}: {twice} bytes are kept twice");
            let report = world.import(std::slice::from_ref(&path));
            assert_eq!(report.sessions[0].status, ImportStatus::Unchanged);
        }
    }
}

#[test]
fn a_file_whose_beginning_changed_comes_back_as_it_is_now() {
    let (_folder, path, whole, half) = halves();
    let world = World::memory();
    write(&path, &whole[..half]);
    world.import(std::slice::from_ref(&path));
    let mut changed = String::from_utf8(whole).unwrap().replacen("exec_command", "exec_commanD", 1).into_bytes();
    changed.extend_from_slice(b"\n");
    write(&path, &changed);
    world.import(std::slice::from_ref(&path));
    let session = world.rows()[0].session_id;
    let made = back(&world, session);
    assert!(made.is_exact);
    assert_eq!(made.bytes, changed);
}

#[test]
fn without_the_bytes_it_is_told_anew_and_they_can_be_kept_later() {
    for kind in kinds() {
        let (_folder, path, whole, half) = halves();
        let world = World::new(kind);
        write(&path, &whole[..half]);
        world.import_with(std::slice::from_ref(&path), &options(RawArchive::Off));
        let session = world.rows()[0].session_id;
        assert!(!back(&world, session).is_exact);
        assert_eq!(kept_bytes(&world, session), 0);
        world.import(std::slice::from_ref(&path));
        assert!(!back(&world, session).is_exact, "{kind}: nobody asked for what was read before");
        for _ in 0..2 {
            let report = world.import_with(std::slice::from_ref(&path), &options(RawArchive::Backfill));
            assert_eq!(report.sessions[0].status, ImportStatus::Unchanged, "{kind}");
            assert_eq!(back(&world, session).bytes, whole[..half], "{kind}");
            assert_eq!(kept_bytes(&world, session), half as u64, "{kind}");
        }
        append(&path, &whole[half..]);
        world.import(std::slice::from_ref(&path));
        assert_eq!(back(&world, session).bytes, whole, "{kind}");
        assert_eq!(kept_bytes(&world, session), whole.len() as u64, "{kind}");
    }
}

#[test]
fn a_file_that_grew_since_it_was_read_without_its_bytes_is_kept_whole() {
    let (_folder, path, whole, half) = halves();
    let world = World::memory();
    write(&path, &whole[..half]);
    world.import_with(std::slice::from_ref(&path), &options(RawArchive::Off));
    append(&path, &whole[half..]);
    world.import(std::slice::from_ref(&path));
    assert_eq!(back(&world, world.rows()[0].session_id).bytes, whole);
}

#[test]
fn a_gap_that_was_not_kept_is_filled_when_the_file_grows_again() {
    let (_folder, path, whole, half) = halves();
    let world = World::memory();
    write(&path, &whole[..half]);
    world.import(std::slice::from_ref(&path));
    let session = world.rows()[0].session_id;
    let later = half + 1 + whole[half..].iter().position(|byte| *byte == b'\n').unwrap();
    append(&path, &whole[half..later]);
    world.import_with(std::slice::from_ref(&path), &options(RawArchive::Off));
    assert!(!back(&world, session).is_exact);
    append(&path, &whole[later..]);
    world.import(std::slice::from_ref(&path));
    assert_eq!(back(&world, session).bytes, whole);
}

#[test]
fn what_went_on_elsewhere_is_told_anew_with_what_was_added() {
    let world = World::of(&[
        "codex/sessions/2026/11/21/rollout-2026-11-21T03-55-14-01a1fc3e-75ff-72c0-b123-b705a12b61bd.jsonl",
    ]);
    let session = world.rows()[0].session_id;
    assert!(back(&world, session).is_exact);
    let segment = current_leaf(&*world.store, session).unwrap();
    let at = SegmentLocation { session_id: session, segment_id: segment };
    let state = SegmentState::open(&*world.store, at).unwrap();
    save_user_input(&*world.store, &state, NOON, vec![Part::text("And now here.")]).unwrap();
    let made = back(&world, session);
    assert!(!made.is_exact);
    assert!(String::from_utf8(made.bytes).unwrap().contains("And now here."));
}

#[test]
fn a_large_file_is_kept_in_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("01a1fc3e-75ff-72c0-b123-b705a12b61bd.jsonl");
    let header = r#"{"type":"session","version":3,"id":"01a1fc3e-75ff-72c0-b123-b705a12b61bd","timestamp":"2026-11-21T03:58:08.481Z","cwd":"/x"}"#;
    let mut text = format!("{header}\n");
    let mut number = 0_u64;
    while text.len() < 9 << 20 {
        let word = store_core::chain::sha256_hex(&number.to_le_bytes()).repeat(40);
        text += &format!(
            r#"{{"type":"message","id":"{number:08x}","parentId":null,"timestamp":"2026-11-21T03:58:08.481Z","message":{{"role":"user","content":"{word}"}}}}"#
        );
        text.push('\n');
        number += 1;
    }
    write(&path, text.as_bytes());
    let world = World::memory();
    world.import(std::slice::from_ref(&path));
    let session = world.rows()[0].session_id;
    let facts = world.store.facts(FactScope::Session(session)).unwrap();
    let pieces = facts.iter().find_map(|fact| fact.value["raw"]["pieces"].as_array().cloned()).unwrap();
    assert_eq!(pieces.len(), 3);
    let kept = export(
        &*world.store,
        session,
        current_leaf(&*world.store, session).unwrap(),
        Agent::Pi,
        &ExportOptions::default(),
    );
    assert!(kept.unwrap().bytes == text.as_bytes());
}
