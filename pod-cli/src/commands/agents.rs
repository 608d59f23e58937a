//! `pod agents list|test|add`

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use session_store::import::Conversations;

use super::config;
use super::list::conversations;
use crate::agents::{AgentCommand, AgentSpec, AgentTable, Wanted, check_name, find_program, folders, homes, version};
use crate::app::App;
use crate::cli::{AgentsAddArgs, AgentsCommand, AgentsTestArgs};
use crate::config::{Config, add_agent};
use crate::error::{CliError, Result, exit};
use crate::output::Output;
use crate::render::{Cell, Column, Table, one_line};

const COLUMNS: [Column; 5] = [
    Column::text("AGENT"),
    Column::text("CALLED").shown_from(70).at_most(16),
    Column::text("FORMAT").shown_from(90),
    Column::text("PROGRAM").at_most(40).cut_front(),
    Column::text("FOLDERS").flexible(),
];

/// An agent, as JSON shows it.
#[derive(Serialize)]
struct Known<'a> {
    name: &'a str,
    title: &'a str,
    format: &'static str,
    enabled: bool,
    /// The program knows it of itself.
    preset: bool,
    program: Option<&'a str>,
    /// Where the program was found; null if it was not.
    program_path: Option<PathBuf>,
    homes: Vec<Folder>,
    folders: Vec<Folder>,
    /// The commands, with places to be filled.
    new: &'a [String],
    resume: &'a [String],
}

#[derive(Serialize)]
struct Folder {
    path: PathBuf,
    exists: bool,
}

impl Folder {
    fn all(paths: Vec<PathBuf>) -> Vec<Self> {
        paths.into_iter().map(|path| Self { exists: path.is_dir(), path }).collect()
    }
}

/// What trying an agent showed.
#[derive(Serialize)]
struct Tried<'a> {
    #[serde(flatten)]
    known: Known<'a>,
    /// What the program says its version is.
    version: Option<String>,
    /// Why it does not.
    version_error: Option<String>,
    /// How many conversations are in its folders.
    conversations: usize,
    /// The command that goes on with a conversation.
    resume_line: Option<String>,
    /// The command that begins one.
    new_line: Option<String>,
    /// The program is there.
    ok: bool,
}

/// Does what was asked about agents.
pub(super) fn run(app: &App, command: &AgentsCommand) -> Result<u8> {
    match command {
        AgentsCommand::List => list(app),
        AgentsCommand::Test(arguments) => test(app, arguments),
        AgentsCommand::Add(arguments) => add(app, arguments),
    }
}

fn known<'a>(app: &App, agent: &'a AgentSpec) -> Known<'a> {
    let words = |template: &'a Option<_>| template.as_ref().map(crate::agents::Template::words).unwrap_or_default();
    Known {
        name: &agent.name,
        title: &agent.title,
        format: agent.format.name(),
        enabled: agent.enabled,
        preset: agent.is_preset,
        program: agent.program.as_deref(),
        program_path: agent.program.as_deref().and_then(|name| find_program(name, &app.environment)),
        homes: Folder::all(homes(agent, &app.environment)),
        folders: Folder::all(folders(agent, &app.environment)),
        new: words(&agent.new),
        resume: words(&agent.resume),
    }
}

fn list(app: &App) -> Result<u8> {
    let agents = app.agents()?;
    let known: Vec<Known<'_>> = agents.iter().map(|agent| known(app, agent)).collect();
    if app.global.json {
        app.print_json(&json!({ "agents": known }))?;
        return Ok(exit::OK);
    }
    let theme = &app.terminal.theme;
    let mut table = Table::new(&COLUMNS);
    for agent in &known {
        let program = match (&agent.program_path, agent.program) {
            (Some(path), _) => Cell::plain(&app.short_path(&path.display().to_string())),
            (None, Some(name)) => Cell::default().styled(theme.warn, &format!("{name} (not found)")),
            (None, None) => Cell::default().styled(theme.dim, "none"),
        };
        let name = Cell::plain(agent.name);
        table.row(vec![
            if agent.enabled { name } else { name.also(theme.dim, "[disabled]") },
            Cell::plain(agent.title),
            Cell::plain(agent.format),
            program,
            Cell::default().styled(theme.dim, &places(app, &agent.folders)),
        ]);
    }
    let mut out = app.paged();
    super::table::write(app, &mut out, &table)?;
    out.finish()?;
    app.hint("`pod agents test` looks closer; `pod import` brings in what is in their folders");
    Ok(exit::OK)
}

/// The folders that are there, in words.
fn places(app: &App, folders: &[Folder]) -> String {
    let there = folders.iter().filter(|folder| folder.exists);
    let there: Vec<String> = there.map(|folder| app.short_path(&folder.path.display().to_string())).collect();
    if there.is_empty() { "none there".to_owned() } else { there.join(", ") }
}

fn test(app: &App, arguments: &AgentsTestArgs) -> Result<u8> {
    let agents = app.agents()?;
    let chosen: Vec<&AgentSpec> = if arguments.names.is_empty() {
        agents.iter().filter(|agent| agent.enabled).collect()
    } else {
        arguments.names.iter().map(|name| named(&agents, name)).collect::<Result<_>>()?
    };
    let tried: Vec<Tried<'_>> = chosen.into_iter().map(|agent| try_out(app, agent)).collect();
    if app.global.json {
        app.print_json(&json!({ "agents": tried }))?;
    } else {
        tell(app, &tried)?;
    }
    let is_fine =
        if arguments.names.is_empty() { tried.iter().any(|one| one.ok) } else { tried.iter().all(|one| one.ok) };
    Ok(if is_fine { exit::OK } else { exit::NO_AGENT })
}

fn named<'a>(agents: &'a [AgentSpec], name: &str) -> Result<&'a AgentSpec> {
    agents.iter().find(|agent| agent.name == name).ok_or_else(|| CliError::NoAgent {
        name: name.to_owned(),
        known: agents.iter().map(|agent| agent.name.clone()).collect(),
    })
}

fn try_out<'a>(app: &App, agent: &'a AgentSpec) -> Tried<'a> {
    let known = known(app, agent);
    let said = known.program_path.as_deref().map(|program| version(agent, program));
    let there: Vec<PathBuf> = known.folders.iter().filter(|one| one.exists).map(|one| one.path.clone()).collect();
    let wanted = Wanted { native_id: Some("ID"), file: Some(Path::new("FILE")), ..Wanted::default() };
    let line = |command: Result<AgentCommand, _>| command.ok().map(|command| command.to_string());
    Tried {
        version: said.clone().and_then(Result::ok),
        version_error: said.and_then(Result::err),
        conversations: Conversations::find(&there, Some(agent.format)).len(),
        resume_line: line(agent.resume_command(&wanted)),
        new_line: line(agent.new_command(&wanted)),
        ok: known.program_path.is_some(),
        known,
    }
}

fn tell(app: &App, tried: &[Tried<'_>]) -> Result<()> {
    let theme = &app.terminal.theme;
    let mut out = Output::plain();
    for one in tried {
        let (style, word) = if one.ok { (theme.good, "ok") } else { (theme.warn, "missing") };
        let (strong, dim) = (theme.strong, theme.dim);
        writeln!(
            out,
            "{style}{word:<7}{style:#}  {strong}{}{strong:#} {dim}{}{dim:#}",
            one.known.name,
            one_line(one.known.title)
        )?;
        let program = match (&one.known.program_path, one.known.program) {
            (Some(path), _) => {
                let version = one.version.as_deref().map(one_line);
                let silent =
                    one.version_error.as_deref().map(|why| format!("its version is not known: {}", one_line(why)));
                let said = version.or(silent).unwrap_or_default();
                format!("{}, {said}", app.short_path(&path.display().to_string()))
            }
            (None, Some(name)) => format!(
                "{} is not in PATH; `pod config set agents.{}.program PATH` says where it is",
                one_line(name),
                one.known.name
            ),
            (None, None) => "none is configured".to_owned(),
        };
        writeln!(out, "         {dim}program{dim:#}  {program}")?;
        for folder in &one.known.folders {
            let there = if folder.exists { "" } else { " (not there)" };
            writeln!(
                out,
                "         {dim}folder{dim:#}   {}{there}",
                one_line(&app.short_path(&folder.path.display().to_string()))
            )?;
        }
        writeln!(out, "         {dim}holds{dim:#}    {}", conversations(one.conversations as u64))?;
        if let Some(line) = &one.resume_line {
            writeln!(out, "         {dim}resume{dim:#}   {}", one_line(line))?;
        }
    }
    out.finish()?;
    Ok(())
}

fn add(app: &App, arguments: &AgentsAddArgs) -> Result<u8> {
    let refuse = |why: String| App::usage(why, "nothing was changed; docs/CONFIG.md has the keys");
    let agents = app.agents()?;
    check_name(&arguments.name).map_err(refuse)?;
    if agents.iter().any(|agent| agent.name == arguments.name) {
        return Err(CliError::AgentExists { name: arguments.name.clone() });
    }
    let like = arguments.like.as_deref().map(|like| named(&agents, like)).transpose()?;
    let home = arguments.home.as_deref().map(|home| app.absolute(home)).transpose()?;
    // An agent that is told by a variable where it is has to be told it when it is started.
    let variable = like.and_then(|like| like.home_variable.clone());
    let table = AgentTable {
        like: arguments.like.clone(),
        title: arguments.title.clone(),
        format: arguments.format.as_deref().map(str::parse).transpose().map_err(refuse)?,
        program: arguments.program.clone(),
        env: home.clone().zip(variable).map(|(home, variable)| (variable, home)).into_iter().collect(),
        homes: home.map(|home| vec![home]),
        folders: Some(arguments.folder.clone()).filter(|folders| !folders.is_empty()),
        ..AgentTable::default()
    };
    let Some(path) = app.environment.config_file() else {
        return Err(refuse("there is no place for a config file: HOME is not set".to_owned()));
    };
    let after = add_agent(&Config::read(&path)?, &arguments.name, &table).map_err(refuse)?;
    config::write(&path, &after)?;
    if app.global.json {
        app.print_json(&json!({ "name": arguments.name, "path": path.display().to_string() }))?;
    } else {
        app.say(&format!("added {} to {}", arguments.name, path.display()));
        app.hint(&format!("`pod agents test {}` looks whether it can be used", arguments.name));
    }
    Ok(exit::OK)
}
