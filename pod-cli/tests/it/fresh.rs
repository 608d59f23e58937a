//! What agents wrote since the import: it is there without another one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Run, World};
use crate::pick::Person;

/// How long a person waits until they think that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A conversation of pi: what its file is called, and what it says.
pub(crate) struct Talk {
    file: PathBuf,
    id: String,
    lines: usize,
}

impl Talk {
    /// A new one with a first question and its answer, in the folder where pi keeps them.
    pub(crate) fn begin(world: &World, number: u32, question: &str) -> Self {
        let folder = world.path().join(".pi/agent/sessions/--home-dev--");
        fs::create_dir_all(&folder).unwrap();
        let id = format!("01a1fc40-60fa-7028-a9c6-{number:012}");
        let file = folder.join(format!("2025-11-24T12-00-00-000Z_{id}.jsonl"));
        let mut talk = Self { file, id, lines: 0 };
        let id = talk.id.clone();
        talk.write(&json!({"type": "session", "version": 3, "id": id, "timestamp": "2025-11-24T12:00:00.000Z", "cwd": "/home/dev"}));
        talk.say(question);
        talk
    }

    /// The agent's own id of it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Another question, and its answer.
    pub(crate) fn say(&mut self, question: &str) {
        self.message(&json!({"role": "user", "content": [{"type": "text", "text": question}]}));
        let answer = format!("About {question}: yes.");
        self.message(
            &json!({"role": "assistant", "content": [{"type": "text", "text": answer}], "stopReason": "stop"}),
        );
    }

    fn message(&mut self, message: &Value) {
        let parent = (self.lines > 1).then(|| format!("{:08x}", self.lines - 1));
        let id = format!("{:08x}", self.lines);
        let at = format!("2025-11-24T12:00:{:02}.000Z", self.lines);
        self.write(&json!({"type": "message", "id": id, "parentId": parent, "timestamp": at, "message": message}));
    }

    fn write(&mut self, record: &Value) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file).unwrap();
        writeln!(file, "{record}").unwrap();
        self.lines += 1;
    }
}

fn row(page: &Value, talk: &Talk) -> Option<Value> {
    page["sessions"].as_array().unwrap().iter().find(|row| row["native_id"] == talk.id()).cloned()
}

/// How many turns the list gives a conversation; a command gives up after a while, and the next one goes on.
fn until_turns(world: &World, store: &str, talk: &Talk, turns: u64) {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let page = world.pod(&["list", "--json", "--store", store]).json();
        if row(&page, talk).is_some_and(|row| row["turns"] == turns) {
            return;
        }
        assert!(Instant::now() < given_up, "never {turns} turns: {page}");
    }
}

fn turns_as_it_is(world: &World, talk: &Talk) -> Option<Value> {
    row(&world.pod(&["list", "--json", "--no-refresh"]).json(), talk).map(|row| row["turns"].clone())
}

/// Everything that a store holds of a conversation.
fn entries(world: &World, store: &str, talk: &Talk) -> String {
    let printed = world.pod(&["log", talk.id(), "--json", "--store", store, "--no-refresh"]).ok();
    let lines = printed.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        format!("{} {}\n", line["seq"], line["entry"])
    });
    lines.collect()
}

#[test]
fn a_line_that_an_agent_appends_and_a_file_that_it_begins_are_in_the_next_list() {
    for store in ["fs:store", "sqlite:store.db"] {
        let world = World::new();
        let mut talk = Talk::begin(&world, 1, "the first");
        let import = world.pod(&["import", "--store", store]);
        assert!(import.stderr.contains("from now on"), "{import}");
        talk.say("the second");
        until_turns(&world, store, &talk, 2);
        let other = Talk::begin(&world, 2, "another one");
        until_turns(&world, store, &other, 1);
        let again = world.pod(&["import", "--json", "--store", store]).json();
        assert_eq!((&again["unchanged"], &again["entries"]), (&json!(2), &json!(0)), "nothing was left to import");
        assert_eq!(world.pod(&["list", "--store", store]).stderr.lines().count(), 1, "nothing is said of it any more");
    }
}

#[test]
fn every_command_that_takes_an_id_knows_what_was_written_a_moment_ago() {
    let world = World::new();
    Talk::begin(&world, 1, "the first");
    world.pod(&["import"]).ok();
    let commands: [&[&str]; 5] = [&["show"], &["segments"], &["resume", "--print"], &["tag", "--add", "new"], &["log"]];
    for (number, command) in (2..).zip(commands) {
        let talk = Talk::begin(&world, number, "a new one");
        let given_up = Instant::now() + PATIENCE;
        let run = || world.pod(&[command, &[talk.id()]].concat());
        while run().code != 0 {
            assert!(Instant::now() < given_up, "{}", run());
        }
    }
    let mut latest = Talk::begin(&world, 9, "the latest");
    latest.say("really the latest");
    let given_up = Instant::now() + PATIENCE;
    while !world.pod(&["show", "@last"]).ok().contains("really the latest") {
        assert!(Instant::now() < given_up);
    }
    let given_up = Instant::now() + PATIENCE;
    while world.pod(&["search", "really", "--json"]).json()["total"] != 2 {
        assert!(Instant::now() < given_up);
    }
}

#[test]
fn who_asks_for_what_is_there_gets_just_that() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    world.pod(&["import"]).ok();
    talk.say("the second");
    assert_eq!(turns_as_it_is(&world, &talk), Some(json!(1)));
    world.pod(&["config", "set", "refresh", "false"]).ok();
    let page = world.pod(&["list", "--json"]).json();
    assert_eq!(row(&page, &talk).unwrap()["turns"], 1);
    world.pod(&["config", "set", "refresh", "true"]).ok();
    until_turns(&world, &format!("fs:{}", world.usual_store().display()), &talk, 2);
}

#[test]
fn a_path_that_was_imported_once_is_not_followed() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    let import = world.pod(&["import", ".pi"]);
    assert!(!import.stderr.contains("from now on"), "{import}");
    talk.say("the second");
    let page = world.pod(&["list", "--json"]).json();
    assert_eq!(row(&page, &talk).unwrap()["turns"], 1);
}

#[test]
fn an_agent_that_comes_later_is_followed_too() {
    let world = World::new();
    let talk = Talk::begin(&world, 1, "the first");
    world.pod(&["import"]).ok();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/conversations");
    crate::import::copy_deep(&examples.join("codex"), &world.path().join(".codex"));
    let given_up = Instant::now() + PATIENCE;
    loop {
        let page = world.pod(&["list", "--json"]).json();
        if page["sessions"].as_array().unwrap().iter().filter(|row| row["agent"] == "codex").count() >= 6 {
            break;
        }
        assert!(Instant::now() < given_up, "{page}");
    }
    fs::remove_dir_all(world.path().join(".pi")).unwrap();
    assert!(row(&world.pod(&["list", "--json"]).json(), &talk).is_some(), "what an agent removes stays here");
}

#[test]
fn a_broken_file_is_said_and_fails_nothing() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    let store = "fs:store";
    world.pod(&["import", "--store", store]).ok();
    let folder = world.path().join(".pi/agent/sessions");
    fs::write(folder.join("notes.jsonl"), "these are notes\n").unwrap();
    fs::write(folder.join("empty.jsonl"), "").unwrap();
    let locked = Talk::begin(&world, 2, "nobody may read this");
    talk.say("the second");
    fs::set_permissions(&locked.file, fs::Permissions::from_mode(0o000)).unwrap();
    // Made once: to make one changes whose files they are, and with it their times.
    let mut list = world.command_of_a_mortal(&["list", "--store", store]);
    let mut json = world.command_of_a_mortal(&["list", "--json", "--store", store]);
    let mut as_it_is = world.command_of_a_mortal(&["list", "--json", "--no-refresh", "--store", store]);
    let mut said = String::new();
    let given_up = Instant::now() + PATIENCE;
    loop {
        let run = world.finish(&list.output().unwrap());
        assert_eq!(run.code, 0, "{run}");
        said.push_str(&run.stderr);
        let page = world.finish(&as_it_is.output().unwrap()).json();
        if row(&page, &talk).is_some_and(|row| row["turns"] == 2) && said.contains("Permission denied") {
            break;
        }
        assert!(Instant::now() < given_up, "{said}");
    }
    assert!(said.contains("warning: ") && said.contains("was not brought in"), "{said}");
    let again = world.finish(&list.output().unwrap());
    assert!(!again.stderr.contains("warning"), "a file that failed is left alone for a while: {again}");
    let json = world.finish(&json.output().unwrap());
    assert_eq!((json.code, json.stderr.as_str()), (0, ""));
}

#[test]
fn a_store_that_can_only_be_read_is_no_failure() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    world.pod(&["import", "--store", "fs:store"]).ok();
    talk.say("the second");
    let read_only = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o500)).unwrap();
    // Prepared before anything is taken away.
    let mut list = world.command_of_a_mortal(&["list", "--store", "fs:store"]);
    let mut json = world.command_of_a_mortal(&["list", "--json", "--store", "fs:store"]);
    let store = world.path().join("store");
    fs::set_permissions(store.join("LOCK"), fs::Permissions::from_mode(0o400)).unwrap();
    read_only(&store);
    let run = world.finish(&list.output().unwrap());
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("can only be read here"), "{run}");
    let page: Run = world.finish(&json.output().unwrap());
    assert_eq!(page.stderr, "", "{page}");
    assert_eq!(row(&page.json(), &talk).unwrap()["turns"], 1);
    fs::set_permissions(&store, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_store_that_somebody_else_writes_to_is_no_failure() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    let store = format!("sqlite:{}", world.path().join("store.db").display());
    world.pod(&["import", "--store", &store]).ok();
    talk.say("the second");
    let holder = rusqlite::Connection::open(world.path().join("store.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let run = world.pod(&["list", "--store", &store]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("not brought in") || run.stderr.contains("takes a while"), "{run}");
    let page = world.pod(&["list", "--json", "--store", &store]);
    assert_eq!(page.stderr, "", "{page}");
    assert_eq!(row(&page.json(), &talk).unwrap()["turns"], 1);
    holder.execute_batch("ROLLBACK").unwrap();
    until_turns(&world, &store, &talk, 2);
}

#[test]
fn what_was_purged_stays_away() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    let mut other = Talk::begin(&world, 2, "the other");
    world.pod(&["import"]).ok();
    world.pod(&["rm", "--purge", "--yes", talk.id()]).ok();
    talk.say("the second");
    other.say("the second");
    until_turns(&world, &format!("fs:{}", world.usual_store().display()), &other, 2);
    let page = world.pod(&["list", "--json"]).json();
    assert!(row(&page, &talk).is_none(), "{page}");
}

#[test]
fn several_that_look_at_once_and_some_that_are_killed_do_no_harm() {
    for store in ["fs:store", "sqlite:store.db"] {
        let world = World::new();
        let mut talks: Vec<Talk> = (0..4).map(|number| Talk::begin(&world, number, "the first")).collect();
        world.pod(&["import", "--store", store]).ok();
        for round in 0_u64..4 {
            for talk in &mut talks {
                talk.say(&format!("question {round}"));
            }
            let arguments = ["list", "--json", "--store", store];
            let start = || world.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            let mut at_once: Vec<_> = (0..3).map(|_| start()).collect();
            thread::sleep(Duration::from_millis(7 * round));
            at_once[0].kill().unwrap();
            for mut child in at_once.drain(..).skip(1) {
                assert!(child.wait().unwrap().success());
            }
        }
        world.pod(&["import", ".pi", "--store", "fs:whole"]).ok();
        for talk in &talks {
            until_turns(&world, store, talk, 5);
            assert_eq!(entries(&world, store, talk), entries(&world, "fs:whole", talk), "{store}");
        }
        let segments = world.pod(&["verify", "--json", "--store", store]).json();
        assert_eq!((&segments["ok"], &segments["segments"]), (&json!(true), &json!(4)), "{store}");
    }
}

#[test]
fn the_picker_shows_what_is_written_while_it_is_open() {
    let world = World::new();
    Talk::begin(&world, 1, "the first");
    world.pod(&["import"]).ok();
    let mut person = Person::sit_down(&world, 100, &["pick"]);
    person.until_seen("the first");
    Talk::begin(&world, 2, "written just now");
    person.until_seen("written just now");
    person.press("\u{1b}");
    assert_eq!(person.end().1, Some(130));
}
