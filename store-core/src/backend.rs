//! What a store can do beside keeping logs.
//!
//! A [`Store`] alone is a working backend. Everything else is a capability with a trait of its own that a
//! [`Backend`] may offer; a capability that is not offered is answered with `Unsupported` by whoever needs it.

use std::path::PathBuf;

use crate::integrity::Integrity;
use crate::store::Store;
use crate::watch::Watch;

/// What a backend is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendInfo {
    /// The scheme of its URL: `fs`, `sqlite`, `memory`, or a third party's.
    pub scheme: String,
    /// What follows the scheme in the URL.
    pub location: String,
    /// The version of the format it keeps its data in; 0 for an older program's, beside which nothing is kept before somebody writes.
    pub format_version: u32,
    /// Whether it refuses every write.
    pub read_only: bool,
    /// The file in which a projection of this store may be kept; `None`: keep it in memory.
    pub projection_path: Option<PathBuf>,
}

/// A store together with the capabilities it offers.
pub trait Backend: Store {
    /// What this backend is and where it stands.
    fn info(&self) -> BackendInfo;

    /// Following segments and leasing them; `None` if this backend does not offer it.
    fn watch(&self) -> Option<&dyn Watch> {
        None
    }

    /// Proving, setting back and repairing what is stored; `None` if this backend does not offer it.
    fn integrity(&self) -> Option<&dyn Integrity> {
        None
    }
}
