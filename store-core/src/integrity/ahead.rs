//! A scan in a thread of its own, so that the medium is read and checksums are held while the caller hashes what was read before.
//!
//! The scan runs ahead by two batches at most, which is what memory holds of a log beside the longest entries. What is handed over, in
//! which order, and what an error leaves behind it is the same as without the thread.

use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::contract::Integrity;
use super::scan::{Scanned, ScannedEntry, Stretch, Visit};
use crate::error::Result;
use crate::id::{Position, SegmentId, SessionId};

/// How many bytes of texts a batch has, the last text not counted.
const BATCH_BYTES: usize = 256 * 1024;

/// Scans as [`Integrity::scan`] does; `visit` is called by this thread.
pub(super) fn scan_ahead(
    store: &dyn Integrity,
    session: SessionId,
    segment: SegmentId,
    visit: &mut Visit<'_>,
) -> Result<()> {
    thread::scope(|scope| {
        let (give, take) = sync_channel::<Batch>(1);
        let reader = scope.spawn(move || {
            let mut batch = Batch::default();
            let scanned = store.scan(session, segment, &mut |scanned| {
                batch.push(scanned);
                if batch.texts.len() < BATCH_BYTES {
                    return ControlFlow::Continue(());
                }
                match give.send(std::mem::take(&mut batch)) {
                    Ok(()) => ControlFlow::Continue(()),
                    // Nobody wants more.
                    Err(_) => ControlFlow::Break(()),
                }
            });
            // What was read before an error is handed over before the error.
            let _ = give.send(batch);
            scanned
        });
        for batch in &take {
            if batch.hand_over(visit).is_break() {
                break;
            }
        }
        drop(take);
        reader.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// What a scan handed over, to be handed on.
#[derive(Default)]
struct Batch {
    /// Keys and texts, one behind the other.
    texts: String,
    found: Vec<Found>,
}

enum Found {
    Entry { position: Position, key: Option<Range<usize>>, text: Range<usize>, part: u32, offset: u64, bytes: u64 },
    Damaged(Stretch),
}

impl Batch {
    fn push(&mut self, scanned: Scanned<'_>) {
        let found = match scanned {
            Scanned::Entry(ScannedEntry { position, key, text, part, offset, bytes }) => {
                let key = key.map(|key| self.keep(key));
                Found::Entry { position, key, text: self.keep(text), part, offset, bytes }
            }
            Scanned::Damaged(stretch) => Found::Damaged(stretch),
        };
        self.found.push(found);
    }

    fn keep(&mut self, text: &str) -> Range<usize> {
        let from = self.texts.len();
        self.texts.push_str(text);
        from..self.texts.len()
    }

    fn hand_over(self, visit: &mut Visit<'_>) -> ControlFlow<()> {
        let Self { texts, found } = self;
        found.into_iter().try_for_each(|found| {
            visit(match found {
                Found::Entry { position, key, text, part, offset, bytes } => {
                    let (key, text) = (key.map(|key| &texts[key]), &texts[text]);
                    Scanned::Entry(ScannedEntry { position, key, text, part, offset, bytes })
                }
                Found::Damaged(stretch) => Scanned::Damaged(stretch),
            })
        })
    }
}
