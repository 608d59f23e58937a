//! Proving that a log is what was written.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use store_core::chain::ChainHead;
use store_core::integrity::{Scope, VerifyOptions, verify};

use super::read::prepare;
use crate::contest::{Contest, Outcome, Setting};
use crate::ours::KINDS;
use crate::{Result, entries};

/// Verifies one segment of `count` entries. The first way is crc32c and sha2 over the entries' bytes in memory; the second makes what a chain
/// needs, a sum of each entry and one of each head.
///
/// # Errors
/// Those of the stores.
pub fn contest(setting: &Setting, count: u64) -> Result<Outcome> {
    let place = tempfile::Builder::new().prefix("verify-").tempdir_in(&setting.folder)?;
    let mut stores = Vec::new();
    for kind in KINDS {
        let own = place.path().join(kind.name().trim_matches('*'));
        std::fs::create_dir(&own)?;
        stores.push((kind, prepare(kind, &own, count)?));
    }
    let texts = entries::texts(0, count)?;
    let bytes = texts.concat().into_bytes();
    let mut contest = Contest::new(format!("verify {count} entries of one segment"), count)
        .with("crc32c and sha2 of the bytes in memory", |_| {
            let begun = Instant::now();
            black_box(crc32c::crc32c(&bytes));
            black_box(Sha256::digest(&bytes));
            Ok(begun.elapsed())
        })
        .with("crc32c and chain, entry by entry, in memory", |_| {
            let begun = Instant::now();
            let mut head = ChainHead::ROOT;
            for text in &texts {
                black_box(crc32c::crc32c(text.as_bytes()));
                head = head.next(text);
            }
            black_box(head);
            Ok(begun.elapsed())
        });
    for (kind, (store, session, segment)) in &stores {
        for threads in [1, 0] {
            let how = if threads == 1 { ", one thread" } else { "" };
            contest = contest.with(format!("{}{how}", kind.name()), move |_| {
                let scope = Scope::Segments(vec![(*session, *segment)]);
                let options = VerifyOptions { scope, threads, ..VerifyOptions::default() };
                let integrity = store.integrity().ok_or("the store cannot be verified")?;
                let begun = Instant::now();
                let report = verify(integrity, &options, &|_| ControlFlow::Continue(()))?;
                let took = begun.elapsed();
                if !report.ok || report.entries != count {
                    return Err(format!("{} entries of {count}, {:?}", report.entries, report.damage).into());
                }
                Ok(took)
            });
        }
    }
    contest.run(setting)
}
