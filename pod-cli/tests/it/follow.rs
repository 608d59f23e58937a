//! `pod log -f`: what is printed while somebody writes, and how it ends; who writes, in lists.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use session_store::{
    Clock, OpenMode, OpenOptions, SegmentLocation, SegmentState, SessionWriter, WriterOptions, append_entry, open,
};
use store_core::{Backend, LogEntry, Part, UserInput};

use crate::fixture::{self, place, segment_id, session_id};
use crate::harness::{NOW, World, interrupt};

fn prompt(text: &str) -> LogEntry {
    LogEntry::UserInput(UserInput { ts: NOW, content: vec![Part::text(text)] })
}

/// The fixture in a store of each backend, with the words that name it.
fn worlds() -> Vec<(World, String, Arc<dyn Backend>)> {
    ["fs", "sqlite"]
        .into_iter()
        .map(|scheme| {
            let world = World::new();
            let url = format!("{scheme}:{}", world.path().join("a-store").display());
            let store = open(&url, &OpenOptions { mode: OpenMode::ReadWrite, now: NOW, create: true }).unwrap();
            fixture::fill(&*store);
            (world, url, store)
        })
        .collect()
}

/// A program that follows.
pub(crate) struct Followed {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Followed {
    pub(crate) fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command: Command = world.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("a line comes").unwrap()
    }

    /// The next object's segment and seq.
    fn place(&mut self) -> (String, u64) {
        let line: Value = serde_json::from_str(&self.line()).unwrap();
        (line["segment_id"].as_str().unwrap().to_owned(), line["seq"].as_u64().unwrap())
    }

    /// Whatever it says when it has ended by itself, with its exit code.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        let Self { child, lines } = self;
        drop(lines);
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[test]
fn what_is_written_elsewhere_is_printed_until_ctrl_c() {
    for (world, url, store) in worlds() {
        let (at, segment) = (place("trunk"), segment_id("trunk"));
        let mut followed =
            Followed::start(&world, &["--store", &url, "log", &segment, "-f", "--after", "15", "--json"]);
        assert_eq!(followed.place(), (segment.clone(), 16), "{url}: first what stands there");
        for seq in 17..20 {
            append_entry(&*store, at, prompt("more")).unwrap();
            assert_eq!(followed.place(), (segment.clone(), seq), "{url}");
        }
        interrupt(&followed.child);
        assert_eq!(followed.end(), (Some(130), String::new()), "{url}");
    }
}

#[test]
fn a_conversation_is_followed_into_the_fork_of_a_writer_that_was_overtaken() {
    for (world, url, store) in worlds() {
        let (at, session) = (place("old"), session_id("old"));
        let state = SegmentState::open(&*store, at).unwrap();
        let options = WriterOptions::new("an agent", Clock::new(|| NOW));
        let writer = SessionWriter::start(Arc::clone(&store), state, options).unwrap();
        let mut followed = Followed::start(&world, &["--store", &url, "log", &session, "--follow", "--json"]);
        (1..=4).for_each(|seq| assert_eq!(followed.place(), (segment_id("old"), seq), "{url}"));
        append_entry(&*store, at, prompt("theirs")).unwrap();
        assert_eq!(followed.place(), (segment_id("old"), 5), "{url}");
        let landed = writer.submit(prompt("mine")).unwrap().wait().unwrap();
        let forked = landed.location.segment_id.to_string();
        assert_eq!([followed.place(), followed.place()], [(forked.clone(), 1), (forked, 2)], "{url}");
        append_entry(&*store, at, prompt("theirs, again")).unwrap();
        assert_eq!(followed.place(), (segment_id("old"), 6), "{url}: who was continued goes on too");
        interrupt(&followed.child);
        assert_eq!(followed.end().0, Some(130), "{url}");
    }
}

#[test]
fn people_are_told_which_segment_the_lines_are_of() {
    let world = fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let store = open(&url, &OpenOptions::at(NOW)).unwrap();
    let mut followed = Followed::start(&world, &["log", &session_id("old"), "-f"]);
    (0..4).for_each(|_| drop(followed.line()));
    let SegmentLocation { segment_id: forked, .. } =
        session_store::fork_at(&*store, NOW, place("old"), session_store::ForkPoint::End).unwrap();
    assert_eq!([followed.line(), followed.line()], [String::new(), format!("segment {forked}")]);
    assert!(followed.line().contains("segment_start"));
    interrupt(&followed.child);
    assert_eq!(followed.end().0, Some(130));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly_though_nothing_is_written() {
    let world = fixture::world();
    let mut followed = Followed::start(&world, &["log", &segment_id("old"), "-f"]);
    followed.line();
    assert_eq!(followed.end(), (Some(0), String::new()));
}

#[test]
fn a_log_that_is_rolled_back_ends_it_with_a_conflict() {
    for (world, url, store) in worlds() {
        let (id, at) = (segment_id("old"), place("old"));
        world.pod(&["--store", &url, "checkpoint", &id]).ok();
        append_entry(&*store, at, prompt("taken back")).unwrap();
        let mut followed = Followed::start(&world, &["--store", &url, "log", &id, "-f", "--after", "4", "--json"]);
        assert_eq!(followed.place(), (id.clone(), 5), "{url}");
        world.pod(&["--store", &url, "rollback", &id, "--to", "1", "--yes"]).ok();
        let (code, said) = followed.end_by_itself();
        let error: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &error["error"]["kind"]), (Some(5), &Value::from("diverged")), "{url}: {said}");
    }
}

impl Followed {
    /// The same while somebody still reads.
    fn end_by_itself(mut self) -> (Option<i32>, String) {
        assert!(self.lines.next().is_none(), "nothing more is printed");
        self.end()
    }
}

#[test]
fn who_writes_is_listed_and_shown() {
    for (world, url, store) in worlds() {
        let nobody = world.pod(&["--store", &url, "list", "--json"]).json();
        assert!(nobody["sessions"].as_array().unwrap().iter().all(|row| row["live"] == false), "{url}: {nobody}");
        let lease =
            store.watch().unwrap().lease(place("old").session_id, place("old").segment_id, "an agent", NOW).unwrap();
        let listed = world.pod(&["--store", &url, "list", "--archived", "all", "--json"]).json();
        let rows = listed["sessions"].as_array().unwrap();
        let row = rows.iter().find(|row| row["session_id"] == session_id("old")).unwrap();
        assert_eq!(row["live"]["holder"], "an agent", "{url}");
        assert_eq!(row["live"]["since"], "2025-11-24T16:00:00Z", "{url}");
        assert_eq!(rows.iter().filter(|row| row["live"] != false).count(), 1, "{url}");
        assert_eq!(world.pod(&["--store", &url, "show", &session_id("old"), "--json"]).json()["live"], row["live"]);
        let text = world.pod(&["--store", &url, "list", "--archived", "all"]).ok();
        assert_eq!(text.lines().filter(|line| line.contains("[live]")).count(), 1, "{url}: {text}");
        let shown = world.pod(&["--store", &url, "show", &session_id("old")]).ok();
        assert!(shown.contains("live: an agent"), "{url}: {shown}");
        let segments = world.pod(&["--store", &url, "segments", &session_id("old"), "--json"]).json();
        assert_eq!(segments["segments"][0]["live"], row["live"], "{url}");
        let text = world.pod(&["--store", &url, "segments", &session_id("old")]).ok();
        assert!(text.lines().last().unwrap().ends_with("current live"), "{url}: {text}");
        drop(lease);
        let segments = world.pod(&["--store", &url, "segments", &session_id("old"), "--json"]).json();
        assert_eq!(segments["segments"][0]["live"], false, "{url}");
    }
}
