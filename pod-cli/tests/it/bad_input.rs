//! What is not as it should be: ids, stores, folders, pipes.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use session_store::{OpenMode, OpenOptions, open};

use crate::fixture::{self, segment_id, session_id};
use crate::harness::{NOW, World};

fn kind_and_code(world: &World, arguments: &[&str]) -> (String, i64) {
    let error = world.pod(&[arguments, &["--json"]].concat()).json_error();
    let error = &error["error"];
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
    (error["kind"].as_str().unwrap().to_owned(), error["code"].as_i64().unwrap())
}

fn expect(world: &World, arguments: &[&str], kind: &str, code: i64) {
    assert_eq!(kind_and_code(world, arguments), (kind.to_owned(), code), "{arguments:?}");
    let run = world.pod(arguments);
    assert_eq!(i64::from(run.code), code, "{run}");
    assert!(run.stdout.is_empty() && run.stderr.contains("error: "), "{run}");
}

#[test]
fn an_id_that_fits_nothing() {
    let world = fixture::world();
    for command in ["show", "log", "segments", "fork", "resume", "--session"] {
        expect(&world, &[command, "zzzz-no-such-id"], "not_found", 3);
    }
    expect(&world, &["show", "ab"], "not_found", 3);
    expect(&World::new(), &["show", "@last"], "not_found", 3);
}

#[test]
fn an_id_that_fits_several_names_them() {
    let world = fixture::world();
    let shared = &session_id("trunk")[..8];
    let error = world.pod(&["show", shared, "--json"]).json_error();
    assert_eq!(error["error"]["kind"], "ambiguous");
    let candidates = error["error"]["candidates"].as_array().unwrap();
    assert!(candidates.len() > 2, "{error}");
    assert!(candidates.iter().any(|candidate| candidate["session_id"] == session_id("fork")), "{error}");
    let run = world.pod(&["show", shared]);
    assert_eq!(run.code, 3, "{run}");
    assert!(!run.stderr.chars().any(|c| c.is_control() && c != '\n'), "{run}");
    insta::assert_snapshot!(run);
}

#[test]
fn a_title_that_several_have_asks_for_an_id() {
    let world = fixture::world();
    let made = world.pod(&["fork", &session_id("trunk"), "--at", "1", "--new-session", "--json"]).json();
    let error = world.pod(&["show", "Why is the import slow?", "--json"]).json_error();
    assert_eq!(error["error"]["kind"], "ambiguous", "{error}");
    assert_eq!(error["error"]["hint"], "that is the title of each of them: give one of these ids");
    let candidates = error["error"]["candidates"].as_array().unwrap();
    assert!(candidates.iter().any(|candidate| candidate["session_id"] == made["session_id"]), "{error}");
}

#[test]
fn a_store_that_is_not_there() {
    let world = World::new();
    for url in ["fs:nowhere", "sqlite:nowhere.db", "sqlite:no/such/folder/pod.db"] {
        for command in [&["list"][..], &["show", "@last"], &["fork", "@last"], &[]] {
            expect(&world, &[&["--store", url], command].concat(), "no_store", 3);
        }
    }
    assert_eq!(std::fs::read_dir(world.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn the_store_is_named_by_flag_variable_or_config_file_in_this_order() {
    let config = |text: &str| {
        let world = World::new();
        std::fs::create_dir_all(world.path().join(".config/pod")).unwrap();
        std::fs::write(world.path().join(".config/pod/config.toml"), text).unwrap();
        world
    };
    let missing = |run: crate::harness::Run| {
        assert_eq!(run.code, 3, "{run}");
        run.stderr.lines().next().unwrap_or_default().rsplit("fs:").next().unwrap_or_default().to_owned()
    };
    assert_eq!(missing(config("store = 'fs:from-file'").pod(&["list"])), "from-file");
    assert_eq!(missing(config("store = 'fs:~/x'").pod(&["list"])), "[HOME]/x");
    let both = || config("store = 'fs:from-file'").with("POD_STORE", "fs:from-variable");
    assert_eq!(missing(both().pod(&["list"])), "from-variable");
    assert_eq!(missing(both().pod(&["list", "--store", "fs:from-flag"])), "from-flag");
    let run = config("stor = 'x'").pod(&["list"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("config.toml: line 1: unknown field `stor`"), "{run}");
    assert_eq!(config("stor = 'x'").pod(&["completions", "bash"]).code, 0, "what needs no store needs no config");
}

#[test]
fn a_store_that_is_none() {
    let world = World::new();
    expect(&world, &["list", "--store", "ftp:somewhere"], "unknown_scheme", 2);
    expect(&world, &["list", "--store", "/plain/path"], "bad_url", 2);
    expect(&world, &["list", "--store", "fs:"], "bad_url", 2);
    std::fs::create_dir(world.path().join("photos")).unwrap();
    std::fs::write(world.path().join("photos/cat.jpg"), b"cat").unwrap();
    expect(&world, &["list", "--store", "fs:photos"], "not_a_store", 1);
    std::fs::write(world.path().join("other.db"), b"not a database, but long enough to look at").unwrap();
    expect(&world, &["list", "--store", "sqlite:other.db"], "not_a_store", 1);
    assert_eq!(std::fs::read(world.path().join("photos/cat.jpg")).unwrap(), b"cat");
    assert_eq!(std::fs::read_dir(world.path().join("photos")).unwrap().count(), 1, "nothing was added");
}

/// It was once told as a folder of somebody else's.
#[test]
fn a_store_whose_header_is_damaged_is_a_damaged_store() {
    let world = fixture::world();
    let header = world.usual_store().join("store.json");
    for bytes in [&b""[..], b"{\"format\":1,\"min", b"\x00\xff\x00"] {
        std::fs::write(&header, bytes).unwrap();
        expect(&world, &["list"], "corrupt", 4);
        expect(&world, &["fork", &session_id("trunk")], "corrupt", 4);
        assert_eq!(std::fs::read(&header).unwrap(), bytes, "nothing was changed");
    }
}

#[test]
fn every_backend_answers_the_same() {
    let world = fixture::world();
    let url = format!("sqlite:{}", world.path().join("pod.db").display());
    fixture::fill(&*open(&url, &OpenOptions::at(NOW)).unwrap());
    let fork = session_id("fork");
    let commands: [&[&str]; 5] = [
        &["list", "--kind", "all", "--archived", "all", "--json"],
        &["show", &fork, "--json"],
        &["show", &fork, "--raw", "--json"],
        &["log", &fork, "--json"],
        &["segments", &fork, "--json"],
    ];
    for command in commands {
        assert_eq!(world.pod(command).ok(), world.pod(&[&["--store", &url], command].concat()).ok(), "{command:?}");
    }
}

#[test]
fn a_store_that_somebody_holds_alone() {
    let world = fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let _held = open(&url, &OpenOptions::at(NOW).with_mode(OpenMode::Exclusive)).unwrap();
    expect(&world, &["list"], "locked", 5);
    expect(&world, &["fork", &session_id("trunk")], "locked", 5);
}

#[test]
fn a_store_of_a_newer_format_is_read_but_not_written() {
    let world = fixture::world();
    let header = world.usual_store().join("store.json");
    let mut newer: serde_json::Value = serde_json::from_slice(&std::fs::read(&header).unwrap()).unwrap();
    newer["format"] = json!(99);
    newer["min_writer"] = json!(99);
    std::fs::write(&header, newer.to_string()).unwrap();
    assert_eq!(world.pod(&["list", "--json"]).json()["total"], 3);
    expect(&world, &["fork", &session_id("trunk")], "unsupported_version", 1);
    newer["min_reader"] = json!(99);
    std::fs::write(&header, newer.to_string()).unwrap();
    expect(&world, &["list"], "unsupported_version", 1);
}

fn set_mode_deep(path: &Path, folder_mode: u32, file_mode: u32) {
    let folder = path.is_dir();
    if folder {
        for entry in std::fs::read_dir(path).unwrap() {
            set_mode_deep(&entry.unwrap().path(), folder_mode, file_mode);
        }
    }
    std::fs::set_permissions(path, Permissions::from_mode(if folder { folder_mode } else { file_mode })).unwrap();
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

#[test]
fn a_store_that_may_only_be_read_is_listed_and_shown() {
    let world = fixture::world();
    let sqlite = world.path().join("sqlite/pod.db");
    fixture::fill(&*open(&format!("sqlite:{}", sqlite.display()), &OpenOptions::at(NOW)).unwrap());
    let fs_url = format!("fs:{}", world.usual_store().display());
    let sqlite_url = format!("sqlite:{}", sqlite.display());
    for (url, folder) in [(&fs_url, world.usual_store()), (&sqlite_url, world.path().join("sqlite"))] {
        let run = |arguments: &[&str]| {
            let mut command = world.command_of_a_mortal(&[arguments, &["--store", url]].concat());
            world.finish(&command.output().unwrap())
        };
        // What is given away first, so that the folder is the reader's own and still not to be written to.
        drop(world.command_of_a_mortal(&[]));
        set_mode_deep(&folder, 0o500, 0o400);
        let before = files_below(&folder);
        assert_eq!(run(&["list", "--json"]).json()["total"], 3, "{url}");
        assert_eq!(run(&["show", "@last", "--json"]).json()["session_id"], session_id("fork"), "{url}");
        let refused = run(&["fork", &session_id("trunk"), "--json"]).json_error();
        assert_eq!(refused["error"]["code"], 1, "{url}: {refused}");
        let hint = refused["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("{} is read-only", folder_of(&folder, &world))), "{url}: {hint}");
        assert_eq!(files_below(&folder), before, "{url}: nothing was written");
        set_mode_deep(&folder, 0o700, 0o600);
    }
}

/// As a run tells it.
fn folder_of(folder: &Path, world: &World) -> String {
    folder.display().to_string().replace(world.path().to_str().unwrap(), "[HOME]")
}

#[test]
fn a_database_that_may_not_be_read_is_told_as_that() {
    let world = World::new();
    let path = world.path().join("sqlite/pod.db");
    let url = format!("sqlite:{}", path.display());
    fixture::fill(&*open(&url, &OpenOptions::at(NOW)).unwrap());
    drop(world.command_of_a_mortal(&[]));
    std::fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let run = world.finish(&world.command_of_a_mortal(&["list", "--json", "--store", &url]).output().unwrap());
    let error = run.json_error();
    assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&json!("permission_denied"), &json!(1)), "{error}");
    assert_eq!(error["error"]["message"], "cannot read [HOME]/sqlite/pod.db: Permission denied (os error 13)");
    assert!(error["error"]["hint"].as_str().is_some_and(|hint| hint.contains("who owns")), "{error}");
}

#[test]
fn a_store_that_may_not_even_be_read() {
    let world = fixture::world();
    drop(world.command_of_a_mortal(&[]));
    set_mode_deep(&world.usual_store(), 0o000, 0o000);
    let run = world.finish(&world.command_of_a_mortal(&["list", "--json"]).output().unwrap());
    set_mode_deep(&world.usual_store(), 0o700, 0o600);
    let error = run.json_error();
    assert_eq!((&error["error"]["kind"], &error["error"]["code"]), (&json!("permission_denied"), &json!(1)));
}

#[test]
fn a_damaged_log_is_told_and_hides_nothing_else() {
    let world = fixture::world();
    let log = world.usual_store().join(session_id("trunk")).join(format!("{}.jsonl", segment_id("trunk")));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("Let me measure it.", "Let me measure 1t.")).unwrap();
    expect(&world, &["show", &session_id("trunk")], "corrupt", 4);
    expect(&world, &["--session", &session_id("trunk"), "--print"], "corrupt", 4);
    let page = world.pod(&["list", "--json"]).json();
    let damaged: Vec<bool> =
        page["sessions"].as_array().unwrap().iter().map(|row| row["damaged"].as_bool().unwrap()).collect();
    assert!(damaged.contains(&true) && damaged.contains(&false), "{page}");
    assert_eq!(world.pod(&["show", &session_id("ledger"), "--json"]).code, 0);
}

#[test]
fn an_index_that_is_lost_or_damaged_costs_nothing_but_time() {
    let world = fixture::world();
    let before = world.pod(&["list", "--json"]).ok();
    let index = world.usual_store().join("index.db");
    assert!(index.exists(), "the index is kept beside the store");
    std::fs::write(&index, b"this is no database at all, and it never was one").unwrap();
    assert_eq!(world.pod(&["list", "--json"]).ok(), before);
    std::fs::remove_file(&index).unwrap();
    assert_eq!(world.pod(&["list", "--json"]).ok(), before);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let world = fixture::world();
    for arguments in [&["list", "--json"][..], &["list"], &["show", "@last"], &["log", "@last", "--json"], &["--help"]]
    {
        let mut child =
            world.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        assert!(!said.contains("error") && !said.contains("panic"), "{arguments:?}: {said}");
        assert_eq!(status.code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_mistyped_command_is_told_with_the_one_that_was_meant() {
    let world = World::new();
    for (word, meant) in [("lst", "list"), ("sohw", "show"), ("imprt", "import"), ("segment", "segments")] {
        let run = world.pod(&[word]);
        assert_eq!(run.code, 2, "{run}");
        assert_eq!(run.stderr, format!("error: there is no command {word:?}\nhint: did you mean `pod {meant}`?\n"));
        let error = world.pod(&[word, "--json"]).json_error();
        assert_eq!(error["error"]["hint"], format!("did you mean `pod {meant}`?"));
    }
    let run = world.pod(&["Why is it slow?"]);
    assert!(run.code == 2 && run.stderr.contains("a prompt goes behind `pod --session ID --`"), "{run}");
}

#[test]
fn words_that_make_no_sense() {
    let world = World::new();
    for arguments in [
        &["lisst"][..],
        &["show"],
        &["show", "x", "--turns", "5..3"],
        &["show", "x", "--raw", "--context"],
        &["--print"],
        &["--session", "x", "list"],
        &["list", "--color", "blue"],
        &["log", "x", "--after", "-1"],
    ] {
        let run = world.pod(arguments);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
        assert!(run.stderr.lines().last().is_some_and(|line| line.starts_with("hint: ")), "{run}");
        let (kind, code) = kind_and_code(&world, arguments);
        assert_eq!((kind.as_str(), code), ("usage", 2));
    }
}
