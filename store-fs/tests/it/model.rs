//! Any sequence of calls, on two handles that are closed and opened and whose logs are torn in between, answers what
//! the store in memory answers.

use std::io::Write as _;

use proptest::prelude::*;
use store_core::{
    AppendOptions, CreateOptions, Expected, Fact, FactScope, MemoryStore, NewEntry, Position, Result, SegmentOrigin,
    Seq, Store, StoreError,
};
use store_fs::FsStore;

use crate::faults::open_without_syncs;
use crate::support::{Folder, NOW, note, segment, session, start};

#[derive(Clone, Debug)]
enum Call {
    Create {
        segment: u64,
        session: u64,
        origin: Option<(u64, u64)>,
    },
    Append {
        segment: u64,
        notes: Vec<(u64, Option<u8>)>,
        expected: Option<u64>,
    },
    Fact {
        session: u64,
    },
    Delete {
        session: u64,
    },
    /// Opens the first or the second handle anew.
    Reopen {
        second: bool,
    },
    /// A write of somebody who died: the beginning of a line, at the end of a log.
    Tear {
        segment: u64,
        bytes: usize,
    },
}

fn call() -> impl Strategy<Value = Call> {
    let ids = || 0..4_u64;
    let noted = (0..6_u64, prop::option::of(0..3_u8));
    let origin = prop::option::of((ids(), 0..5_u64));
    let notes = prop::collection::vec(noted, 1..4);
    prop_oneof![
        3 => (ids(), 0..2_u64, origin).prop_map(|(segment, session, origin)| Call::Create { segment, session, origin }),
        8 => (ids(), notes, prop::option::of(0..6_u64))
            .prop_map(|(segment, notes, expected)| Call::Append { segment, notes, expected }),
        1 => (0..2_u64).prop_map(|session| Call::Fact { session }),
        1 => (0..2_u64).prop_map(|session| Call::Delete { session }),
        2 => any::<bool>().prop_map(|second| Call::Reopen { second }),
        2 => (ids(), 1..60_usize).prop_map(|(segment, bytes)| Call::Tear { segment, bytes }),
    ]
}

/// What a call answers, without what differs between backends by design.
fn answer(result: Result<Vec<Position>>) -> std::result::Result<Vec<Seq>, String> {
    match result {
        Ok(positions) => Ok(positions.into_iter().map(|position| position.seq).collect()),
        Err(StoreError::Referenced { by }) => Err(format!("referenced by {by:?}")),
        Err(error) => Err(format!("{error:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned()),
    }
}

fn make(store: &dyn Store, call: &Call) -> std::result::Result<Vec<Seq>, String> {
    let none = |done: Result<()>| answer(done.map(|()| Vec::new()));
    match call {
        Call::Create { segment: of, session: home, origin } => {
            let origin = origin.map(|(of, seq)| {
                let session_id = store.lookup_session_of(segment(of)).unwrap().unwrap_or(session(9));
                SegmentOrigin { session_id, segment_id: segment(of), seq: Seq(seq), at_turn_index: 0 }
            });
            let entries = [start(session(*home), origin), note(77).with_key("k0")];
            answer(store.create_segment(session(*home), segment(*of), &entries, &CreateOptions::default()))
        }
        Call::Append { segment: of, notes, expected } => {
            let home = store.lookup_session_of(segment(*of)).unwrap().unwrap_or(session(0));
            let entries: Vec<NewEntry> = notes
                .iter()
                .map(|(n, key)| match key {
                    Some(key) => note(*n).with_key(format!("k{key}")),
                    None => note(*n),
                })
                .collect();
            let options = AppendOptions { expected: expected.map(Expected::Count), ..AppendOptions::default() };
            answer(store.append_with(home, segment(*of), &entries, &options))
        }
        Call::Fact { session: of } => {
            let fact = Fact { ts: NOW, domain: "d".into(), value: 1.into() };
            none(store.put_fact(FactScope::Session(session(*of)), &fact))
        }
        Call::Delete { session: of } => none(store.delete_session(session(*of))),
        Call::Reopen { .. } | Call::Tear { .. } => Ok(Vec::new()),
    }
}

/// Everything that the store can be asked about, as text.
fn picture(store: &dyn Store) -> String {
    let mut lines = Vec::new();
    for id in store.list_sessions().unwrap() {
        lines.push(format!("{id} {:?}", store.facts(FactScope::Session(id)).unwrap()));
        for of in store.list_segments(id).unwrap() {
            let records = store.read_range(id, of, Seq::START, usize::MAX).unwrap();
            assert_eq!(store.read_entry_count(id, of).unwrap(), records.len() as u64);
            assert_eq!(store.read_tail(id, of, 2).unwrap(), records[records.len().saturating_sub(2)..]);
            lines.push(format!("  {of} {:?}", store.lookup_session_of(of).unwrap()));
            lines.extend(records.iter().map(|r| format!("    {} {:?} {}", r.position.seq, r.key, r.text)));
        }
    }
    lines.join("\n")
}

fn tear(folder: &Folder, store: &FsStore, of: u64, bytes: usize) {
    let Some(home) = store.lookup_session_of(segment(of)).unwrap() else { return };
    let path = folder.root().join(home.to_string()).join(format!("{}.jsonl", segment(of)));
    let line = br#"{"seq":7,"more":2,"key":"torn","kind":"note","ts":1764000000000,"n":1,"crc32c":"0011"#;
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&line[..bytes]).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_answers_what_the_store_in_memory_answers(
        calls in prop::collection::vec((any::<bool>(), call()), 1..40),
    ) {
        let folder = Folder::new();
        let memory = MemoryStore::new();
        let mut stores = [open_without_syncs(&folder), open_without_syncs(&folder)];
        for (second, call) in &calls {
            match call {
                Call::Reopen { second } => stores[usize::from(*second)] = open_without_syncs(&folder),
                Call::Tear { segment, bytes } => tear(&folder, &stores[0], *segment, *bytes),
                _ => {}
            }
            let expected = make(&memory, call);
            let answered = make(&stores[usize::from(*second)], call);
            prop_assert_eq!(answered, expected, "{:?}", call);
            for store in &stores {
                prop_assert_eq!(picture(store), picture(&memory), "after {:?}", call);
            }
        }
        let cursor = stores[0].changes(None).unwrap();
        let all: Vec<_> = memory.changes(None).unwrap().segments;
        prop_assert_eq!(cursor.segments, all);
    }
}
