//! `pod --session ID` on a terminal: a conversation goes on in an agent, which a script stands in for.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use session_store::{NewSegment, OpenOptions, append_entry, create_segment, open};
use store_core::{LogEntry, Part, SegmentMeta, SessionConfig, UserInput};

use crate::harness::{NOW, World, copy_program};
use crate::pick::Person;

/// An agent, the agent's own id of a conversation, and its file below its folder.
pub(crate) const CONVERSATIONS: [(&str, &str, &str); 3] = [
    (
        "claude",
        "b30d1613-a4ae-452a-8523-64c3786f4d52",
        "claude/projects/-home-dev-src-acme-api/b30d1613-a4ae-452a-8523-64c3786f4d52.jsonl",
    ),
    (
        "codex",
        "01a1fc3e-9ddf-73d3-9b20-8df0b777a73b",
        "codex/sessions/2026/11/21/rollout-2026-11-21T03-55-24-01a1fc3e-9ddf-73d3-9b20-8df0b777a73b.jsonl",
    ),
    (
        "pi",
        "01a1fc41-db1c-72c1-8473-a4e300b60ed5",
        "pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T03-58-56-796Z_01a1fc41-db1c-72c1-8473-a4e300b60ed5.jsonl",
    ),
];

/// A home with the agents' stand-ins, one real conversation of each agent, and a folder that they are about.
pub(crate) struct Desk {
    pub(crate) world: World,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let world = World::new();
        let programs = world.path().join("programs");
        fs::create_dir(&programs).unwrap();
        for (agent, ..) in CONVERSATIONS {
            let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/stand_in.sh");
            copy_program(&stand_in, &programs.join(agent));
        }
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
        let desk = Self { world: world.with("PATH", &path) };
        fs::create_dir(desk.project()).unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/conversations");
        for (.., file) in CONVERSATIONS {
            let text = fs::read_to_string(examples.join(file)).unwrap();
            let text = text.replace("/home/dev/src/acme-api", desk.project().to_str().unwrap());
            let path = desk.file(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        desk.world.pod(&["import"]).ok();
        desk
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.world.path().join("project")
    }

    fn file(&self, file: &str) -> PathBuf {
        self.world.path().join(format!(".{file}"))
    }

    pub(crate) fn mode(&self, mode: &str) {
        fs::write(self.world.path().join("mode"), mode).unwrap();
    }

    /// Goes on with a conversation, and answers with the exit code and the screen.
    pub(crate) fn resume(&self, arguments: &[&str]) -> (Option<i32>, String) {
        Person::watch_all(&self.world, 160, &[&["--session"], arguments].concat()).wait()
    }

    /// How each agent was started: its name, its arguments, its folder, whether it had a terminal.
    pub(crate) fn started(&self) -> Vec<String> {
        let text = fs::read_to_string(self.world.path().join("started")).unwrap_or_default();
        text.lines().map(|line| line.replace(self.project().to_str().unwrap(), "PROJECT")).collect()
    }

    /// What was said, in order.
    pub(crate) fn said(&self, id: &str) -> Vec<String> {
        let shown = self.world.pod(&["show", id, "--json"]).json();
        let messages = shown["messages"].as_array().unwrap().iter();
        messages.filter(|row| row["kind"] == "message").map(|row| row["text"].as_str().unwrap().to_owned()).collect()
    }

    fn segments(&self, id: &str) -> Vec<Value> {
        self.world.pod(&["segments", id, "--json"]).json()["segments"].as_array().unwrap().clone()
    }

    fn sessions(&self) -> u64 {
        self.world.pod(&["list", "--kind", "all", "--json"]).json()["total"].as_u64().unwrap()
    }

    fn assert_whole(&self, case: &str) {
        let report = self.world.pod(&["verify", "--deep", "--json"]);
        assert_eq!(report.code, 0, "{case}: {report}");
    }

    /// That what was said before is still said, and exactly this behind it.
    fn assert_added(&self, id: &str, before: &[String], added: &[&str], case: &str) {
        let said = self.said(id);
        assert_eq!(&said[..before.len()], before, "{case}");
        assert_eq!(&said[before.len()..], added, "{case}");
    }
}

#[test]
fn a_conversation_goes_on_in_its_own_agents_own_file() {
    let desk = Desk::new();
    for (number, (agent, id, file)) in CONVERSATIONS.into_iter().enumerate() {
        let (before, segments, sessions) = (desk.said(id), desk.segments(id).len(), desk.sessions());
        let (code, screen) = desk.resume(&[id, "--", "and", "now?"]);
        assert_eq!(code, Some(0), "{agent}: {screen}");
        assert!(screen.contains(&format!("{agent} has said something")), "{screen}");
        let verb = if agent == "codex" { "resume" } else { ["--resume", "", "--session"][number] };
        assert_eq!(desk.started()[number], format!("{agent}|{verb} {id} and now?|PROJECT|yes"));
        let run = number + 1;
        let added = [format!("Asked {run}.1"), format!("Answered {run}.1")];
        desk.assert_added(id, &before, &added.each_ref().map(String::as_str), agent);
        assert_eq!((desk.segments(id).len(), desk.sessions()), (segments, sessions), "{agent}: in the same place");
        assert!(fs::read_to_string(desk.file(file)).unwrap().contains(&added[1]), "{agent}");
        desk.assert_whole(agent);
    }
}

#[test]
fn a_conversation_goes_on_in_another_agent_and_then_stays_there() {
    for (from, id, file) in CONVERSATIONS {
        for (to, ..) in CONVERSATIONS.into_iter().filter(|(to, ..)| *to != from) {
            let case = format!("{from} to {to}");
            let desk = Desk::new();
            let (before, segments, sessions) = (desk.said(id), desk.segments(id).len(), desk.sessions());
            let source = fs::read(desk.file(file)).unwrap();
            let (code, screen) = desk.resume(&[id, "--agent", to]);
            assert_eq!(code, Some(0), "{case}: {screen}");
            desk.assert_added(id, &before, &["Asked 1.1", "Answered 1.1"], &case);
            let now = desk.segments(id);
            assert_eq!((now.len(), desk.sessions()), (segments + 1, sessions), "{case}");
            let current = now.iter().find(|row| row["current"] == true).unwrap();
            let native_id = current["native_id"].as_str().unwrap();
            let started = desk.started();
            assert!(started[0].starts_with(&format!("{to}|")) && started[0].contains(native_id), "{started:?}");
            assert_eq!(fs::read(desk.file(file)).unwrap(), source, "{case}: the other agent's file is as it was");

            // Without a name it is now a conversation of the other agent, in the file that was made.
            let (code, screen) = desk.resume(&[id]);
            assert_eq!(code, Some(0), "{case}: {screen}");
            desk.assert_added(id, &before, &["Asked 1.1", "Answered 1.1", "Asked 2.1", "Answered 2.1"], &case);
            assert_eq!(desk.segments(id).len(), segments + 1, "{case}");
            assert!(desk.started()[1].contains(native_id), "{case}");
            // And importing everything once more finds nothing new.
            let again = desk.world.pod(&["import", "--json"]).json();
            assert_eq!((&again["entries"], &again["failed"]), (&0.into(), &0.into()), "{case}: {again}");
            desk.assert_whole(&case);
        }
    }
}

#[test]
fn a_conversation_whose_file_is_gone_gets_a_new_one() {
    let desk = Desk::new();
    for (agent, id, file) in CONVERSATIONS {
        let before = desk.said(id);
        let run = desk.started().len() + 1;
        fs::remove_file(desk.file(file)).unwrap();
        let (code, screen) = desk.resume(&[id]);
        assert_eq!(code, Some(0), "{agent}: {screen}");
        assert!(!desk.file(file).exists(), "{agent}: it has another id, so that nothing is mistaken for the old one");
        desk.assert_added(id, &before, &[&format!("Asked {run}.1"), &format!("Answered {run}.1")], agent);
        desk.assert_whole(agent);
    }
}

#[test]
fn what_the_file_gained_meanwhile_is_there_before_the_agent_is() {
    let desk = Desk::new();
    for (agent, id, _) in CONVERSATIONS {
        let before = desk.said(id);
        // The agent goes on by itself, and nobody looks.
        let verb = if agent == "codex" { "resume" } else { "--session" };
        let script = desk.world.path().join("programs").join(agent);
        let run = desk.started().len() + 1;
        let alone = desk.world.shell(
            &format!("{} {verb} {id}", script.display()),
            &desk.project(),
            &std::env::var("PATH").unwrap(),
        );
        assert_eq!(alone.code, 0, "{alone}");
        let other = if agent == "pi" { "codex" } else { "pi" };
        let (code, screen) = desk.resume(&[id, "--agent", other]);
        assert_eq!(code, Some(0), "{agent}: {screen}");
        let said = [
            format!("Asked {run}.1"),
            format!("Answered {run}.1"),
            format!("Asked {}.1", run + 1),
            format!("Answered {}.1", run + 1),
        ];
        desk.assert_added(id, &before, &said.each_ref().map(String::as_str), agent);
        desk.assert_whole(agent);
    }
}

#[test]
fn an_agent_that_fails_or_is_killed_loses_nothing_that_it_wrote() {
    for (mode, code) in [("fail", 1), ("torn", 1)] {
        for (agent, id, _) in CONVERSATIONS {
            let case = format!("{agent}: {mode}");
            let desk = Desk::new();
            let before = desk.said(id);
            desk.mode(mode);
            let (ended, screen) = desk.resume(&[id]);
            assert_eq!(ended, Some(code), "{case}: {screen}");
            assert!(screen.contains(&format!("{agent} ended with ")), "{case}: {screen}");
            desk.assert_added(id, &before, &["Asked 1.1", "Answered 1.1"], &case);
            desk.assert_whole(&case);
        }
    }
}

#[test]
fn pod_may_be_killed_at_any_moment_while_an_agent_writes() {
    let moments = [0_u64, 3, 11, 29, 53, 97, 151];
    for (at, (agent, id, _)) in moments.into_iter().zip(CONVERSATIONS.into_iter().cycle()) {
        let other = if agent == "codex" { "claude" } else { "codex" };
        let case = format!("{agent} to {other}, killed after {at} ms");
        let desk = Desk::new();
        let before = desk.said(id);
        desk.mode("many");
        let mut person = Person::watch_all(&desk.world, 120, &["--session", id, "--agent", other]);
        person.until_seen(&format!("{other} is ready"));
        thread::sleep(Duration::from_millis(at));
        person.kill();
        until_there(&desk.world.path().join("done"));
        // The next command brings in what came of it.
        let said = desk.said(id);
        let added = (1..=20).flat_map(|number| [format!("Asked 1.{number}"), format!("Answered 1.{number}")]);
        assert_eq!(&said[..before.len()], before, "{case}");
        assert_eq!(&said[before.len()..], added.collect::<Vec<_>>(), "{case}");
        desk.assert_whole(&case);
        // And the conversation goes on.
        desk.mode("");
        assert_eq!(desk.resume(&[id]).0, Some(0), "{case}");
        assert_eq!(desk.said(id).len(), before.len() + 42, "{case}");
    }
}

fn until_there(path: &Path) {
    let given_up = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < given_up, "{} never came", path.display());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_segment_that_waits_for_an_agent_is_used_again() {
    let desk = Desk::new();
    let (_, id, _) = CONVERSATIONS[0];
    let segments = desk.segments(id).len();
    let asked = ["--session", id, "--agent", "codex", "--print-cmd"];
    let first = desk.world.pod(&asked).ok();
    let native_id = first.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(first.trim(), format!("cd [HOME]/project && codex resume {native_id}"));
    assert_eq!(desk.world.pod(&asked).ok(), first);
    assert_eq!(desk.segments(id).len(), segments + 1);
    let document = desk.world.pod(&[&asked[..], &["--json"]].concat()).json();
    assert_eq!(document["native_id"], native_id.as_str());
    assert_eq!(document["command"], serde_json::json!(["codex", "resume", native_id]));
    assert!(desk.started().is_empty(), "nothing was started");
    assert_eq!(desk.resume(&[id]).0, Some(0));
    assert_eq!(desk.started(), [format!("codex|resume {native_id}|PROJECT|yes")]);
    assert_eq!(desk.segments(id).len(), segments + 1);
}

#[test]
fn a_live_conversation_is_refused_with_who_holds_it() {
    let desk = Desk::new();
    let (_, id, _) = CONVERSATIONS[2];
    desk.mode("wait");
    let mut person = Person::watch_all(&desk.world, 120, &["--session", id]);
    person.until_seen("pi is ready");
    let (code, screen) = desk.resume(&[id]);
    assert_eq!(code, Some(5), "{screen}");
    assert!(screen.contains("pi, started by pod"), "{screen}");
    assert!(screen.contains("pod log") && screen.contains("pod fork"), "{screen}");
    // Another branch of it may be gone on with meanwhile: what is held is one log.
    desk.mode("");
    let fork = desk.world.pod(&["fork", id, "--at", "1", "--json"]).json();
    let (code, screen) = desk.resume(&[fork["segment_id"].as_str().unwrap()]);
    assert_eq!(code, Some(0), "{screen}");
    fs::write(desk.world.path().join("go"), "").unwrap();
    assert_eq!(person.wait().0, Some(0));
    desk.assert_whole("two branches");
    assert_eq!(desk.resume(&[id]).0, Some(0));
}

#[test]
fn ctrl_c_is_the_agents() {
    let desk = Desk::new();
    let (_, id, _) = CONVERSATIONS[1];
    let before = desk.said(id);
    desk.mode("wait");
    let mut person = Person::watch_all(&desk.world, 120, &["--session", id]);
    person.until_seen("codex is ready");
    person.interrupt();
    thread::sleep(Duration::from_millis(200));
    fs::write(desk.world.path().join("go"), "").unwrap();
    let (code, screen) = person.wait();
    assert_eq!(code, Some(0), "{screen}");
    desk.assert_added(id, &before, &["Asked 1.1", "Answered 1.1"], "interrupted");
}

#[test]
fn a_conversation_of_no_agent_goes_on_in_one_that_is_named() {
    let desk = Desk::new();
    let url = format!("fs:{}", desk.world.usual_store().display());
    let store = open(&url, &OpenOptions::at(NOW)).unwrap();
    let meta = SegmentMeta { agent: Some("my-runtime".into()), ..SegmentMeta::default() };
    let config = SessionConfig { cwd: Some(desk.project().display().to_string()), ..SessionConfig::default() };
    let at = create_segment(&*store, NOW, NewSegment { meta, config, ..NewSegment::default() }).unwrap();
    let prompt = UserInput { ts: NOW, content: vec![Part::text("What is a ledger?")] };
    append_entry(&*store, at, LogEntry::UserInput(prompt)).unwrap();
    drop(store);
    let id = at.session_id.to_string();
    let (code, screen) = desk.resume(&[&id]);
    assert_eq!(code, Some(6), "{screen}");
    assert!(screen.contains("--agent NAME"), "{screen}");
    for (run, (agent, ..)) in CONVERSATIONS.into_iter().enumerate() {
        let (code, screen) = desk.resume(&[&id, "--agent", agent]);
        assert_eq!(code, Some(0), "{agent}: {screen}");
        let said = desk.said(&id);
        assert_eq!(said.len(), 1 + 2 * (run + 1), "{agent}: {said:?}");
        assert_eq!(said[0], "What is a ledger?");
        desk.assert_whole(agent);
    }
}

#[test]
fn what_is_missing_is_told_before_anything_is_made() {
    let desk = Desk::new();
    let (_, id, _) = CONVERSATIONS[0];
    let segments = desk.segments(id).len();
    let refused = |arguments: &[&str], code: i32, words: &str| {
        let (ended, screen) = desk.resume(arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {screen}");
        assert!(screen.contains(words), "{arguments:?}: {screen}");
        assert_eq!(desk.segments(id).len(), segments, "{arguments:?}");
    };
    refused(&[id, "--agent", "nobody"], 3, "there are claude, codex, pi");
    refused(&[id, "--cwd", "no/such/folder"], 2, "no/such/folder");
    fs::remove_file(desk.world.path().join("programs/codex")).unwrap();
    refused(&[id, "--agent", "codex"], 6, "pod agents test");
    fs::rename(desk.project(), desk.world.path().join("elsewhere")).unwrap();
    refused(&[id], 2, "--cwd DIR");
    let elsewhere = desk.world.path().join("elsewhere");
    let (code, screen) = desk.resume(&[id, "--cwd", elsewhere.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{screen}");
    let piped = desk.world.pod(&["--session", id]);
    assert_eq!(piped.code, 2, "{piped}");
    assert!(piped.stderr.contains("--print-cmd"), "{piped}");
}
