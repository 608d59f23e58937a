//! The store and its index, opened the way a command needs them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use session_store::index::{Index, ListQuery, Page, Resolution, SessionSummary, Target};
use session_store::organise::Organiser;
use session_store::usage::{PriceTable, PricedUse, Sums};
use session_store::{OpenMode, OpenOptions, SessionError, open};
use store_core::ledger::Ledger;
use store_core::{Backend, FactScope, SessionId, StoreError};

use crate::app::App;
use crate::error::{CliError, Result};
use crate::refresh::{Follow, Refresh};

/// How long a command waits for another process to let go of the ledger.
pub(crate) const LEDGER_PATIENCE: Duration = Duration::from_secs(10);

/// An open store with an index that knows all that is in it.
pub(crate) struct Library {
    /// The store.
    pub(crate) store: Arc<dyn Backend>,
    /// Its index.
    pub(crate) index: Index,
    /// Whether what is found is going to be written to.
    is_writing: bool,
}

impl Library {
    /// Opens the store for a command that only reads it, with what agents wrote since.
    ///
    /// Where nothing may be written, reading works all the same. The usual place need not exist yet: then there is
    /// nothing to list. A place that was named has to.
    pub(crate) fn for_reading(app: &App) -> Result<Self> {
        let library = Self::as_it_is(app)?;
        if let Some(mut refresh) = library.begin_refresh(app, Follow::No)? {
            refresh.wait();
            app.keep_refresh(refresh);
        }
        Ok(library)
    }

    /// Begins to bring in what agents wrote since, if nobody in this process has yet.
    pub(crate) fn begin_refresh(&self, app: &App, follow: Follow) -> Result<Option<Refresh>> {
        app.begin_refresh(&self.store, &self.index, follow)
    }

    /// Opens the store as [`for_reading`](Self::for_reading) does, with what is in it.
    pub(crate) fn as_it_is(app: &App) -> Result<Self> {
        let named = app.store_url()?;
        match open_to_read(app, &named.url) {
            Err(error) if is_missing(&error) && named.is_default => Self::empty(app),
            Err(error) if is_missing(&error) => Err(CliError::NoStore { url: named.url }),
            other => Self::with_index(other?),
        }
    }

    /// Opens the store for a command that only says what it would do. A store that would be made need not exist.
    pub(crate) fn for_trying(app: &App) -> Result<Self> {
        match open_to_read(app, &app.store_url()?.url) {
            Err(error) if is_missing(&error) => Self::empty(app),
            other => Self::with_index(other?),
        }
    }

    /// Opens the store for a command that writes to it, with what agents wrote since. Once the command has begun, no more is brought in.
    pub(crate) fn for_writing(app: &App) -> Result<Self> {
        let named = app.store_url()?;
        let library = match open_to_write(app, &named.url, false) {
            Err(error) if is_missing(&error) => return Err(CliError::NoStore { url: named.url }),
            other => Self { is_writing: true, ..Self::with_index(other?)? },
        };
        if let Some(mut refresh) = library.begin_refresh(app, Follow::No)? {
            refresh.wait();
            refresh.stop();
            app.keep_refresh(refresh);
        }
        Ok(library)
    }

    /// Opens the store to bring conversations in. One that is not there is made if anything will come into it.
    pub(crate) fn for_importing(app: &App, has_news: impl FnOnce() -> session_store::Result<bool>) -> Result<Self> {
        let url = app.store_url()?.url;
        match open_to_write(app, &url, false) {
            Err(error) if is_missing(&error) && !has_news()? => Self::empty(app),
            Err(error) if is_missing(&error) => Self::with_index(open_to_write(app, &url, true)?),
            other => Self::with_index(other?),
        }
    }

    /// A store with nothing in it, nowhere.
    fn empty(app: &App) -> Result<Self> {
        Self::with_index(open("memory:", &OpenOptions::at(app.environment.now))?)
    }

    fn with_index(store: Arc<dyn Backend>) -> Result<Self> {
        let index = Index::open(&*store)?;
        index.refresh(&*store)?;
        Ok(Self { store, index, is_writing: false })
    }

    /// What an id argument means. Damage in what is said about a conversation keeps nobody from reading it, and everybody from going on in it.
    pub(crate) fn resolve(&self, app: &App, id: &str) -> Result<Target> {
        match self.index.resolve(&*self.store, id, app.folder())? {
            Resolution::Found(target) => {
                if let Err(error @ StoreError::Corrupt(_)) = self.store.facts(FactScope::Session(target.session)) {
                    app.note_unread_facts(target.session, &error);
                    if self.is_writing {
                        return Err(error.into());
                    }
                }
                Ok(target)
            }
            Resolution::NotFound => Err(CliError::NotFound { id: id.to_owned() }),
            Resolution::Ambiguous(candidates) => Err(CliError::Ambiguous { id: id.to_owned(), candidates }),
        }
    }

    /// The sessions that id arguments name, each once. Found by what the index knows, so that what cannot be read can still be put away.
    pub(crate) fn find_all(&self, app: &App, ids: &[String]) -> Result<Vec<SessionId>> {
        Self::find_by(ids, |id| self.index.find(id, app.folder()))
    }

    /// The same for who takes them out of the trash: a title is one of a conversation that is there.
    pub(crate) fn find_all_in_trash(&self, app: &App, ids: &[String]) -> Result<Vec<SessionId>> {
        Self::find_by(ids, |id| self.index.find_in_trash(id, app.folder()))
    }

    fn find_by(ids: &[String], find: impl Fn(&str) -> session_store::Result<Resolution>) -> Result<Vec<SessionId>> {
        let mut sessions: Vec<SessionId> = Vec::with_capacity(ids.len());
        for id in ids {
            let session = match find(id)? {
                Resolution::Found(target) => target.session,
                Resolution::NotFound => return Err(CliError::NotFound { id: id.to_owned() }),
                Resolution::Ambiguous(candidates) => {
                    // Several segments of one conversation are one conversation.
                    let mut sessions = candidates.iter().map(|one| one.session_id);
                    let first = sessions.next();
                    match first.filter(|first| sessions.all(|other| other == *first)) {
                        Some(session) => session,
                        None => return Err(CliError::Ambiguous { id: id.to_owned(), candidates }),
                    }
                }
            };
            if !sessions.contains(&session) {
                sessions.push(session);
            }
        }
        Ok(sessions)
    }

    /// Who organises the store.
    pub(crate) fn organiser(&self, app: &App) -> Organiser<'_> {
        Organiser { store: &*self.store, index: &self.index, now: app.environment.now }
    }

    /// The row that a list shows of a session, with who writes to it now.
    pub(crate) fn summary(&self, session: SessionId) -> Result<SessionSummary> {
        let mut row = self.index.summary(session)?.ok_or(StoreError::no_session(session))?;
        row.look_for_writer(&*self.store);
        Ok(row)
    }

    /// Puts into rows what their own requests cost: by the list of prices, or as the agent said where the list has none. As a report of usage does, and so nobody waits for it who does not show it.
    pub(crate) fn price(&self, rows: &mut [SessionSummary], prices: &PriceTable) -> Result<()> {
        for row in rows {
            let mut sums = Sums::default();
            for one in self.index.own_uses(row.session_id)? {
                sums.add(&PricedUse::of(one, prices));
            }
            row.cost_usd = sums.cost_usd.map(|cost| cost.to_string());
        }
        Ok(())
    }

    /// A page of the list, with who writes to its conversations now.
    pub(crate) fn page(&self, query: &ListQuery) -> Result<Page> {
        let mut page = self.index.list(query)?;
        page.rows.iter_mut().for_each(|row| row.look_for_writer(&*self.store));
        Ok(page)
    }
}

/// The ledger of the store that is meant, to write to; the store has to be there. Where another process writes it, that is waited for.
pub(crate) fn open_ledger(app: &App) -> Result<Arc<dyn Ledger>> {
    open_ledger_within(app, LEDGER_PATIENCE)
}

/// The same, for who does without if the other does not let go of it in this time.
pub(crate) fn open_ledger_within(app: &App, patience: Duration) -> Result<Arc<dyn Ledger>> {
    let url = app.store_url()?.url;
    Ok(session_store::open_ledger(&url, &app.environment.ledger_clock(), patience)?)
}

/// The ledger of the store that is meant, to read; `None` if it has none, or is not there yet.
pub(crate) fn read_ledger(app: &App) -> Result<Option<Arc<dyn Ledger>>> {
    let named = app.store_url()?;
    match session_store::read_ledger(&named.url, &app.environment.ledger_clock()) {
        Err(error) if is_missing(&error) && named.is_default => Ok(None),
        Err(error) if is_missing(&error) => Err(CliError::NoStore { url: named.url }),
        other => Ok(other?),
    }
}

/// The same, for who asks what a repair would do.
pub(crate) fn ledger_to_plan_repair(app: &App) -> Result<Option<Arc<dyn Ledger>>> {
    let named = app.store_url()?;
    match session_store::ledger_to_plan_repair(&named.url, &app.environment.ledger_clock()) {
        Err(error) if is_missing(&error) => Err(CliError::NoStore { url: named.url }),
        other => Ok(other?),
    }
}

/// Opens a store for writing; `create`: makes it if there is none.
fn open_to_write(app: &App, url: &str, create: bool) -> session_store::Result<Arc<dyn Backend>> {
    open(url, &OpenOptions { mode: OpenMode::ReadWrite, now: app.environment.now, create })
}

/// Opens a store that has to be there; for reading only where it cannot be written to.
pub(crate) fn open_to_read(app: &App, url: &str) -> session_store::Result<Arc<dyn Backend>> {
    let open_as = |mode| open(url, &OpenOptions { mode, now: app.environment.now, create: false });
    match open_as(OpenMode::ReadWrite) {
        Err(error) if may_still_be_read(&error) => open_as(OpenMode::ReadOnly),
        other => other,
    }
}

/// Whether the store is there, but not for writing.
fn may_still_be_read(error: &SessionError) -> bool {
    match error {
        SessionError::Store(StoreError::ReadOnly | StoreError::UnsupportedVersion { .. }) => true,
        SessionError::Store(StoreError::Io { source, .. }) => source.kind() == ErrorKind::PermissionDenied,
        _ => false,
    }
}

/// Whether nothing is there that could be opened.
pub(crate) fn is_missing(error: &SessionError) -> bool {
    match error {
        SessionError::Store(StoreError::NoStore { .. }) => true,
        SessionError::Store(StoreError::Io { source, .. }) => source.kind() == ErrorKind::NotFound,
        _ => false,
    }
}
