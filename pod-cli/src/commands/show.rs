//! `pod show ID`: a conversation as a person reads it, as a model would be given it, or as it is stored.

use std::io::Write;

use serde::Serialize;
use session_store::index::{SessionSummary, Target};
use session_store::{Live, ShowKind, ShowLineage, ShowMessage, ShowOptions, ShowScope, Transcript, transcript};
use store_core::{SegmentId, SessionId};

use super::raw;
use crate::app::App;
use crate::cli::{ShowArgs, ToolsArg};
use crate::error::{Result, exit};
use crate::library::Library;
use crate::render::{ConversationStyle, Tools, one_line, relative, write_conversation};

/// What of a conversation is printed, and how.
pub(super) struct Choice {
    pub(super) options: ShowOptions,
    pub(super) tools: ToolsArg,
    pub(super) thinking: bool,
}

impl Choice {
    /// The whole branch.
    pub(super) fn branch(tools: ToolsArg) -> Self {
        Self { options: ShowOptions::default(), tools, thinking: false }
    }
}

/// A conversation as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    lineage: &'a [ShowLineage],
    messages: &'a [ShowMessage],
}

/// What is said about a conversation before what is said in it.
#[derive(Serialize)]
pub(super) struct Head<'a> {
    pub(super) session_id: SessionId,
    pub(super) segment_id: SegmentId,
    pub(super) title: Option<&'a str>,
    pub(super) agent: Option<&'a str>,
    pub(super) native_id: Option<&'a str>,
    pub(super) cwd: Option<&'a str>,
    pub(super) model: Option<&'a str>,
    pub(super) live: &'a Live,
}

impl<'a> Head<'a> {
    fn new(target: &Target, summary: &'a SessionSummary, shown: &'a Transcript) -> Self {
        let (meta, config) = (&shown.meta, &shown.config);
        Self {
            session_id: target.session,
            segment_id: target.segment,
            title: summary.title.as_deref(),
            agent: meta.agent.as_deref().or(summary.agent.as_deref()),
            native_id: meta.native_id.as_deref().or(summary.native_id.as_deref()),
            cwd: config.cwd.as_deref().or(summary.cwd.as_deref()),
            model: config.model.as_deref().or(summary.model.as_deref()),
            live: &summary.live,
        }
    }
}

/// Shows a conversation.
pub(super) fn run(app: &App, arguments: &ShowArgs) -> Result<u8> {
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, &arguments.id)?;
    if arguments.raw {
        return raw::run(app, &library, &target, arguments);
    }
    let scope = match (arguments.all, arguments.context) {
        (true, _) => ShowScope::All,
        (false, true) => ShowScope::Context,
        (false, false) => ShowScope::Branch,
    };
    let options = ShowOptions {
        scope,
        turns: arguments.turns.map(|range| (range.first, range.last)),
        last: arguments.last.map(|last| usize::try_from(last).unwrap_or(usize::MAX)),
    };
    print(app, &library, &target, &Choice { options, tools: arguments.tools, thinking: arguments.thinking })
}

/// Prints a conversation.
pub(super) fn print(app: &App, library: &Library, target: &Target, choice: &Choice) -> Result<u8> {
    let shown = transcript(&*library.store, target.session, target.segment, &choice.options)?;
    let summary = library.summary(target.session)?;
    let head = Head::new(target, &summary, &shown);
    if app.global.json {
        app.print_json(&Document { head, lineage: &shown.lineage, messages: &shown.messages })?;
        return Ok(exit::OK);
    }
    let style = ConversationStyle {
        now: app.environment.now,
        line: app.terminal.width,
        tools: match choice.tools {
            ToolsArg::Off => Tools::Off,
            ToolsArg::Short => Tools::Short,
            ToolsArg::Full => Tools::Full,
        },
        thinking: choice.thinking,
        segments: choice.options.scope == ShowScope::All,
        theme: app.terminal.theme,
    };
    let mut out = app.paged();
    write_head(app, &mut out, &head, &summary)?;
    write_conversation(&mut out, &shown.messages, &style)?;
    out.finish()?;
    if shown.messages.is_empty() {
        say_why_empty(app, choice);
    } else if !choice.thinking && shown.messages.iter().any(is_readable_thought) {
        app.say("what the model thought is left out (--thinking)");
    }
    Ok(exit::OK)
}

fn is_readable_thought(message: &ShowMessage) -> bool {
    message.kind == ShowKind::Reasoning && !message.text.trim().is_empty()
}

fn say_why_empty(app: &App, choice: &Choice) {
    if choice.options.turns.is_some() {
        app.say("no such turns");
        app.hint("without --turns the whole conversation is shown");
    } else {
        app.say("nothing was said in this conversation");
        app.hint("`pod log ID` prints what is stored");
    }
}

fn write_head(app: &App, out: &mut dyn Write, head: &Head<'_>, summary: &SessionSummary) -> std::io::Result<()> {
    let (strong, dim) = (app.terminal.theme.strong, app.terminal.theme.dim);
    let title = one_line(head.title.unwrap_or("(no title)"));
    let last = summary.last_message_at.unwrap_or(summary.updated_at);
    let facts = [
        head.agent.map(str::to_owned),
        head.model.map(str::to_owned),
        head.cwd.map(|cwd| app.short_path(cwd)),
        Some(relative(app.environment.now, last)),
        head.live.writer().map(|writer| format!("live: {}", writer.holder)),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().map(|fact| one_line(&fact)).collect();
    writeln!(out, "{strong}{title}{strong:#}")?;
    writeln!(out, "{dim}{}{dim:#}", facts.join(" · "))?;
    writeln!(out, "{dim}session {}, segment {}{dim:#}", head.session_id, head.segment_id)?;
    writeln!(out)
}
