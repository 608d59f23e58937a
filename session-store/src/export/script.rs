//! A branch as it is told again: what was said, in order, arranged as every agent and provider takes it.
//!
//! The script is the same for every agent but for what only one of them can read: thoughts that a provider signed or sealed, what a program
//! put in for its own model, items of kinds that nobody else knows. It is told from the root, across forks; a compaction is one of its
//! lines, with what the model went on with. Calls are paired as in [`valid_history`](crate::valid_history); what was made for that has no entry
//! of its own and an id that says so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use store_core::{
    HistoryItem, Item, LlmUsage, LogEntry, Part, Role, SegmentId, SegmentStart, Seq, SessionConfig, Store, TimestampMs,
};

use super::id::{Aspect, At};
use crate::blob;
use crate::error::Result;
use crate::fold::{ConfigFold, usage_size};
use crate::lineage::{self, LineageEntries};
use crate::restore::entry_item;
use crate::transcript::summary_place;
use crate::valid::arrange;

/// The settings under which something was said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Setting {
    /// Whose conversation it was then.
    pub(super) agent: Option<String>,
    pub(super) config: SessionConfig,
}

/// One line of a script.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// What it comes from.
    pub(super) at: At,
    pub(super) ts: TimestampMs,
    pub(super) setting: Rc<Setting>,
    pub(super) what: What,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    /// A person said it.
    Prompt(Vec<Part>),
    /// The program put it in.
    Put(Item),
    /// The model said or thought it, or called a tool; with the place of its response.
    Model(Item, usize),
    /// A tool answered; with the call and the tool.
    Result { item: Item, call: At, name: String },
    /// A response ended, of which all is told that it used.
    Used(usize),
    /// The agent's own model thinks at this level from here on.
    Thinking(String),
    /// The turn ended.
    End,
    /// The turn failed.
    Failed { message: String, interrupted: bool },
    /// The model went on with something else.
    Compacted(Compaction),
}

/// What a model went on with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Compaction {
    /// The summary.
    pub(super) summary: Option<Vec<Part>>,
    /// All of it, in order, the summary too.
    pub(super) history: Vec<Kept>,
    /// What is kept is the end of what came before it, from this entry on.
    pub(super) tail: Option<At>,
}

/// A piece of what a model went on with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    /// Where it comes from.
    pub(super) at: At,
    pub(super) item: Item,
    /// It stands nowhere else.
    pub(super) is_own: bool,
    pub(super) is_summary: bool,
    /// The program put it in.
    pub(super) is_put: bool,
}

/// A response of a model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Response {
    /// What it begins with.
    pub(super) at: At,
    /// What it used, if that is known.
    pub(super) usage: Option<LlmUsage>,
}

impl Response {
    /// The provider's id, or one that was derived for it.
    pub(super) fn id(&self) -> String {
        let known = self.usage.as_ref().and_then(|usage| usage.request_id.clone());
        known.unwrap_or_else(|| format!("pod_{}", self.at.with(Aspect::Response).uuid().simple()))
    }
}

/// A branch as it is told again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Script {
    pub(super) lines: Vec<Line>,
    pub(super) responses: Vec<Response>,
}

impl Script {
    /// The script of a branch for an agent.
    pub(super) fn of(parts: &[LineageEntries], agent: &str) -> Self {
        let pieces = Pieces::of(parts, agent);
        let (of_piece, responses) = responses(&pieces.all);
        let lines = arranged(&pieces.all, &of_piece);
        Self { lines, responses }
    }

    /// Reads back what was moved out of the entries.
    pub(super) fn resolve(&mut self, store: &dyn Store) -> Result<()> {
        for line in &mut self.lines {
            match &mut line.what {
                What::Prompt(parts) => blob::resolve_parts(store, parts)?,
                What::Put(item) | What::Model(item, _) | What::Result { item, .. } => blob::resolve(store, item)?,
                What::Compacted(compaction) => {
                    if let Some(parts) = &mut compaction.summary {
                        blob::resolve_parts(store, parts)?;
                    }
                    for kept in &mut compaction.history {
                        blob::resolve(store, &mut kept.item)?;
                    }
                }
                What::Used(_) | What::Thinking(_) | What::End | What::Failed { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether the turn ends with this line: an end follows before anything else is said.
    pub(super) fn ends_turn(&self, line: usize) -> bool {
        let mut behind = self.lines[line + 1..].iter();
        let next = behind.find(|line| !matches!(line.what, What::Used(_) | What::Thinking(_)));
        next.is_some_and(|line| line.what == What::End)
    }
}

/// An entry on its way into the script.
struct Piece {
    at: At,
    ts: TimestampMs,
    setting: Rc<Setting>,
    kind: Kind,
}

enum Kind {
    Prompt(Item),
    Put(Item),
    Model(Item),
    Result(Item),
    Usage(LlmUsage),
    Thinking(String),
    End,
    Failed { message: String, interrupted: bool },
    Compacted(Compaction),
}

impl Kind {
    const fn item(&self) -> Option<&Item> {
        match self {
            Self::Prompt(item) | Self::Put(item) | Self::Model(item) | Self::Result(item) => Some(item),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Pieces {
    all: Vec<Piece>,
    /// Of each entry, the first of its pieces.
    first: HashMap<(SegmentId, Seq), usize>,
}

/// Who an entry was written by, and what an agent can be told of it.
struct Sieve<'a> {
    /// Whom it is told.
    agent: &'a str,
    /// The agent's own provider, the last one that it used.
    provider: Option<String>,
}

impl Sieve<'_> {
    /// What of an item of the model is told.
    fn model(&self, item: Item, setting: &Setting) -> Option<Item> {
        let is_own = setting.agent.as_deref() == Some(self.agent);
        match item {
            Item::Reasoning { .. } => (is_own && setting.config.provider == self.provider).then_some(item),
            Item::Other(_) => is_own.then_some(item),
            item => Some(item),
        }
    }

    /// What is told of what a program put in: another's instructions for its model say nothing to this one.
    fn put(&self, item: Item, setting: &Setting) -> Option<Item> {
        let is_own = setting.agent.as_deref() == Some(self.agent);
        match item {
            Item::Message { role: Role::User, .. } => Some(item),
            Item::Message { role: Role::System | Role::Developer, .. } | Item::Other(_) => is_own.then_some(item),
            _ => None,
        }
    }
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        self.first.entry((piece.at.segment, piece.at.seq)).or_insert(self.all.len());
        self.all.push(piece);
    }

    fn of(parts: &[LineageEntries], agent: &str) -> Self {
        let sieve = Sieve { agent, provider: last_provider(parts, agent) };
        let mut pieces = Self::default();
        let mut config = ConfigFold::default();
        let mut setting = Rc::new(Setting::default());
        for (number, part) in parts.iter().enumerate() {
            for (seq, entry) in part.numbered() {
                config.apply(entry);
                let agent = match entry {
                    LogEntry::SegmentStart(start) if start.meta.agent.is_some() => start.meta.agent.clone(),
                    _ => setting.agent.clone(),
                };
                if setting.agent != agent || setting.config != *config.config() {
                    setting = Rc::new(Setting { agent, config: config.config().clone() });
                }
                let at = At::entry(part.segment_id, seq);
                if let LogEntry::SegmentStart(start) = entry {
                    pieces.start(&parts[..number], at, start, &setting, &sieve);
                } else if let Some(kind) = kind_of(entry, &setting, &sieve) {
                    pieces.push(Piece { at, ts: entry.ts(), setting: Rc::clone(&setting), kind });
                }
            }
        }
        pieces
    }

    fn start(
        &mut self,
        before: &[LineageEntries],
        at: At,
        start: &SegmentStart,
        setting: &Rc<Setting>,
        sieve: &Sieve<'_>,
    ) {
        let push = |pieces: &mut Self, at: At, kind: Kind| {
            pieces.push(Piece { at, ts: start.ts, setting: Rc::clone(setting), kind });
        };
        if start.compacted_from.is_some() {
            let compaction = self.compaction(before, at, start, setting, sieve);
            return push(self, at, Kind::Compacted(compaction));
        }
        if setting.agent.as_deref() == Some(sieve.agent)
            && let Some(level) = &start.config.thinking
        {
            push(self, at, Kind::Thinking(level.clone()));
        }
        // What a conversation begins with stands nowhere else.
        for (place, item) in start.history.iter().enumerate() {
            let HistoryItem::Item(item) = item else { continue };
            let kind = match item {
                Item::Message { role: Role::User, .. } => Some(Kind::Prompt(item.clone())),
                Item::Message { role: Role::System | Role::Developer, .. } => {
                    sieve.put(item.clone(), setting).map(Kind::Put)
                }
                Item::ToolResult { .. } => Some(Kind::Result(item.clone())),
                _ => sieve.model(item.clone(), setting).map(Kind::Model),
            };
            if let Some(kind) = kind {
                push(self, at.with(Aspect::History(place)), kind);
            }
        }
    }

    fn compaction(
        &self,
        before: &[LineageEntries],
        at: At,
        start: &SegmentStart,
        setting: &Setting,
        sieve: &Sieve<'_>,
    ) -> Compaction {
        let summary = summary_place(start);
        let mut compaction = Compaction::default();
        for (place, item) in start.history.iter().enumerate() {
            match item {
                HistoryItem::Item(item) => {
                    let is_summary = summary == Some(place);
                    if let (true, Item::Message { parts, .. }) = (is_summary, item) {
                        compaction.summary = Some(parts.clone());
                    }
                    let is_told = is_summary || matches!(item, Item::Message { role: Role::Assistant, .. });
                    let told = if is_told { Some(item.clone()) } else { sieve.put(item.clone(), setting) };
                    let aspect = if is_summary { Aspect::Summary } else { Aspect::History(place) };
                    let kept = |item| Kept { at: at.with(aspect), item, is_own: true, is_summary, is_put: !is_told };
                    compaction.history.extend(told.map(kept));
                }
                HistoryItem::Reference(reference) => {
                    let Some(part) = lineage::find_reference(before, reference) else { continue };
                    let part = &before[part];
                    for seq in reference.from.0..=reference.through.0 {
                        self.keep(part, Seq(seq), &mut compaction.history);
                    }
                }
            }
        }
        compaction.tail = self.tail_of(&compaction.history);
        compaction
    }

    /// What an entry that is referred to says here.
    fn keep(&self, part: &LineageEntries, seq: Seq, kept: &mut Vec<Kept>) {
        let Some(first) = self.first.get(&(part.segment_id, seq)) else { return };
        let is_of_entry = |piece: &&Piece| (piece.at.segment, piece.at.seq) == (part.segment_id, seq);
        for piece in self.all[*first..].iter().take_while(is_of_entry) {
            match &piece.kind {
                Kind::Compacted(compaction) => kept.extend(compaction.history.iter().filter(|own| own.is_own).cloned()),
                kind => kept.extend(kind.item().map(|item| Kept {
                    at: piece.at,
                    item: item.clone(),
                    is_own: false,
                    is_summary: false,
                    is_put: matches!(kind, Kind::Put(_)),
                })),
            }
        }
    }

    /// The entry from which on all is kept that came before, if that is what is kept; what the program put in before counts neither way.
    fn tail_of(&self, history: &[Kept]) -> Option<At> {
        let referred: Vec<&Kept> = history.iter().filter(|kept| !kept.is_own).collect();
        let first = referred.iter().position(|kept| !kept.is_put)?;
        let kept: Vec<At> = referred[first..].iter().map(|kept| kept.at).collect();
        let from = self.all.iter().position(|piece| piece.at == kept[0])?;
        let said = self.all[from..].iter().filter(|piece| piece.kind.item().is_some());
        said.map(|piece| piece.at).eq(kept.iter().copied()).then_some(kept[0])
    }
}

fn kind_of(entry: &LogEntry, setting: &Setting, sieve: &Sieve<'_>) -> Option<Kind> {
    match entry {
        LogEntry::UserInput(_) => entry_item(entry).map(Kind::Prompt),
        LogEntry::SystemItem(system) if system.injected => sieve.put(system.item.clone(), setting).map(Kind::Put),
        LogEntry::SystemItem(system) => match &system.item {
            item @ Item::Message { role: Role::User, .. } => Some(Kind::Prompt(item.clone())),
            item => sieve.put(item.clone(), setting).map(Kind::Put),
        },
        LogEntry::AssistantItem(said) | LogEntry::ToolResult(said) => match &said.item {
            item @ Item::ToolResult { .. } => Some(Kind::Result(item.clone())),
            item => sieve.model(item.clone(), setting).map(Kind::Model),
        },
        LogEntry::LlmUsage(usage) => Some(Kind::Usage(usage.clone())),
        LogEntry::ConfigChanged(change) if setting.agent.as_deref() == Some(sieve.agent) => {
            change.config.thinking.clone().map(Kind::Thinking)
        }
        LogEntry::TurnEnd(_) => Some(Kind::End),
        LogEntry::RunCompleted(end) if end.interrupted => {
            Some(Kind::Failed { message: "interrupted".to_owned(), interrupted: true })
        }
        LogEntry::RunCompleted(_) => Some(Kind::End),
        LogEntry::RunErrored(error) => {
            Some(Kind::Failed { message: error.message.clone(), interrupted: error.interrupted })
        }
        _ => None,
    }
}

/// The provider that an agent's own part of a branch ends with.
fn last_provider(parts: &[LineageEntries], agent: &str) -> Option<String> {
    let mut config = ConfigFold::default();
    let mut of_part: Option<&str> = None;
    let mut provider = None;
    for part in parts {
        of_part = part.start().and_then(|start| start.meta.agent.as_deref()).or(of_part);
        part.entries.iter().for_each(|entry| config.apply(entry));
        if of_part == Some(agent) {
            provider.clone_from(&config.config().provider);
        }
    }
    provider
}

/// Of each piece that a response gave, the response's place; and the responses.
///
/// What the model says without anything between belongs to the usage that is told next, else to the last one that was told.
fn responses(pieces: &[Piece]) -> (BTreeMap<usize, usize>, Vec<Response>) {
    let mut responses: Vec<Response> = Vec::new();
    let mut of_piece = BTreeMap::new();
    let mut from = 0;
    while from < pieces.len() {
        let is_within = |piece: &Piece| matches!(piece.kind, Kind::Model(_) | Kind::Usage(_) | Kind::Thinking(_));
        let run = pieces[from..].iter().take_while(|piece| is_within(piece)).count();
        one_run(pieces, from..from + run, &mut of_piece, &mut responses);
        from += run.max(1);
    }
    (of_piece, responses)
}

fn one_run(
    pieces: &[Piece],
    run: std::ops::Range<usize>,
    of_piece: &mut BTreeMap<usize, usize>,
    responses: &mut Vec<Response>,
) {
    let first = responses.len();
    let mut waiting: Vec<usize> = Vec::new();
    for place in run {
        let piece = &pieces[place];
        let usage = match &piece.kind {
            Kind::Usage(usage) => usage,
            Kind::Model(_) => {
                waiting.push(place);
                continue;
            }
            _ => continue,
        };
        let known = responses[first..].iter().rposition(|response| {
            let told = response.usage.as_ref();
            told.is_some_and(|told| told.request_id.is_some() && told.request_id == usage.request_id)
        });
        let response = match known {
            Some(known) => first + known,
            None => {
                let at = waiting.first().map_or(piece.at, |place| pieces[*place].at);
                responses.push(Response { at, usage: None });
                responses.len() - 1
            }
        };
        let told = &mut responses[response].usage;
        if told.as_ref().is_none_or(|told| usage_size(told) < usage_size(usage)) {
            *told = Some(usage.clone());
        }
        of_piece.extend(waiting.drain(..).chain([place]).map(|place| (place, response)));
    }
    if let Some(place) = waiting.first() {
        if responses.len() == first {
            responses.push(Response { at: pieces[*place].at, usage: None });
        }
        let last = responses.len() - 1;
        of_piece.extend(waiting.into_iter().map(|place| (place, last)));
    }
}

/// The lines of the pieces: items as they are arranged, what stands between them where it stood.
fn arranged(pieces: &[Piece], of_piece: &BTreeMap<usize, usize>) -> Vec<Line> {
    let places: Vec<usize> =
        pieces.iter().enumerate().filter(|(_, piece)| piece.kind.item().is_some()).map(|(place, _)| place).collect();
    let items = places.iter().filter_map(|place| pieces[*place].kind.item().cloned()).collect();
    let mut teller = Teller { pieces, of_piece, told: 0, calls: BTreeMap::new(), lines: Vec::new() };
    for arranged in arrange(items) {
        let place = places[arranged.at];
        if !matches!(arranged.item, Item::ToolResult { .. }) {
            teller.between(place);
        }
        teller.item(place, arranged.is_made, arranged.item);
    }
    teller.between(pieces.len());
    teller.lines
}

struct Teller<'a> {
    pieces: &'a [Piece],
    of_piece: &'a BTreeMap<usize, usize>,
    /// Up to here everything is told that is no item.
    told: usize,
    /// Of each call, where it comes from and its tool.
    calls: BTreeMap<String, (At, String)>,
    lines: Vec<Line>,
}

impl Teller<'_> {
    fn line(&mut self, place: usize, at: At, what: What) {
        let piece = &self.pieces[place];
        self.lines.push(Line { at, ts: piece.ts, setting: Rc::clone(&piece.setting), what });
    }

    fn between(&mut self, until: usize) {
        for place in self.told..until {
            let piece = &self.pieces[place];
            let what = match &piece.kind {
                Kind::Usage(_) => {
                    let response = self.of_piece.get(&place).copied();
                    let is_last =
                        |response: &usize| !self.of_piece.range(place + 1..).any(|(_, other)| other == response);
                    response.filter(is_last).map(What::Used)
                }
                Kind::Thinking(level) => Some(What::Thinking(level.clone())),
                Kind::End => Some(What::End),
                Kind::Failed { message, interrupted } => {
                    Some(What::Failed { message: message.clone(), interrupted: *interrupted })
                }
                Kind::Compacted(compaction) => Some(What::Compacted(compaction.clone())),
                _ => None,
            };
            if let Some(what) = what {
                self.line(place, piece.at, what);
            }
        }
        self.told = self.told.max(until);
    }

    fn item(&mut self, place: usize, is_made: bool, item: Item) {
        let piece = &self.pieces[place];
        let what = match item {
            Item::ToolResult { ref call_id, .. } => {
                let Some((call, name)) = self.calls.get(call_id).cloned() else { return };
                let at = if is_made { call.with(Aspect::Result) } else { piece.at };
                return self.line(place, at, What::Result { item, call, name });
            }
            item if is_made => {
                let at = At { seq: Seq(1), ..piece.at }.with(Aspect::Begin);
                return self.line(place, at, What::Put(item));
            }
            Item::Message { parts, .. } if matches!(piece.kind, Kind::Prompt(_)) => What::Prompt(parts),
            item if matches!(piece.kind, Kind::Put(_)) => What::Put(item),
            item => {
                if let Item::ToolCall { call_id, name, .. } = &item {
                    self.calls.insert(call_id.clone(), (piece.at, name.clone()));
                }
                What::Model(item, self.of_piece.get(&place).copied().unwrap_or_default())
            }
        };
        self.line(place, piece.at, what);
    }
}

/// What is kept of a history, arranged as it would be sent.
pub(super) fn arranged_history(history: &[Kept]) -> Vec<Item> {
    let items = history.iter().map(|kept| kept.item.clone()).collect();
    arrange(items).into_iter().filter(|arranged| !begins(arranged)).map(|arranged| arranged.item).collect()
}

fn begins(arranged: &crate::valid::Arranged) -> bool {
    arranged.is_made && matches!(arranged.item, Item::Message { .. })
}

/// The records that lines give.
pub(super) fn told(lines: &[Line]) -> HashSet<At> {
    lines.iter().map(|line| line.at).collect()
}
