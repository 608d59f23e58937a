//! Every check that all backends pass.

use store_conformance::Harness;
use store_core::Backend;
use store_sqlite::SqliteStore;

use crate::support::Folder;

struct SqliteHarness {
    folder: Folder,
    store: Option<SqliteStore>,
}

impl Harness for SqliteHarness {
    fn fresh() -> Self {
        let folder = Folder::new();
        let store = Some(folder.open());
        Self { folder, store }
    }

    fn store(&self) -> &dyn Backend {
        self.store.as_ref().expect("the store is open but for the middle of `reopen`")
    }

    fn second_handle(&self) -> Box<dyn Backend> {
        Box::new(self.folder.open())
    }

    fn reopen(&mut self) {
        // Closed first, so that what comes back was read from the file.
        self.store = None;
        self.store = Some(self.folder.open());
    }
}

store_conformance::conformance_tests!(SqliteHarness);
