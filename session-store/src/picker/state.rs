//! What a key does where.

use store_core::{SessionId, TimestampMs};

use super::list::List;
use super::tree::Tree;
use super::{Action, Choice, Counts, Event, Key, Line, Order, PickerRow, Scope, Shown, TreeRow};
use crate::index::SearchHit;
use crate::query::{Query, QueryProblem};

/// How far a page goes, in rows.
const PAGE: isize = 10;

/// Reads a point in time that a person typed.
pub type Since = dyn Fn(&str) -> Result<TimestampMs, String> + Send;

/// What is on the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The list.
    #[default]
    List,
    /// What a search of texts found.
    Hits,
    /// One conversation's segments and turns.
    Tree,
    /// A new title is typed.
    Rename(SessionId, Line),
    /// Something is asked before it is done.
    Ask(Question),
    /// The keys.
    Help,
}

/// What is asked, and how it can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Something of the conversation is damaged: repair it, or fork from its last good turn?
    Damaged(Choice),
    /// Somebody writes it: watch, or fork?
    Live(Choice),
}

/// What was done and can be undone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Undo {
    Rename { session: SessionId, title: String },
    Archive { session: SessionId, archived: bool },
    Trash { session: SessionId, trashed: bool },
    Pin { session: SessionId, pinned: bool },
}

/// The picker.
pub struct Picker {
    list: List,
    line: Line,
    query: Query,
    since: Box<Since>,
    mode: Mode,
    tree: Option<Tree>,
    hits: Vec<SearchHit>,
    hits_total: u64,
    hit_place: usize,
    /// The number of the newest search; answers to older ones are not shown.
    searches: u64,
    searching: bool,
    undo: Vec<Undo>,
    notice: Option<String>,
    loading: bool,
}

impl std::fmt::Debug for Picker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picker").field("line", &self.line).field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Picker {
    /// A picker with a query that was given, without rows. `since` reads points in time.
    pub fn new(query: &str, since: Box<Since>) -> Self {
        let mut picker = Self {
            list: List::default(),
            line: Line::new(query),
            query: Query::default(),
            since,
            mode: Mode::List,
            tree: None,
            hits: Vec::new(),
            hits_total: 0,
            hit_place: 0,
            searches: 0,
            searching: false,
            undo: Vec::new(),
            notice: None,
            loading: true,
        };
        picker.query = Query::parse(picker.line.text(), &picker.since);
        picker
    }

    /// Takes the rows that are known now. `complete`: no more will come by themselves. If the narrowest scope shows nothing, a wider one is
    /// taken.
    pub fn load(&mut self, rows: Vec<PickerRow>, complete: bool) {
        self.loading = !complete;
        self.list.load(rows, &self.query);
        if self.list.widen_if_empty(&self.query) && complete {
            self.notice = Some(format!("there is nothing in this folder; these are from {}", self.list.scope.words()));
        }
    }

    /// Takes what happened and says what is to be done.
    pub fn take(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Key(key) => {
                self.notice = None;
                return self.key(key);
            }
            Event::Paste(text) => return self.paste(&text),
            Event::Tree { session, segments, turns } => {
                if let Some(tree) = self.tree.as_mut().filter(|tree| tree.session() == session) {
                    tree.fill(segments, turns);
                }
            }
            Event::Hits { number, hits, total } if number == self.searches => {
                (self.hits, self.hits_total, self.hit_place, self.searching) = (hits, total, 0, false);
            }
            Event::Hits { .. } => {}
            Event::Changed { session, row } => {
                let changed = |known: PickerRow| row.map(|summary| PickerRow { summary: *summary, ..known });
                self.list.change(session, changed, &self.query);
            }
            Event::Done(words) | Event::Failed(words) => self.notice = Some(words),
        }
        Vec::new()
    }

    fn key(&mut self, key: Key) -> Vec<Action> {
        if key == Key::Control('c') {
            return vec![Action::Quit { cancelled: true }];
        }
        match &mut self.mode {
            Mode::Help => {
                self.mode = Mode::List;
                Vec::new()
            }
            Mode::Ask(question) => {
                let question = *question;
                self.answer(question, key)
            }
            Mode::Rename(..) => self.rename_key(key),
            Mode::Tree => self.tree_key(key),
            Mode::Hits => self.hits_key(key),
            Mode::List => self.list_key(key),
        }
    }

    fn list_key(&mut self, key: Key) -> Vec<Action> {
        match key {
            Key::Enter => return self.choose(self.choice()),
            Key::Escape if self.line.text().is_empty() => return vec![Action::Quit { cancelled: false }],
            Key::Escape => self.set_line(Line::default()),
            Key::Up | Key::Control('p') => self.list.step(-1),
            Key::Down | Key::Control('n') => self.list.step(1),
            Key::PageUp => self.list.step(-PAGE),
            Key::PageDown => self.list.step(PAGE),
            Key::Right if self.line.is_at_end() => return self.open_tree(),
            Key::Tab => {
                self.list.scope = self.list.scope.wider();
                self.list.update(&self.query);
            }
            Key::Control('s') => {
                self.list.order = self.list.order.next();
                self.list.update(&self.query);
            }
            Key::Control('l') => {
                self.list.reveal = !self.list.reveal;
                self.list.update(&self.query);
            }
            Key::Control('t') => {
                self.mode = Mode::Hits;
                return self.search();
            }
            Key::Function(1) => self.mode = Mode::Help,
            Key::Char('?') if self.line.text().is_empty() => self.mode = Mode::Help,
            key => return self.command(key),
        }
        Vec::new()
    }

    /// What is done with the selected conversation; anything else is typed.
    fn command(&mut self, key: Key) -> Vec<Action> {
        let Some(row) = self.list.selected() else { return self.edit(key) };
        let (session, summary) = (row.summary.session_id, &row.summary);
        let (title, archived, trashed, pinned) =
            (summary.title.clone().unwrap_or_default(), summary.archived, summary.trashed, summary.pinned);
        match key {
            Key::Control('r') => {
                self.mode = Mode::Rename(session, Line::new(title));
                Vec::new()
            }
            Key::Control('a') => self.act(Undo::Archive { session, archived }),
            Key::Control('d') => self.act(Undo::Trash { session, trashed }),
            Key::Control('o') => self.act(Undo::Pin { session, pinned }),
            Key::Control('f') => self.choice().map(Action::Fork).into_iter().collect(),
            Key::Control('y') => vec![Action::Copy(session.to_string())],
            Key::Control('z') => self.undo(),
            key => self.edit(key),
        }
    }

    /// Does the opposite of what holds, and remembers what held.
    fn act(&mut self, held: Undo) -> Vec<Action> {
        let action = match &held {
            Undo::Rename { .. } => return Vec::new(),
            Undo::Archive { session, archived } => Action::Archive { session: *session, archived: !archived },
            Undo::Trash { session, trashed } => Action::Trash { session: *session, trashed: !trashed },
            Undo::Pin { session, pinned } => Action::Pin { session: *session, pinned: !pinned },
        };
        self.undo.push(held);
        vec![action]
    }

    fn undo(&mut self) -> Vec<Action> {
        let Some(held) = self.undo.pop() else {
            self.notice = Some("nothing to undo".to_owned());
            return Vec::new();
        };
        vec![match held {
            Undo::Rename { session, title } => Action::Rename { session, title },
            Undo::Archive { session, archived } => Action::Archive { session, archived },
            Undo::Trash { session, trashed } => Action::Trash { session, trashed },
            Undo::Pin { session, pinned } => Action::Pin { session, pinned },
        }]
    }

    fn edit(&mut self, key: Key) -> Vec<Action> {
        let mut line = self.line.clone();
        if key == Key::Control('z') {
            return self.undo();
        }
        if line.take(key) {
            self.set_line(line);
        }
        Vec::new()
    }

    fn set_line(&mut self, line: Line) {
        let changed = line.text() != self.line.text();
        self.line = line;
        if changed {
            self.query = Query::parse(self.line.text(), &self.since);
            self.list.select_first();
            self.list.update(&self.query);
            self.list.select_first();
        }
    }

    fn paste(&mut self, text: &str) -> Vec<Action> {
        match &mut self.mode {
            Mode::Rename(_, line) => line.insert(text),
            Mode::List | Mode::Hits => {
                let mut line = self.line.clone();
                line.insert(text);
                self.set_line(line);
                if self.mode == Mode::Hits {
                    return self.search();
                }
            }
            Mode::Tree | Mode::Ask(_) | Mode::Help => {}
        }
        Vec::new()
    }

    fn rename_key(&mut self, key: Key) -> Vec<Action> {
        let Mode::Rename(session, line) = &mut self.mode else { return Vec::new() };
        match key {
            Key::Escape => self.mode = Mode::List,
            Key::Enter => {
                let (session, title) = (*session, line.text().trim().to_owned());
                self.mode = Mode::List;
                if title.is_empty() {
                    self.notice = Some("a title has at least a character".to_owned());
                    return Vec::new();
                }
                let before = self.list.row(session).and_then(|row| row.summary.title.clone()).unwrap_or_default();
                self.undo.push(Undo::Rename { session, title: before });
                return vec![Action::Rename { session, title }];
            }
            key => drop(line.take(key)),
        }
        Vec::new()
    }

    fn open_tree(&mut self) -> Vec<Action> {
        let Some(row) = self.list.selected() else { return Vec::new() };
        let session = row.summary.session_id;
        self.tree = Some(Tree::loading(session));
        self.mode = Mode::Tree;
        vec![Action::LoadTree(session)]
    }

    fn tree_key(&mut self, key: Key) -> Vec<Action> {
        let Some(tree) = &mut self.tree else {
            self.mode = Mode::List;
            return Vec::new();
        };
        match key {
            Key::Enter => {
                let choice = tree.choice();
                return self.choose(choice);
            }
            Key::Up | Key::Control('p') => tree.step(-1),
            Key::Down | Key::Control('n') => tree.step(1),
            Key::PageUp => tree.step(-PAGE),
            Key::PageDown => tree.step(PAGE),
            Key::Right => tree.unfold(),
            Key::Left if tree.fold() => {}
            Key::Left | Key::Escape => {
                self.mode = Mode::List;
                self.tree = None;
            }
            Key::Control('f') => return tree.choice().map(Action::Fork).into_iter().collect(),
            _ => {}
        }
        Vec::new()
    }

    fn hits_key(&mut self, key: Key) -> Vec<Action> {
        let last = self.hits.len().saturating_sub(1);
        match key {
            Key::Escape | Key::Control('t') => self.mode = Mode::List,
            Key::Up | Key::Control('p') => self.hit_place = self.hit_place.saturating_sub(1),
            Key::Down | Key::Control('n') => self.hit_place = (self.hit_place + 1).min(last),
            Key::PageUp => self.hit_place = self.hit_place.saturating_add_signed(-PAGE),
            Key::PageDown => self.hit_place = self.hit_place.saturating_add_signed(PAGE).min(last),
            Key::Enter => {
                let hit = self.hits.get(self.hit_place);
                let choice = hit.map(|hit| Choice { session: hit.session_id, segment: hit.segment_id, turn: None });
                return self.choose(choice);
            }
            key => {
                let mut line = self.line.clone();
                if line.take(key) && line.text() != self.line.text() {
                    self.set_line(line);
                    return self.search();
                }
                self.set_line(line);
            }
        }
        Vec::new()
    }

    fn search(&mut self) -> Vec<Action> {
        self.searches += 1;
        if self.query.terms.iter().all(|term| term.excluded) {
            (self.hits, self.hits_total, self.searching) = (Vec::new(), 0, false);
            return Vec::new();
        }
        self.searching = true;
        vec![Action::Search { number: self.searches, text: self.line.text().to_owned() }]
    }

    /// Leaves with a choice, unless something has to be asked first.
    fn choose(&mut self, choice: Option<Choice>) -> Vec<Action> {
        let Some(choice) = choice else { return Vec::new() };
        let row = self.list.row(choice.session).map(|row| &row.summary);
        if row.is_some_and(|row| row.damaged) {
            self.mode = Mode::Ask(Question::Damaged(choice));
        } else if row.is_some_and(|row| row.live.writer().is_some()) {
            self.mode = Mode::Ask(Question::Live(choice));
        } else {
            return vec![Action::Pick(choice)];
        }
        Vec::new()
    }

    fn answer(&mut self, question: Question, key: Key) -> Vec<Action> {
        let action = match (question, key) {
            (Question::Damaged(choice), Key::Char('r')) => Action::Repair(choice),
            (Question::Live(choice), Key::Char('w')) => Action::Watch(choice),
            (Question::Damaged(choice) | Question::Live(choice), Key::Char('f')) => Action::Fork(choice),
            (_, Key::Escape | Key::Left) => {
                self.mode = Mode::List;
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        self.mode = Mode::List;
        vec![action]
    }

    /// The conversation that is selected in the list, at its current leaf.
    pub fn choice(&self) -> Option<Choice> {
        let summary = &self.list.selected()?.summary;
        Some(Choice { session: summary.session_id, segment: summary.segment_id, turn: None })
    }

    /// What is on the screen.
    pub const fn mode(&self) -> &Mode {
        &self.mode
    }

    /// The query as it is typed.
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// What of the query cannot be understood yet.
    pub fn problems(&self) -> &[QueryProblem] {
        &self.query.problems
    }

    /// The rows of the list, in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Shown<'_>> {
        self.list.shown()
    }

    /// Which row of the list, the tree or the hits is selected.
    pub fn place(&self) -> usize {
        match (&self.mode, &self.tree) {
            (Mode::Tree, Some(tree)) => tree.place(),
            (Mode::Hits, _) => self.hit_place,
            _ => self.list.place(),
        }
    }

    /// The row that is selected in the list.
    pub fn selected(&self) -> Option<&PickerRow> {
        self.list.selected()
    }

    /// How many conversations are shown and how many are not.
    pub fn counts(&self) -> Counts {
        self.list.counts()
    }

    /// From where the list is looked at.
    pub const fn scope(&self) -> Scope {
        self.list.scope
    }

    /// The order of the list.
    pub const fn order(&self) -> Order {
        self.list.order
    }

    /// Whether archived conversations, sub-agents and the trash are shown.
    pub const fn reveals(&self) -> bool {
        self.list.reveal
    }

    /// The rows of the tree; `None` while they are loaded.
    pub fn tree(&self) -> Option<Vec<TreeRow>> {
        self.tree.as_ref().filter(|tree| tree.is_loaded()).map(Tree::rows)
    }

    /// What the search of texts found, and how many places there are in all.
    pub fn hits(&self) -> (&[SearchHit], u64) {
        (&self.hits, self.hits_total)
    }

    /// Whether an answer to a search is still to come.
    pub const fn is_searching(&self) -> bool {
        self.searching
    }

    /// Whether more rows will come.
    pub const fn is_loading(&self) -> bool {
        self.loading
    }

    /// What is to be told until the next key.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }
}

impl Scope {
    /// What it is, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Here => "this folder",
            Self::Repository => "this repository",
            Self::All => "all folders",
        }
    }
}
