//! `pod pick`, and `pod` on a terminal: somebody sits in front of it and presses keys.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use crate::fixture::{self, segment_id, session_id};
use crate::harness::World;
use crate::terminal::Terminal;

/// How long a person waits until they think that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// After so long without a change nothing more is to come.
const SETTLED: Duration = Duration::from_secs(10);

/// Somebody in front of a terminal, with the picker on it.
pub(crate) struct Person {
    keyboard: OwnedFd,
    seen: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    child: Child,
}

impl Person {
    pub(crate) fn sit_down(world: &World, columns: u16, arguments: &[&str]) -> Self {
        let Terminal { person, program } = Terminal::new(columns);
        let mut command = world.command(arguments);
        let stream = || Stdio::from(program.try_clone().unwrap());
        let child = command.stdin(stream()).stderr(stream()).stdout(Stdio::piped()).spawn().expect("the binary runs");
        Self::watch(person, child, columns, &mut command)
    }

    /// The same with all that is printed on the terminal.
    pub(crate) fn watch_all(world: &World, columns: u16, arguments: &[&str]) -> Self {
        let Terminal { person, program } = Terminal::new(columns);
        let mut command = world.command(arguments);
        let stream = || Stdio::from(program.try_clone().unwrap());
        let child = command.stdin(stream()).stderr(stream()).stdout(stream()).spawn().expect("the binary runs");
        Self::watch(person, child, columns, &mut command)
    }

    /// Ctrl-C as the terminal gives it to the program alone: it is not the terminal of a session of its own here.
    pub(crate) fn interrupt(&self) {
        crate::harness::interrupt(&self.child);
    }

    /// Ends the program as nothing can be caught.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the program ends, and answers with the exit code and what stands on the screen.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        while let Ok(bytes) = self.seen.recv_timeout(Duration::from_millis(100)) {
            self.screen.process(&bytes);
        }
        (code, self.screen.screen().contents())
    }

    fn watch(person: OwnedFd, child: Child, columns: u16, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (tell, seen) = mpsc::channel();
        let mut eyes = std::fs::File::from(person.try_clone().unwrap());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = eyes.read(&mut bytes) {
                // A terminal that is asked where its cursor is answers as if it were typed.
                if bytes[..count].windows(4).any(|piece| piece == b"\x1b[6n") {
                    eyes.write_all(b"\x1b[1;1R").unwrap();
                }
                if count == 0 || tell.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keyboard: person, seen, screen: vt100::Parser::new(24, columns, 0), child }
    }

    /// Pulls at a corner of the window.
    fn resize(&mut self, columns: u16, rows: u16) {
        tcsetwinsize(&self.keyboard, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        // A terminal tells its foreground programs by itself; this one is in nobody's foreground.
        let told = Command::new("kill").args(["-WINCH", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        self.screen.screen_mut().set_size(rows, columns);
    }

    pub(crate) fn press(&self, keys: &str) {
        rustix::io::write(&self.keyboard, keys.as_bytes()).unwrap();
    }

    /// Waits until the screen says so.
    fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) {
        let given_up = Instant::now() + PATIENCE;
        while !holds(&self.screen.screen().contents()) {
            let left = given_up.saturating_duration_since(Instant::now());
            match self.seen.recv_timeout(left) {
                Ok(bytes) => self.screen.process(&bytes),
                Err(_) => panic!("never seen: {what}\n{}", self.screen.screen().contents()),
            }
        }
    }

    /// The screen when it is as somebody wants it, or when it has not changed for a while.
    pub(crate) fn settled(&mut self, holds: impl Fn(&str) -> bool) -> String {
        let mut shown = self.screen.screen().contents();
        let mut changed = Instant::now();
        while !holds(&shown) && changed.elapsed() < SETTLED {
            // A frame that is like the one before it writes something too: where the cursor is.
            if let Ok(bytes) = self.seen.recv_timeout(SETTLED) {
                self.screen.process(&bytes);
            }
            let now = self.screen.screen().contents();
            if now != shown {
                (shown, changed) = (now, Instant::now());
            }
        }
        shown
    }

    pub(crate) fn until_seen(&mut self, text: &str) {
        self.until(text, |screen| screen.contains(text));
    }

    fn until_gone(&mut self, text: &str) {
        self.until(&format!("no {text}"), |screen| !screen.contains(text));
    }

    /// What was printed, and how it ended.
    pub(crate) fn end(mut self) -> (String, Option<i32>) {
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        (printed, self.child.wait().unwrap().code())
    }
}

#[test]
fn a_person_filters_looks_renames_trashes_undoes_opens_a_tree_and_picks() {
    let world = fixture::world();
    let mut person = Person::sit_down(&world, 120, &["pick"]);
    person.until_seen("3 of 5 · 1 archived, 1 of sub-agents hidden (Ctrl-L)");
    person.press("ledg");
    person.until_seen("4 do not match");
    person.until_seen("Fast.");
    person.press("\u{12}\u{15}Balances\r");
    person.until_seen("renamed");
    person.press("\u{15}");
    person.until_seen("Why is the import slow?");
    person.press("bala");
    person.until_gone("Why is the import slow?");
    person.press("\u{4}");
    person.until_seen("in the trash; Ctrl-Z undoes it");
    person.until_seen("0 of 5");
    person.press("\u{1a}");
    person.until_seen("out of the trash");
    person.until_seen("1 of 5");
    person.press("\u{1b}[C");
    person.until_seen("(current)");
    person.press("\u{1b}[A\u{1b}[A\u{1b}[A\r");
    let (printed, code) = person.end();
    assert_eq!((printed, code), (format!("{}\n", segment_id("ledger first")), Some(0)));
    let row = world.pod(&["list", "--json"]).json();
    let titles: Vec<_> = row["sessions"].as_array().unwrap().iter().map(|row| row["title"].clone()).collect();
    assert!(titles.contains(&json!("Balances")), "{titles:?}");
}

#[test]
fn a_turn_that_is_picked_is_gone_on_from_in_a_branch_of_its_own() {
    let world = fixture::world();
    let mut person = Person::sit_down(&world, 80, &["pick", "--query", "import slow"]);
    person.until_seen("Why is the import slow?");
    person.press("\u{1b}[C");
    person.until_seen("2. Fix it.");
    person.press("\u{1b}[B\r");
    let (printed, code) = person.end();
    assert_eq!(code, Some(0));
    let segments = world.pod(&["segments", &session_id("trunk"), "--json"]).json();
    let made = segments["segments"].as_array().unwrap().iter().find(|row| row["segment_id"] == printed.trim()).unwrap();
    assert_eq!(made["forked_from"]["at_turn_index"], 1);
}

#[test]
fn what_was_said_is_searched_and_picked() {
    let world = fixture::world();
    let mut person = Person::sit_down(&world, 100, &["pick"]);
    person.until_seen("3 of 5");
    person.press("\u{14}");
    person.press("every line twice");
    person.until_seen("1 of 1 places");
    person.press("\r");
    assert_eq!(person.end(), (format!("{}\n", segment_id("trunk")), Some(0)));
}

#[test]
fn who_leaves_without_a_choice_gets_nothing() {
    let world = fixture::world();
    for keys in ["\u{1b}", "\u{3}"] {
        let mut person = Person::sit_down(&world, 80, &["pick", "--height", "8"]);
        person.until_seen("3 of 5");
        person.press(keys);
        assert_eq!(person.end(), (String::new(), Some(130)), "{keys:?}");
    }
}

#[test]
fn a_terminal_that_changes_its_size_is_drawn_anew() {
    let world = fixture::world();
    let mut person = Person::sit_down(&world, 120, &["pick", "--query", "ledg"]);
    person.until_seen("Fast.");
    person.resize(40, 10);
    person.until_gone("Fast.");
    person.until("nothing beyond the edge", |screen| {
        screen.contains("How are balances") && screen.lines().all(|line| line.chars().count() <= 40)
    });
    person.press("\u{15}");
    person.until_seen("Why is the import");
    person.resize(20, 5);
    person.until("something that fits", |screen| {
        screen.contains("Why") && screen.lines().all(|line| line.chars().count() <= 20)
    });
    person.resize(120, 30);
    person.press("ledg");
    person.until_seen("Fast.");
    person.press("\r");
    assert_eq!(person.end(), (format!("{}\n", segment_id("ledger second")), Some(0)));
}

#[test]
fn without_a_terminal_it_says_what_to_do() {
    let world = fixture::world();
    insta::assert_snapshot!(world.pod(&["pick"]));
    let Terminal { person, program } = Terminal::new(80);
    let mut command = world.command(&["pick"]);
    let stream = || Stdio::from(program.try_clone().unwrap());
    let dumb = command.env("TERM", "dumb").stdin(stream()).stderr(stream()).stdout(stream()).status().unwrap();
    assert_eq!(dumb.code(), Some(2));
    drop(person);
}

#[test]
fn the_only_one_that_matches_is_taken_without_asking() {
    let world = fixture::world();
    let id = |name| format!("{}\n", segment_id(name));
    assert_eq!(world.pod(&["pick", "--query", "tag:speed", "--select-1"]).ok(), id("trunk"));
    assert_eq!(world.pod(&["pick", "--query", "is:compacted", "--select-1"]).ok(), id("ledger second"));
    let row = world.pod(&["pick", "--query", "tag:speed", "--select-1", "--print", "json"]).json();
    assert_eq!(row["session_id"], session_id("trunk"));
    let none = world.pod(&["pick", "--query", "tag:nothing", "--exit-0"]);
    assert_eq!((none.code, none.stdout.as_str()), (130, ""));
    let several = world.pod(&["pick", "--select-1"]);
    assert_eq!(several.code, 2, "{several}");
}

#[test]
fn the_program_alone_opens_it_and_goes_on_with_what_was_picked() {
    let world = fixture::world();
    let Terminal { person, program } = Terminal::new(100);
    let mut command = world.command(&["--no-pager"]);
    let stream = || Stdio::from(program.try_clone().unwrap());
    let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("the binary runs");
    let mut person = Person::watch(person, child, 100, &mut command);
    drop(program);
    person.until_seen("3 of 5");
    person.press("import slow\r");
    person.until_seen("claude is not there");
    assert_eq!(person.child.wait().unwrap().code(), Some(6));
}
