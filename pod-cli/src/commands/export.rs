//! `pod export ID`: a conversation as a file of an agent.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use serde::Serialize;
use session_store::export::{ExportOptions, Exported, Installed, export, install};
use session_store::import::Agent;
use store_core::{SegmentId, SessionId};

use crate::agents::home;
use crate::app::App;
use crate::cli::{ExportArgs, ExportTo};
use crate::error::{Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::render::one_line;

/// An export as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    session_id: SessionId,
    segment_id: SegmentId,
    to: &'a str,
    /// The agent's id of it.
    native_id: Option<&'a str>,
    /// The folder that the agent is to be started in.
    cwd: Option<&'a str>,
    path: String,
    bytes: u64,
    /// Whether it was written; otherwise the same stood there.
    written: bool,
}

/// Writes a conversation.
pub(super) fn run(app: &App, arguments: &ExportArgs) -> Result<u8> {
    let agent = agent(arguments.to);
    let out = out(app, arguments)?;
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, &arguments.id)?;
    let cwd = arguments.cwd.as_deref().map(|cwd| app.absolute(cwd)).transpose()?;
    let options = ExportOptions { native_id: None, cwd };
    let made = export(&*library.store, target.session, target.segment, agent, &options)?;
    let path = match out {
        Out::Standard => return print(app, &made.bytes),
        Out::File(path) => path,
        Out::Agent => agent_home(app, agent)?.join(&made.path),
    };
    let installed = install(&path, &made.bytes)?;
    tell(app, arguments, &made, &path, installed)
}

/// Where it goes.
enum Out {
    Standard,
    File(PathBuf),
    /// Where the agent looks.
    Agent,
}

fn out(app: &App, arguments: &ExportArgs) -> Result<Out> {
    let out = match &arguments.output {
        Some(path) if path == Path::new("-") => Out::Standard,
        Some(path) => Out::File(path.clone()),
        None if arguments.install => Out::Agent,
        None => Out::Standard,
    };
    if app.global.json && matches!(out, Out::Standard) {
        let hint = "name a file with -o PATH, or use --install";
        return Err(App::usage("--json tells of a file, and there is none: the export is standard output", hint));
    }
    Ok(out)
}

const fn agent(to: ExportTo) -> Agent {
    match to {
        ExportTo::Claude => Agent::Claude,
        ExportTo::Codex => Agent::Codex,
        ExportTo::Pi => Agent::Pi,
    }
}

fn agent_home(app: &App, agent: Agent) -> Result<PathBuf> {
    let agents = app.agents()?;
    let spec = agents.iter().find(|spec| spec.name == agent.name());
    spec.and_then(|spec| home(spec, &app.environment)).ok_or_else(|| {
        let message = format!("nobody says where {agent} keeps its conversations: HOME is not an absolute path");
        App::usage(message, "name a file with -o PATH")
    })
}

fn print(app: &App, bytes: &[u8]) -> Result<u8> {
    // What a terminal would obey is escaped on the way to one.
    let mut out = if stdout().is_terminal() { Output::json(&app.terminal) } else { Output::plain() };
    out.write_all(bytes)?;
    out.finish()?;
    Ok(exit::OK)
}

fn tell(app: &App, arguments: &ExportArgs, made: &Exported, path: &Path, installed: Installed) -> Result<u8> {
    let written = installed == Installed::Written;
    if app.global.json {
        app.print_json(&Document {
            session_id: made.from.session_id,
            segment_id: made.from.segment_id,
            to: made.agent.name(),
            native_id: Some(&made.native_id),
            cwd: Some(&made.cwd),
            path: path.display().to_string(),
            bytes: made.bytes.len() as u64,
            written,
        })?;
        return Ok(exit::OK);
    }
    let shown = app.short_path(&one_line(&path.display().to_string()));
    app.say(&if written { format!("wrote {shown}") } else { format!("{shown} is there already, and the same") });
    if arguments.install {
        let command = match made.agent {
            Agent::Claude => "claude --resume",
            Agent::Codex => "codex resume",
            Agent::Pi => "pi --session",
        };
        let folder = app.short_path(&one_line(&made.cwd));
        app.hint(&format!("in {folder}: {command} {}", made.native_id));
        if !Path::new(&made.cwd).is_dir() {
            app.warn(&format!("the folder {folder} is not there; --cwd DIR names another one"));
        }
    }
    Ok(exit::OK)
}
