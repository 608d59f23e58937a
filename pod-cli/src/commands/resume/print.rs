//! A conversation restored and shown.

use serde::Serialize;
use serde_json::Value;
use session_store::{RestoredState, restore};
use store_core::{Item, LlmUsage, Position, SegmentId, SessionId};

use crate::app::App;
use crate::cli::ToolsArg;
use crate::commands::show;
use crate::error::{Result, exit};
use crate::library::Library;

/// The restored state as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    session_id: Option<SessionId>,
    segment_id: Option<SegmentId>,
    position: Position,
    turn_count: u64,
    entries_count: u64,
    last_run_interrupted: bool,
    open_tool_calls: &'a [String],
    model: Option<&'a str>,
    cwd: Option<&'a str>,
    agent: Option<&'a str>,
    native_id: Option<&'a str>,
    history: &'a [Item],
    usage_history: &'a [LlmUsage],
    extensions: &'a [(String, Value)],
}

impl<'a> From<&'a RestoredState> for Document<'a> {
    fn from(state: &'a RestoredState) -> Self {
        Self {
            session_id: state.session_id,
            segment_id: state.segment_id,
            position: state.position,
            turn_count: state.turn_count,
            entries_count: state.entries_count,
            last_run_interrupted: state.last_run_interrupted,
            open_tool_calls: &state.open_tool_calls,
            model: state.config.model.as_deref(),
            cwd: state.config.cwd.as_deref(),
            agent: state.meta.agent.as_deref(),
            native_id: state.meta.native_id.as_deref(),
            history: &state.history,
            usage_history: &state.usage_history,
            extensions: &state.extensions,
        }
    }
}

/// Restores the conversation and shows it; with --json, the state that a model would go on from.
pub(super) fn run(app: &App, id: &str) -> Result<u8> {
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, id)?;
    let state = restore(&*library.store, target.session, target.segment)?;
    if app.global.json {
        app.print_json(&Document::from(&state))?;
        return Ok(exit::OK);
    }
    let code = show::print(app, &library, &target, &show::Choice::branch(ToolsArg::Short))?;
    let open = match state.open_tool_calls.len() {
        0 => String::new(),
        1 => ", 1 of them the result of a call that was interrupted".to_owned(),
        open => format!(", {open} of them the results of calls that were interrupted"),
    };
    let items = state.history.len();
    app.say(&format!("restored: {} turns, {items} items for the model{open}", state.turn_count));
    Ok(code)
}
