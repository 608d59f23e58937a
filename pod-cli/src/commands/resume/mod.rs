//! `pod --session ID`, `pod resume ID`: go on with a conversation in an agent.
//!
//! What the agent's file gained meanwhile is brought in first. If an agent has a file that ends where the conversation ends, that is what it is started on.
//! Otherwise (another agent, a file that is gone, a fork, a compaction) a segment is made at the end of the branch that names the agent and the id of a new file,
//! and the file is written where the agent looks. The agent then has the terminal until it ends, and what it added is brought in behind
//! that segment.
//!
//! The one decision: everything that has to be there for the agent's words to find their way home (the segment, and in the file what it was made of) is in the store
//! and on the medium before the agent starts. Whatever ends whom, the next import does the rest. The price is a segment without words where
//! an agent was started and nothing was said; the next time it is used again.
//!
//! Where the folder has budgets, something is reserved before the agent starts and settled when what it added is there; with nothing left it is not started.
//!
//! * `print` only shows; `prepare` finds or makes the file; `start` has the agent, `budget` what it may cost.

mod budget;
mod prepare;
mod print;
mod start;

use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::PathBuf;

use session_store::{Live, SegmentLocation, SessionError, live};

use crate::app::App;
use crate::cli::{ResumeArgs, ResumeOptions};
use crate::error::{CliError, Result, exit};
use crate::library::Library;
use crate::output::Output;

/// What is wanted.
pub(super) struct Wish<'a> {
    id: &'a str,
    options: &'a ResumeOptions,
    prompt: Option<String>,
}

/// Does what was asked on the command line.
pub(super) fn run(app: &App, arguments: &ResumeArgs) -> Result<u8> {
    with(app, &arguments.id, &arguments.options, &arguments.prompt)
}

/// The same for `--session`.
pub(super) fn with(app: &App, id: &str, options: &ResumeOptions, prompt: &[String]) -> Result<u8> {
    if options.print {
        return print::run(app, id);
    }
    let prompt = Some(prompt.join(" ")).filter(|prompt| !prompt.is_empty());
    go_on(app, &Wish { id, options, prompt })
}

/// Goes on with what was picked.
pub(super) fn picked(app: &App, id: &str) -> Result<u8> {
    go_on(app, &Wish { id, options: &ResumeOptions::default(), prompt: None })
}

fn go_on(app: &App, wish: &Wish<'_>) -> Result<u8> {
    let starts = !wish.options.print_cmd;
    let library = Library::for_writing(app)?;
    let target = library.resolve(app, wish.id)?;
    if starts && (app.global.json || !stdin().is_terminal() || !stdout().is_terminal()) {
        let hint = "--print shows the conversation, with --json the state that a model would go on from; --print-cmd prints the command that goes on with it";
        let message = if app.global.json {
            "an agent is started on a terminal, and --json is for programs"
        } else {
            "an agent needs a terminal, and there is none here"
        };
        return Err(App::usage(message, hint));
    }
    let target = prepare::bring_in(app, &library, wish.id, &target)?;
    let at = SegmentLocation { session_id: target.session, segment_id: target.segment };
    // Who writes to another branch of it is not disturbed.
    if let Live::Writer(holder) = live(&*library.store, at.session_id, [at.segment_id]) {
        return Err(SessionError::Live { session: at.session_id, holder }.into());
    }
    let chosen = prepare::choose(app, &library, at, wish)?;
    if starts && chosen.program.is_none() {
        return Err(no_program(&chosen.spec.name, chosen.spec.program.as_deref()));
    }
    let ready = prepare::ready(app, &library, at, &chosen, wish)?;
    let command = ready.command(&chosen.spec, wish.prompt.as_deref())?;
    if !starts {
        if app.global.json {
            app.print_json(&ready.document(&command))?;
            return Ok(exit::OK);
        }
        let mut out = Output::plain();
        writeln!(out, "{command}")?;
        out.finish()?;
        return Ok(exit::OK);
    }
    start::run(app, &library, &chosen, &ready, &command)
}

fn no_program(agent: &str, program: Option<&str>) -> CliError {
    let program = program.unwrap_or(agent);
    CliError::AgentUnavailable {
        message: format!("{program} is not there, so {agent} cannot be started"),
        hint: format!(
            "`pod agents test` says which agents are there; --agent NAME goes on in another one, `pod config set agents.{agent}.program PATH` says where it is"
        ),
    }
}

/// An agent's file that an agent can be started on.
pub(super) struct Ready {
    /// The segment in which it goes on.
    at: SegmentLocation,
    agent: String,
    native_id: String,
    path: PathBuf,
    /// The folder in which the agent is started.
    cwd: PathBuf,
    /// The file was made for this; otherwise it is the agent's own.
    is_new: bool,
}
