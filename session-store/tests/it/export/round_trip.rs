//! Every sample conversation in every agent's form says the same when it is read again.

use std::path::Path;

use session_store::import::{Agent, ImportStatus};
use session_store::{ShowOptions, current_leaf, transcript};
use store_core::SessionId;

use super::said::{exported, said_in};
use crate::import::world::{World, complaints, kinds};

const SAMPLES: [&str; 5] = ["claude", "codex", "codex-0.80.0", "pi", "constructed"];

/// Writes an exported file where the agent would look for it.
pub(super) fn put(folder: &Path, file: &session_store::export::Exported) -> std::path::PathBuf {
    let path = folder.join(&file.path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &file.bytes).unwrap();
    path
}

#[test]
fn every_sample_in_every_form_says_the_same_when_it_is_read_again() {
    let world = World::of(&SAMPLES);
    let mut wrong = Vec::new();
    let mut compared = 0;
    for agent in Agent::ALL {
        let folder = tempfile::tempdir().unwrap();
        let other = World::memory();
        let rows = world.rows();
        let mut files = Vec::new();
        for row in &rows {
            let file = exported(&world, row.session_id, agent);
            files.push((row.session_id, file.native_id.clone(), put(folder.path(), &file)));
        }
        let report = other.import(&files.iter().map(|(_, _, path)| path.clone()).collect::<Vec<_>>());
        // What was too large for a transcript lies in a file of its own, which stays where it is.
        wrong.extend(
            complaints(&report).into_iter().filter(|told| !told.ends_with("the output b0m681o83.txt is not there")),
        );
        for (session, native_id, path) in files {
            let expected = said_in(&world, session);
            if !says_something_of_its_own(&world, session) {
                continue;
            }
            let Some(back) = other.session(&native_id) else {
                wrong.push(format!("{agent}: {} is not there", path.display()));
                continue;
            };
            compared += 1;
            let back = said_in(&other, back);
            if let Some(at) = (0..expected.len().max(back.len())).find(|at| expected.get(*at) != back.get(*at)) {
                wrong.push(format!("{agent}: {session} at {at}:\n  {:?}\n  {:?}", expected.get(at), back.get(at)));
            }
        }
    }
    assert!(compared > 200, "{compared}");
    assert_eq!(wrong, Vec::<String>::new(), "{}", wrong.join("\n"));
}

/// Whether there is more to a conversation than what it continues.
fn says_something_of_its_own(world: &World, session: SessionId) -> bool {
    let leaf = current_leaf(&*world.store, session).unwrap();
    let shown = transcript(&*world.store, session, leaf, &ShowOptions::default()).unwrap();
    shown.messages.iter().any(|row| row.session_id == session)
}

#[test]
fn an_exported_file_that_is_imported_where_it_comes_from_adds_nothing() {
    for kind in kinds() {
        let world = World::new(kind);
        world.import(&SAMPLES.map(crate::import::world::sample));
        let (logs, told) = (world.logs(), world.told());
        let folder = tempfile::tempdir().unwrap();
        let mut paths = Vec::new();
        for agent in Agent::ALL {
            for row in world.rows() {
                paths.push(put(folder.path(), &exported(&world, row.session_id, agent)));
            }
        }
        for _ in 0..2 {
            let report = world.import(&paths);
            assert_eq!(
                (report.imported, report.updated, report.failed),
                (0, 0, 0),
                "{kind}: {:?}",
                complaints(&report)
            );
            assert_eq!(complaints(&report), Vec::<String>::new(), "{kind}");
            assert!(report.sessions.iter().all(|file| file.status == ImportStatus::Unchanged));
        }
        assert_eq!(world.logs(), logs, "{kind}");
        assert_eq!(world.told(), told, "{kind}");
    }
}
