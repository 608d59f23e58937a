//! The agent has the terminal; when it ends, what it added is brought in.

use std::process::{Command, ExitStatus};

use session_store::import::{ImportStatus, Importer};

use super::prepare::Chosen;
use super::{Ready, budget};
use crate::agents::AgentCommand;
use crate::app::App;
use crate::commands::live::lease;
use crate::error::{CliError, Result, exit};
use crate::library::Library;
use crate::render::one_line;

/// Starts the agent, waits for its end, and brings in what it wrote.
pub(super) fn run(app: &App, library: &Library, chosen: &Chosen, ready: &Ready, command: &AgentCommand) -> Result<u8> {
    let name = &chosen.spec.name;
    // Whoever looks sees that the conversation is live, as long as this process lives.
    let lease = lease(app, &*library.store, ready.at, &format!("{name}, started by pod"))?;
    let held = budget::begin(app, library, ready)?;
    if ready.is_new {
        app.say(&format!("{name} goes on in {}", app.short_path(&one_line(&ready.path.display().to_string()))));
    }
    let ended = start(app, chosen, command);
    let entries = bring_in(app, library, ready);
    if let Some(held) = &held {
        budget::end(app, library, ready, held);
    }
    drop(lease);
    let entries = entries?;
    let status = ended?;
    let added = match entries {
        0 => "nothing new".to_owned(),
        1 => "1 new entry".to_owned(),
        entries => format!("{entries} new entries"),
    };
    app.say(&format!("{name} has ended; {added}"));
    if status.success() {
        return Ok(exit::OK);
    }
    app.warn(&format!("{name} ended with {status}"));
    Ok(exit::FAILED)
}

fn start(app: &App, chosen: &Chosen, command: &AgentCommand) -> Result<ExitStatus> {
    let failed = |error: &std::io::Error| CliError::AgentUnavailable {
        message: format!("{} could not be started: {error}", chosen.spec.name),
        hint: format!("`pod agents test {}` looks closer", chosen.spec.name),
    };
    let program = chosen.program.as_deref().map_or_else(|| command.program.as_ref(), |path| path.as_os_str());
    let mut run = Command::new(program);
    run.args(&command.arguments).envs(&command.env);
    if let Some(folder) = &command.folder {
        run.current_dir(folder);
    }
    // It has the terminal, and Ctrl-C with it.
    app.interrupt.leave_to_child();
    let ended = run.status();
    app.interrupt.end_at_once();
    ended.map_err(|error| failed(&error))
}

/// Brings in what stands in the agent's file now; answers how many entries that gave.
fn bring_in(app: &App, library: &Library, ready: &Ready) -> Result<u64> {
    if !ready.path.is_file() {
        app.warn(&format!("{} is gone; nothing of it is brought in", one_line(&ready.path.display().to_string())));
        return Ok(0);
    }
    let importer = Importer { store: &*library.store, index: &library.index, now: app.environment.clock() };
    let report = importer.run(std::slice::from_ref(&ready.path), &Default::default(), &mut |_| {})?;
    let failed = report.sessions.iter().find(|file| file.status == ImportStatus::Failed);
    if let Some(why) = failed.and_then(|file| file.error.as_deref()) {
        let hint = "what it wrote is in its own file; `pod import` tries again";
        app.warn(&format!("what the agent wrote could not be brought in: {}", one_line(why)));
        app.hint(hint);
    }
    Ok(report.entries)
}
