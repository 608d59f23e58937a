//! `pod` on a terminal: colours, its width, a pager, Ctrl-C.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use session_store::{NewSegment, OpenOptions, append_entry, create_segment, open};
use store_core::{LogEntry, Part, UserInput};

use crate::fixture::{self, session_id};
use crate::harness::{NOW, World, interrupt, write_program};

/// A terminal: what the program writes to, and what a person sees of it.
pub(crate) struct Terminal {
    pub(crate) person: OwnedFd,
    pub(crate) program: File,
}

impl Terminal {
    pub(crate) fn new(columns: u16) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let name = ptsname(&person, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let program = File::options().read(true).write(true).open(path).unwrap();
        tcsetwinsize(&program, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        Self { person, program }
    }

    /// Runs the program with both streams on the terminal and answers with all that a person sees.
    fn run(self, command: &mut Command) -> String {
        command.stdout(self.program.try_clone().unwrap()).stderr(self.program.try_clone().unwrap());
        let mut child = command.spawn().expect("the binary runs");
        // The terminal ends with the last handle on its other side, also those that the command holds.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        drop(self.program);
        let seen = read_to_end(self.person);
        child.wait().unwrap();
        seen
    }
}

/// Somebody at the terminal answers a question; what is seen then, and how it ended.
fn answered(world: &World, arguments: &[&str], answer: &str) -> (String, Option<i32>) {
    let Terminal { person, program } = Terminal::new(100);
    rustix::io::write(&person, answer.as_bytes()).unwrap();
    let mut command = world.command(arguments);
    let stream = || Stdio::from(program.try_clone().unwrap());
    let mut child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("the binary runs");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(program);
    let seen = read_to_end(person);
    (anstream::adapter::strip_str(&seen).to_string(), child.wait().unwrap().code())
}

#[test]
fn a_person_is_asked_before_anything_goes_and_told_what_goes_along() {
    let world = fixture::world();
    let id = &session_id("trunk");
    let trashed = || world.pod(&["list", "--json"]).json()["hidden"]["trashed"].clone();
    let (seen, code) = answered(&world, &["rm", id], "n\n");
    assert!(seen.contains("put 1 conversation and 1 of a sub-agent into the trash? [y/N]"), "{seen}");
    assert_eq!((seen.contains("nothing was changed"), code, trashed()), (true, Some(130), 0.into()), "{seen}");
    let (seen, code) = answered(&world, &["rm", id, "--purge", "--detach"], "n\n");
    let asked = "purge 1 conversation and 1 of a sub-agent for good, and write 1 anew that continues them? [y/N]";
    assert!(seen.replace("\r\n", "\n").contains(asked), "{seen}");
    assert_eq!((code, trashed()), (Some(130), 0.into()), "{seen}");
    let (seen, code) = answered(&world, &["rm", id], "y\n");
    assert_eq!((code, trashed()), (Some(0), 2.into()), "{seen}");
}

#[test]
fn a_person_is_asked_before_anything_is_taken_out() {
    let world = fixture::world();
    let id = &session_id("old");
    world.pod(&["checkpoint", id]).ok();
    let log = || world.pod(&["log", id, "--json"]).ok();
    let before = log();
    let url = format!("fs:{}", world.usual_store().display());
    let at = fixture::place("old");
    let prompt = UserInput { ts: NOW, content: vec![Part::text("More.")] };
    append_entry(&*open(&url, &OpenOptions::at(NOW)).unwrap(), at, LogEntry::UserInput(prompt)).unwrap();
    let longer = log();
    let rollback = &["rollback", id, "--to", "1"];
    for no in ["n\n", "\n"] {
        let (seen, code) = answered(&world, rollback, no);
        assert!(seen.contains("take 1 entry behind entry 4 out of the conversation? [y/N]"), "{seen}");
        assert_eq!((seen.contains("nothing was changed"), code), (true, Some(130)), "{seen}");
        assert_eq!(log(), longer);
    }
    let (seen, code) = answered(&world, rollback, "y\n");
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(log(), before);
}

/// On Linux a terminal whose other side is closed ends with an error rather than with nothing.
fn read_to_end(person: OwnedFd) -> String {
    let (mut person, mut seen, mut buffer) = (File::from(person), Vec::new(), [0; 4096]);
    loop {
        match person.read(&mut buffer) {
            Ok(0) | Err(_) => return String::from_utf8(seen).expect("UTF-8").replace("\r\n", "\n"),
            Ok(read) => seen.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn a_terminal_gets_colours_and_lines_that_fit() {
    let world = fixture::world().with("PAGER", "cat");
    let seen = Terminal::new(60).run(&mut world.command(&["list"]));
    assert!(seen.contains("\u{1b}["), "{seen:?}");
    let plain = anstream::adapter::strip_str(&seen).to_string();
    let expected = world.pod_at_width(60, &["list"]);
    assert_eq!(plain, expected.stdout + &expected.stderr);
}

#[test]
fn a_dumb_terminal_and_no_color_get_none() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let world = fixture::world().with("PAGER", "cat").with(name, value);
        let seen = Terminal::new(60).run(&mut world.command(&["show", "@last"]));
        assert!(!seen.contains('\u{1b}'), "{name}={value}: {seen:?}");
    }
}

#[test]
fn long_answers_go_through_the_pager_that_is_named() {
    let world = fixture::world();
    let script = world.path().join("my-pager");
    write_program(&script, "#!/bin/sh\nsed 's/^/| /'\n");
    let world = world.with("PAGER", script.to_str().unwrap());
    for arguments in [&["show", "@last"][..], &["list"], &["log", "@last"], &["segments", "@last"]] {
        let seen = Terminal::new(80).run(&mut world.command(arguments));
        assert!(seen.starts_with("| "), "{arguments:?}: {seen:?}");
    }
    for arguments in [&["show", "@last", "--json"][..], &["show", "@last", "--no-pager"], &[], &["--help"]] {
        let seen = Terminal::new(80).run(&mut world.command(arguments));
        assert!(!seen.contains("| "), "{arguments:?}: {seen:?}");
    }
}

#[test]
fn a_pager_that_is_not_there_is_done_without() {
    let world = fixture::world().with("PAGER", "/no/such/pager").with("NO_COLOR", "1");
    let seen = Terminal::new(80).run(&mut world.command(&["show", "@last"]));
    let expected = world.pod_at_width(80, &["show", "@last"]);
    assert_eq!(seen, expected.stdout + &expected.stderr);
}

#[test]
fn a_pager_that_is_left_early_ends_the_answer_quietly() {
    let world = fixture::world().with("PAGER", "head -n 1").with("NO_COLOR", "1");
    fill_long(&world);
    let seen = Terminal::new(80).run(&mut world.command(&["show", "@last"]));
    assert_eq!(seen.lines().count(), 1, "{seen:?}");
}

#[test]
fn json_on_a_terminal_escapes_what_the_terminal_would_obey() {
    let world = World::new();
    let store = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
    let text = "a\u{9b}2Jb\u{7f}c\u{1b}[31md\u{a0}é";
    let input = UserInput { ts: NOW, content: vec![Part::text(text)] };
    append_entry(&*store, at, LogEntry::UserInput(input)).unwrap();
    let seen = Terminal::new(80).run(&mut world.command(&["show", "@last", "--json"]));
    assert!(!seen.trim_end().chars().any(char::is_control), "{seen:?}");
    let shown: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(shown["messages"][0]["text"], text);
    assert_eq!(shown, world.pod(&["show", "@last", "--json"]).json());
}

/// A conversation that is longer than any pipe holds.
fn fill_long(world: &World) {
    let store = open(&format!("fs:{}", world.usual_store().display()), &OpenOptions::at(NOW)).unwrap();
    let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
    for _ in 0..64 {
        let input = UserInput { ts: NOW, content: vec![Part::text("line\n".repeat(2000))] };
        append_entry(&*store, at, LogEntry::UserInput(input)).unwrap();
    }
}

#[test]
fn ctrl_c_ends_with_its_code_and_leaves_the_store_whole() {
    let world = fixture::world();
    fill_long(&world);
    let mut command = world.command(&["log", "@last", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Once something arrives the program is at work, and nobody takes the rest off it.
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    interrupt(&child);
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
    assert_eq!(world.pod(&["show", &session_id("trunk"), "--json"]).code, 0);
}

#[test]
#[cfg(target_os = "linux")]
fn an_answer_that_cannot_be_written_is_an_error() {
    let world = fixture::world();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = world.command(&["show", "@last"]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: cannot write the output: "), "{said}");
}

#[test]
fn the_words_of_an_error_are_coloured_on_a_terminal_only() {
    let world = World::new();
    let seen = Terminal::new(80).run(&mut world.command(&["show", "nothing-like-this"]));
    assert!(seen.starts_with("\u{1b}[") && seen.contains("error:"), "{seen:?}");
    assert!(!world.pod(&["show", "nothing-like-this"]).stderr.contains('\u{1b}'));
}
