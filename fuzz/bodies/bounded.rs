//! A body on every file of its corpus and on so many changed ones: what the fuzzer does, within bounds.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// One change. Places are drawn as large numbers and taken from the length.
#[derive(Clone, Debug)]
enum Change {
    Flip {
        at: usize,
        bit: u32,
    },
    Set {
        at: usize,
        byte: u8,
    },
    Insert {
        at: usize,
        bytes: Vec<u8>,
    },
    Remove {
        at: usize,
        length: usize,
    },
    Repeat {
        at: usize,
        length: usize,
        to: usize,
    },
    Cut {
        at: usize,
    },
    /// The rest of another file of the corpus.
    Splice {
        at: usize,
        file: usize,
        from: usize,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>;
    let length = || 0..200_usize;
    // What means something to some format.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\"\\{}[],:\n\r\x0019-+.eE\xEF\xBB\xFF".to_vec())];
    prop_oneof![
        (place(), 0..8_u32).prop_map(|(at, bit)| Change::Flip { at, bit }),
        (place(), byte).prop_map(|(at, byte)| Change::Set { at, byte }),
        (place(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(at, bytes)| Change::Insert { at, bytes }),
        (place(), length()).prop_map(|(at, length)| Change::Remove { at, length }),
        (place(), length(), place()).prop_map(|(at, length, to)| Change::Repeat { at, length, to }),
        place().prop_map(|at| Change::Cut { at }),
        (place(), place(), place()).prop_map(|(at, file, from)| Change::Splice { at, file, from }),
    ]
}

fn apply(change: &Change, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let place = |at: usize, bytes: &[u8]| at % (bytes.len() + 1);
    let range = |at: usize, length: usize, bytes: &[u8]| {
        let from = place(at, bytes);
        from..bytes.len().min(from + length)
    };
    match change {
        Change::Flip { at, bit } => {
            let at = place(*at, bytes);
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
        }
        Change::Set { at, byte } => {
            let at = place(*at, bytes);
            bytes.splice(at..bytes.len().min(at + 1), [*byte]);
        }
        Change::Insert { at, bytes: new } => {
            let at = place(*at, bytes);
            bytes.splice(at..at, new.iter().copied());
        }
        Change::Remove { at, length } => {
            bytes.drain(range(*at, *length, bytes));
        }
        Change::Repeat { at, length, to } => {
            let part = bytes[range(*at, *length, bytes)].to_vec();
            let to = place(*to, bytes);
            bytes.splice(to..to, part);
        }
        Change::Cut { at } => bytes.truncate(place(*at, bytes)),
        Change::Splice { at, file, from } => {
            bytes.truncate(place(*at, bytes));
            let other = &corpus[file % corpus.len()];
            bytes.extend_from_slice(&other[place(*from, other)..]);
        }
    }
}

/// Runs a body on every file of a target's corpus and on so many files that are made of them by up to eight changes.
///
/// A failure is reported with the shortest input that was found; it belongs into the corpus.
pub(crate) fn run(target: &str, changed: u32, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut paths: Vec<_> =
        fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() > 1, "the corpus of {target} is empty");
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("a readable file")).collect();
    for bytes in &corpus {
        body(bytes);
    }
    let config = Config { cases: changed, failure_persistence: None, max_shrink_iters: 500, ..Config::default() };
    let inputs = (any::<usize>(), prop::collection::vec(change(), 1..8)).prop_map(|(file, changes)| {
        let mut bytes = corpus[file % corpus.len()].clone();
        changes.iter().for_each(|change| apply(change, &mut bytes, &corpus));
        bytes
    });
    let outcome = TestRunner::new(config).run(&inputs, |bytes| {
        body(&bytes);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{target}: {error}");
    }
}
