//! The index is fed with what an import made, out of memory: it is what the logs say.

use std::collections::BTreeMap;

use session_store::index::check;

use super::world::{World, complaints, kinds, sample};

#[test]
fn an_index_that_was_fed_out_of_memory_is_what_the_logs_say() {
    for kind in kinds().into_iter().filter(|kind| *kind != "memory") {
        let world = World::new(kind);
        let report = world.import(&["claude", "codex", "pi"].map(sample));
        assert_eq!(report.failed, 0, "{:#?}", complaints(&report));
        let checked = check(&*world.store, true).unwrap().unwrap();
        assert!(checked.compared, "{kind}");
        assert_eq!(checked.findings, Vec::<String>::new(), "{kind}");
    }
}

/// `check` does not compare these.
#[test]
fn each_record_is_found_where_its_last_entry_stands() {
    for kind in kinds() {
        let world = World::new(kind);
        world.import(&["claude", "codex", "pi"].map(sample));
        let mut found = 0;
        for ((session, segment), log) in world.logs() {
            let mut last: BTreeMap<String, u64> = BTreeMap::new();
            for (seq, (key, _)) in (1..).zip(log) {
                if let Some((record, _)) = key.as_deref().and_then(|key| key.rsplit_once('#')) {
                    last.insert(record.to_owned(), seq);
                }
            }
            for (record, seq) in last {
                let homes = world.index.records_of(session, &record).unwrap();
                let here: Vec<u64> =
                    homes.iter().filter(|home| home.segment_id == segment).map(|home| home.seq.0).collect();
                assert_eq!(here, [seq], "{kind}: {record}");
                found += 1;
            }
        }
        assert!(found > 100, "{found}");
    }
}
