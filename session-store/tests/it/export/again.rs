//! What an agent adds to an exported file goes on behind what the file was made of.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use session_store::export::{ExportOptions, continue_in, export};
use session_store::import::{Agent, ImportStatus};
use session_store::{SegmentLocation, current_leaf, fork_at};
use store_core::{SegmentId, SessionId};

use super::round_trip::put;
use super::said::{Said, exported, said_in};
use crate::import::world::{NOON, World, complaints, kinds};

const SAMPLES: [(&str, &str); 3] = [
    ("claude/projects/-home-dev-src-acme-api/b30d1613-a4ae-452a-8523-64c3786f4d52.jsonl", "claude"),
    ("codex/sessions/2026/11/21/rollout-2026-11-21T03-55-14-01a1fc3e-75ff-72c0-b123-b705a12b61bd.jsonl", "codex"),
    (
        "pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T03-58-56-796Z_01a1fc41-db1c-72c1-8473-a4e300b60ed5.jsonl",
        "pi",
    ),
];

fn last_record(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    records.filter(|record| record.get("uuid").is_some() || record.get("id").is_some()).last().unwrap_or_default()
}

/// What the agent would append for a turn.
fn turn(agent: Agent, path: &Path, native_id: &str, number: u32) -> Vec<Value> {
    let time = format!("2026-11-21T20:00:{number:02}.000Z");
    let (asked, answered) = (format!("Added question {number}"), format!("Added answer {number}"));
    let last = last_record(path);
    match agent {
        Agent::Claude => {
            let record = |kind: &str, uuid: String, parent: &Value, message: Value| {
                json!({"parentUuid": parent, "isSidechain": false, "type": kind, "message": message, "uuid": uuid,
                       "timestamp": time, "cwd": "/home/dev", "sessionId": native_id, "version": "2.1.197"})
            };
            let id = |digit: u32| format!("aaaaaaaa-0000-4000-8000-0000000000{number}{digit}");
            vec![
                record("user", id(1), &last["uuid"], json!({"role": "user", "content": asked})),
                record(
                    "assistant",
                    id(2),
                    &json!(id(1)),
                    json!({"id": format!("msg_{number}"), "role": "assistant", "model": "m", "stop_reason": "end_turn",
                           "content": [{"type": "text", "text": answered}], "usage": {"input_tokens": 5, "output_tokens": 2}}),
                ),
            ]
        }
        Agent::Codex => {
            let record = |kind: &str, payload: Value| json!({"timestamp": time, "type": kind, "payload": payload});
            let message = |role: &str, kind: &str, text: &str| json!({"type": "message", "role": role, "content": [{"type": kind, "text": text}]});
            vec![
                record("event_msg", json!({"type": "task_started"})),
                record("response_item", message("user", "input_text", &asked)),
                record("event_msg", json!({"type": "user_message", "message": asked})),
                record("response_item", message("assistant", "output_text", &answered)),
                record(
                    "token_usage_record",
                    json!({"response_id": format!("resp_{number}"), "usage": {"input_tokens": 5, "output_tokens": 2}}),
                ),
                record("event_msg", json!({"type": "task_complete"})),
            ]
        }
        Agent::Pi => {
            let id = |digit: u32| format!("aaaa00{number}{digit}");
            let record = |id: String, parent: Value, message: Value| json!({"type": "message", "id": id, "parentId": parent, "timestamp": time, "message": message});
            vec![
                record(
                    id(1),
                    last["id"].clone(),
                    json!({"role": "user", "content": [{"type": "text", "text": asked}]}),
                ),
                record(
                    id(2),
                    json!(id(1)),
                    json!({"role": "assistant", "content": [{"type": "text", "text": answered}], "stopReason": "stop",
                           "model": "m", "provider": "p", "responseId": format!("r{number}"),
                           "usage": {"input": 5, "output": 2, "cacheRead": 0, "cacheWrite": 0}}),
                ),
            ]
        }
    }
}

fn append(path: &Path, records: &[Value]) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    for record in records {
        writeln!(file, "{record}").unwrap();
    }
}

fn texts(said: &[Said]) -> Vec<&str> {
    said.iter().map(|said| said.text.as_str()).collect()
}

#[test]
fn what_an_agent_adds_goes_on_in_the_same_conversation() {
    for kind in kinds() {
        for (file, of) in SAMPLES {
            for agent in Agent::ALL {
                let world = World::new(kind);
                world.import(&[crate::import::world::sample(file)]);
                let session = world.rows()[0].session_id;
                let (before, used) = (said_in(&world, session), world.usage());
                let folder = tempfile::tempdir().unwrap();
                let made = exported(&world, session, agent);
                let path = put(folder.path(), &made);
                for number in 1..=2 {
                    append(&path, &turn(agent, &path, &made.native_id, number));
                    let report = world.import(std::slice::from_ref(&path));
                    let case = format!("{kind}: {of} in {agent}, turn {number}: {:?}", complaints(&report));
                    assert_eq!(complaints(&report), Vec::<String>::new(), "{case}");
                    assert_eq!(report.sessions[0].session_id, Some(session), "{case}");
                    assert_eq!(report.sessions[0].status, ImportStatus::Updated, "{case}");
                    let now = said_in(&world, session);
                    assert_eq!(now[..before.len()], before, "{case}");
                    let added = texts(&now[before.len()..]).len();
                    assert_eq!(added, 2 * number as usize, "{case}: {:?}", texts(&now[before.len()..]));
                    assert_eq!(world.usage().total_tokens, used.total_tokens + 7 * u64::from(number), "{case}");
                }
                assert_eq!(world.rows().len(), 1);
                let report = world.import(std::slice::from_ref(&path));
                assert_eq!(report.sessions[0].status, ImportStatus::Unchanged);
            }
        }
    }
}

/// The segment in which an agent goes on.
fn hand_off(world: &World, session: SessionId, agent: Agent, native_id: &str) -> SegmentId {
    let leaf = current_leaf(&*world.store, session).unwrap();
    let from = SegmentLocation { session_id: session, segment_id: leaf };
    continue_in(&*world.store, NOON, from, agent, native_id).unwrap().segment_id
}

#[test]
fn a_segment_that_was_made_for_a_file_takes_what_the_agent_adds() {
    for kind in kinds() {
        for agent in Agent::ALL {
            let world = World::new(kind);
            world.import(&[crate::import::world::sample(SAMPLES[0].0)]);
            let session = world.rows()[0].session_id;
            let before = said_in(&world, session);
            let native_id = "01a1fc3e-75ff-72c0-b123-00000000000f";
            let segment = hand_off(&world, session, agent, native_id);
            let options = ExportOptions { native_id: Some(native_id.to_owned()), cwd: Some("/elsewhere".into()) };
            let made = export(&*world.store, session, segment, agent, &options).unwrap();
            assert_eq!((made.native_id.as_str(), made.cwd.as_str()), (native_id, "/elsewhere"));
            let folder = tempfile::tempdir().unwrap();
            let path = put(folder.path(), &made);
            world.import(std::slice::from_ref(&path));
            assert_eq!(world.store.list_segments(session).unwrap().len(), 3, "{kind}: {agent}");
            for number in 1..=2 {
                append(&path, &turn(agent, &path, native_id, number));
                let report = world.import(std::slice::from_ref(&path));
                assert_eq!(complaints(&report), Vec::<String>::new(), "{kind}: {agent}");
                assert_eq!(report.sessions[0].segment_id, Some(segment), "{kind}: {agent}");
            }
            assert_eq!(world.store.list_segments(session).unwrap().len(), 3, "{kind}: {agent}");
            assert_eq!(current_leaf(&*world.store, session).unwrap(), segment);
            let now = said_in(&world, session);
            assert_eq!(now[..before.len()], before);
            let added = ["Added question 1", "Added answer 1", "Added question 2", "Added answer 2"];
            assert_eq!(texts(&now[before.len()..]), added, "{kind}: {agent}");
        }
    }
}

#[test]
fn a_branch_that_an_agent_makes_within_what_was_exported_leaves_there() {
    let world = World::of(&[SAMPLES[1].0]);
    let session = world.rows()[0].session_id;
    let before = said_in(&world, session);
    let made = exported(&world, session, Agent::Pi);
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &made);
    let text = std::fs::read_to_string(&path).unwrap();
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let first_answer = records.iter().position(|record| record["message"]["stopReason"] == "stop").unwrap();
    let mut branch = turn(Agent::Pi, &path, &made.native_id, 1);
    branch[0]["parentId"] = records[first_answer]["id"].clone();
    append(&path, &branch);
    let report = world.import(std::slice::from_ref(&path));
    assert_eq!(complaints(&report), Vec::<String>::new());
    let now = said_in(&world, session);
    let kept = now.len() - 2;
    assert_eq!(now[..kept], before[..kept]);
    assert!(kept < before.len() && before[kept - 1].role == session_store::ShowRole::Assistant, "{kept}");
    assert_eq!(texts(&now[kept..]), ["Added question 1", "Added answer 1"]);
}

#[test]
fn a_fork_that_claude_makes_of_an_exported_file_is_a_session_that_continues_it() {
    let world = World::of(&[SAMPLES[1].0]);
    let session = world.rows()[0].session_id;
    let before = said_in(&world, session);
    let made = exported(&world, session, Agent::Claude);
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &made);
    let forked_id = "bbbbbbbb-0000-4000-8000-000000000000";
    let forked = path.with_file_name(format!("{forked_id}.jsonl"));
    std::fs::write(
        &forked,
        std::fs::read_to_string(&path)
            .unwrap()
            .replace(&format!("\"sessionId\":\"{}\"", made.native_id), &format!("\"sessionId\":\"{forked_id}\"")),
    )
    .unwrap();
    append(&forked, &turn(Agent::Claude, &forked, forked_id, 1));
    let report = world.import(&[path, forked]);
    assert_eq!(complaints(&report), Vec::<String>::new());
    assert_eq!(world.rows().len(), 2);
    let fork = world.session(forked_id).unwrap();
    assert_ne!(fork, session);
    let now = said_in(&world, fork);
    assert_eq!(now[..before.len()], before);
    assert_eq!(world.store.list_segments(fork).unwrap().len(), 1);
    assert_eq!(said_in(&world, session), before);
}

#[test]
fn what_was_purged_does_not_come_back_in_an_exported_file() {
    let world = World::of(&[SAMPLES[0].0]);
    let session = world.rows()[0].session_id;
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &exported(&world, session, Agent::Codex));
    let organiser = session_store::organise::Organiser { store: &*world.store, index: &world.index, now: NOON };
    organiser.purge(&[session], false).unwrap();
    world.index.refresh(&*world.store).unwrap();
    let report = world.import(&[path]);
    assert_eq!(report.sessions[0].status, ImportStatus::Removed);
    assert!(world.rows().is_empty());
}

#[test]
fn an_export_is_the_same_each_time_and_another_one_behind_another_entry() {
    let world = World::of(&[SAMPLES[2].0]);
    let session = world.rows()[0].session_id;
    for agent in Agent::ALL {
        let made = exported(&world, session, agent);
        assert_eq!(made, exported(&world, session, agent));
        let leaf = current_leaf(&*world.store, session).unwrap();
        let at = SegmentLocation { session_id: session, segment_id: leaf };
        let fork = fork_at(&*world.store, NOON, at, session_store::ForkPoint::Turn(1)).unwrap();
        let other = export(&*world.store, session, fork.segment_id, agent, &ExportOptions::default()).unwrap();
        assert_ne!(other.native_id, made.native_id);
    }
}
