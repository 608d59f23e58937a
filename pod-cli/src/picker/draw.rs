//! What the picker looks like: a function of the model and a size.
//!
//! A conversation has two lines, its title with what tells it from others, and where it was or why it was found. A
//! preview stands beside the list, below it, or nowhere, as there is room. The two last lines always say how many
//! conversations are shown and why others are not, and the keys.

use std::path::Path;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};
use session_store::ShowRole;
use session_store::index::{SearchHit, SessionSummary};
use session_store::picker::{
    Choice, Counts, Highlight, Mode, Order, Picker, PickerRow, PreviewLine, Question, Shown, TreeRow,
};
use store_core::TimestampMs;

use crate::render::{one_line, relative, thousands, truncate, truncate_front, width};

/// From this width on the preview stands beside the list; below, from the other, under it.
const BESIDE_FROM: u16 = 100;
const BELOW_FROM: u16 = 60;
/// How high a screen must be for a preview under the list.
const BELOW_ROWS_FROM: u16 = 16;
/// How much of an id is shown.
const ID_CHARS: usize = 8;

/// All that is on the screen.
pub(super) struct Screenful<'a> {
    pub(super) picker: &'a Picker,
    pub(super) preview: &'a Preview,
    pub(super) now: TimestampMs,
    pub(super) coloured: bool,
    pub(super) home: Option<&'a Path>,
}

/// The end of the conversation that is selected.
#[derive(Debug, Default)]
pub(super) struct Preview {
    asked: Option<Choice>,
    shown: Option<(Choice, Vec<PreviewLine>)>,
}

impl Preview {
    /// What has to be loaded, if that is another conversation than before.
    pub(super) fn wants(&mut self, picker: &Picker) -> Option<Choice> {
        let wanted = wanted(picker);
        if wanted == self.asked {
            return None;
        }
        self.asked = wanted;
        wanted
    }

    /// Takes what was loaded.
    pub(super) fn fill(&mut self, choice: Choice, lines: Vec<PreviewLine>) {
        self.shown = Some((choice, lines));
    }

    fn lines(&self) -> Option<&[PreviewLine]> {
        let (choice, lines) = self.shown.as_ref()?;
        (Some(*choice) == self.asked).then_some(lines)
    }
}

/// The place whose end is looked at.
fn wanted(picker: &Picker) -> Option<Choice> {
    match picker.mode() {
        Mode::Hits => {
            let hit = picker.hits().0.get(picker.place())?;
            Some(Choice { session: hit.session_id, segment: hit.segment_id, turn: None })
        }
        Mode::Tree => {
            let row = picker.tree()?.into_iter().nth(picker.place())?;
            Some(Choice { session: picker.choice()?.session, segment: row.segment.segment_id, turn: None })
        }
        _ => picker.choice(),
    }
}

/// The few styles, or none but what every terminal has.
struct Look(bool);

impl Look {
    fn coloured(&self, colour: Color) -> Style {
        if self.0 { Style::new().fg(colour) } else { Style::new() }
    }

    const fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn matched(&self) -> Style {
        self.coloured(Color::Yellow).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    const fn selected(&self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, screenful: &Screenful<'_>) {
    let look = Look(screenful.coloured);
    let [top, middle, counts, keys] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    draw_line(frame, top, screenful, &look);
    let (list, preview) = panes(middle);
    match screenful.picker.mode() {
        Mode::Help => frame.render_widget(Paragraph::new(help()), list),
        Mode::Tree => draw_tree(frame, list, screenful, &look),
        Mode::Hits => draw_hits(frame, list, screenful, &look),
        Mode::List | Mode::Rename(..) | Mode::Ask(_) => draw_list(frame, list, screenful, &look),
    }
    if let Some((area, border)) = preview {
        draw_preview(frame, area, border, screenful, &look);
    }
    frame.render_widget(Paragraph::new(status(screenful, usize::from(counts.width))).style(look.dim()), counts);
    frame.render_widget(Paragraph::new(keys_line(screenful.picker, usize::from(keys.width))).style(look.dim()), keys);
}

fn panes(area: Rect) -> (Rect, Option<(Rect, Borders)>) {
    if area.width >= BESIDE_FROM {
        let [list, preview] = Layout::horizontal([Constraint::Percentage(55), Constraint::Min(0)]).areas(area);
        (list, Some((preview, Borders::LEFT)))
    } else if area.width >= BELOW_FROM && area.height >= BELOW_ROWS_FROM {
        let [list, preview] = Layout::vertical([Constraint::Percentage(60), Constraint::Min(0)]).areas(area);
        (list, Some((preview, Borders::TOP)))
    } else {
        (area, None)
    }
}

/// The query, or whatever is typed, and from where the list is looked at.
fn draw_line(frame: &mut Frame<'_>, area: Rect, screenful: &Screenful<'_>, look: &Look) {
    let picker = screenful.picker;
    let (prompt, line) = match picker.mode() {
        Mode::Rename(_, line) => ("title: ", line),
        Mode::Hits => ("text: ", picker.line()),
        _ => ("> ", picker.line()),
    };
    let order = match picker.order() {
        Order::Updated => "newest",
        Order::Created => "created",
        Order::Tokens => "tokens",
    };
    let place = format!(" {} · {order}", picker.scope().words());
    let (before, behind) = line.halves();
    let room = usize::from(area.width).saturating_sub(width(prompt) + 1);
    // The end that is typed at is seen, however long the line is.
    let before = truncate_front(before, room).into_owned();
    let typed = format!("{prompt}{before}");
    let cells = width(&typed);
    let behind = truncate(behind, usize::from(area.width).saturating_sub(cells)).into_owned();
    let fill = usize::from(area.width).saturating_sub(cells + width(&behind) + width(&place));
    let mut spans = vec![Span::raw(typed), Span::raw(behind)];
    if fill > 1 {
        spans.push(Span::raw(" ".repeat(fill)));
        spans.push(Span::styled(place, look.dim()));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
    if !matches!(picker.mode(), Mode::Help | Mode::Tree | Mode::Ask(_)) {
        let x = u16::try_from(cells).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
        frame.set_cursor_position((area.x + x, area.y));
    }
}

/// The first of `count` items that is seen, so that the one at `place` is.
const fn window(place: usize, count: usize, seen: usize) -> usize {
    if seen == 0 || count <= seen {
        return 0;
    }
    let first = place.saturating_sub(seen / 2);
    if first > count - seen { count - seen } else { first }
}

fn draw_list(frame: &mut Frame<'_>, area: Rect, screenful: &Screenful<'_>, look: &Look) {
    let picker = screenful.picker;
    if picker.rows().len() == 0 {
        frame.render_widget(Paragraph::new(nothing(picker)).wrap(Wrap { trim: true }), area);
        return;
    }
    let seen = usize::from(area.height / 2).max(1);
    let first = window(picker.place(), picker.rows().len(), seen);
    let mut lines = Vec::new();
    for (at, shown) in picker.rows().enumerate().skip(first).take(seen) {
        let style = if at == picker.place() { look.selected() } else { Style::new() };
        let [title, below] = row(&shown, screenful, usize::from(area.width), look);
        lines.push(title.style(style));
        lines.push(below);
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// Why nothing is shown, and what would show something.
fn nothing(picker: &Picker) -> String {
    let Counts { total, elsewhere, archived, subagents, trashed, .. } = picker.counts();
    if picker.is_loading() {
        return "loading …".to_owned();
    }
    if total == 0 {
        return "there are no conversations here yet; `pod import` brings in those of Claude Code, Codex and pi"
            .to_owned();
    }
    if elsewhere > 0 {
        return format!("nothing matches in {}; {elsewhere} in other folders (Tab)", picker.scope().words());
    }
    if archived + subagents + trashed > 0 {
        return "nothing that matches is listed; Ctrl-L lists what is hidden".to_owned();
    }
    "nothing matches; Esc clears what is typed, Ctrl-T searches what was said".to_owned()
}

fn badges(row: &PickerRow) -> String {
    let summary = &row.summary;
    let badges = [
        (summary.damaged, "!"),
        (summary.live.writer().is_some(), "●"),
        (summary.pinned, "*"),
        (summary.forked_from.is_some(), "⑂"),
        (row.compacted, "≡"),
        (summary.archived, "▣"),
        (summary.trashed, "✗"),
    ];
    badges.into_iter().filter(|(holds, _)| *holds).map(|(_, badge)| badge).collect()
}

/// The two lines of a conversation.
fn row<'a>(shown: &Shown<'_>, screenful: &Screenful<'_>, cells: usize, look: &Look) -> [Line<'a>; 2] {
    let PickerRow { summary, .. } = shown.row;
    let id = summary.session_id.to_string();
    let id = id.get(id.len() - ID_CHARS..).unwrap_or(&id).to_owned();
    let when = relative(screenful.now, summary.last_message_at.unwrap_or(summary.updated_at));
    let agent = summary.agent.as_deref().map(one_line).unwrap_or_default();
    let messages = format!("{} msg", thousands(summary.messages));
    let tokens = format!("{} tok", thousands(summary.usage.total_tokens));
    // What tells conversations apart goes last on a narrow line.
    let mut about = vec![(30, id), (40, when), (52, agent), (66, messages), (76, tokens)];
    about.retain(|(from, text)| cells >= *from && !text.is_empty());
    about.reverse();
    let about = about.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" · ");
    let badges = badges(shown.row);
    let badges = if badges.is_empty() { String::new() } else { format!("{badges} ") };
    let room = cells.saturating_sub(width(&badges) + width(&about) + 2);
    let title = title(summary, shown.title, room, look);
    let fill = cells
        .saturating_sub(width(&badges) + title.iter().map(|span| width(&span.content)).sum::<usize>() + width(&about));
    let mut spans = vec![Span::styled(badges, look.coloured(Color::Magenta))];
    spans.extend(title);
    spans.push(Span::raw(" ".repeat(fill)));
    spans.push(Span::styled(about, look.dim()));
    [Line::from(spans), Line::from(Span::styled(place(summary, screenful, cells), look.dim()))]
}

/// The title, cut to some cells, what matches marked.
fn title<'a>(summary: &SessionSummary, matched: &Highlight, cells: usize, look: &Look) -> Vec<Span<'a>> {
    let Some(title) = &summary.title else {
        return vec![Span::styled(truncate("without a title", cells).into_owned(), look.dim())];
    };
    let clean = one_line(title);
    let shown = truncate(&clean, cells).into_owned();
    // Places count the characters as they were written; where cleaning took some away they say nothing.
    if clean != *title || matched.0.is_empty() {
        return vec![Span::raw(shown)];
    }
    let cut = shown != clean;
    let last = shown.chars().count().saturating_sub(usize::from(cut));
    let mut spans: Vec<Span<'a>> = Vec::new();
    let mut plain = String::new();
    for (at, c) in shown.chars().enumerate() {
        let marked = at < last && matched.0.binary_search(&u32::try_from(at).unwrap_or(u32::MAX)).is_ok();
        if marked {
            spans.push(Span::raw(std::mem::take(&mut plain)));
            spans.push(Span::styled(c.to_string(), look.matched()));
        } else {
            plain.push(c);
        }
    }
    spans.push(Span::raw(plain));
    spans
}

fn place(summary: &SessionSummary, screenful: &Screenful<'_>, cells: usize) -> String {
    let folder = summary.cwd.as_deref().map(|folder| short(folder, screenful.home)).unwrap_or_default();
    let branch = summary.branch.as_deref().map(|branch| format!(" ({branch})")).unwrap_or_default();
    let tags: String = summary.tags.iter().map(|tag| format!(" #{tag}")).collect();
    truncate(&format!("  {}", one_line(&format!("{folder}{branch}{tags}"))), cells).into_owned()
}

fn short(folder: &str, home: Option<&Path>) -> String {
    match home.and_then(|home| Path::new(folder).strip_prefix(home).ok()) {
        Some(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Some(below) => format!("~/{}", below.display()),
        None => folder.to_owned(),
    }
}

fn draw_tree(frame: &mut Frame<'_>, area: Rect, screenful: &Screenful<'_>, look: &Look) {
    let picker = screenful.picker;
    let Some(rows) = picker.tree() else {
        frame.render_widget(Paragraph::new("loading …"), area);
        return;
    };
    let (cells, seen) = (usize::from(area.width), usize::from(area.height));
    let first = window(picker.place(), rows.len(), seen);
    let lines = rows.iter().enumerate().skip(first).take(seen).map(|(at, row)| {
        let style = if at == picker.place() { look.selected() } else { Style::new() };
        Line::from(tree_row(row, screenful.now, cells)).style(style)
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn tree_row(row: &TreeRow, now: TimestampMs, cells: usize) -> String {
    // A deep tree is still read from its left edge.
    let indent = "  ".repeat(row.depth.min(cells / 8));
    let (text, when) = match &row.turn {
        Some(turn) => (format!("{indent}{}. {}", turn.turn, turn.prompt), turn.ts),
        None => {
            let segment = &row.segment;
            let fold = if row.open { "▾" } else { "▸" };
            let kind = if segment.compacted_from.is_some() { "≡ " } else { "" };
            let title = segment.title.as_deref().map(one_line).unwrap_or_default();
            let current = if segment.current { " (current)" } else { "" };
            let entries = thousands(segment.entries);
            (format!("{indent}{fold} {kind}{title}{current} · {entries} entries"), segment.updated_at)
        }
    };
    let when = relative(now, when);
    let room = cells.saturating_sub(width(&when) + 1);
    let text = truncate(&text, room).into_owned();
    let fill = cells.saturating_sub(width(&text) + width(&when));
    format!("{text}{}{when}", " ".repeat(fill))
}

fn draw_hits(frame: &mut Frame<'_>, area: Rect, screenful: &Screenful<'_>, look: &Look) {
    let picker = screenful.picker;
    let (hits, _) = picker.hits();
    if hits.is_empty() {
        let words = match (picker.is_searching(), picker.line().text().trim().is_empty()) {
            (true, _) => "searching …",
            (false, true) => "type what was said",
            (false, false) => "nothing found; begin* finds every word that begins so",
        };
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let (cells, seen) = (usize::from(area.width), usize::from(area.height / 2).max(1));
    let first = window(picker.place(), hits.len(), seen);
    let mut lines = Vec::new();
    for (at, hit) in hits.iter().enumerate().skip(first).take(seen) {
        let style = if at == picker.place() { look.selected() } else { Style::new() };
        let when = relative(screenful.now, hit.ts);
        let title = one_line(hit.title.as_deref().unwrap_or("without a title"));
        let title = truncate(&title, cells.saturating_sub(width(&when) + 1)).into_owned();
        let fill = cells.saturating_sub(width(&title) + width(&when));
        lines.push(Line::from(format!("{title}{}{when}", " ".repeat(fill))).style(style));
        lines.push(snippet(hit, cells, look));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The snippet of a hit, what matches marked, cut to some cells.
fn snippet<'a>(hit: &SearchHit, cells: usize, look: &Look) -> Line<'a> {
    let mut spans = vec![Span::raw("  ")];
    let mut room = cells.saturating_sub(2);
    for (at, c) in hit.snippet.chars().enumerate() {
        let c = if c.is_control() { ' ' } else { c };
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if wide > room {
            break;
        }
        room -= wide;
        let marked = hit.ranges.iter().any(|[from, to]| (*from..*to).contains(&at));
        spans.push(if marked {
            Span::styled(c.to_string(), look.matched())
        } else {
            Span::styled(c.to_string(), look.dim())
        });
    }
    Line::from(spans)
}

fn draw_preview(frame: &mut Frame<'_>, area: Rect, border: Borders, screenful: &Screenful<'_>, look: &Look) {
    let block = Block::new().borders(border).border_style(look.dim());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(told) = screenful.preview.lines() else { return };
    let cells = usize::from(inner.width).saturating_sub(1);
    let mut lines = Vec::new();
    for said in told {
        let (name, style) = match said.role {
            ShowRole::User => ("you", look.coloured(Color::Green)),
            ShowRole::Assistant => ("model", look.coloured(Color::Cyan)),
            ShowRole::Tool => ("tool", look.coloured(Color::Blue)),
            ShowRole::System => ("system", look.dim()),
        };
        lines.push(Line::from(Span::styled(name, style.add_modifier(Modifier::BOLD))));
        let text = said.text.lines().filter(|line| !line.trim().is_empty()).take(6);
        lines.extend(text.map(|line| Line::from(format!("  {}", truncate(&one_line(line), cells.saturating_sub(2))))));
    }
    // The end is what one goes on from.
    let first = lines.len().saturating_sub(usize::from(inner.height));
    frame.render_widget(Paragraph::new(lines.split_off(first)), inner);
}

/// How many conversations are shown, and why the others are not.
fn status(screenful: &Screenful<'_>, cells: usize) -> String {
    let picker = screenful.picker;
    if let Mode::Ask(question) = picker.mode() {
        return truncate(asked(*question), cells).into_owned();
    }
    if let Mode::Hits = picker.mode() {
        let (hits, total) = picker.hits();
        return truncate(&format!("{} of {} places", hits.len(), thousands(total)), cells).into_owned();
    }
    if let Some(problem) = picker.problems().first() {
        return truncate(&problem.to_string(), cells).into_owned();
    }
    let Counts { shown, total, trashed, archived, subagents, unmatched, elsewhere } = picker.counts();
    let mut parts = vec![format!("{shown} of {total}")];
    let hidden: Vec<String> = [(archived, "archived"), (subagents, "of sub-agents"), (trashed, "in the trash")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    if elsewhere > 0 {
        parts.push(format!("{elsewhere} in other folders (Tab)"));
    }
    if !hidden.is_empty() {
        parts.push(format!("{} hidden (Ctrl-L)", hidden.join(", ")));
    }
    if unmatched > 0 {
        parts.push(format!("{unmatched} do not match (Esc)"));
    }
    if picker.is_loading() {
        parts.push("loading …".to_owned());
    }
    truncate(&parts.join(" · "), cells).into_owned()
}

const fn asked(question: Question) -> &'static str {
    match question {
        Question::Damaged(_) => "something of it is damaged: r repairs it, f forks what can be read, Esc goes back",
        Question::Live(_) => "somebody writes it now: w watches, f forks, Esc goes back",
    }
}

/// The keys that lead on, or what has to be told until the next one.
fn keys_line(picker: &Picker, cells: usize) -> String {
    if let Some(notice) = picker.notice() {
        return truncate(&one_line(notice), cells).into_owned();
    }
    let keys = match picker.mode() {
        Mode::List => {
            "Enter pick · → tree · Tab folder · Ctrl-T text · Ctrl-R rename · Ctrl-D trash · Ctrl-Z undo · ? help"
        }
        Mode::Hits => "Enter pick · Esc back to the list",
        Mode::Tree => "Enter pick · → turns · ← back · Ctrl-F fork",
        Mode::Rename(..) => "Enter rename · Esc leave it",
        Mode::Ask(_) => "Esc back",
        Mode::Help => "any key goes back",
    };
    truncate(keys, cells).into_owned()
}

fn help() -> Vec<Line<'static>> {
    let keys = [
        ("Enter", "pick the conversation at its current end"),
        ("→ ←", "its tree of segments and turns; back"),
        ("Tab", "this folder, this repository, all folders"),
        ("Ctrl-S", "order: newest, created, tokens"),
        ("Ctrl-L", "list archived ones, sub-agents and the trash too"),
        ("Ctrl-T", "search what was said"),
        ("Ctrl-R", "rename"),
        ("Ctrl-O", "pin"),
        ("Ctrl-A", "archive, or take out of the archive"),
        ("Ctrl-D", "trash, or take out of the trash"),
        ("Ctrl-Z", "undo"),
        ("Ctrl-F", "fork: go on in a branch of its own"),
        ("Ctrl-Y", "copy the id"),
        ("Esc", "clear what is typed, then leave"),
        (
            "words",
            "agent: cwd: branch: model: tag: since: is:live|fork|compacted|archived|damaged|pinned|subagent -word \"phrase\"",
        ),
        ("marks", "! damaged  ● live  * pinned  ⑂ fork  ≡ compacted  ▣ archived  ✗ in the trash"),
    ];
    keys.into_iter().map(|(key, what)| Line::from(format!("  {key:<7} {what}"))).collect()
}

#[cfg(test)]
mod tests;
