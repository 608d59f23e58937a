//! The README's tour is what really happens: its commands are run, one after the other, and its output is theirs. Of the picker it has the screen.
//!
//! `UPDATE_README=1` writes the present output into it, for review.

use std::path::{Path, PathBuf};

use crate::harness::World;
use crate::pick::Person;

/// The first evening after the example conversations were held.
const EVENING: &str = "2026-11-21T18:00:00Z";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate stands in the workspace").to_owned()
}

/// What a shell prints for a line of the tour.
fn output_of(world: &World, line: &str) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_pod")).parent().expect("it stands in a folder").to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let run = world.shell(&format!("{line} 2>&1"), &workspace(), &format!("{}:{path}", bin.display()));
    assert_eq!(run.code, 0, "{line}: {run}");
    run.stdout
}

/// What the picker shows on a terminal of 80 columns, when it shows what a page says; else what it shows in the end.
fn screen_of(world: &World, page: &str) -> String {
    let mut person = Person::sit_down(world, 80, &["pick"]);
    let is_written = std::env::var_os("UPDATE_README").is_some();
    let shown = person.settled(|screen| !is_written && !screen.trim().is_empty() && page.contains(&trimmed(screen)));
    person.press("\u{1b}");
    assert_eq!(person.end().1, Some(130));
    trimmed(&shown)
}

/// A screen without what nobody sees of it.
fn trimmed(screen: &str) -> String {
    screen.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_tour_is_what_really_happens() {
    run_tour("README.md");
}

#[test]
fn the_real_conversation_of_the_page_about_sessions_is_what_really_happens() {
    run_tour("docs/SESSIONS.md");
}

/// Runs the commands of a page and holds what they print against what it says.
fn run_tour(page: &str) {
    let file = workspace().join(page);
    let readme = std::fs::read_to_string(&file).unwrap();
    let world = World::new().with("POD_NOW", EVENING).with("COLUMNS", "100");
    let (mut told, mut run, mut in_tour) = (String::new(), 0, false);
    for line in readme.lines() {
        match line {
            "```" if in_tour => in_tour = false,
            _ if in_tour => continue,
            _ => {}
        }
        told.push_str(line);
        told.push('\n');
        if let Some(command) = line.strip_prefix("$ ").filter(|command| command.starts_with("pod ")) {
            match command {
                "pod pick" => told.push_str(&screen_of(&world, &readme)),
                command => told.push_str(&output_of(&world, command)),
            }
            run += 1;
            in_tour = true;
        }
    }
    assert!(run >= 5, "the tour has lost its commands: {run}");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&file, &told).unwrap();
        return;
    }
    assert!(readme == told, "UPDATE_README=1 writes what really happens:\n{told}");
}

/// The README's example of the library, line for line; only the place of the store is another one.
fn example(now: u64) -> session_store::Result<session_store::RestoredState> {
    use session_store::{NewSegment, OpenOptions, append_entry, create_segment, restore};
    use store_core::{LogEntry, Part, UserInput};

    let store = session_store::open("memory:conversations", &OpenOptions::at(now))?;
    let at = create_segment(&*store, now, NewSegment::default())?;
    let prompt = UserInput { ts: now, content: vec![Part::text("Why is it slow?")] };
    append_entry(&*store, at, LogEntry::UserInput(prompt))?;
    let state = restore(&*store, at.session_id, at.segment_id)?;
    Ok(state)
}

/// The README's example of a writer, line for line.
fn example_of_a_writer(now: u64) -> Result<session_store::Landed, Box<dyn std::error::Error>> {
    use session_store::{
        Clock, NewSegment, OpenOptions, SegmentState, SessionWriter, WriterOptions, create_segment, open,
    };

    let store = open("memory:", &OpenOptions::at(now))?;
    let at = create_segment(&*store, now, NewSegment::default())?;
    let clock = move || now;
    let options = WriterOptions::new("my-agent", Clock::new(clock));
    let writer = SessionWriter::start(store.clone(), SegmentState::open(&*store, at)?, options)?;
    let ticket = writer.submit_turn_end(now)?;
    let landed = ticket.wait()?; // or .await
    writer.close()?;
    Ok(landed)
}

#[test]
fn the_examples_of_the_library_are_code_that_runs() {
    assert_eq!(example(crate::harness::NOW).unwrap().turn_count, 1);
    assert_eq!(example_of_a_writer(crate::harness::NOW).unwrap().position.seq.0, 2);
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let source = include_str!("readme.rs").replace("memory:conversations", "fs:conversations");
    let examples: Vec<&str> = readme.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2, "{examples:?}");
    for code in examples {
        assert!(code.lines().count() >= 5, "{code}");
        for line in code.lines() {
            assert!(source.contains(line), "{line:?} is not what is tested");
        }
    }
}
