//! The thread that has the store while the picker has the terminal.
//!
//! It does what it is asked in turn. Of what is only looked at, previews and searches, just the newest question is answered:
//! whoever typed on does not wait for what they typed before.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use session_store::index::{ArchivedFilter, KindFilter, ListQuery, SearchProgress, SearchQuery};
use session_store::organise::Organiser;
use session_store::picker::{Action, Choice, Event, PickerRow, PreviewLine, Scope, TreeTurn, preview};
use session_store::query::Query;
use session_store::{ShowKind, ShowMessage, ShowOptions, ShowRole, ShowScope, transcript};
use store_core::{SessionId, TimestampMs};

use super::scope;
use crate::error::Result;
use crate::library::Library;
use crate::refresh::Refresh;
use crate::render::{one_line, parse_since};

/// How many places of a search are shown, and how many of one conversation.
const HITS_MAX: usize = 100;
const HITS_PER_SESSION: usize = 3;
/// How many messages a preview has.
const PREVIEW_MESSAGES: usize = 40;
/// How long the worker waits for a question before it reads on for searches.
const IDLE: Duration = Duration::from_millis(20);
/// How often it looks whether agents wrote anything.
const LOOK: Duration = Duration::from_millis(100);

/// What the worker tells.
pub(super) enum News {
    /// Every conversation.
    Rows(Vec<PickerRow>),
    /// The end of a conversation.
    Preview(Choice, Vec<PreviewLine>),
    /// An answer for the model.
    Event(Event),
}

enum Question {
    Preview(Choice),
    Do(Action),
}

/// The way to the thread. It ends when this is dropped.
pub(super) struct Worker {
    questions: Sender<Question>,
}

impl Worker {
    /// Starts the thread.
    pub(super) fn start(
        library: Library,
        refresh: Option<Refresh>,
        now: TimestampMs,
        folder: Option<String>,
    ) -> (Self, Receiver<News>) {
        let (questions, asked) = mpsc::channel();
        let (told, news) = mpsc::channel();
        thread::spawn(move || Thread { library, refresh, now, folder, asked, told, searched: None }.run());
        (Self { questions }, news)
    }

    pub(super) fn preview(&self, choice: Choice) {
        self.send(Question::Preview(choice));
    }

    pub(super) fn ask(&self, action: Action) {
        self.send(Question::Do(action));
    }

    fn send(&self, question: Question) {
        // A thread that is gone has told why.
        drop(self.questions.send(question));
    }
}

struct Thread {
    library: Library,
    /// What agents wrote since, on its way in.
    refresh: Option<Refresh>,
    now: TimestampMs,
    folder: Option<String>,
    asked: Receiver<Question>,
    told: Sender<News>,
    /// The newest search, which is answered again while texts are read.
    searched: Option<(u64, String)>,
}

impl Thread {
    fn run(mut self) {
        self.tell_rows();
        let mut texts_left = true;
        loop {
            let question = match self.asked.recv_timeout(IDLE) {
                Ok(question) => question,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if texts_left && !self.take_news() {
                        let read = self.library.index.read_texts(&*self.library.store, &mut SearchProgress::default());
                        texts_left = match read {
                            Ok(left) => left,
                            Err(error) => {
                                self.fail(&error.into());
                                false
                            }
                        };
                        if let Some((number, text)) = self.searched.clone()
                            && let Err(error) = self.search(number, &text)
                        {
                            self.fail(&error);
                        }
                        continue;
                    }
                    if self.take_news() {
                        texts_left = true;
                        continue;
                    }
                    let asked = match self.refresh {
                        Some(_) => self.asked.recv_timeout(LOOK),
                        None => self.asked.recv().map_err(RecvTimeoutError::from),
                    };
                    match asked {
                        Ok(question) => question,
                        Err(RecvTimeoutError::Timeout) => continue,
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            };
            for question in newest(question, &self.asked) {
                if let Err(error) = self.answer(question) {
                    self.fail(&error);
                }
            }
        }
    }

    /// Tells every conversation.
    fn tell_rows(&self) {
        let all = ListQuery {
            kind: KindFilter::All,
            archived: ArchivedFilter::All,
            trashed: ArchivedFilter::All,
            ..ListQuery::default()
        };
        match rows(&self.library, &all, self.folder.as_deref()) {
            Ok(rows) => self.tell(News::Rows(rows)),
            Err(error) => self.fail(&error),
        }
    }

    /// Looks whether agents wrote anything, and tells it.
    fn take_news(&mut self) -> bool {
        let news = self.refresh.as_mut().is_some_and(Refresh::news);
        if news {
            self.tell_rows();
        }
        news
    }

    fn tell(&self, news: News) {
        // Nobody looks any more.
        drop(self.told.send(news));
    }

    fn fail(&self, error: &crate::error::CliError) {
        self.tell(News::Event(Event::Failed(error.report().message)));
    }

    fn answer(&mut self, question: Question) -> Result<()> {
        match question {
            Question::Preview(choice) => {
                let lines = preview(&*self.library.store, choice, PREVIEW_MESSAGES)?;
                self.tell(News::Preview(choice, lines));
            }
            Question::Do(Action::LoadTree(session)) => {
                let (segments, turns) = self.tree(session)?;
                self.tell(News::Event(Event::Tree { session, segments, turns }));
            }
            Question::Do(Action::Search { number, text }) => {
                self.search(number, &text)?;
                self.searched = Some((number, text));
            }
            Question::Do(Action::Rename { session, title }) => {
                self.organiser().rename(session, &title)?;
                self.tell_changed(&[session], "renamed")?;
            }
            Question::Do(Action::Archive { session, archived }) => {
                self.organiser().archive(session, archived)?;
                self.tell_changed(
                    &[session],
                    if archived { "in the archive; Ctrl-Z undoes it" } else { "out of the archive" },
                )?;
            }
            Question::Do(Action::Trash { session, trashed: true }) => {
                let gone = self.organiser().trash(&[session])?;
                self.tell_changed(&gone, "in the trash; Ctrl-Z undoes it")?;
            }
            Question::Do(Action::Trash { session, trashed: false }) => {
                let back = self.organiser().take_out(&[session])?;
                self.tell_changed(&back, "out of the trash")?;
            }
            Question::Do(Action::Pin { session, pinned }) => {
                self.organiser().pin(session, pinned)?;
                self.tell_changed(&[session], if pinned { "pinned" } else { "not pinned any more" })?;
            }
            // The others are not the store's.
            Question::Do(_) => {}
        }
        Ok(())
    }

    fn organiser(&self) -> Organiser<'_> {
        Organiser { store: &*self.library.store, index: &self.library.index, now: self.now }
    }

    fn tell_changed(&self, sessions: &[SessionId], words: &str) -> Result<()> {
        let Library { store, index, .. } = &self.library;
        index.refresh(&**store)?;
        for session in sessions {
            let row = index.summary(*session)?.map(Box::new);
            self.tell(News::Event(Event::Changed { session: *session, row }));
        }
        self.tell(News::Event(Event::Done(words.to_owned())));
        Ok(())
    }

    fn search(&self, number: u64, text: &str) -> Result<()> {
        let Library { store, index, .. } = &self.library;
        let query = Query::parse(text, &|value| parse_since(value, self.now));
        let among = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
        let query = SearchQuery { query, among, limit: Some(HITS_MAX), per_session: Some(HITS_PER_SESSION) };
        let found = index.search(&**store, &query)?;
        self.tell(News::Event(Event::Hits { number, hits: found.hits, total: found.total }));
        Ok(())
    }

    fn tree(&self, session: SessionId) -> Result<(Vec<session_store::index::SegmentSummary>, Vec<TreeTurn>)> {
        let Library { store, index, .. } = &self.library;
        let segments = index.segments(session)?;
        let Some(any) = segments.first() else { return Ok((segments, Vec::new())) };
        let options = ShowOptions { scope: ShowScope::All, ..ShowOptions::default() };
        let shown = transcript(&**store, session, any.segment_id, &options)?;
        let mut seen = BTreeSet::new();
        let asks = |message: &ShowMessage| message.role == ShowRole::User && message.kind == ShowKind::Message;
        let prompts = shown.messages.into_iter().filter(asks);
        let turns = prompts.filter(|message| seen.insert((message.segment_id, message.turn))).map(|message| TreeTurn {
            segment: message.segment_id,
            turn: message.turn,
            prompt: one_line(message.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default()),
            ts: message.ts,
        });
        Ok((segments, turns.collect()))
    }
}

/// What is to be answered of a question and those that wait behind it: everything that is to be done, but of what is only looked at
/// the newest.
fn newest(first: Question, asked: &Receiver<Question>) -> Vec<Question> {
    let (mut last_preview, mut last_search, mut kept) = (None, None, Vec::new());
    for question in std::iter::once(first).chain(asked.try_iter()) {
        match question {
            Question::Preview(_) => last_preview = Some(question),
            Question::Do(Action::Search { .. }) => last_search = Some(question),
            question => kept.push(question),
        }
    }
    kept.extend(last_search);
    kept.extend(last_preview);
    kept
}

/// Every conversation, with the narrowest scope that it is in.
pub(super) fn rows(library: &Library, all: &ListQuery, folder: Option<&str>) -> Result<Vec<PickerRow>> {
    let index = &library.index;
    let within = |folder: &str| -> Result<BTreeSet<SessionId>> {
        let query = ListQuery { cwd: Some(folder.to_owned()), ..all.clone() };
        Ok(index.list(&query)?.rows.into_iter().map(|row| row.session_id).collect())
    };
    let here = folder.map(within).transpose()?.unwrap_or_default();
    let mut near = BTreeSet::new();
    for folder in folder.map(|folder| scope::repository(Path::new(folder))).unwrap_or_default() {
        near.extend(within(&folder.to_string_lossy())?);
    }
    let compacted = index.compacted_sessions()?;
    let rows = library.page(all)?.rows.into_iter().map(|summary| {
        let id = summary.session_id;
        let scope = match () {
            () if here.contains(&id) => Scope::Here,
            () if near.contains(&id) => Scope::Repository,
            () => Scope::All,
        };
        PickerRow { compacted: compacted.contains(&id), summary, scope }
    });
    Ok(rows.collect())
}
