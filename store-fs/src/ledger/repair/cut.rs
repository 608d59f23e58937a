//! Putting the beginning of a book's log in the log's place.
//!
//! First every part of the old log is copied to the book's quarantine, whole, and synced. Then the last part that holds anything of what is kept is written anew beside the one that it is to be, and one small file decides
//! that the log is another one, as when a segment's log is replaced ([`crate::record_log::replace_parts`]). So at each moment the log is the old one or the new one, and behind the decision the
//! old one is kept already. The price is that a log is copied whole of which perhaps little is lost.
//!
//! A log of which nothing is kept becomes an empty file, which is no book, and then none.

use std::ops::ControlFlow;

use store_core::chain::Chain;
use store_core::codec::{LineFields, decode_line, encode_line};
use store_core::integrity::{Quarantined, Scanned, ScannedEntry, verification};
use store_core::ledger::repair::{BookPlan, Met, MetVisit};
use store_core::ledger::{BookName, text};
use store_core::{Damage, Result, Seq, StoreError};

use super::is_kept;
use crate::disk::{Disk, LockKind};
use crate::error::{At as _, found};
use crate::integrity::Parts;
use crate::layout::{BookKey, Layout, LogName};
use crate::record_log::{NewParts, Replacing, Writers, decide, finish_replacing, quarantine, read_replacing};

/// The parts of a book's log, on descriptors of their own.
pub(super) struct BookLog<'a> {
    disk: &'a dyn Disk,
    layout: &'a Layout,
    first: LogName,
    parts: Parts,
}

/// Does what was decided of a book's log by a process that died. The caller owns the ledger.
pub(in crate::ledger) fn finish_decided(disk: &dyn Disk, layout: &Layout, name: &BookName) -> Result<()> {
    let first = layout.book_log_name(BookKey::new(name));
    match read_replacing(disk, &first)? {
        Some(what) => finish_replacing(disk, &first, what, |_| Ok(())),
        None => Ok(()),
    }
}

impl<'a> BookLog<'a> {
    pub(super) fn open(disk: &'a dyn Disk, layout: &'a Layout, name: &BookName) -> Result<Self> {
        let first = layout.book_log_name(BookKey::new(name));
        let parts = Parts::open(disk, &first, usize::MAX)?;
        Ok(Self { disk, layout, first, parts })
    }

    /// Hands over what lies in the log; what was never acknowledged is nothing.
    pub(super) fn scan(&self, writers: Writers, visit: &mut MetVisit<'_>) -> Result<()> {
        self.parts.scan(self.disk, writers, &mut |scanned| match scanned {
            Scanned::Entry(ScannedEntry { position, key, text, .. }) => {
                visit(Met::Whole { seq: position.seq, key, text })
            }
            Scanned::Damaged(stretch) if !stretch.kind.is_damage() => ControlFlow::Continue(()),
            Scanned::Damaged(stretch) => {
                let detail = &*format!("part {}, byte {}: {}", stretch.part, stretch.offset, stretch.detail);
                visit(if stretch.bytes > 0 { Met::Damaged { detail } } else { Met::Missing { detail } })
            }
        })
    }

    /// Makes the log what a plan says; answers with where the old one is kept. After an error the log is what it was, or becomes the new one when the ledger is opened again.
    pub(super) fn cut(&self, plan: &BookPlan) -> Result<Vec<Quarantined>> {
        self.keep_writers_out()?;
        self.replace(plan).inspect_err(|_| {
            let is_decided = self.first.replacing_file().is_some_and(|path| self.disk.stat(&path).is_ok());
            if !is_decided {
                // If this fails too, the next owner does it.
                let _ = self.set_writable(true);
            }
        })
    }

    fn replace(&self, plan: &BookPlan) -> Result<Vec<Quarantined>> {
        let kept = self.keep_whole()?;
        let from = self.last_kept_part(plan)?;
        let written = self.write_new(plan, from);
        let (through, chain) = written.inspect_err(|_| NewParts::clear(self.disk, &self.first, from))?;
        self.read_back(chain, from, through).inspect_err(|_| NewParts::clear(self.disk, &self.first, from))?;
        let what = Replacing { from, through, void_after: None };
        decide(self.disk, &self.layout.ledger_new_name(), &self.first, what)?;
        finish_replacing(self.disk, &self.first, what, |_| Ok(()))?;
        if chain == Chain::START {
            let (path, folder) = (&self.first.path, self.first.folder());
            found(self.disk.remove_file(path)).at("remove", path)?;
            self.disk.sync_folder(folder).at("sync", folder)?;
        }
        Ok(kept)
    }

    /// Locks the parts, so that readers wait, and takes the newest one's write bits: whoever has it open asks then whether the log is another one.
    fn keep_writers_out(&self) -> Result<()> {
        for (name, part) in self.parts.iter() {
            match part.as_ref().and_then(|part| part.file.as_ref()) {
                Some(file) => file.lock(LockKind::Exclusive).at("lock", &name.path)?,
                None if found(self.disk.stat(&name.path)).at("stat", &name.path)?.is_some() => {
                    return Err(damaged(name, "what stands in the part's place is not a regular file"));
                }
                None => {}
            }
        }
        self.set_writable(false)
    }

    fn set_writable(&self, writable: bool) -> Result<()> {
        let newest = self.parts.iter().last();
        let Some((name, Some(part))) = newest else { return Ok(()) };
        match &part.file {
            Some(file) => file.set_writable(writable).at("write-protect", &name.path),
            None => Ok(()),
        }
    }

    /// Copies every part to quarantine, and returns when the copies are on stable storage.
    fn keep_whole(&self) -> Result<Vec<Quarantined>> {
        let mut kept = Vec::new();
        for (name, part) in self.parts.iter() {
            let Some(file) = part.as_ref().and_then(|part| part.file.as_ref()) else { continue };
            let bytes = file.stat().at("stat", &name.path)?.bytes;
            let path = quarantine(self.disk, name, &**file, 0..bytes)?;
            let path = Some(name.relative_path(&path));
            kept.push(Quarantined { part: name.part, offset: 0, bytes, path });
        }
        let folder = self.first.folder();
        self.disk.sync_folder(folder).at("sync", folder)?;
        Ok(kept)
    }

    /// Hands over each entry that is kept, in order.
    fn each_kept(&self, plan: &BookPlan, mut each: impl FnMut(&ScannedEntry<'_>) -> Result<()>) -> Result<()> {
        let mut done = if is_kept(plan, Seq(1)) { Ok(()) } else { return Ok(()) };
        self.parts.scan(self.disk, Writers::KeptOut, &mut |scanned| {
            if let Scanned::Entry(entry) = scanned {
                done = each(&entry);
                if done.is_ok() && is_kept(plan, entry.position.seq.next()) {
                    return ControlFlow::Continue(());
                }
            }
            ControlFlow::Break(())
        })?;
        done
    }

    fn last_kept_part(&self, plan: &BookPlan) -> Result<u32> {
        let mut last = 1;
        self.each_kept(plan, |entry| {
            last = entry.part;
            Ok(())
        })?;
        Ok(last)
    }

    /// Writes the part `from` anew, which is the last; answers with its number and the chain of the whole log.
    fn write_new(&self, plan: &BookPlan, from: u32) -> Result<(u32, Chain)> {
        // What is kept stood in one part, and a call, however long, stays in one.
        let mut new = NewParts::begin(self.disk, &self.first, from, u64::MAX)?;
        let mut chain = Chain::START;
        self.each_kept(plan, |entry| {
            chain.push(entry.text);
            // Parts before the last that holds anything of it stay where they are.
            if entry.part < from { Ok(()) } else { new.line(&self.line_of(plan, entry)?) }
        })?;
        for event in &plan.registered {
            let text = text::encode(event.at, &event.body).map_err(StoreError::backend)?;
            chain.push(&text);
            let mut line = Vec::new();
            let fields = LineFields { seq: event.seq, ..LineFields::default() };
            encode_line(&mut line, &self.first.context, &fields, &text);
            new.line(&line)?;
        }
        Ok((new.finish()?, chain))
    }

    /// The line of an entry that is kept: as it is, unless it lacks its end, or says that lines of its call follow which are lost.
    fn line_of(&self, plan: &BookPlan, entry: &ScannedEntry<'_>) -> Result<Vec<u8>> {
        let raw = self.read(entry)?;
        let context = &self.first.context;
        let decoded = raw.strip_suffix(b"\n").and_then(|line| decode_line(context, line).ok());
        let synced = match &decoded {
            Some(line) if is_kept(plan, Seq(line.seq.0 + line.more)) => return Ok(raw),
            Some(line) => line.synced,
            None => None,
        };
        let mut alone = Vec::new();
        let fields = LineFields { seq: entry.position.seq, more: 0, key: entry.key, synced };
        encode_line(&mut alone, context, &fields, entry.text);
        Ok(alone)
    }

    fn read(&self, entry: &ScannedEntry<'_>) -> Result<Vec<u8>> {
        let found = self.parts.iter().find(|(name, _)| name.part == entry.part);
        let Some((name, Some(part))) = found else { return Err(damaged(&self.first, "the part is not there")) };
        let Some(file) = &part.file else { return Err(damaged(name, "the part is not there")) };
        let mut bytes = vec![0; usize::try_from(entry.bytes).unwrap_or(usize::MAX)];
        let mut done = 0;
        while done < bytes.len() {
            match file.read_at(&mut bytes[done..], entry.offset + done as u64) {
                Ok(0) => return Err(damaged(name, "the file got shorter")),
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read", &name.path, error)),
            }
        }
        Ok(bytes)
    }

    /// Sees that what was written is what was to be, before it takes the log's place.
    fn read_back(&self, chain: Chain, from: u32, through: u32) -> Result<()> {
        if chain == Chain::START {
            // A log without entries is one that has lost its first, for whoever scans it.
            return Ok(());
        }
        let new = (from..=through).map(|part| {
            let name = self.first.of_part(part);
            LogName { path: name.replacement(), ..name }
        });
        let renewed = Parts::of_names(self.disk, self.parts.before(from).chain(new))?;
        if verification(chain, |visit| renewed.scan(self.disk, Writers::KeptOut, visit))?.holds() {
            return Ok(());
        }
        Err(damaged(&self.first, "what was written is not what was read"))
    }
}

fn damaged(name: &LogName, detail: &str) -> StoreError {
    let detail = detail.to_owned();
    StoreError::Corrupt(Damage { segment: name.segment, part: name.part, offset: 0, seq: None, detail })
}
