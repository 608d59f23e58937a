//! A conversation as a person reads it.
//!
//! What was said is printed as it is, indented and never wrapped, so that code can be copied out of it. Only the one-line
//! forms of tool calls and results are cut.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde_json::Value;
use session_store::{ShowKind, ShowMessage, ShowRole};
use store_core::{Part, TimestampMs};

use super::text::{clean, one_line, truncate, width};
use super::theme::Theme;
use super::time::relative;

/// How wide the one-line forms are where nothing else says so.
const LINE_CELLS: usize = 120;
/// Where what was said begins.
const INDENT: &str = "  ";
/// Arguments that say most about a call, the most telling first.
const TELLING: [&str; 10] =
    ["command", "cmd", "file_path", "path", "pattern", "query", "url", "prompt", "description", "input"];

/// How much of tool calls and their results is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tools {
    /// Nothing.
    Off,
    /// A line each.
    Short,
    /// Everything.
    Full,
}

/// How a conversation is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConversationStyle {
    /// The clock, for relative times.
    pub(crate) now: TimestampMs,
    /// The cells of a line; `None`: nobody said.
    pub(crate) line: Option<usize>,
    /// Tool calls and results.
    pub(crate) tools: Tools,
    /// What the model thought.
    pub(crate) thinking: bool,
    /// Whether to say where another segment begins.
    pub(crate) segments: bool,
    /// The styles.
    pub(crate) theme: Theme,
}

/// Who is heard: one heading stands over all that a speaker says in a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Person,
    Model,
    Program,
    Summary,
}

impl Speaker {
    const fn of(message: &ShowMessage) -> Self {
        match (message.kind, message.role) {
            (ShowKind::Summary, _) => Self::Summary,
            (_, ShowRole::User) => Self::Person,
            (_, ShowRole::Assistant | ShowRole::Tool) => Self::Model,
            (_, ShowRole::System) => Self::Program,
        }
    }
}

/// Writes the conversation.
pub(crate) fn write_conversation(
    out: &mut dyn Write,
    messages: &[ShowMessage],
    style: &ConversationStyle,
) -> io::Result<()> {
    let calls = Calls::of(messages);
    let mut before: Option<(Speaker, u64)> = None;
    let mut segment = None;
    for message in messages.iter().filter(|message| style.shows(message)) {
        let here = (Speaker::of(message), message.turn);
        if style.segments && segment != Some(message.segment_id) {
            let (gap, dim) = (if segment.is_some() { "\n" } else { "" }, style.theme.dim);
            writeln!(out, "{gap}{dim}segment {}{dim:#}", message.segment_id)?;
            segment = Some(message.segment_id);
            before = None;
        }
        if before != Some(here) {
            if before.is_some() {
                writeln!(out)?;
            }
            style.heading(out, here.0, message)?;
            before = Some(here);
        } else if message.kind == ShowKind::Message {
            writeln!(out)?;
        }
        style.message(out, message, &calls)?;
    }
    Ok(())
}

/// What belongs together among the shown rows.
struct Calls<'a> {
    names: HashMap<&'a str, &'a str>,
    answered: HashSet<&'a str>,
}

impl<'a> Calls<'a> {
    fn of(messages: &'a [ShowMessage]) -> Self {
        let mut calls = Self { names: HashMap::new(), answered: HashSet::new() };
        for message in messages {
            let Some(tool) = &message.tool else { continue };
            match message.kind {
                ShowKind::ToolResult => {
                    calls.answered.insert(&tool.call_id);
                }
                _ => {
                    if let Some(name) = &tool.name {
                        calls.names.insert(&tool.call_id, name);
                    }
                }
            }
        }
        calls
    }
}

impl ConversationStyle {
    fn shows(&self, message: &ShowMessage) -> bool {
        match message.kind {
            ShowKind::Message | ShowKind::Summary => true,
            ShowKind::Reasoning => self.thinking && !message.text.trim().is_empty(),
            ShowKind::ToolCall | ShowKind::ToolResult => self.tools != Tools::Off,
        }
    }

    fn heading(&self, out: &mut dyn Write, speaker: Speaker, message: &ShowMessage) -> io::Result<()> {
        let dim = self.theme.dim;
        let (who, style) = match speaker {
            Speaker::Person => ("you", self.theme.person),
            Speaker::Model => ("assistant", self.theme.model),
            Speaker::Program => ("system", self.theme.warn),
            Speaker::Summary => ("summary of what came before", self.theme.warn),
        };
        let injected = if message.injected { " · injected" } else { "" };
        let age = relative(self.now, message.ts);
        writeln!(out, "{style}{who}{style:#}{dim} · turn {} · {age}{injected}{dim:#}", message.turn)
    }

    fn message(&self, out: &mut dyn Write, message: &ShowMessage, calls: &Calls<'_>) -> io::Result<()> {
        match message.kind {
            ShowKind::Message | ShowKind::Summary => {
                self.text(out, &message.text, anstyle::Style::new())?;
                self.attachments(out, message)
            }
            ShowKind::Reasoning => self.text(out, &message.text, self.theme.dim),
            ShowKind::ToolCall => self.call(out, message, calls),
            ShowKind::ToolResult => self.result(out, message, calls),
        }
    }

    fn text(&self, out: &mut dyn Write, text: &str, style: anstyle::Style) -> io::Result<()> {
        for line in clean(text).trim_end().lines() {
            match line.trim_end() {
                "" => writeln!(out)?,
                line => writeln!(out, "{INDENT}{style}{line}{style:#}")?,
            }
        }
        Ok(())
    }

    /// What cannot be printed is named.
    fn attachments(&self, out: &mut dyn Write, message: &ShowMessage) -> io::Result<()> {
        let dim = self.theme.dim;
        for part in message.parts.iter().flatten() {
            let named = match part {
                Part::Text { .. } => continue,
                Part::Image { media_type, url, .. } => {
                    format!("[image {}]", media_type.as_deref().or(url.as_deref()).unwrap_or_default())
                }
                Part::File { name, media_type, .. } => {
                    format!("[file {}]", name.as_deref().or(media_type.as_deref()).unwrap_or_default())
                }
                Part::Other(value) => {
                    format!("[{}]", value.get("type").and_then(Value::as_str).unwrap_or("something unknown"))
                }
            };
            writeln!(out, "{INDENT}{dim}{}{dim:#}", one_line(&named).replace(" ]", "]"))?;
        }
        Ok(())
    }

    fn call(&self, out: &mut dyn Write, message: &ShowMessage, calls: &Calls<'_>) -> io::Result<()> {
        let Some(tool) = &message.tool else { return Ok(()) };
        let (tool_style, warn) = (self.theme.tool, self.theme.warn);
        let name = one_line(tool.name.as_deref().unwrap_or("tool"));
        let open = if calls.answered.contains(tool.call_id.as_str()) { "" } else { " (no result)" };
        let arguments = tool.arguments.as_ref().unwrap_or(&Value::Null);
        if self.tools == Tools::Full {
            writeln!(out, "{INDENT}{tool_style}→ {name}{tool_style:#}{warn}{open}{warn:#}")?;
            return self.text(out, &full_arguments(arguments), self.theme.dim);
        }
        let said = telling(arguments);
        let room = self.room(&["→ ", &name, " ", open]);
        let said = truncate(&said, room);
        let gap = if said.is_empty() { "" } else { " " };
        writeln!(out, "{INDENT}{tool_style}→ {name}{tool_style:#}{gap}{said}{warn}{open}{warn:#}")
    }

    fn result(&self, out: &mut dyn Write, message: &ShowMessage, calls: &Calls<'_>) -> io::Result<()> {
        let tool = message.tool.as_ref();
        let failed = tool.and_then(|tool| tool.is_error) == Some(true);
        let (style, verdict) = if failed { (self.theme.bad, " failed") } else { (self.theme.good, "") };
        let name = tool
            .and_then(|tool| tool.name.as_deref().or_else(|| calls.names.get(tool.call_id.as_str()).copied()))
            .map_or_else(|| "tool".to_owned(), one_line);
        let dim = self.theme.dim;
        if self.tools == Tools::Full {
            writeln!(out, "{INDENT}{style}← {name}{verdict}{style:#}")?;
            self.text(out, &message.text, dim)?;
            return self.attachments(out, message);
        }
        let cleaned = clean(&message.text);
        let mut lines = cleaned.lines().filter(|line| !line.trim().is_empty());
        let first = lines.next().map_or_else(|| "(nothing)".to_owned(), one_line);
        let more = match lines.count() {
            0 => String::new(),
            1 => " (+1 line)".to_owned(),
            more => format!(" (+{more} lines)"),
        };
        let first = truncate(&first, self.room(&["← ", &name, verdict, " ", &more])).into_owned();
        writeln!(out, "{INDENT}{style}← {name}{verdict}{style:#} {dim}{first}{more}{dim:#}")
    }

    /// The cells that are left of a line beside the indent and `taken`.
    fn room(&self, taken: &[&str]) -> usize {
        let taken: usize = taken.iter().map(|text| width(text)).sum();
        self.line.unwrap_or(LINE_CELLS).min(LINE_CELLS).saturating_sub(INDENT.len() + taken)
    }
}

/// The arguments of a call on one line: the one that says most, else all of them.
fn telling(arguments: &Value) -> String {
    let text = match arguments {
        Value::Null => String::new(),
        Value::Object(fields) if fields.is_empty() => String::new(),
        Value::Object(fields) => match TELLING.iter().find_map(|name| fields.get(*name)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(words)) if words.iter().all(Value::is_string) => {
                words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
            }
            _ => arguments.to_string(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    one_line(&text)
}

fn full_arguments(arguments: &Value) -> String {
    match arguments {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use session_store::ShowTool;
    use store_core::{SegmentId, Seq, SessionId};

    const NOW: TimestampMs = 1_764_000_000_000;

    fn row(seq: u64, turn: u64, role: ShowRole, kind: ShowKind, text: &str) -> ShowMessage {
        ShowMessage {
            session_id: SessionId::derive(1, b"session"),
            segment_id: SegmentId::derive(1, b"segment"),
            seq: Seq(seq),
            turn,
            ts: NOW - 3_600_000 + seq * 60_000,
            role,
            kind,
            text: text.to_owned(),
            parts: None,
            tool: None,
            injected: false,
        }
    }

    fn call(seq: u64, call_id: &str, name: &str, arguments: Value) -> ShowMessage {
        let tool =
            ShowTool { call_id: call_id.into(), name: Some(name.into()), arguments: Some(arguments), is_error: None };
        ShowMessage { tool: Some(tool), ..row(seq, 1, ShowRole::Assistant, ShowKind::ToolCall, "") }
    }

    fn result(seq: u64, call_id: &str, is_error: bool, text: &str) -> ShowMessage {
        let tool =
            ShowTool { call_id: call_id.into(), name: Some("Bash".into()), arguments: None, is_error: Some(is_error) };
        ShowMessage { tool: Some(tool), ..row(seq, 1, ShowRole::Tool, ShowKind::ToolResult, text) }
    }

    fn conversation() -> Vec<ShowMessage> {
        let picture = Part::Image { media_type: Some("image/png".into()), data: None, url: None };
        vec![
            ShowMessage {
                parts: Some(vec![Part::text("Why is it slow?"), picture]),
                ..row(2, 1, ShowRole::User, ShowKind::Message, "Why is it slow?\n\n\u{1b}[2J日本 too.\n")
            },
            row(3, 1, ShowRole::Assistant, ShowKind::Reasoning, "Measure first."),
            row(4, 1, ShowRole::Assistant, ShowKind::Message, "Let me look."),
            call(
                5,
                "a",
                "Bash",
                json!({"command": "cargo bench --workspace -- --save-baseline before the change", "timeout": 5}),
            ),
            call(6, "b", "Read", json!({"file_path": "/src/lib.rs"})),
            call(7, "c", "shell", json!({"command": ["bash", "-lc", "ls"]})),
            call(8, "d", "Odd\u{7}", json!({"x": [1, 2]})),
            result(9, "a", false, "\n\u{1b}[32mtime: 1s\u{1b}[0m\nmore\nlines\n"),
            result(10, "b", true, "no such file"),
            result(11, "c", false, ""),
            row(12, 1, ShowRole::Assistant, ShowKind::Message, "```rust\nfn main() {}\n```"),
            row(13, 2, ShowRole::System, ShowKind::Summary, "They looked at benchmarks."),
            row(14, 2, ShowRole::User, ShowKind::Message, "Go on."),
        ]
    }

    fn written(line: Option<usize>, tools: Tools, thinking: bool, theme: Theme) -> String {
        let style = ConversationStyle { now: NOW, line, tools, thinking, segments: false, theme };
        let mut out = Vec::new();
        write_conversation(&mut out, &conversation(), &style).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tools_take_a_line_each() {
        insta::assert_snapshot!(written(Some(40), Tools::Short, false, Theme::default()));
    }

    #[test]
    fn everything_is_shown_on_demand() {
        insta::assert_snapshot!(written(None, Tools::Full, true, Theme::default()));
    }

    #[test]
    fn tools_can_be_left_out() {
        insta::assert_snapshot!(written(Some(80), Tools::Off, false, Theme::default()));
    }

    #[test]
    fn nothing_that_came_out_of_a_log_controls_the_terminal() {
        let plain = written(Some(80), Tools::Full, true, Theme::default());
        assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{plain:?}");
        let coloured = written(Some(80), Tools::Full, true, Theme::COLOURED);
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    }

    #[test]
    fn one_line_forms_fit_the_line() {
        for cells in [30, 40, 80] {
            let text = written(Some(cells), Tools::Short, false, Theme::default());
            for line in text.lines().filter(|line| line.contains('→') || line.contains('←')) {
                assert!(width(line) <= cells, "{line:?} is wider than {cells}");
            }
        }
    }
}
