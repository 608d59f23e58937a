//! `pod agents` and `pod config`: what is known of agents, and how it is changed.

use std::fs;

use crate::fresh::Talk;
use crate::harness::{World, write_program};

/// A world with programs that are called like the agents': one that says its version, one that fails.
fn world() -> World {
    let world = World::new();
    let programs = world.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for (name, line) in [("codex", "echo codex-cli 0.99.1"), ("pi", "exit 3")] {
        write_program(&programs.join(name), &format!("#!/bin/sh\n{line}\n"));
    }
    let path = format!("{}:/usr/bin:/bin", programs.display());
    world.with("PATH", &path)
}

fn config(world: &World) -> String {
    fs::read_to_string(world.path().join(".config/pod/config.toml")).unwrap()
}

#[test]
fn the_agents_that_are_known_and_what_they_have() {
    let world = world();
    Talk::begin(&world, 1, "the first");
    insta::assert_json_snapshot!("agents", world.pod(&["agents", "list", "--json"]).json());
    insta::assert_snapshot!("agents_for_people", world.pod_at_width(100, &["agents", "list"]));
    insta::assert_snapshot!("agents_40", world.pod_at_width(40, &["agents", "list"]).ok());
}

#[test]
fn trying_an_agent_says_what_is_there() {
    let world = world();
    Talk::begin(&world, 1, "the first");
    insta::assert_json_snapshot!("agents_test", world.pod(&["agents", "test", "pi", "codex", "--json"]).json());
    insta::assert_snapshot!("agents_test_for_people", world.pod(&["agents", "test"]));
    assert_eq!(world.pod(&["agents", "test", "claude"]).code, 6, "its program is not there");
    assert_eq!(world.pod(&["agents", "test"]).code, 0, "some are");
    let error = world.pod(&["agents", "test", "codx", "--json"]).json_error();
    assert_eq!((&error["error"]["code"], &error["error"]["kind"]), (&3.into(), &"no_agent".into()));
}

#[test]
fn an_agent_that_was_added_is_imported_and_listed() {
    let world = world();
    world.pod(&["agents", "add", "pi-work", "--like", "pi", "--home", "work", "--title", "pi at work"]).ok();
    insta::assert_snapshot!("agents_add", config(&world).replace(world.path().to_str().unwrap(), "[HOME]"));
    assert_eq!(world.pod(&["agents", "add", "pi-work", "--like", "pi"]).code, 5);
    assert_eq!(world.pod(&["agents", "add", "codex", "--format", "codex"]).code, 5, "a preset is there already");
    assert_eq!(world.pod(&["agents", "add", "Mine", "--format", "codex"]).code, 2);
    assert_eq!(world.pod(&["agents", "add", "mine", "--format", "gemini"]).code, 2);
    assert_eq!(world.pod(&["agents", "add", "mine"]).code, 2);
    let talk = Talk::begin(&world, 1, "at work");
    fs::create_dir(world.path().join("work")).unwrap();
    fs::rename(world.path().join(".pi/agent/sessions"), world.path().join("work/sessions")).unwrap();
    let report = world.pod(&["import", "--json"]).json();
    assert_eq!((&report["imported"], &report["sessions"][0]["native_id"]), (&1.into(), &talk.id().into()));
    world.pod(&["config", "set", "agents.pi-work.enabled", "false"]).ok();
    assert_eq!(world.pod(&["import"]).code, 3, "one that is not used is not looked at");
}

#[test]
fn the_config_file_is_read_and_changed_and_comments_stay() {
    let world = world();
    let path = world.pod(&["config", "path"]).ok();
    assert_eq!(path, "[HOME]/.config/pod/config.toml\n");
    assert_eq!(world.pod(&["config", "path", "--json"]).json()["exists"], false);
    assert_eq!(world.pod(&["config", "get", "store"]).ok(), "fs:[HOME]/.local/share/pod/sessions\n");
    fs::create_dir_all(world.path().join(".config/pod")).unwrap();
    fs::write(world.path().join(".config/pod/config.toml"), "# mine\nstore = \"fs:~/pods\" # here\n").unwrap();
    world.pod(&["config", "set", "agents.codex.program", "/opt/codex"]).ok();
    world.pod(&["config", "set", "agents.codex.resume", "--", "{program}", "--resume", "{native_id}"]).ok();
    insta::assert_snapshot!("config_set", config(&world));
    assert_eq!(world.pod(&["config", "get", "agents.codex.resume"]).ok(), "{program}\n--resume\n{native_id}\n");
    insta::assert_snapshot!("config_get", world.pod(&["config", "get"]).ok());
    insta::assert_json_snapshot!("config_get_json", world.pod(&["config", "get", "agents.codex", "--json"]).json());
    assert_eq!(world.pod(&["config", "get", "refresh", "--json"]).json()["set_by"], "default");
    world.pod(&["config", "unset", "agents.codex"]).ok();
    assert_eq!(config(&world), "# mine\nstore = \"fs:~/pods\" # here\n");
}

#[test]
fn what_makes_no_sense_is_told_and_changes_nothing() {
    let world = world();
    let kind = |arguments: &[&str]| {
        let error = world.pod(&[arguments, &["--json"]].concat()).json_error();
        (error["error"]["code"].as_u64().unwrap(), error["error"]["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(kind(&["config", "get", "summarizer"]), (3, "summarizer is not set".to_owned()));
    assert_eq!(kind(&["config", "get", "stoer"]), (2, "there is no key \"stoer\"; did you mean \"store\"?".to_owned()));
    assert_eq!(kind(&["config", "set", "refresh", "maybe"]).0, 2);
    assert!(kind(&["config", "set", "agents.codex.resume", "codex", "{id}"]).1.contains("there is no {id}"));
    assert!(!world.path().join(".config").exists(), "nothing was written");
    let file = world.path().join(".config/pod/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    for (text, message) in [
        ("stoer = 1\n", "line 1: unknown field `stoer`"),
        ("refresh = 3\n", "line 1: invalid type: integer `3`, expected a boolean"),
        ("[agents.codex]\nformat = \"x\"\n", "line 2: there is no format \"x\"; there are claude, codex, pi"),
    ] {
        fs::write(&file, text).unwrap();
        for command in [&["list"][..], &["agents", "list"], &["config", "get"], &["config", "set", "store", "memory:"]]
        {
            let (code, said) = kind(command);
            assert!(code == 2 && said.contains(message), "{command:?}: {said}");
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        world.pod(&["config", "path"]).ok();
        world.pod(&["--help"]).ok();
    }
    fs::write(&file, "refresh = 3\n").unwrap();
    world.pod(&["config", "set", "refresh", "true"]).ok();
    assert_eq!(fs::read_to_string(&file).unwrap(), "refresh = true\n", "what makes it right again is no mistake");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert!(kind(&["list"]).1.contains("it cannot be read: "));
}
