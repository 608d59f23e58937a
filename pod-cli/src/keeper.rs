//! The store as commands open it that look after it: without an index, unless a name has to be looked up.
//!
//! Whoever repairs a log has to be able to name it although it cannot be read. So an id that is given in full goes straight to the
//! store, and any other name to the index, which keeps what it knew of a log that is damaged since.

use std::cell::OnceCell;
use std::sync::Arc;

use session_store::index::{Index, Resolution, usual_forms};
use session_store::{OpenMode, OpenOptions, current_leaf, open};
use store_core::{Backend, Integrity, SegmentId, SessionId, StoreError};

use crate::app::App;
use crate::error::{CliError, Result};
use crate::library::{is_missing, open_to_read};

/// An open store.
pub(crate) struct Keeper {
    /// The store.
    pub(crate) store: Arc<dyn Backend>,
    index: OnceCell<Index>,
}

/// What an id names, without a look at what the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// The session.
    pub(crate) session: SessionId,
    /// The segment, if one was named.
    pub(crate) segment: Option<SegmentId>,
}

impl Keeper {
    /// Opens a store that has to be there, also in the usual place: nothing cannot be proved. For reading only where it cannot be written to.
    pub(crate) fn open_to_look(app: &App) -> Result<Self> {
        let url = app.store_url()?.url;
        match open_to_read(app, &url) {
            Err(error) if is_missing(&error) => Err(CliError::NoStore { url }),
            other => Ok(Self::of(other?)),
        }
    }

    /// Opens the store in a certain way; it has to be there.
    pub(crate) fn open(app: &App, mode: OpenMode) -> Result<Self> {
        let url = app.store_url()?.url;
        match open(&url, &OpenOptions { mode, now: app.environment.now, create: false }) {
            Err(error) if is_missing(&error) => Err(CliError::NoStore { url }),
            other => Ok(Self::of(other?)),
        }
    }

    const fn of(store: Arc<dyn Backend>) -> Self {
        Self { store, index: OnceCell::new() }
    }

    /// What can be proved and repaired here.
    pub(crate) fn integrity(&self) -> Result<&dyn Integrity> {
        let what = "proving and repairing what is stored";
        self.store.integrity().ok_or_else(|| StoreError::Unsupported { what }.into())
    }

    /// What an id argument names.
    pub(crate) fn find(&self, app: &App, id: &str) -> Result<Named> {
        for form in std::iter::once(id.to_owned()).chain(usual_forms(id)) {
            if let Some(named) = self.in_store(&form)? {
                return Ok(named);
            }
        }
        match self.index()?.find(id, app.folder())? {
            Resolution::Found(target) => {
                let segment = target.exact_segment.then_some(target.segment);
                Ok(Named { session: target.session, segment })
            }
            Resolution::NotFound => Err(CliError::NotFound { id: id.to_owned() }),
            Resolution::Ambiguous(candidates) => Err(CliError::Ambiguous { id: id.to_owned(), candidates }),
        }
    }

    /// The one segment that an id argument means: the named one, or the session's current leaf.
    pub(crate) fn find_segment(&self, app: &App, id: &str) -> Result<(SessionId, SegmentId)> {
        let named = self.find(app, id)?;
        let segment = match named.segment {
            Some(segment) => segment,
            None => current_leaf(&*self.store, named.session)?,
        };
        Ok((named.session, segment))
    }

    fn in_store(&self, id: &str) -> Result<Option<Named>> {
        if let Ok(session) = id.parse::<SessionId>()
            && self.store.exists(session)?
        {
            return Ok(Some(Named { session, segment: None }));
        }
        let Ok(segment) = id.parse::<SegmentId>() else { return Ok(None) };
        let session = self.store.lookup_session_of(segment)?;
        Ok(session.map(|session| Named { session, segment: Some(segment) }))
    }

    fn index(&self) -> Result<&Index> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = Index::open(&*self.store)?;
        index.refresh(&*self.store)?;
        Ok(self.index.get_or_init(|| index))
    }
}
