//! `pod import --watch`: goes on to bring in what agents write.
//!
//! It looks again and again rather than being told by the system: agents' folders are thousands, a watch on each of them is a limited
//! good, and who is told of changes has to look all the same for those that went missing. The price is a delay of up to two seconds when
//! nothing was written for a while, and a call for each file.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use session_store::import::{Agent, ImportReport, Importer};

use super::{follow, is_news, write_file};
use crate::app::App;
use crate::error::{CliError, Result, exit};
use crate::interrupt::StopAsked;
use crate::library::Library;
use crate::output::Output;
use crate::refresh::BackOff;

/// How often it is looked whether somebody pressed Ctrl-C, or nobody reads any more.
const LOOK: Duration = Duration::from_millis(50);

/// Brings in what is in the folders and files, and then what is written there, until Ctrl-C.
pub(super) fn run(app: &App, paths: &[PathBuf], sources: &[(PathBuf, String)], from: Option<Agent>) -> Result<u8> {
    let asked = app.interrupt.ask_to_stop()?;
    // Who wants to see what will come wants it kept.
    let library = Library::for_importing(app, || Ok(true))?;
    follow(app, &library, sources)?;
    // A folder of an agent that is not there yet may come.
    let all: Vec<PathBuf> =
        if sources.is_empty() { paths.to_vec() } else { sources.iter().map(|(path, _)| path.clone()).collect() };
    let shown: Vec<String> = all.iter().map(|path| app.short_path(&path.display().to_string())).collect();
    app.say(&format!("following {}; Ctrl-C ends it", shown.join(", ")));
    let mut out = if app.global.json { Output::json(&app.terminal) } else { Output::plain() };
    let mut back_off = BackOff::new();
    loop {
        let begun = Instant::now();
        let importer = Importer { store: &*library.store, index: &library.index, now: app.environment.clock() };
        let changed = importer.changed_files(&all)?;
        let found = !changed.is_empty();
        let mut told = Ok(());
        let go_on = || asked.flow();
        importer.bring_in(changed, from, &go_on, &mut |report, _| {
            if told.is_ok() {
                told = tell(app, &mut out, &report);
            }
        })?;
        told?;
        if wait(&asked, &out, back_off.next(begun.elapsed(), found))?.is_break() {
            out.finish()?;
            app.say("stopped; what came in is kept");
            return Ok(exit::CANCELLED);
        }
    }
}

/// Says what came in: a line for each conversation.
fn tell(app: &App, out: &mut Output, report: &ImportReport) -> Result<()> {
    for file in report.sessions.iter().filter(|file| is_news(file)) {
        if app.global.json {
            out.document(file)?;
        } else {
            write_file(app, out, file)?;
        }
    }
    out.flush().map_err(CliError::Output)
}

/// Waits; `Break` if somebody pressed Ctrl-C.
fn wait(asked: &StopAsked, out: &Output, time: Duration) -> Result<ControlFlow<()>> {
    let until = Instant::now() + time;
    loop {
        if asked.flow().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        out.expect_reader()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(ControlFlow::Continue(()));
        }
        thread::sleep(left.min(LOOK));
    }
}
