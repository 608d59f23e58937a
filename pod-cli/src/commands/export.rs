//! `pod export ID`: a conversation as a file.

use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;
use session_store::export::{ExportOptions, Exported, Installed, bundle, export, html, install, jsonl, markdown};
use session_store::import::Agent;
use session_store::index::Target;
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
    /// Whether it is the agent's own file, byte for byte.
    exact: bool,
    /// Whether it was written; otherwise the same stood there.
    written: bool,
}

/// What is written.
struct Made {
    target: Target,
    bytes: Vec<u8>,
    /// What is known of a file for an agent.
    agents: Option<Exported>,
}

/// Writes a conversation.
pub(super) fn run(app: &App, arguments: &ExportArgs) -> Result<u8> {
    let out = out(app, arguments)?;
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, &arguments.id)?;
    let made = make(app, arguments, &library, target)?;
    let path = match (out, &made.agents) {
        (Out::Agent, Some(file)) => agent_home(app, file.agent)?.join(&file.path),
        (Out::File(path), _) => path,
        _ => return print(app, arguments, &made.bytes),
    };
    let installed = install(&path, &made.bytes)?;
    tell(app, arguments, &made, &path, installed)
}

fn make(app: &App, arguments: &ExportArgs, library: &Library, target: Target) -> Result<Made> {
    let (store, session, segment) = (&*library.store, target.session, target.segment);
    let bytes = match arguments.to {
        ExportTo::Jsonl => jsonl(store, session, segment)?,
        ExportTo::Markdown => markdown(store, session, segment)?.into_bytes(),
        ExportTo::Html => html(store, session, segment)?.into_bytes(),
        ExportTo::Bundle => bundle(store, session)?,
        ExportTo::Claude | ExportTo::Codex | ExportTo::Pi => {
            let cwd = arguments.cwd.as_deref().map(|cwd| app.absolute(cwd)).transpose()?;
            let options = ExportOptions { cwd, ..ExportOptions::default() };
            let mut made = export(store, session, segment, agent(arguments.to)?, &options)?;
            let bytes = std::mem::take(&mut made.bytes);
            return Ok(Made { target, bytes, agents: Some(made) });
        }
    };
    Ok(Made { target, bytes, agents: None })
}

/// Where it goes.
enum Out {
    Standard,
    File(PathBuf),
    /// Where the agent looks.
    Agent,
}

fn out(app: &App, arguments: &ExportArgs) -> Result<Out> {
    if (arguments.install || arguments.cwd.is_some()) && agent(arguments.to).is_err() {
        let hint = "--to claude, codex or pi, or -o PATH";
        return Err(App::usage("--install and --cwd are for a file that an agent reads", hint));
    }
    let out = match &arguments.output {
        Some(path) if path == Path::new("-") => Out::Standard,
        Some(path) => Out::File(path.clone()),
        None if arguments.install => Out::Agent,
        None => Out::Standard,
    };
    if matches!(out, Out::Standard) {
        let hint = "name a file with -o PATH";
        if app.global.json {
            return Err(App::usage("--json tells of a file, and there is none: the export is standard output", hint));
        }
        if arguments.to == ExportTo::Bundle && stdout().is_terminal() {
            return Err(App::usage("a bundle is nothing for a terminal", hint));
        }
    }
    Ok(out)
}

fn agent(to: ExportTo) -> Result<Agent> {
    match to {
        ExportTo::Claude => Ok(Agent::Claude),
        ExportTo::Codex => Ok(Agent::Codex),
        ExportTo::Pi => Ok(Agent::Pi),
        _ => Err(App::usage("no agent reads this form", "--to claude, codex or pi")),
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

fn print(app: &App, arguments: &ExportArgs, bytes: &[u8]) -> Result<u8> {
    // What a terminal would obey is escaped on the way to one. In what people read there is nothing of the kind.
    let is_json = !matches!(arguments.to, ExportTo::Markdown | ExportTo::Html | ExportTo::Bundle);
    let mut out = if is_json { Output::json(&app.terminal) } else { Output::plain() };
    out.write_all(bytes)?;
    out.finish()?;
    Ok(exit::OK)
}

fn tell(app: &App, arguments: &ExportArgs, made: &Made, path: &Path, installed: Installed) -> Result<u8> {
    let written = installed == Installed::Written;
    let file = made.agents.as_ref();
    if app.global.json {
        let to = arguments.to.to_possible_value();
        app.print_json(&Document {
            session_id: made.target.session,
            segment_id: made.target.segment,
            to: to.as_ref().map_or("", |to| to.get_name()),
            native_id: file.map(|file| file.native_id.as_str()),
            cwd: file.map(|file| file.cwd.as_str()),
            path: path.display().to_string(),
            bytes: made.bytes.len() as u64,
            exact: file.is_some_and(|file| file.is_exact),
            written,
        })?;
        return Ok(exit::OK);
    }
    let shown = app.short_path(&one_line(&path.display().to_string()));
    app.say(&if written { format!("wrote {shown}") } else { format!("{shown} is there already, and the same") });
    if let Some(file) = file.filter(|_| arguments.install) {
        let command = match file.agent {
            Agent::Claude => "claude --resume",
            Agent::Codex => "codex resume",
            Agent::Pi => "pi --session",
        };
        let folder = app.short_path(&one_line(&file.cwd));
        app.hint(&format!("in {folder}: {command} {}", file.native_id));
        if !Path::new(&file.cwd).is_dir() {
            app.warn(&format!("the folder {folder} is not there; --cwd DIR names another one"));
        }
    }
    Ok(exit::OK)
}
