//! One file from where it was left to its end: with a bookmark from there, without one from its beginning.

use store_core::SessionId;

use super::ahead::AheadText;
use super::bookmark::Bookmark;
use super::feed::{Feed, Until};
use super::find::Job;
use super::fresh::{Fresh, Kept};
use super::memory::Notes;
use super::raw::{self, RawArchive, Standing};
use super::record::{FileHead, ForkHint};
use super::writer::{ImportWarning, Outcome, Target, Writer};
use crate::error::Result;
use crate::facts::SessionFacts;
use crate::index::Index;

/// How large the last pieces of notes may be to be kept until the bookmark is.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// Imports a file that has something new, which may be one that is read ahead. `subagents` imports those that stand among its records.
pub(super) fn import(
    job: &Job,
    ahead: Option<AheadText>,
    target: &Target<'_>,
    subagents: &mut dyn FnMut(&[FileHead]) -> Result<()>,
) -> Result<Outcome> {
    let (index, session) = (target.index, target.session);
    let mut shelf =
        Shelf { index, fresh: target.fresh, session, native_id: &job.head.native_id, notes: 0, pieces: Vec::new() };
    let exists = target.store.exists(session)?;
    let standing = match target.raw {
        RawArchive::Off => None,
        _ if exists => Some(Standing::read(target.store, session, &job.head.native_id)?),
        _ => Some(Standing::default()),
    };
    let resumed = if exists { shelf.resume(job, target, standing.as_ref())? } else { None };
    let (mut feed, mut writer) = match (resumed, ahead) {
        (Some(resumed), _) => resumed,
        (None, Some(text)) if !exists => {
            (Feed::ahead(&job.path, &job.head, Box::new(text))?, Writer::new(target.clone())?)
        }
        (None, _) => {
            shelf.notes = 0;
            (open(job, standing.as_ref())?, Writer::new(target.clone())?)
        }
    };
    if let ForkHint::ByReference { native_id, .. } = &target.head.fork
        && target.continues.is_none()
    {
        let message = format!("the conversation {native_id}, which this one continues, is not there, or not as far");
        writer.tally().warnings.push(ImportWarning { line: None, message });
    }
    feed.whole_lines(&mut writer, Until::End)?;
    let bookmark = shelf.put_in(&job.head, &mut feed, &mut writer)?;
    let (cursor, kept) = feed.rest(&mut writer, Until::End)?;
    let kept = match (&standing, kept) {
        // The file does not begin as what is kept of it.
        (Some(_), None) => raw::pack_file(target.store, &job.path, cursor.bytes(), cursor.sha256())?,
        (_, kept) => kept,
    };
    let has_whole = standing.as_ref().is_some_and(|standing| standing.whole().is_some());
    let range = kept.as_ref().map(|kept| &kept.range).filter(|range| !has_whole || !range.is_empty());
    let cursor = cursor.with_raw(range.cloned());
    // The conversation's own cursor is put last: until then the file is read again whole.
    subagents(&writer.take_subagents())?;
    let outcome = writer.finish(cursor.with_head(job.head.archived, target.continues))?;
    if let Some(mut bookmark) = bookmark.filter(|_| outcome.leaf.is_some()) {
        bookmark.cursor.clone_from(&outcome.cursor);
        shelf.keep(bookmark);
    }
    Ok(outcome)
}

/// A file at its beginning, whose bytes are kept if it is known what stands of them.
fn open<'p>(job: &'p Job, standing: Option<&Standing>) -> Result<Feed<'p>> {
    let mut feed = Feed::open(&job.path, &job.head)?;
    if let Some(standing) = standing {
        feed.keep(standing);
    }
    Ok(feed)
}

/// Where a file's bookmark lies.
struct Shelf<'a> {
    index: &'a Index,
    fresh: &'a Fresh<'a>,
    session: SessionId,
    native_id: &'a str,
    /// How many pieces of notes there are.
    notes: u64,
    /// The last of them, which are not in the index yet.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Shelf<'_> {
    /// The file and its writer behind its bookmark, if there is one that fits. The session is there.
    fn resume<'t, 'p>(
        &mut self,
        job: &'p Job,
        target: &Target<'t>,
        standing: Option<&Standing>,
    ) -> Result<Option<(Feed<'p>, Writer<'t>)>> {
        // Damage of the index costs time and nothing else, so that what it cannot answer is not there.
        let Ok(Some(text)) = self.index.bookmark(self.session, self.native_id) else { return Ok(None) };
        let Some(bookmark) = Bookmark::parse(&text, &job.head) else { return Ok(None) };
        let facts = SessionFacts::read(target.store, self.session)?;
        if facts.cursors.get(self.native_id) != Some(&bookmark.cursor) {
            return Ok(None);
        }
        let mut feed = open(job, standing)?;
        if !feed.resume(&bookmark)? {
            return Ok(None);
        }
        let Some(mut writer) = Writer::resume(target.clone(), bookmark.writer)? else { return Ok(None) };
        for number in 0..bookmark.notes {
            let Ok(Some(notes)) = self.index.bookmark_notes(self.session, self.native_id, number) else {
                return Ok(None);
            };
            let Some((memory, notes)) = notes.split_first() else { return Ok(None) };
            let mut memories = memories(&mut feed, &mut writer);
            if !memories.get_mut(usize::from(*memory)).is_some_and(|memory| memory.restore(notes)) {
                return Ok(None);
            }
        }
        self.notes = bookmark.notes;
        Ok(Some((feed, writer)))
    }

    /// Takes what a later run can go on with; nothing where that cannot be told.
    fn put_in(&mut self, head: &FileHead, feed: &mut Feed<'_>, writer: &mut Writer<'_>) -> Result<Option<Bookmark>> {
        let place = feed.place()?;
        if place.bytes == 0 {
            return Ok(None);
        }
        let (Some(written), Some(read)) = (writer.pause()?, feed.reader().state()) else { return Ok(None) };
        for (number, memory) in (0_u8..).zip(memories(feed, writer)) {
            memory.take(&mut |notes| {
                if !notes.is_empty() {
                    self.note(std::iter::once(number).chain(notes.iter().copied()).collect());
                }
                Ok(())
            })?;
        }
        Ok(Some(Bookmark::new(head, place, read, written, self.notes)))
    }

    fn note(&mut self, notes: Vec<u8>) {
        let number = self.notes;
        self.notes += 1;
        if notes.len() < PIECE_BYTES_MAX {
            self.pieces.push((number, notes));
        } else if self.index.put_bookmark_notes(self.session, self.native_id, number, &notes).is_err() {
            // A bookmark that lacks a piece is none: the next run replays the file.
        }
    }

    fn keep(self, bookmark: Bookmark) {
        let (session, native_id) = (self.session, self.native_id.to_owned());
        self.fresh.keep(Kept { session, native_id, bookmark, pieces: self.pieces });
    }
}

/// What is remembered of single records, always in the same order.
fn memories<'m>(feed: &'m mut Feed<'_>, writer: &'m mut Writer<'_>) -> Vec<&'m mut dyn Notes> {
    let mut memories = feed.reader().memories();
    memories.extend(writer.memories());
    memories
}
