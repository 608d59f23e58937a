//! The end of a conversation, read from its end: what it costs does not depend on how long it is.

use store_core::{LogEntry, Record, Seq, Store};

use super::Choice;
use crate::error::Result;
use crate::index::entry_texts;
use crate::transcript::ShowRole;

/// How many entries are read for a message: calls, usage and settings stand between messages.
const RECORDS_PER_MESSAGE: usize = 4;
/// How many segments a preview goes back through.
const SEGMENTS_MAX: usize = 8;
/// How much of a text is kept.
const TEXT_CHARS_MAX: usize = 2_000;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewLine {
    /// By whom.
    pub role: ShowRole,
    /// What, or the beginning of it.
    pub text: String,
}

/// The last things that were said up to the end of a segment, oldest first; at most `count` of them, and fewer where much stands between them. Goes back into
/// what the segment continues.
///
/// # Errors
/// What the store fails with.
pub fn preview(store: &dyn Store, choice: Choice, count: usize) -> Result<Vec<PreviewLine>> {
    let mut lines: Vec<PreviewLine> = Vec::new();
    let (mut session, mut segment, mut through) = (choice.session, choice.segment, None);
    for _ in 0..SEGMENTS_MAX {
        let wanted = (count - lines.len()).saturating_mul(RECORDS_PER_MESSAGE);
        let records = match through {
            None => store.read_tail(session, segment, wanted)?,
            Some(Seq(through)) => {
                let after = through.saturating_sub(wanted as u64);
                store.read_range(session, segment, Seq(after), usize::try_from(through - after).unwrap_or(wanted))?
            }
        };
        let first = records.first().map(|record| record.position.seq);
        for said in records.iter().rev().flat_map(|record| entry_texts(store, &record.entry).into_iter().rev()) {
            if lines.len() == count {
                break;
            }
            let text = said.1.chars().take(TEXT_CHARS_MAX).collect();
            lines.push(PreviewLine { role: said.0, text });
        }
        let origin = match records.first() {
            Some(Record { entry: LogEntry::SegmentStart(start), .. }) => start.forked_from,
            _ => None,
        };
        match origin.filter(|_| lines.len() < count && first == Some(Seq(1))) {
            Some(origin) => (session, segment, through) = (origin.session_id, origin.segment_id, Some(origin.seq)),
            None => break,
        }
    }
    lines.reverse();
    Ok(lines)
}
