//! `pod import`

mod watch;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use session_store::import::{
    Agent, Conversations, ImportReport, ImportStatus, ImportWarning, ImportedFile, Importer, SourceFiles, put_sources,
};

use crate::agents::folders;
use crate::app::App;
use crate::cli::{ImportArgs, ImportFrom};
use crate::error::{CliError, DAMAGE_HINT, Result, exit};
use crate::library::Library;
use crate::output::Output;
use crate::progress::ProgressLine;
use crate::render::{SHORT_ID_CELLS, clean, one_line, truncate_front};

/// So many files that are none are named; the others are counted.
const IGNORED_NAMED_MAX: usize = 5;

/// Brings conversations in.
pub(super) fn run(app: &App, arguments: &ImportArgs) -> Result<u8> {
    let Places { paths, sources } = places(app, arguments)?;
    // What is recorded of a source has to mean the same from every folder.
    let absolute: Vec<PathBuf> = paths.iter().map(std::path::absolute).collect::<io::Result<_>>()?;
    if arguments.watch {
        return watch::run(app, &absolute, &sources, agent(arguments.from));
    }
    // What is written from now on may not be in what is read, and is looked at again.
    let files = Importer::source_files(if sources.is_empty() { &[] } else { &absolute });
    let found = Conversations::find(&absolute, agent(arguments.from));
    let mut report = if found.is_empty() {
        // A store that nothing would come into is not made.
        found.into_report()
    } else {
        import(app, arguments, found, &Again { sources: &sources, files: &files })?
    };
    let named = report.sessions.iter_mut().map(|file| &mut file.source);
    for source in named.chain(report.ignored.iter_mut().map(|file| &mut file.source)) {
        *source = as_named(source, &paths, &absolute);
    }
    if report.sessions.is_empty() {
        let named: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        tell_ignored(app, &report);
        return Err(CliError::NothingToImport {
            message: format!("no conversation in {}", named.join(", ")),
            hint: Some("a conversation of Claude Code, Codex or pi is a .jsonl file, told by what it holds".to_owned()),
            ignored: report.ignored,
        });
    }
    if app.global.json {
        app.print_json(&report)?;
    } else {
        tell(app, arguments, &report)?;
    }
    if report.sessions.iter().any(|file| file.met_damage) {
        app.hint(DAMAGE_HINT);
        return Ok(exit::DAMAGE);
    }
    Ok(if report.failed > 0 { exit::FAILED } else { exit::OK })
}

const fn agent(from: ImportFrom) -> Option<Agent> {
    match from {
        ImportFrom::Auto => None,
        ImportFrom::Claude => Some(Agent::Claude),
        ImportFrom::Codex => Some(Agent::Codex),
        ImportFrom::Pi => Some(Agent::Pi),
    }
}

/// Where conversations are looked for.
struct Places {
    /// Files and folders that are there.
    paths: Vec<PathBuf>,
    /// The agents' folders, there or not, each with its agent's name; none if paths were named.
    sources: Vec<(PathBuf, String)>,
}

/// The paths that were named, all of which have to be there; without any, those of the agents' usual folders that are.
fn places(app: &App, arguments: &ImportArgs) -> Result<Places> {
    let named = &arguments.paths;
    if let Some(missing) = named.iter().find(|path| !path.exists()) {
        return Err(CliError::NothingToImport {
            message: format!("{} is not there", missing.display()),
            hint: Some("nothing was imported".to_owned()),
            ignored: Vec::new(),
        });
    }
    if !named.is_empty() {
        return Ok(Places { paths: named.clone(), sources: Vec::new() });
    }
    let from = agent(arguments.from);
    let agents = app.agents()?;
    let agents = agents.iter().filter(|agent| agent.enabled && from.is_none_or(|from| agent.format == from));
    let mut sources: Vec<(PathBuf, String)> = Vec::new();
    for agent in agents {
        for folder in folders(agent, &app.environment) {
            if sources.iter().all(|(known, _)| *known != folder) {
                sources.push((folder, agent.name.clone()));
            }
        }
    }
    let paths: Vec<PathBuf> = sources.iter().map(|(folder, _)| folder.clone()).filter(|path| path.is_dir()).collect();
    if paths.is_empty() {
        let looked: Vec<String> = sources.iter().map(|(folder, _)| folder.display().to_string()).collect();
        return Err(CliError::NothingToImport {
            message: format!(
                "none of the agents keeps conversations on this machine; looked for {}",
                looked.join(", ")
            ),
            hint: Some("`pod import PATH` imports a file, or all that are in a folder".to_owned()),
            ignored: Vec::new(),
        });
    }
    Ok(Places { paths, sources })
}

/// What is remembered, so that later commands find what is new.
struct Again<'a> {
    sources: &'a [(PathBuf, String)],
    files: &'a SourceFiles,
}

fn import(app: &App, arguments: &ImportArgs, found: Conversations, again: &Again<'_>) -> Result<ImportReport> {
    let library = if arguments.dry_run {
        Library::for_trying(app)?
    } else {
        Library::for_importing(app, || found.hold_anything())?
    };
    let importer = Importer { store: &*library.store, index: &library.index, now: app.environment.now };
    let report = {
        let stderr = io::stderr();
        let to = stderr.is_terminal().then(|| stderr.lock());
        let mut line = ProgressLine::new(to, app.terminal.error_width, Instant::now());
        importer.run_found(found, arguments.dry_run, &mut |progress| {
            let name = progress.path.file_name().unwrap_or_default().display();
            line.tell(Instant::now(), &format!("importing {} of {}  {name}", progress.done + 1, progress.files));
        })?
    };
    if !arguments.dry_run {
        importer.saw(again.files, &report)?;
        follow(app, &library, again.sources)?;
    }
    Ok(report)
}

/// Makes the agents' folders sources of the store.
fn follow(app: &App, library: &Library, sources: &[(PathBuf, String)]) -> Result<()> {
    if put_sources(&*library.store, app.environment.now, sources)? > 0 {
        app.say("from now on commands bring in by themselves what is written there (--no-refresh)");
    }
    Ok(())
}

/// A source as it was named on the command line, or below a folder that was.
fn as_named(source: &str, named: &[PathBuf], absolute: &[PathBuf]) -> String {
    let below = named.iter().zip(absolute).find_map(|(named, absolute)| {
        let rest = Path::new(source).strip_prefix(absolute).ok()?;
        Some(if rest.as_os_str().is_empty() { named.clone() } else { named.join(rest) })
    });
    below.map_or_else(|| source.to_owned(), |path| path.display().to_string())
}

fn tell(app: &App, arguments: &ImportArgs, report: &ImportReport) -> Result<()> {
    let mut out = Output::plain();
    for file in report.sessions.iter().filter(|file| is_news(file)) {
        write_file(app, &mut out, file)?;
    }
    let counts = [
        (report.imported, "imported"),
        (report.updated, "updated"),
        (report.unchanged, "unchanged"),
        (report.removed, "purged before and left out"),
        (report.failed, "failed"),
    ];
    let counts: Vec<String> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let rehearsed = if arguments.dry_run { "; nothing was written" } else { "" };
    let entries = if report.entries == 1 { "entry" } else { "entries" };
    writeln!(out, "{}; {} new {entries}{rehearsed}", counts.join(", "), report.entries)?;
    out.finish()?;
    tell_ignored(app, report);
    if report.imported > 0 && !arguments.dry_run {
        app.hint("`pod list` lists them, `pod show @last` shows the newest");
    }
    Ok(())
}

/// What a person wants to see of an import: all but what was known already.
fn is_news(file: &ImportedFile) -> bool {
    !matches!(file.status, ImportStatus::Unchanged) || !file.warnings.is_empty()
}

fn write_file(app: &App, out: &mut Output, file: &ImportedFile) -> io::Result<()> {
    let theme = &app.terminal.theme;
    let (style, word) = match file.status {
        ImportStatus::Imported => (theme.good, "imported"),
        ImportStatus::Updated => (theme.good, "updated"),
        ImportStatus::Unchanged => (theme.dim, "unchanged"),
        ImportStatus::Failed => (theme.bad, "failed"),
        ImportStatus::Removed => (theme.dim, "removed"),
    };
    let agent = file.agent.map_or("", Agent::name);
    let id = file.session_id.map(|id| id.to_string()).unwrap_or_default();
    let id = id.get(id.len().saturating_sub(SHORT_ID_CELLS)..).unwrap_or_default();
    let dim = theme.dim;
    let source = app.short_path(&one_line(&file.source));
    let room = app.terminal.width.map_or(usize::MAX, |cells| cells.saturating_sub(9 + 2 + 6 + 2 + 8 + 2 + 13 + 2));
    let shown = truncate_front(&source, room);
    if file.status != ImportStatus::Failed {
        let entries = file.entries;
        writeln!(out, "{style}{word:<9}{style:#}  {agent:<6}  {id:<8}  {entries:>5} entries  {dim}{shown}{dim:#}")?;
    }
    out.flush()?;
    // What went wrong is talk, but it belongs under the file that it is about.
    let mut talk = io::stderr().lock();
    let theme = &app.terminal.error_theme;
    if file.status == ImportStatus::Failed {
        let (bad, reason) = (theme.bad, file.error.as_deref().unwrap_or("unknown"));
        drop(writeln!(talk, "{bad}error:{bad:#} {source}: {}", clean(reason)));
    }
    for warning in &file.warnings {
        let warn = theme.warn;
        drop(writeln!(talk, "{warn}warning:{warn:#} {source}: {}", clean(&said(warning))));
    }
    Ok(())
}

fn said(warning: &ImportWarning) -> String {
    match warning.line {
        Some(line) => format!("line {line}: {}", warning.message),
        None => warning.message.clone(),
    }
}

fn tell_ignored(app: &App, report: &ImportReport) {
    for file in report.ignored.iter().take(IGNORED_NAMED_MAX) {
        app.say(&format!("left out: {}: {}", app.short_path(&one_line(&file.source)), one_line(&file.reason)));
    }
    match report.ignored.len().saturating_sub(IGNORED_NAMED_MAX) {
        0 => {}
        more => app.say(&format!("left out: {more} more files that are no conversations (--json names them)")),
    }
}
