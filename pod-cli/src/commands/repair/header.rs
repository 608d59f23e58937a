//! What says that a store is one, in a repair of the whole store: nothing can be opened before it is put right.

use session_store::{HeaderRepaired, OpenMode, OpenOptions, SessionError, open, repair_header};
use store_core::StoreError;

use crate::app::App;
use crate::cli::Consented;
use crate::confirm::{Consent, confirm};
use crate::error::Result;

/// What became of it.
pub(super) enum Header {
    /// It is as it should be, or was put right.
    Done(Option<HeaderRepaired>),
    /// It would be put right.
    Would(HeaderRepaired),
    /// Somebody said no.
    Refused,
}

/// Puts it right where it is damaged, if that is consented to.
pub(super) fn repair(app: &App, consented: Consented) -> Result<Header> {
    let (url, now) = (app.store_url()?.url, app.environment.now);
    let opened = open(&url, &OpenOptions { mode: OpenMode::ReadOnly, now, create: false });
    if !matches!(opened, Err(SessionError::Store(StoreError::Corrupt(_)))) {
        return Ok(Header::Done(None));
    }
    let Some(planned) = repair_header(&url, now, true)? else { return Ok(Header::Done(None)) };
    if consented.dry_run {
        return Ok(Header::Would(planned));
    }
    let what = "write store.json anew, which cannot be read";
    if confirm(app, consented.yes, what)? == Consent::Refused {
        return Ok(Header::Refused);
    }
    Ok(Header::Done(repair_header(&url, now, false)?))
}
