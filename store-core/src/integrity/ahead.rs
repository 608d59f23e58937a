//! A scan in a thread of its own, so that the medium is read and checksums are held while the caller hashes what was read before.
//!
//! The scan runs ahead by two batches at most, which is what memory holds of a log beside the longest entries. What is handed over, in
//! which order, and what an error leaves behind it is the same as without the thread. A scan that is quicker than its caller hashes texts in the
//! time that it would have to wait: they make up most of a chain's work, and need not be hashed in order.

use std::ops::{ControlFlow, Range};
use std::panic::resume_unwind;
use std::sync::mpsc::{TrySendError, sync_channel};
use std::thread;

use super::contract::Integrity;
use super::scan::{Scanned, ScannedEntry, Stretch};
use crate::chain::TextDigest;
use crate::error::Result;
use crate::id::{Position, SegmentId, SessionId};

/// How many bytes of texts a batch has, the last text not counted.
const BATCH_BYTES: usize = 256 * 1024;

/// What a scan hands each thing to, and an entry's hash with it if it was made already. `Break` ends the scan.
pub(super) type VisitHashed<'a> = dyn FnMut(Scanned<'_>, Option<&TextDigest>) -> ControlFlow<()> + 'a;

/// Scans as [`Integrity::scan`] does; `visit` is called by this thread.
pub(super) fn scan_ahead(
    store: &dyn Integrity,
    session: SessionId,
    segment: SegmentId,
    visit: &mut VisitHashed<'_>,
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
                let sent = match give.try_send(std::mem::take(&mut batch)) {
                    Err(TrySendError::Full(waiting)) => give.send(waiting.hashed()).is_ok(),
                    sent => sent.is_ok(),
                };
                // Else nobody wants more.
                if sent { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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
    /// The hashes of the entries' texts in their order, or none.
    digests: Vec<TextDigest>,
}

enum Found {
    Entry {
        position: Position,
        key: Option<Range<usize>>,
        text: Range<usize>,
        part: u32,
        offset: u64,
        bytes: u64,
        out_of_step: Option<Range<usize>>,
    },
    Damaged(Stretch),
}

impl Batch {
    fn push(&mut self, scanned: Scanned<'_>) {
        let found = match scanned {
            Scanned::Entry(ScannedEntry { position, key, text, part, offset, bytes, out_of_step }) => {
                let [key, out_of_step] = [key, out_of_step].map(|text| text.map(|text| self.keep(text)));
                Found::Entry { position, key, text: self.keep(text), part, offset, bytes, out_of_step }
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

    fn hashed(mut self) -> Self {
        let text = |found: &Found| match found {
            Found::Entry { text, .. } => Some(TextDigest::of(&self.texts[text.clone()])),
            Found::Damaged(_) => None,
        };
        self.digests = self.found.iter().filter_map(text).collect();
        self
    }

    fn hand_over(self, visit: &mut VisitHashed<'_>) -> ControlFlow<()> {
        let Self { texts, found, digests } = self;
        let mut digests = digests.iter();
        found.into_iter().try_for_each(|found| match found {
            Found::Entry { position, key, text, part, offset, bytes, out_of_step } => {
                let (key, text) = (key.map(|key| &texts[key]), &texts[text]);
                let out_of_step = out_of_step.map(|detail| &texts[detail]);
                let entry = ScannedEntry { position, key, text, part, offset, bytes, out_of_step };
                visit(Scanned::Entry(entry), digests.next())
            }
            Found::Damaged(stretch) => visit(Scanned::Damaged(stretch), None),
        })
    }
}
