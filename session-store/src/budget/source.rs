//! Where a ledger comes from, for those who need it for a moment.

use std::fmt;
use std::sync::Arc;

use store_core::ledger::Ledger;

use crate::error::Result;

type OpenLedger = dyn Fn() -> Result<Arc<dyn Ledger>> + Send + Sync;

#[derive(Clone)]
enum From {
    Opened(Arc<OpenLedger>),
    Held(Arc<dyn Ledger>),
}

/// Where a ledger comes from.
///
/// A ledger in files belongs to one process at a time. So whoever shares it opens it, does what is to be done, and lets go of it: [`opened`](Self::opened). A program that is the
/// only one to write a ledger may keep it open: [`held`](Self::held).
#[derive(Clone)]
pub struct LedgerSource(From);

impl LedgerSource {
    /// A ledger that is opened each time, and shut down afterwards: [`open_ledger`](crate::open_ledger) of a store's URL.
    pub fn opened(open: impl Fn() -> Result<Arc<dyn Ledger>> + Send + Sync + 'static) -> Self {
        Self(From::Opened(Arc::new(open)))
    }

    /// A ledger that is open and stays so.
    pub fn held(ledger: Arc<dyn Ledger>) -> Self {
        Self(From::Held(ledger))
    }

    /// Does something with the ledger, which is nobody else's to write meanwhile where only one may.
    ///
    /// # Errors
    /// Those of opening it, of the work, and of letting go of it.
    pub fn with<T>(&self, work: impl FnOnce(&dyn Ledger) -> Result<T>) -> Result<T> {
        match &self.0 {
            From::Held(ledger) => work(&**ledger),
            From::Opened(open) => {
                let ledger = open()?;
                let done = work(&*ledger);
                let closed = ledger.shutdown();
                let done = done?;
                closed?;
                Ok(done)
            }
        }
    }
}

impl fmt::Debug for LedgerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            From::Opened(_) => "LedgerSource::opened",
            From::Held(_) => "LedgerSource::held",
        })
    }
}
