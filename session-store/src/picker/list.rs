//! The list: rows, the query, the order, and what is left out.

use std::cmp::Reverse;

use store_core::{SessionId, SessionKind, TimestampMs};

use super::filter::{Filter, Highlight};
use super::{Order, PickerRow, Scope};
use crate::query::{Field, Query, State};

/// A row on the screen.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The conversation.
    pub row: &'a PickerRow,
    /// Which characters of its title match.
    pub title: &'a Highlight,
}

/// How many conversations are shown, and why the others are not. Each counts once, for the first reason that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Shown.
    pub shown: usize,
    /// All that are known.
    pub total: usize,
    /// In the trash.
    pub trashed: usize,
    /// In the archive.
    pub archived: usize,
    /// Of sub-agents.
    pub subagents: usize,
    /// The query leaves them out.
    pub unmatched: usize,
    /// They match, in a wider scope.
    pub elsewhere: usize,
}

/// Why a conversation that matches is not shown.
enum Reason {
    Trashed,
    Archived,
    Subagent,
}

/// The rows, and which of them are shown.
#[derive(Debug, Default)]
pub(super) struct List {
    rows: Vec<PickerRow>,
    /// Places in `rows`, with what matches.
    shown: Vec<(usize, Highlight)>,
    counts: Counts,
    selected: usize,
    pub(super) scope: Scope,
    pub(super) order: Order,
    /// Archived conversations, sub-agents and the trash are shown too.
    pub(super) reveal: bool,
}

impl List {
    pub(super) fn load(&mut self, rows: Vec<PickerRow>, query: &Query) {
        let selected = self.selected_id();
        self.rows = rows;
        self.arrange(query, selected);
    }

    /// Puts another row, or none, in the place of a session's.
    pub(super) fn change(
        &mut self,
        session: SessionId,
        change: impl FnOnce(PickerRow) -> Option<PickerRow>,
        query: &Query,
    ) {
        let selected = self.selected_id();
        if let Some(at) = self.rows.iter().position(|row| row.summary.session_id == session) {
            let row = self.rows.swap_remove(at);
            self.rows.extend(change(row));
        }
        self.arrange(query, selected);
    }

    pub(super) fn row(&self, session: SessionId) -> Option<&PickerRow> {
        self.rows.iter().find(|row| row.summary.session_id == session)
    }

    /// Makes up its mind again about what is shown. What was selected stays selected if it is still there.
    pub(super) fn update(&mut self, query: &Query) {
        self.arrange(query, self.selected_id());
    }

    fn selected_id(&self) -> Option<SessionId> {
        self.selected().map(|row| row.summary.session_id)
    }

    fn arrange(&mut self, query: &Query, selected: Option<SessionId>) {
        let place = self.selected;
        let mut filter = Filter::new(query);
        let mut counts = Counts { total: self.rows.len(), ..Counts::default() };
        let mut found = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            let reason = self.hidden_as(row, query);
            match filter.score(row) {
                None => counts.unmatched += 1,
                Some(score) => match reason {
                    Some(Reason::Trashed) => counts.trashed += 1,
                    Some(Reason::Archived) => counts.archived += 1,
                    Some(Reason::Subagent) => counts.subagents += 1,
                    None if row.scope > self.scope => counts.elsewhere += 1,
                    None => found.push((score.points, at, score.title)),
                },
            }
        }
        counts.shown = found.len();
        found.sort_by_key(|(points, at, _)| {
            let summary = &self.rows[*at].summary;
            (Reverse(*points), !summary.pinned, Reverse(self.order.key(summary)), Reverse(summary.session_id))
        });
        self.shown = found.into_iter().map(|(_, at, title)| (at, title)).collect();
        self.counts = counts;
        let still = self.shown.iter().position(|(at, _)| Some(self.rows[*at].summary.session_id) == selected);
        self.selected = still.unwrap_or(place).min(self.shown.len().saturating_sub(1));
    }

    /// Why a row is not shown although it matches. What a query names by its state is shown.
    fn hidden_as(&self, row: &PickerRow, query: &Query) -> Option<Reason> {
        let names = |state: State| {
            query.conditions.iter().any(|condition| !condition.excluded && condition.what == Field::Is(state))
        };
        let summary = &row.summary;
        if self.reveal {
            None
        } else if summary.trashed {
            Some(Reason::Trashed)
        } else if summary.archived && !names(State::Archived) {
            Some(Reason::Archived)
        } else {
            (summary.kind == SessionKind::Subagent && !names(State::Subagent)).then_some(Reason::Subagent)
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn shown(&self) -> impl ExactSizeIterator<Item = Shown<'_>> {
        self.shown.iter().map(|(at, title)| Shown { row: &self.rows[*at], title })
    }

    pub(super) fn place(&self) -> usize {
        self.selected
    }

    pub(super) fn selected(&self) -> Option<&PickerRow> {
        self.shown.get(self.selected).and_then(|(at, _)| self.rows.get(*at))
    }

    /// Moves the selection; it stops at both ends.
    pub(super) fn step(&mut self, by: isize) {
        self.selected = self.selected.saturating_add_signed(by).min(self.shown.len().saturating_sub(1));
    }

    pub(super) fn select_first(&mut self) {
        self.selected = 0;
    }

    /// Takes the narrowest scope, from this one on, that shows anything; answers whether that is another one.
    pub(super) fn widen_if_empty(&mut self, query: &Query) -> bool {
        let before = self.scope;
        while self.shown.is_empty() && self.counts.elsewhere > 0 && self.scope < Scope::All {
            self.scope = self.scope.wider();
            self.update(query);
        }
        self.scope != before
    }
}

impl Scope {
    /// The next one; behind the widest the narrowest.
    pub(super) const fn wider(self) -> Self {
        match self {
            Self::Here => Self::Repository,
            Self::Repository => Self::All,
            Self::All => Self::Here,
        }
    }
}

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Updated => Self::Created,
            Self::Created => Self::Tokens,
            Self::Tokens => Self::Updated,
        }
    }

    fn key(self, summary: &crate::index::SessionSummary) -> TimestampMs {
        match self {
            Self::Updated => summary.last_message_at.unwrap_or(summary.updated_at),
            Self::Created => summary.created_at,
            Self::Tokens => summary.usage.total_tokens,
        }
    }
}
