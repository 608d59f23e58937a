//! From the entries of a branch to the pieces of a script, in the order of the log: whose each is, and what of it an agent is told.

use std::collections::HashMap;
use std::rc::Rc;

use store_core::{HistoryItem, Item, LlmUsage, LogEntry, Role, SegmentId, SegmentStart, Seq, TimestampMs};

use super::{Compaction, Kept, Setting};
use crate::export::id::{Aspect, At};
use crate::fold::ConfigFold;
use crate::import::Agent;
use crate::lineage::{self, LineageEntries};
use crate::restore::entry_item;
use crate::transcript::summary_place;

/// An entry on its way into the script.
pub(super) struct Piece {
    pub(super) at: At,
    pub(super) ts: TimestampMs,
    pub(super) setting: Rc<Setting>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
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
    pub(super) const fn item(&self) -> Option<&Item> {
        match self {
            Self::Prompt(item) | Self::Put(item) | Self::Model(item) | Self::Result(item) => Some(item),
            _ => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Pieces {
    pub(super) all: Vec<Piece>,
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

    /// The pieces of a branch for an agent.
    pub(super) fn of(parts: &[LineageEntries], agent: &str) -> Self {
        let agent_name = agent;
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
                if is_listing(entry) && agent_name != Agent::Claude.name() {
                    pieces.drop_put_before(at);
                } else if let LogEntry::SegmentStart(start) = entry {
                    pieces.start(&parts[..number], at, start, &setting, &sieve);
                } else if let Some(kind) = kind_of(entry, &setting, &sieve) {
                    pieces.push(Piece { at, ts: entry.ts(), setting: Rc::clone(&setting), kind });
                }
            }
        }
        pieces
    }

    /// What the program put in with the entry before is not told.
    fn drop_put_before(&mut self, at: At) {
        let is_before = |piece: &Piece| piece.at.segment == at.segment && piece.at.seq.next() == at.seq;
        if self.all.last().is_some_and(|last| is_before(last) && matches!(last.kind, Kind::Put(_))) {
            self.all.pop();
        }
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

/// Whether an entry says of the one before that it lists what Claude Code offers its own model: agents, skills, tools.
fn is_listing(entry: &LogEntry) -> bool {
    let LogEntry::Extension(rest) = entry else { return false };
    let kind = rest.payload.pointer("/attachment/type").and_then(serde_json::Value::as_str);
    rest.domain == "import.claude.rest"
        && kind.is_some_and(|kind| kind.ends_with("_listing") || kind.ends_with("_delta"))
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
