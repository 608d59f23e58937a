//! What is not a conversation, or not a whole one; what changed since; what others wrote in between.

use std::fs;
use std::path::{Path, PathBuf};

use session_store::import::{Agent, ImportOptions, ImportReport, ImportStatus};
use session_store::{SessionFact, StoreFact, Title, TitleBy, current_leaf, put_session_fact, put_store_fact};
use store_core::{LogEntry, Part, UserInput};
use tempfile::TempDir;

use super::world::{NOON, World, sample};

const BASIC: &str = "claude/projects/-home-dev-src-acme-api/715956ee-3c34-41c6-b370-fec1bc02e834.jsonl";
const NATIVE: &str = "715956ee-3c34-41c6-b370-fec1bc02e834";

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn reason_of(bytes: &[u8]) -> String {
    let folder = folder_with(&[("file.jsonl", bytes)]);
    let world = World::memory();
    let report = world.import(&[folder.path().join("file.jsonl")]);
    assert_eq!((report.failed, report.entries, report.sessions.len()), (1, 0, 1));
    assert!(world.store.list_sessions().unwrap().is_empty());
    report.sessions[0].error.clone().unwrap()
}

#[test]
fn what_is_not_a_conversation_is_refused_with_the_reason() {
    let refused = [
        ("empty", reason_of(b"")),
        ("blank", reason_of(b"\n\n  \n")),
        ("text", reason_of(b"Dear diary,\nnothing happened.\n")),
        ("pretty", reason_of(b"{\n  \"type\": \"user\",\n  \"sessionId\": \"s\"\n}\n")),
        ("list", reason_of(b"[\n  {\"type\": \"user\"}\n]\n")),
        ("other", reason_of(b"{\"display\":\"/help\",\"project\":\"/x\",\"timestamp\":1}\n")),
        ("zstd", reason_of(b"\x28\xb5\x2f\xfd\x00\x01")),
        ("gzip", reason_of(b"\x1f\x8b\x08\x00")),
        ("utf-16", reason_of(b"\xff\xfe{\x00}\x00")),
        ("database", reason_of(b"SQLite format 3\0 and more")),
    ];
    insta::assert_debug_snapshot!(refused);
}

#[test]
fn a_path_that_is_not_there_and_an_empty_folder_stop_nothing() {
    let world = World::memory();
    let empty = tempfile::tempdir().unwrap();
    let paths = [PathBuf::from("/nowhere/at/all.jsonl"), empty.path().to_owned(), sample(BASIC)];
    let report = world.import(&paths);
    assert_eq!((report.failed, report.imported), (1, 1));
    let why: Vec<&str> = report.sessions.iter().filter_map(|file| file.error.as_deref()).collect();
    assert!(why[0].contains("No such file"), "{why:?}");
    assert_eq!(report.ignored[0].reason, "the folder holds no conversation");
}

#[test]
fn a_folder_leaves_out_what_is_not_a_conversation() {
    let basic = fs::read(sample(BASIC)).unwrap();
    let name = format!("{NATIVE}.jsonl");
    let folder = folder_with(&[(&name, &basic), ("history.jsonl", b"{\"display\":\"x\"}\n"), ("notes.txt", b"x")]);
    let report = World::memory().import(&[folder.path().to_owned()]);
    assert_eq!((report.imported, report.failed, report.ignored.len()), (1, 0, 1));
    assert!(report.ignored[0].source.ends_with("history.jsonl"));
}

#[test]
fn a_file_read_as_another_agents_is_refused() {
    let world = World::memory();
    let options = ImportOptions { from: Some(Agent::Codex), ..ImportOptions::default() };
    let report = world.import_with(&[sample(BASIC)], &options);
    assert_eq!(report.sessions[0].error.as_deref(), Some("no line is a record of codex"));
}

#[cfg(unix)]
#[test]
fn links_in_a_folder_are_not_followed_and_a_loop_ends() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(sample(BASIC), folder.path().join(format!("{NATIVE}.jsonl"))).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
    let report = World::memory().import(&[folder.path().to_owned()]);
    assert_eq!((report.imported, report.sessions.len()), (1, 1));
}

/// Imports the sample with bytes put before, between and behind its lines.
fn spoilt(spoil: impl Fn(&str) -> Vec<u8>) -> (World, ImportReport) {
    let text = fs::read_to_string(sample(BASIC)).unwrap();
    let folder = folder_with(&[(&format!("{NATIVE}.jsonl"), &spoil(&text))]);
    let world = World::memory();
    let report = world.import(&[folder.path().to_owned()]);
    (world, report)
}

#[test]
fn marks_and_line_ends_of_other_systems_change_nothing() {
    let (plain, _) = spoilt(|text| text.as_bytes().to_vec());
    let (marked, _) = spoilt(|text| format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes());
    assert_eq!(marked.told(), plain.told());
}

#[test]
fn nul_runs_and_broken_lines_are_warned_of_and_lose_nothing_else() {
    let (plain, _) = spoilt(|text| text.as_bytes().to_vec());
    let (spoilt, report) = spoilt(|text| {
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4096]);
        bytes.extend_from_slice(b"\n{\"type\":\"user\",\"uuid\":\"torn");
        bytes
    });
    let lines: Vec<Option<u64>> = report.sessions[0].warnings.iter().map(|warning| warning.line).collect();
    let count = fs::read_to_string(sample(BASIC)).unwrap().lines().count() as u64;
    assert_eq!(lines, [Some(count + 1), Some(count + 2)]);
    assert_eq!(spoilt.told(), plain.told());
}

#[test]
fn a_half_of_a_surrogate_pair_does_not_lose_its_record() {
    let line = r#"{"type":"user","uuid":"0a1b2c3d-0000-4000-8000-000000000001","parentUuid":null,"sessionId":"s","timestamp":"2026-04-23T10:00:00.000Z","message":{"role":"user","content":"half \ud83d of it"}}"#;
    let folder = folder_with(&[("s.jsonl", line.as_bytes())]);
    let world = World::memory();
    world.import(&[folder.path().to_owned()]);
    assert_eq!(world.branch("s")[0].text, "half \u{fffd} of it");
}

fn changed(change: impl Fn(&str) -> String) -> (World, ImportReport, TempDir) {
    let text = fs::read_to_string(sample(BASIC)).unwrap();
    let folder = folder_with(&[(&format!("{NATIVE}.jsonl"), text.as_bytes())]);
    let world = World::memory();
    world.import(&[folder.path().to_owned()]);
    fs::write(folder.path().join(format!("{NATIVE}.jsonl")), change(&text)).unwrap();
    let report = world.import(&[folder.path().to_owned()]);
    (world, report, folder)
}

#[test]
fn a_file_that_was_changed_goes_on_as_a_branch() {
    let text = fs::read_to_string(sample(BASIC)).unwrap();
    let last = text.lines().rfind(|line| line.contains("\"type\":\"assistant\"")).unwrap().to_owned();
    let rewrite = move |text: &str| text.replace(&last, &last.replace("\"text\":\"", "\"text\":\"Rewritten. "));
    let (world, report, folder) = changed(rewrite);
    assert_eq!(report.sessions[0].status, ImportStatus::Updated);
    assert!(report.sessions[0].warnings[0].message.contains("differs from what was imported before"), "{report:#?}");
    let is_rewritten =
        |rows: Vec<session_store::ShowMessage>| rows.iter().filter(|row| row.text.starts_with("Rewritten. ")).count();
    assert_eq!(is_rewritten(world.branch(NATIVE)), 1);
    let session = world.session(NATIVE).unwrap();
    assert_eq!(world.store.list_segments(session).unwrap().len(), 2);
    let logs = world.logs();
    // Even when it is read again, because something was added that says nothing.
    let path = folder.path().join(format!("{NATIVE}.jsonl"));
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"type\":\"mode\",\"mode\":\"normal\",\"sessionId\":\"x\"}\n");
    fs::write(&path, text).unwrap();
    assert_eq!(world.import(&[folder.path().to_owned()]).entries, 0);
    assert!(world.logs() == logs);
}

#[test]
fn a_conversation_that_was_continued_here_keeps_both_ways_on() {
    let text = fs::read_to_string(sample(BASIC)).unwrap();
    let half: usize = text.split_inclusive('\n').take(9).map(str::len).sum();
    let folder = folder_with(&[(&format!("{NATIVE}.jsonl"), &text.as_bytes()[..half])]);
    let world = World::memory();
    world.import(&[folder.path().to_owned()]);
    let session = world.session(NATIVE).unwrap();
    let leaf = current_leaf(&*world.store, session).unwrap();
    let input = UserInput { ts: NOON, content: vec![Part::text("typed here")] };
    world.store.append(session, leaf, &LogEntry::UserInput(input)).unwrap();
    fs::write(folder.path().join(format!("{NATIVE}.jsonl")), &text).unwrap();
    for entries_are_new in [true, false] {
        let report = world.import(&[folder.path().to_owned()]);
        assert_eq!(report.entries > 0, entries_are_new);
        let branch = world.branch(NATIVE);
        assert!(!branch.iter().any(|row| row.text == "typed here"));
        assert!(world.all(NATIVE).iter().any(|row| row.text == "typed here"));
    }
    let whole = World::memory();
    whole.import(&[sample(BASIC)]);
    let texts = |world: &World| world.branch(NATIVE).into_iter().map(|row| (row.turn, row.text)).collect::<Vec<_>>();
    assert_eq!(texts(&world), texts(&whole));
}

#[test]
fn what_was_purged_stays_away() {
    let world = World::memory();
    let tombstone = StoreFact::Tombstone { native_id: NATIVE.into(), value: serde_json::json!({"agent": "claude"}) };
    put_store_fact(&*world.store, NOON, &tombstone).unwrap();
    let report = world.import(&[sample(BASIC)]);
    assert_eq!((report.removed, report.sessions[0].status), (1, ImportStatus::Removed));
    assert!(world.store.list_sessions().unwrap().is_empty());
}

#[test]
fn a_title_that_a_person_gave_here_outlasts_the_next_import() {
    let native_id = "5c41e4e9-e3d5-4725-9667-ebbbd83cb691";
    let text = fs::read_to_string(sample("claude/projects/-home-dev-src-acme-api").join(format!("{native_id}.jsonl")));
    let folder = folder_with(&[(&format!("{native_id}.jsonl"), text.unwrap().as_bytes())]);
    let world = World::memory();
    world.import(&[folder.path().to_owned()]);
    let title = SessionFact::Title(Title { text: "Mine".into(), by: TitleBy::Person });
    put_session_fact(&*world.store, NOON, world.session(native_id).unwrap(), &title).unwrap();
    let path = folder.path().join(format!("{native_id}.jsonl"));
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"type\":\"from-the-future\",\"sessionId\":\"x\",\"keep\":1}\n");
    fs::write(&path, text).unwrap();
    assert_eq!(world.import(&[folder.path().to_owned()]).entries, 1);
    assert_eq!(world.rows()[0].title.as_deref(), Some("Mine"));
}

#[test]
fn an_output_that_is_missing_is_reported_and_may_come_or_go() {
    let native_id = "eb38aab6-9ea5-44db-8bc5-d2e1438cce5a";
    let from = sample("claude/projects/-home-dev-src-acme-api");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{native_id}.jsonl"));
    fs::copy(from.join(format!("{native_id}.jsonl")), &path).unwrap();
    let world = World::memory();
    let report = world.import(std::slice::from_ref(&path));
    assert_eq!(report.sessions[0].warnings[0].line, Some(8));
    assert_eq!(report.sessions[0].warnings[0].message, "the output b0m681o83.txt is not there");
    let beside = folder.path().join(native_id).join("tool-results");
    fs::create_dir_all(&beside).unwrap();
    fs::copy(from.join(native_id).join("tool-results/b0m681o83.txt"), beside.join("b0m681o83.txt")).unwrap();
    grow(&path);
    assert_eq!(world.import(std::slice::from_ref(&path)).entries, 1);
    assert_eq!(world.store.list_segments(world.session(native_id).unwrap()).unwrap().len(), 1);
}

fn grow(path: &Path) {
    let mut text = fs::read_to_string(path).unwrap();
    text.push_str("{\"type\":\"from-the-future\",\"sessionId\":\"x\",\"keep\":1}\n");
    fs::write(path, text).unwrap();
}
