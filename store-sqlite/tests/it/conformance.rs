//! Every check that all backends pass, and any sequence of calls beside the reference.

use std::io::Write as _;

use store_conformance::Harness;
use store_core::{Backend, FactScope, SegmentId, Seq, SessionId};
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

    /// The beginning of a frame behind the last one of the log, or pages of a transaction that was never committed.
    fn leave_behind(&mut self, dice: u64) {
        let log = self.folder.beside("-wal");
        let Ok(mut log) = std::fs::OpenOptions::new().append(true).open(log) else { return };
        let bytes: Vec<u8> =
            dice.to_le_bytes().into_iter().cycle().take(1 + usize::try_from(dice % 9_000).unwrap()).collect();
        log.write_all(&bytes).unwrap();
    }

    /// The last byte of the text is another one.
    fn damage(&mut self, _session: SessionId, segment: SegmentId, seq: Seq) -> bool {
        let sql =
            "UPDATE entries SET body = substr(body, 1, length(body) - 1) || '|' WHERE segment_id = ?1 AND seq = ?2";
        self.folder.raw().execute(sql, (segment.as_bytes(), i64::try_from(seq.0).unwrap())).unwrap() == 1
    }

    fn damage_fact(&mut self, scope: FactScope, number: u64) -> bool {
        let scope = match &scope {
            FactScope::Session(session) => session.as_bytes().as_slice(),
            FactScope::Store => &[],
        };
        let sql = "UPDATE facts SET body = substr(body, 1, length(body) - 1) || '|' WHERE scope = ?1 AND seq = ?2";
        self.folder.raw().execute(sql, (scope, i64::try_from(number).unwrap())).unwrap() == 1
    }
}

#[test]
fn any_sequence_of_calls_answers_what_the_reference_answers() {
    store_conformance::model_test::<SqliteHarness>(128);
}

store_conformance::conformance_tests!(SqliteHarness);
