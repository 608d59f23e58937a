//! Which agent goes on, and in which file.

use std::path::{Path, PathBuf};

use serde::Serialize;
use session_store::export::{ExportOptions, InstallError, continue_in, export, install};
use session_store::import::{Agent, Importer, Standing, standing};
use session_store::index::Target;
use session_store::{SegmentLocation, restore};
use store_core::SessionId;

use super::{Ready, Wish};
use crate::agents::{AgentCommand, AgentSpec, NoCommand, Wanted, find_program, folders, home};
use crate::app::App;
use crate::error::{CliError, Result};
use crate::library::Library;
use crate::render::one_line;

/// The agent that goes on.
pub(super) struct Chosen {
    pub(super) spec: AgentSpec,
    /// Its program's file, if it is there.
    pub(super) program: Option<PathBuf>,
    standing: Standing,
}

/// Brings in what the conversation's own file gained, however much that is, and answers what the id means then.
pub(super) fn bring_in(app: &App, library: &Library, id: &str, target: &Target) -> Result<Target> {
    let at = SegmentLocation { session_id: target.session, segment_id: target.segment };
    if let Standing::Own(file) = standing(&*library.store, at)?
        && file.path.is_file()
        && !app.global.no_refresh
    {
        let importer = Importer { store: &*library.store, index: &library.index, now: app.environment.clock() };
        let report = importer.run(&[file.path], &Default::default(), &mut |_| {})?;
        for failed in report.sessions.iter().filter_map(|one| one.error.as_deref()) {
            app.warn(&format!("what the agent wrote since could not be brought in: {}", one_line(failed)));
        }
    }
    library.resolve(app, id)
}

/// The agent that was asked for, else the conversation's own: of those with the same form the one in whose folders the file lies.
pub(super) fn choose(app: &App, library: &Library, at: SegmentLocation, wish: &Wish<'_>) -> Result<Chosen> {
    let standing = standing(&*library.store, at)?;
    let agents = app.agents()?;
    let spec = match (&wish.options.agent, standing.agent()) {
        (Some(name), _) => agents.iter().find(|spec| spec.name == *name).ok_or_else(|| CliError::NoAgent {
            name: name.clone(),
            known: agents.iter().map(|spec| spec.name.clone()).collect(),
        })?,
        (None, Some(agent)) => of_form(app, &agents, agent, &standing).ok_or_else(|| CliError::AgentUnavailable {
            message: format!("this is a conversation of {agent}, which the config file switches off"),
            hint: "--agent NAME goes on in another one; `pod agents list` names them".to_owned(),
        })?,
        (None, None) => {
            return Err(CliError::AgentUnavailable {
                message: "nobody knows which agent's conversation this is".to_owned(),
                hint: "--agent NAME says which one is to go on; `pod agents list` names them".to_owned(),
            });
        }
    };
    let program = spec.program.as_deref().and_then(|program| find_program(program, &app.environment));
    Ok(Chosen { spec: spec.clone(), program, standing })
}

fn of_form<'a>(app: &App, agents: &'a [AgentSpec], agent: Agent, standing: &Standing) -> Option<&'a AgentSpec> {
    let mut of_form: Vec<&AgentSpec> = agents.iter().filter(|spec| spec.enabled && spec.format == agent).collect();
    // The agent that the form is named after comes first where nothing else tells.
    of_form.sort_by_key(|spec| spec.name != agent.name());
    let lies_there = |spec: &&&AgentSpec| match standing {
        Standing::Own(file) => folders(spec, &app.environment).iter().any(|folder| file.path.starts_with(folder)),
        _ => false,
    };
    of_form.iter().find(lies_there).or(of_form.first()).copied()
}

/// Finds the file that ends where the branch ends, or makes one.
pub(super) fn ready(
    app: &App,
    library: &Library,
    at: SegmentLocation,
    chosen: &Chosen,
    wish: &Wish<'_>,
) -> Result<Ready> {
    let asked = wish.options.cwd.as_deref().map(|cwd| app.absolute(cwd)).transpose()?;
    let cwd = match &asked {
        Some(asked) => asked.clone(),
        None => folder_of(library, at)?.ok_or_else(|| no_folder("nobody knows the folder of this conversation"))?,
    };
    if !Path::new(&cwd).is_dir() {
        let shown = app.short_path(&one_line(&cwd));
        return Err(no_folder(&format!("{shown}, the folder of this conversation, is not there")));
    }
    let agent = chosen.spec.name.clone();
    if let Standing::Own(file) = &chosen.standing
        && file.is_at_end
        && file.agent == chosen.spec.format
        && asked.is_none()
        && lies_where_it_is_found(app, &chosen.spec, &file.path)
    {
        let (native_id, path) = (file.native_id.clone(), file.path.clone());
        return Ok(Ready { at, agent, native_id, path, cwd: cwd.into(), is_new: false });
    }
    let store = &*library.store;
    let (at, native_id) = match &chosen.standing {
        Standing::Waiting { agent, native_id } if *agent == chosen.spec.format => (at, native_id.clone()),
        _ => {
            let now = app.environment.clock();
            // Another one each time, and no earlier file's: what goes on elsewhere is another file to its agent.
            let native_id = SessionId::derive(now, format!("{agent} goes on with {}", at.segment_id).as_bytes());
            let native_id = native_id.to_string();
            (continue_in(store, now, at, chosen.spec.format, &native_id)?, native_id)
        }
    };
    let options = ExportOptions { native_id: Some(native_id.clone()), cwd: Some(cwd.clone()) };
    let made = export(store, at.session_id, at.segment_id, chosen.spec.format, &options)?;
    let home = home(&chosen.spec, &app.environment).ok_or_else(|| {
        let hint = format!("`pod config set agents.{agent}.homes` names its folder");
        App::usage(format!("nobody says where {agent} keeps its conversations"), &hint)
    })?;
    let path = home.join(&made.path);
    match install(&path, &made.bytes) {
        // What was added there is brought in when the agent ends.
        Ok(_) | Err(InstallError::WentOn(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(Ready { at, agent, native_id, path, cwd: cwd.into(), is_new: true })
}

/// The conversation's folder at the end of a branch.
fn folder_of(library: &Library, at: SegmentLocation) -> Result<Option<String>> {
    let row = library.index.summary(at.session_id)?;
    match row.filter(|row| row.segment_id == at.segment_id && row.cwd.is_some()) {
        Some(row) => Ok(row.cwd),
        None => Ok(restore(&*library.store, at.session_id, at.segment_id)?.config.cwd),
    }
}

fn no_folder(message: &str) -> CliError {
    App::usage(message, "--cwd DIR says where the agent is to go on")
}

/// Whether the agent finds the file there: an agent looks in its own folders, and reads no compressed one.
fn lies_where_it_is_found(app: &App, spec: &AgentSpec, path: &Path) -> bool {
    let below = folders(spec, &app.environment).iter().any(|folder| path.starts_with(folder));
    below && path.is_file() && path.extension().is_some_and(|extension| extension == "jsonl")
}

/// What is ready, as JSON shows it.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    session_id: SessionId,
    segment_id: store_core::SegmentId,
    agent: &'a str,
    native_id: &'a str,
    path: String,
    cwd: String,
    command: Vec<&'a str>,
}

impl Ready {
    /// The command that goes on in the file.
    pub(super) fn command(&self, spec: &AgentSpec, prompt: Option<&str>) -> Result<AgentCommand> {
        let wanted = Wanted { native_id: Some(&self.native_id), file: Some(&self.path), cwd: Some(&self.cwd), prompt };
        spec.resume_command(&wanted).map_err(|why| {
            let name = &spec.name;
            let message = match why {
                NoCommand::NotConfigured { key } => format!("agents.{name} has no command `{key}`"),
                NoCommand::Unknown { place } => format!("the command of agents.{name} needs {place}, which it has not"),
            };
            let hint = format!("`pod config set agents.{name}.resume` says how it goes on with a conversation");
            CliError::AgentUnavailable { message, hint }
        })
    }

    /// What a script is told.
    pub(super) fn document<'a>(&'a self, command: &'a AgentCommand) -> Document<'a> {
        let words = std::iter::once(command.program.as_str()).chain(command.arguments.iter().map(String::as_str));
        Document {
            session_id: self.at.session_id,
            segment_id: self.at.segment_id,
            agent: &self.agent,
            native_id: &self.native_id,
            path: self.path.display().to_string(),
            cwd: self.cwd.display().to_string(),
            command: words.collect(),
        }
    }
}
