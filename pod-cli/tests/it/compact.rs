//! `pod compact`

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use session_store::{OpenOptions, open};

use crate::fixture::{self, on_every_backend, place, segment_id, session_id};
use crate::harness::{NOW, Run, World, interrupt};

fn segments(world: &World, name: &str) -> Value {
    world.pod(&["segments", &session_id(name), "--json"]).json()["segments"].clone()
}

/// Compacts the trunk to its last turn.
fn compact(world: &World, arguments: &[&str]) -> Run {
    let id = session_id("trunk");
    world.pod(&[&["compact", &id, "--keep", "1"], arguments].concat())
}

#[test]
fn the_json_forms_of_a_compaction() {
    on_every_backend(|world, url| {
        let compact = |arguments: &[&str]| compact(world, &[&["--store", url, "--json"], arguments].concat()).json();
        let planned = compact(&["--dry-run"]);
        let mut done = compact(&["--summarizer", "echo They measured."]);
        let made = done["segment_id"].take();
        assert_eq!(
            [&planned["segment_id"], &done["segment_id"]],
            [&Value::Null, &Value::Null],
            "nothing is made that is only planned"
        );
        done["segment_id"] = json!("[new]");
        insta::assert_json_snapshot!("compact_dry_run", planned);
        insta::assert_json_snapshot!("compact", done);
        let id = session_id("trunk");
        let shown = world.pod(&["show", &id, "--store", url, "--json"]).json();
        assert_eq!(shown["segment_id"], made);
        let texts: Vec<&str> =
            shown["messages"].as_array().unwrap().iter().filter_map(|row| row["text"].as_str()).collect();
        assert!(texts.contains(&"Why is the import slow?"), "a person still reads everything: {texts:?}");
        assert_eq!(texts.last(), Some(&"They measured."));
        let context = world.pod(&["show", &id, "--context", "--store", url, "--json"]).json();
        let texts: Vec<&str> =
            context["messages"].as_array().unwrap().iter().filter_map(|row| row["text"].as_str()).collect();
        assert_eq!(texts, ["<reminder>be brief</reminder>", "They measured.", "Fix it.", "Done: one pass."]);
        world.pod(&["verify", "--deep", "--store", url]).ok();
    });
}

#[test]
fn people_get_the_new_segment_and_a_word_about_it() {
    let world = fixture::world();
    let planned = compact(&world, &["--dry-run"]);
    let done = compact(&world, &["--summarizer", "cat > seen; echo They measured."]);
    let made = segments(&world, "trunk")[1]["segment_id"].as_str().unwrap().to_owned();
    let told = format!("{planned}\n{done}").replace(&made, "[new]");
    insta::assert_snapshot!(told);
    insta::assert_snapshot!("what_a_summarizer_reads", fs::read_to_string(world.path().join("seen")).unwrap());
}

#[test]
fn a_summary_may_come_from_a_file_or_from_standard_input() {
    let world = fixture::world();
    fs::write(world.path().join("summary.txt"), "From a file.\n").unwrap();
    compact(&world, &["--summary", "summary.txt"]).ok();
    let last = |world: &World| {
        let shown = world.pod(&["show", &session_id("trunk"), "--json"]).json();
        shown["messages"].as_array().unwrap().last().unwrap()["text"].clone()
    };
    assert_eq!(last(&world), "From a file.");
    let world = fixture::world();
    let mut command = world.command(&["compact", &session_id("trunk"), "--keep", "1", "--summary", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"From a pipe.").unwrap();
    world.finish(&child.wait_with_output().unwrap()).ok();
    assert_eq!(last(&world), "From a pipe.");
}

#[test]
fn the_summarizer_of_the_config_file_is_used_if_none_is_named() {
    let world = fixture::world();
    let id = session_id("trunk");
    let compact = |arguments: &[&str]| world.pod(&[&["compact", id.as_str(), "--keep", "1"], arguments].concat());
    assert_eq!(compact(&[]).code, 2, "there is none");
    world.pod(&["config", "set", "summarizer", "cat > /dev/null; echo From the file."]).ok();
    compact(&["--timeout", "30"]).ok();
    let shown = |id: &str| world.pod(&["show", id, "--context"]).ok();
    assert!(shown(&id).contains("From the file."), "{}", shown(&id));
    world.pod(&["compact", &id, "--keep", "0", "--summarizer", "cat > /dev/null; echo Named."]).ok();
    assert!(shown(&id).contains("Named."), "{}", shown(&id));
}

#[test]
fn a_summarizer_that_makes_no_summary_changes_nothing() {
    let world = fixture::world();
    let before = segments(&world, "trunk");
    let bad: [(&str, &[&str], &str); 7] = [
        ("fails", &["--summarizer", "echo half; exit 3"], "exit status: 3"),
        ("is killed", &["--summarizer", "kill -9 $$"], "signal: 9"),
        ("says nothing", &["--summarizer", "cat > /dev/null; echo ' '"], "printed nothing"),
        ("is not there", &["--summarizer", "no-such-program-here"], "exit status: 127"),
        ("hangs", &["--summarizer", "echo x; sleep 600", "--timeout", "1"], "longer than 1 seconds"),
        ("says too much", &["--summarizer", "yes"], "printed more than"),
        ("speaks bytes", &["--summarizer", "printf '\\377'"], "not UTF-8"),
    ];
    for (what, arguments, said) in bad {
        let run = compact(&world, arguments);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{what}: {run}");
        assert!(run.stderr.contains(said) && run.stderr.contains("nothing was changed"), "{what}: {run}");
        assert_eq!(segments(&world, "trunk"), before, "{what}");
    }
    let error = compact(&world, &["--summarizer", "echo talk >&2; exit 3", "--json"]).json_error();
    assert_eq!(error["error"]["kind"], "summarizer_failed");
}

#[test]
fn a_file_without_a_summary_changes_nothing() {
    let world = fixture::world();
    let before = segments(&world, "trunk");
    fs::write(world.path().join("empty"), "\n").unwrap();
    let error = compact(&world, &["--summary", "empty", "--json"]).json_error();
    assert_eq!(error["error"]["kind"], "empty_summary");
    let error = compact(&world, &["--summary", "not-there", "--json"]).json_error();
    assert_eq!(error["error"]["kind"], "io");
    let error = compact(&world, &["--json"]).json_error();
    assert_eq!(error["error"]["code"], 2);
    assert_eq!(segments(&world, "trunk"), before);
}

#[test]
fn ctrl_c_ends_the_summarizer_and_changes_nothing() {
    let world = fixture::world();
    let before = segments(&world, "trunk");
    // Whoever still runs of what it started keeps the pipe open.
    world.shell("mkfifo pipe", world.path(), "/usr/bin:/bin").ok();
    let line = "exec 3> pipe; echo started >&3; sleep 600 & wait";
    let mut command = world.command(&["compact", &session_id("trunk"), "--summarizer", line, "--keep", "0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = fs::File::open(world.path().join("pipe")).unwrap();
    pipe.read_exact(&mut [0; 8]).unwrap();
    interrupt(&child);
    let run = world.finish(&child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stdout.as_str()), (130, ""), "{run}");
    assert!(run.stderr.ends_with("nothing was changed\n"), "{run}");
    assert_eq!(segments(&world, "trunk"), before);
    assert_eq!(pipe.read(&mut [0; 8]).unwrap(), 0, "what it started is gone with it");
}

#[test]
fn a_live_conversation_is_refused_with_its_holder() {
    on_every_backend(|world, url| {
        let at = place("trunk");
        let store = open(url, &OpenOptions::at(NOW)).unwrap();
        let lease = store.watch().unwrap().lease(at.session_id, at.segment_id, "an agent", NOW).unwrap();
        let compact = |arguments: &[&str]| compact(world, &[&["--store", url], arguments].concat());
        let error = compact(&["--summarizer", "touch ran; echo S", "--json"]).json_error();
        assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(5), &json!("live")), "{error}");
        assert!(error["error"]["message"].as_str().unwrap().contains("an agent"), "{error}");
        assert!(!world.path().join("ran").exists(), "nothing was run");
        drop(lease);
        compact(&["--summarizer", "echo S"]).ok();
    });
}

#[test]
fn who_writes_while_a_summary_is_made_is_not_passed_over() {
    let world = fixture::world();
    let at = place("trunk");
    let url = format!("fs:{}", world.usual_store().display());
    let line = "touch asked; while [ ! -e go ]; do sleep 0.01; done; echo S";
    let mut command = world.command(&["compact", &session_id("trunk"), "--summarizer", line, "--json"]);
    command.args(["--keep", "0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !world.path().join("asked").exists() {
        sleep(Duration::from_millis(10));
    }
    let store = open(&url, &OpenOptions::at(NOW)).unwrap();
    let busy = store.watch().unwrap().leased(at.session_id, at.segment_id).unwrap();
    assert_eq!(busy.map(|holder| holder.holder).as_deref(), Some("pod compact"));
    fixture::say(&*store, "trunk", "One more thing.");
    fs::write(world.path().join("go"), "").unwrap();
    let error = world.finish(&child.wait_with_output().unwrap()).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(5), &json!("conflict")), "{error}");
    assert_eq!(segments(&world, "trunk").as_array().unwrap().len(), 1);
}

#[test]
fn what_cannot_be_compacted_is_told() {
    let world = fixture::world();
    let error = world.pod(&["compact", &session_id("old"), "--summarizer", "echo S", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&json!(1), &json!("nothing_to_compact")));
    let error = world.pod(&["compact", "nobody", "--summarizer", "echo S", "--json"]).json_error();
    assert_eq!(error["error"]["code"], 3);
    // A named segment is compacted where it ends, and the session goes on from there.
    let first = segment_id("ledger first");
    let made = world.pod(&["compact", &first, "--keep", "0", "--summarizer", "echo S", "--json"]).json();
    assert_eq!(made["compacted_from"]["segment_id"], first.as_str());
    let shown = world.pod(&["show", &session_id("ledger"), "--json"]).json();
    assert_eq!(shown["segment_id"], made["segment_id"]);
}
