//! A conversation for people: as Markdown, and as one page of HTML that needs nothing else.
//!
//! What is shown is the transcript, from the root to the end of a segment. Everything in it was written by somebody else: on a page it is escaped, and
//! nothing is loaded or run; control characters and marks that reorder text are left out of both.

use store_core::{Content, Part, SegmentId, SessionId, Store, TimestampMs};

use super::text_of_part;
use crate::blob;
use crate::error::Result;
use crate::facts::SessionFacts;
use crate::time::to_text;
use crate::transcript::{ShowKind, ShowMessage, ShowOptions, ShowRole, Transcript, transcript};

/// How much of the first prompt stands for a title.
const TITLE_CHARS_MAX: usize = 80;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--dim:#777}\
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}\
h1{font-size:1.5rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;color:var(--dim);font-size:.875rem}\
dd{margin:0}article{border-top:1px solid var(--line);padding:.75rem 0}article.user{background:var(--soft);padding:.75rem}\
header{color:var(--dim);font-size:.8125rem;margin-bottom:.25rem}.text,pre{white-space:pre-wrap;margin:.25rem 0}\
pre{background:var(--soft);padding:.5rem;font:13px/1.4 ui-monospace,monospace;overflow-x:auto}summary{cursor:pointer;color:var(--dim)}\
img{max-width:100%}.failed{border-left:3px solid #c33}";

/// What a page says of a conversation.
struct Page {
    title: String,
    about: Vec<(&'static str, String)>,
    rows: Vec<ShowMessage>,
}

impl Page {
    fn read(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<Self> {
        let Transcript { mut messages, config, meta, .. } =
            transcript(store, session, segment, &ShowOptions::default())?;
        for parts in messages.iter_mut().filter_map(|row| row.parts.as_mut()) {
            blob::resolve_parts(store, parts)?;
        }
        let facts = SessionFacts::read_if_whole(store, session)?;
        let first = messages.iter().find(|row| row.role == ShowRole::User && !row.text.trim().is_empty());
        let title = facts.title().map(str::to_owned).or_else(|| first.map(|row| row.text.clone()));
        let title = title.unwrap_or_else(|| "A conversation".to_owned());
        let title: String =
            title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TITLE_CHARS_MAX).collect();
        let times = (messages.first().map(|row| row.ts), messages.last().map(|row| row.ts));
        let about = [
            ("Agent", meta.agent),
            ("Model", config.model),
            ("Folder", config.cwd),
            ("Branch", config.branch),
            ("Began", times.0.map(time)),
            ("Ended", times.1.map(time)),
            ("Session", Some(session.to_string())),
            ("Segment", Some(segment.to_string())),
        ];
        let about = about.into_iter().filter_map(|(name, told)| Some((name, told?))).collect();
        Ok(Self { title, about, rows: messages })
    }
}

fn time(ms: TimestampMs) -> String {
    to_text(ms)
}

/// The branch that ends with a segment as Markdown. What was said stands as it was said; calls, their results and thoughts are set apart.
///
/// # Errors
/// `NotFound`; [`LineageError`](crate::LineageError); what the store fails with.
pub fn markdown(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<String> {
    let page = Page::read(store, session, segment)?;
    let mut out = format!("# {}\n\n", plain(&page.title).replace(['\n', '#'], " ").trim());
    for (name, told) in &page.about {
        out.push_str(&format!("- {name}: {}\n", code(&plain(told))));
    }
    for row in &page.rows {
        out.push_str(&format!("\n## {}\n\n", heading(row)));
        out.push_str(&markdown_row(row));
    }
    Ok(out)
}

fn heading(row: &ShowMessage) -> String {
    let who = match (row.kind, row.role) {
        (ShowKind::Summary, _) => "Summary of what came before",
        (ShowKind::Reasoning, _) => "Thought",
        (ShowKind::ToolCall, _) => "Call",
        (ShowKind::ToolResult, _) => "Result",
        (_, ShowRole::User) => "You",
        (_, ShowRole::Assistant) => "Assistant",
        (_, ShowRole::Tool) => "Tool",
        (_, ShowRole::System) => "System",
    };
    let name = row.tool.as_ref().and_then(|tool| tool.name.as_deref()).map(|name| format!(" {}", code(&plain(name))));
    let failed = if row.tool.as_ref().and_then(|tool| tool.is_error) == Some(true) { " (failed)" } else { "" };
    format!("{who}{}{failed} · turn {} · {}", name.unwrap_or_default(), row.turn, time(row.ts))
}

fn markdown_row(row: &ShowMessage) -> String {
    match row.kind {
        ShowKind::ToolCall => {
            let arguments = row.tool.as_ref().and_then(|tool| tool.arguments.as_ref());
            let text = arguments.map(|arguments| serde_json::to_string_pretty(arguments).unwrap_or_default());
            fenced("json", &plain(&text.unwrap_or_default()))
        }
        ShowKind::ToolResult => fenced("", &plain(&words_of(row))),
        ShowKind::Reasoning => plain(&row.text).lines().map(|line| format!("> {line}\n")).collect(),
        ShowKind::Message | ShowKind::Summary => {
            let text = plain(&words_of(row));
            format!("{}\n", text.trim_end())
        }
    }
}

/// What a row says, in words.
fn words_of(row: &ShowMessage) -> String {
    match &row.parts {
        Some(parts) => parts.iter().map(text_of_part).collect::<Vec<_>>().join("\n"),
        None => row.text.clone(),
    }
}

/// A block in a fence that is longer than any in it.
fn fenced(language: &str, text: &str) -> String {
    let fence = "`".repeat(longest_run(text).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

fn code(text: &str) -> String {
    let fence = "`".repeat(longest_run(text) + 1);
    let room = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{room}{}{room}{fence}", text.replace('\n', " "))
}

fn longest_run(text: &str) -> usize {
    text.split(|char| char != '`').map(str::len).max().unwrap_or_default()
}

/// The branch that ends with a segment as one page of HTML, for light and dark screens, without scripts and without anything that is loaded.
///
/// # Errors
/// As [`markdown`].
pub fn html(store: &dyn Store, session: SessionId, segment: SegmentId) -> Result<String> {
    let page = Page::read(store, session, segment)?;
    let title = escaped(&page.title);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<dl>\n"
    );
    for (name, told) in &page.about {
        out.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(told)));
    }
    out.push_str("</dl>\n<main>\n");
    for row in &page.rows {
        html_row(&mut out, row);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    Ok(out)
}

fn html_row(out: &mut String, row: &ShowMessage) {
    let class = match row.role {
        ShowRole::User => "user",
        ShowRole::Assistant => "assistant",
        ShowRole::Tool => "tool",
        ShowRole::System => "system",
    };
    let failed = row.tool.as_ref().and_then(|tool| tool.is_error) == Some(true);
    let failed = if failed { " failed" } else { "" };
    let heading = escaped(&heading(row).replace('`', ""));
    out.push_str(&format!("<article class=\"{class}{failed}\" id=\"{}-{}\">\n", row.segment_id, row.seq));
    match row.kind {
        ShowKind::ToolCall => {
            let arguments = row.tool.as_ref().and_then(|tool| tool.arguments.as_ref());
            let text = arguments.map(|arguments| serde_json::to_string_pretty(arguments).unwrap_or_default());
            let text = escaped(&text.unwrap_or_default());
            out.push_str(&format!("<details><summary>{heading}</summary><pre>{text}</pre></details>\n"));
        }
        ShowKind::ToolResult => {
            out.push_str(&format!("<details><summary>{heading}</summary>"));
            html_parts(out, row, "pre");
            out.push_str("</details>\n");
        }
        ShowKind::Reasoning => {
            let text = escaped(&row.text);
            out.push_str(&format!("<details><summary>{heading}</summary><div class=\"text\">{text}</div></details>\n"));
        }
        ShowKind::Message | ShowKind::Summary => {
            out.push_str(&format!("<header>{heading}</header>"));
            html_parts(out, row, "div");
        }
    }
    out.push_str("</article>\n");
}

fn html_parts(out: &mut String, row: &ShowMessage, element: &str) {
    let mut text = |said: &str| {
        out.push_str(&format!("<{element} class=\"text\">{}</{element}>\n", escaped(said)));
    };
    let Some(parts) = &row.parts else { return text(&row.text) };
    for part in parts {
        match part {
            Part::Image { media_type, data: Some(Content::Inline(data)), .. } if is_base64(data) => {
                let media_type = media_type.as_deref().filter(|kind| is_image(kind)).unwrap_or("image/png");
                out.push_str(&format!("<img alt=\"\" src=\"data:{media_type};base64,{data}\">\n"));
            }
            part => out.push_str(&format!("<{element} class=\"text\">{}</{element}>\n", escaped(&text_of_part(part)))),
        }
    }
}

/// Whether it can be nothing but the data of an image in an address.
fn is_base64(data: &str) -> bool {
    data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

/// Images that can hold nothing that a browser runs.
fn is_image(media_type: &str) -> bool {
    ["image/png", "image/jpeg", "image/gif", "image/webp"].contains(&media_type)
}

/// The text without control characters and without what reorders the text around it; line breaks and tabs stay.
fn plain(text: &str) -> String {
    let is_hostile = |char: char| match char {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        char => char.is_control(),
    };
    text.chars().filter(|char| !is_hostile(*char)).collect()
}

/// The text for a page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in plain(text).chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_cannot_become_part_of_the_page() {
        assert_eq!(escaped("<b a='x' c=\"y\">&\u{1b}[2J\u{202e}"), "&lt;b a=&#39;x&#39; c=&quot;y&quot;&gt;&amp;[2J");
        assert!(!is_base64("x\" onerror=\"y") && is_base64("iVBORw0KGgo="));
        assert!(!is_image("image/svg+xml") && !is_image("image/png\"") && is_image("image/png"));
    }

    #[test]
    fn a_fence_is_longer_than_any_in_it() {
        assert_eq!(fenced("", "a\n```\nb\n"), "````\na\n```\nb\n````\n");
        assert_eq!(fenced("json", "{}"), "```json\n{}\n```\n");
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
    }
}
