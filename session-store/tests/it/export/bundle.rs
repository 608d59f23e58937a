//! One file with a whole session: what another store makes of it.

use std::path::{Path, PathBuf};

use session_store::export::{ExportOptions, bundle, export, is_bundle, jsonl, take_in};
use session_store::import::Agent;
use session_store::{SessionError, SessionFacts, current_leaf, fork};
use store_core::chain::Chain;
use store_core::{FactScope, SessionId};

use crate::import::world::{Logs, NOON, World, files, kinds, sample};

/// A conversation with branches, one with a large part, and a fork of another one.
const SAMPLES: [&str; 3] = ["pi", "claude", "codex"];

fn head(log: &[(Option<String>, String)]) -> String {
    let mut chain = Chain::default();
    log.iter().for_each(|(_, text)| chain.push(text));
    chain.head.to_string()
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn packed(lines: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(lines, 1).unwrap()
}

fn unpacked(bundle: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(bundle).unwrap()
}

fn of_session(logs: &Logs, session: SessionId) -> Logs {
    logs.iter().filter(|((of, _), _)| *of == session).map(|(at, log)| (*at, log.clone())).collect()
}

#[test]
fn another_store_has_the_same_logs_heads_and_facts_and_gives_the_same_file_back() {
    let world = World::of(&SAMPLES);
    let logs = world.logs();
    let folder = tempfile::tempdir().unwrap();
    for kind in kinds() {
        let other = World::new(kind);
        for row in world.rows() {
            let path = put(folder.path(), "x.podbundle", &bundle(&*world.store, row.session_id).unwrap());
            assert!(is_bundle(&path).unwrap());
            let taken = take_in(&path, &*other.store, NOON).unwrap();
            assert_eq!(taken.sessions, [row.session_id]);
            assert!(taken.report.failures.is_empty(), "{kind}: {:?}", taken.report);
            assert!(taken.report.verification.hash_chain_match);
            for (segment, entries, told) in &taken.heads {
                let (_, log) = logs.iter().find(|((_, of), _)| of == segment).unwrap();
                assert_eq!(head(&log[..usize::try_from(*entries).unwrap()]), *told, "{kind}");
            }
            let again = take_in(&path, &*other.store, NOON).unwrap();
            assert_eq!((again.report.new_entries, again.report.failed), (0, 0), "{kind}");
        }
        other.index.refresh(&*other.store).unwrap();
        assert_eq!(other.logs(), logs, "{kind}");
        for row in world.rows() {
            let session = row.session_id;
            let facts = |world: &World| SessionFacts::read(&*world.store, session).unwrap();
            assert_eq!(facts(&other), facts(&world), "{kind}");
            let leaf = current_leaf(&*other.store, session).unwrap();
            for agent in Agent::ALL {
                let of =
                    |world: &World| export(&*world.store, session, leaf, agent, &ExportOptions::default()).unwrap();
                assert_eq!(of(&other), of(&world), "{kind}");
            }
        }
    }
}

#[test]
fn a_branch_as_lines_is_a_log_that_any_tool_reads_and_another_store_takes_in() {
    let world = World::of(&SAMPLES);
    let row = world.rows().into_iter().find(|row| row.forked_from.is_some()).unwrap();
    let bytes = jsonl(&*world.store, row.session_id, row.segment_id).unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    let kinds: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kinds.iter().filter(|line| line.get("kind").is_some()).count() > 10);
    let folder = tempfile::tempdir().unwrap();
    let other = World::memory();
    let taken = take_in(&put(folder.path(), "x.jsonl", &bytes), &*other.store, NOON).unwrap();
    assert_eq!(taken.report.failed, 0);
    let own = of_session(&world.logs(), row.session_id);
    assert_eq!(of_session(&other.logs(), row.session_id), own);
    assert!(other.store.list_sessions().unwrap().len() > 1, "what it continues is there too");
    assert!(other.store.facts(FactScope::Session(row.session_id)).unwrap().is_empty());
    // What the whole bundle has more is added later.
    let whole = put(folder.path(), "x.podbundle", &bundle(&*world.store, row.session_id).unwrap());
    assert_eq!(take_in(&whole, &*other.store, NOON).unwrap().report.failed, 0);
    assert_eq!(of_session(&other.logs(), row.session_id), own);
}

#[test]
fn a_file_that_was_changed_or_cut_is_refused_before_anything_is_written() {
    let world = World::of(&[
        "codex/sessions/2026/11/21/rollout-2026-11-21T03-55-21-01a1fc3e-90d6-74b3-bc47-288e52a01880.jsonl",
    ]);
    let lines = unpacked(&bundle(&*world.store, world.rows()[0].session_id).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let other = World::memory();
    let refused = |name: &str, bytes: &[u8]| {
        let path = put(folder.path(), name, bytes);
        let error = take_in(&path, &*other.store, NOON).unwrap_err();
        assert!(matches!(error, SessionError::Import { .. }), "{name}: {error}");
        assert!(other.store.list_sessions().unwrap().is_empty(), "{name}");
        error.to_string()
    };
    // Any bit of it, and the ids that lines name each other by.
    let ids = lines.windows(14).enumerate().filter(|(_, window)| *window == b"\"session_id\":\"");
    let ids: Vec<usize> = ids.map(|(at, _)| at + 20).take(20).collect();
    for at in (0..lines.len()).step_by(lines.len() / 150).chain(ids) {
        let mut changed = lines.clone();
        changed[at] ^= 1;
        refused("changed", &changed);
    }
    for at in (0..lines.len()).step_by(lines.len() / 50) {
        refused("cut", &lines[..at]);
    }
    let packed = packed(&lines);
    refused("packed and cut", &packed[..packed.len() / 2]);
    let newer = String::from_utf8(lines.clone()).unwrap().replacen("\"min_reader\":1", "\"min_reader\":2", 1);
    assert!(refused("newer", newer.as_bytes()).contains("newer"), "it says so");
    // A segment in the place of another one is not taken for it.
    let text = String::from_utf8(lines).unwrap();
    let first = text.find("{\"seq\":2").unwrap();
    let second = text[first + 1..].find("{\"seq\":2").unwrap() + first + 1;
    let line = |at: usize| &text[at..at + text[at..].find('\n').unwrap()];
    refused("exchanged", text.replacen(line(second), line(first), 1).as_bytes());
}

#[test]
fn a_segment_that_differs_is_left_alone() {
    let world = World::of(&[
        "codex/sessions/2026/11/21/rollout-2026-11-21T03-55-14-01a1fc3e-75ff-72c0-b123-b705a12b61bd.jsonl",
    ]);
    let session = world.rows()[0].session_id;
    let path = tempfile::tempdir().unwrap();
    let file = put(path.path(), "x", &bundle(&*world.store, session).unwrap());
    let other = World::of(&[
        "codex/sessions/2026/11/21/rollout-2026-11-21T03-55-14-01a1fc3e-75ff-72c0-b123-b705a12b61bd.jsonl",
    ]);
    let leaf = current_leaf(&*other.store, session).unwrap();
    let at = session_store::SegmentLocation { session_id: session, segment_id: leaf };
    fork(&*other.store, NOON, at, session_store::ForkPoint::End).unwrap();
    let before = other.logs();
    assert_eq!(take_in(&file, &*other.store, NOON).unwrap().report.new_entries, 0);
    assert_eq!(other.logs(), before);
}

#[test]
fn a_bundle_of_the_first_format_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, entries) in [("bundle-1.podbundle", 24), ("branch-1.jsonl", 24)] {
        let world = World::memory();
        let taken = take_in(&folder.join(name), &*world.store, NOON).unwrap();
        assert_eq!((taken.report.new_entries, taken.report.failed), (entries, 0), "{name}");
        world.index.refresh(&*world.store).unwrap();
        let rows = world.rows();
        assert_eq!((rows.len(), rows[0].segments), (1, 2), "{name}");
        let title = rows[0].title.as_deref();
        assert_eq!(title == Some("Ledger and billing"), name.starts_with("bundle"), "{name}: {title:?}");
    }
}

#[test]
fn nothing_else_is_taken_for_one() {
    for file in files(&sample("")) {
        assert!(!is_bundle(&file).unwrap(), "{}", file.display());
    }
    assert!(!is_bundle(&sample("")).unwrap());
    assert!(!is_bundle(&sample("codex/expected.json")).unwrap());
}
