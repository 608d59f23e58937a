//! Importing what was purged, and what was written anew because what it continued was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use session_store::import::{ImportReport, ImportStatus};
use session_store::organise::{Organiser, detached_session};
use session_store::{ShowKind, ShowOptions, current_leaf, transcript};
use store_core::{Seq, SessionId};
use tempfile::TempDir;

use super::world::{NOON, World, complaints, files, kinds, sample};

/// What a conversation shows: of each row its kind, turn, text and call.
type Shown = Vec<(ShowKind, u64, String, Option<String>)>;

fn shown(world: &World, session: SessionId) -> Shown {
    let leaf = current_leaf(&*world.store, session).unwrap();
    let rows = transcript(&*world.store, session, leaf, &ShowOptions::default()).unwrap().messages;
    rows.into_iter().map(|row| (row.kind, row.turn, row.text, row.tool.map(|tool| tool.call_id))).collect()
}

fn everything(world: &World) -> BTreeMap<SessionId, Shown> {
    let sessions = world.store.list_sessions().unwrap();
    sessions.into_iter().map(|session| (session, shown(world, session))).collect()
}

fn purge(world: &World, sessions: &[SessionId]) -> BTreeMap<SessionId, SessionId> {
    world.index.refresh(&*world.store).unwrap();
    let organiser = Organiser { store: &*world.store, index: &world.index, now: NOON };
    organiser.purge(sessions, true).unwrap().detached.into_iter().collect()
}

/// The keys of a session's entries, in the order of its segments.
fn keys(world: &World, session: SessionId) -> Vec<Option<String>> {
    let segments = world.store.list_segments(session).unwrap();
    let of = |segment| world.store.read_range(session, segment, Seq::START, usize::MAX).unwrap();
    let mut keys: Vec<Option<String>> = segments.into_iter().flat_map(of).map(|record| record.key).collect();
    keys.sort();
    keys
}

/// The sessions that others continue.
fn trunks(world: &World) -> Vec<SessionId> {
    let sessions = world.store.list_sessions().unwrap();
    sessions.into_iter().filter(|session| !world.index.continued_by(*session).unwrap().is_empty()).collect()
}

fn statuses(report: &ImportReport) -> BTreeMap<String, (ImportStatus, u64, Option<SessionId>)> {
    assert_eq!(report.failed, 0, "{:#?}", complaints(report));
    let files = report.sessions.iter();
    files
        .map(|file| (file.native_id.clone().unwrap_or_default(), (file.status, file.entries, file.session_id)))
        .collect()
}

/// A purged conversation stays away, and what continued it is found where it is now, with the index and without.
fn check_again(kind: &str, folder: &str) {
    let mut first = World::new(kind);
    first.import(&[sample(folder)]);
    let trunks = trunks(&first);
    assert!(!trunks.is_empty(), "{folder} has forks");
    for trunk in trunks {
        let mut world = World::new(kind);
        world.import(&[sample(folder)]);
        let before = everything(&world);
        let old_keys: BTreeMap<SessionId, Vec<Option<String>>> =
            before.keys().map(|session| (*session, keys(&world, *session))).collect();
        let moved = purge(&world, &[trunk]);
        assert!(!moved.is_empty());
        let after = everything(&world);
        for (old, texts) in &before {
            let Some(now) = after.get(moved.get(old).unwrap_or(old)) else { continue };
            assert_eq!(now, texts, "{kind} {folder}: {old} of {trunk}");
            let now_keys = keys(&world, *moved.get(old).unwrap_or(old));
            assert!(old_keys[old].iter().all(|key| now_keys.contains(key)), "keys are kept");
        }
        let logs = world.logs();
        for forget in [false, true] {
            if forget {
                world.forget_the_index();
            }
            let report = world.import(&[sample(folder)]);
            for (native_id, (status, entries, session)) in statuses(&report) {
                let is_there = matches!(status, ImportStatus::Unchanged | ImportStatus::Updated) && entries == 0;
                assert!(
                    status == ImportStatus::Removed || is_there,
                    "{kind} {folder}: {native_id} is {status:?} with {entries}"
                );
                assert!(session.is_none_or(|session| after.contains_key(&session)), "{native_id} is somewhere else");
            }
            assert!(report.removed > 0, "{kind} {folder}");
            assert!(world.logs() == logs, "{kind} {folder}: importing again wrote something");
            assert_eq!(everything(&world), after, "{kind} {folder}");
        }
    }
    first.forget_the_index();
}

/// A copy of a folder in which one file is cut behind some of its lines.
fn cut(folder: &str, file: &Path, lines: usize) -> TempDir {
    let copied = tempfile::tempdir().unwrap();
    for from in files(&sample(folder)) {
        let to = copied.path().join(from.strip_prefix(sample(folder)).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let text = fs::read_to_string(&from).unwrap();
        let keep = if from == file { lines } else { usize::MAX };
        fs::write(to, text.split_inclusive('\n').take(keep).collect::<String>()).unwrap();
    }
    copied
}

/// What comes into a file after its conversation was written anew goes there.
fn check_growth(folder: &str) {
    let whole = World::memory();
    let report = whole.import(&[sample(folder)]);
    let mut grown = 0;
    for trunk in trunks(&whole) {
        for (fork, _) in whole.index.continued_by(trunk).unwrap() {
            let Some(file) = report.sessions.iter().find(|file| file.session_id == Some(fork)) else { continue };
            let file = PathBuf::from(&file.source);
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            for keep in [lines - 1, lines - 2, lines / 2] {
                let copied = cut(folder, &file, keep);
                let world = World::memory();
                world.import(&[copied.path().to_owned()]);
                let moved = purge(&world, &[trunk]);
                // Cut short enough it has nothing of its own yet.
                let Some(now) = moved.get(&fork).copied() else { continue };
                let to = copied.path().join(file.strip_prefix(sample(folder)).unwrap());
                fs::copy(&file, to).unwrap();
                let report = statuses(&world.import(&[copied.path().to_owned()]));
                assert_eq!(
                    shown(&world, now),
                    shown(&whole, fork),
                    "{folder}: {fork} cut behind {keep} lines: {report:#?}"
                );
                assert!(!world.store.exists(fork).unwrap());
                grown += 1;
            }
        }
    }
    assert!(grown > 0, "{folder}");
}

macro_rules! samples {
    ($($name:ident: $folder:literal,)*) => {$(
        mod $name {
            #[test]
            fn what_was_purged_stays_away_and_what_moved_is_found() {
                for kind in super::kinds() {
                    super::check_again(kind, $folder);
                }
            }

            #[test]
            fn a_file_that_grows_goes_on_where_its_conversation_is_now() {
                super::check_growth($folder);
            }
        }
    )*};
}

samples! {
    claude: "claude",
    codex: "codex",
    constructed: "constructed",
    pi: "pi",
}

#[test]
fn a_tombstone_of_another_agent_keeps_nobody_away() {
    let world = World::of(&["pi"]);
    let session = world.store.list_sessions().unwrap()[0];
    let native_id = world.index.summary(session).unwrap().unwrap().native_id.unwrap();
    purge(&world, &[session]);
    let facts = world.store.facts(store_core::FactScope::Store).unwrap();
    let mut stone = facts.into_iter().find(|fact| fact.domain == format!("tombstone.{native_id}")).unwrap();
    stone.value["agent"] = "claude".into();
    world.store.put_fact(store_core::FactScope::Store, &stone).unwrap();
    world.import(&[sample("pi")]);
    assert!(world.store.exists(session).unwrap() || world.store.exists(detached_session(session)).unwrap());
}
