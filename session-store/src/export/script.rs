//! A branch as it is told again: what was said, in order, arranged as every agent and provider takes it.
//!
//! The script is the same for every agent but for what only one of them can read: thoughts that a provider signed or sealed, what a program
//! put in for its own model, items of kinds that nobody else knows. It is told from the root, across forks; a compaction is one of its
//! lines, with what the model went on with. Calls are paired as in [`valid_history`](crate::valid_history); what was made for that has no entry
//! of its own and an id that says so.

mod order;
mod pieces;

use std::collections::HashSet;
use std::rc::Rc;

use store_core::{Item, LlmUsage, Part, SessionConfig, Store, TimestampMs};

use order::{arranged, responses};
use pieces::Pieces;

use super::id::{Aspect, At};
use crate::blob;
use crate::error::Result;
use crate::lineage::LineageEntries;
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
