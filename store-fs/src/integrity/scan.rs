//! Which files a scan walks over: all parts of a log, opened for itself, as they are at one moment.
//!
//! A log whose parts are being replaced changes from its end on. So all parts that are open while the newest has its name
//! still are parts of one log. Of a log of very many parts the later ones are opened when they are come to, and the scan gives up if
//! the log was replaced meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;

use store_core::integrity::{Scanned, ScannedEntry, Stretch, Visit};
use store_core::{Result, SegmentId, SessionId, StoreError};

use crate::disk::{Disk, FileKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::LogName;
use crate::record_log::{OlderFile, Scan, ScannedPart, Writers, find_parts, is_older, read_replacing};
use crate::store::FsStore;

/// How many parts are open at once.
pub(super) const OPEN_PARTS_MAX: usize = 64;
/// How often a log is opened again that is being replaced.
const OPEN_TRIES: usize = 32;

/// The names of a log's parts in order, with their files where those are open.
pub(crate) struct Parts(Vec<(LogName, Option<ScannedPart>)>);

impl FsStore {
    pub(super) fn scan_log(&self, session: SessionId, segment: SegmentId, visit: &mut Visit<'_>) -> Result<()> {
        if !self.has_log(session, segment)? {
            return Err(StoreError::no_segment(segment));
        }
        let first = self.layout.log_name(session, segment);
        for _ in 0..OPEN_TRIES {
            let parts = Parts::open(&*self.disk, &first, OPEN_PARTS_MAX)?;
            if parts.are_current(&*self.disk)? {
                return match parts.older() {
                    None => parts.scan(&*self.disk, Writers::Possible, visit),
                    Some(older) => {
                        parts.scan(&*self.disk, Writers::Possible, &mut |scanned| visit(located(older, scanned)))
                    }
                };
            }
            if !self.has_log(session, segment)? {
                return Err(StoreError::no_segment(segment));
            }
        }
        Err(being_replaced(&first))
    }
}

fn being_replaced(first: &LogName) -> StoreError {
    let holder = format!("whoever maintains {}", first.relative());
    StoreError::Busy { holder, host: None, since: None }
}

/// What stands in a log of an older layout, where it stands in its file.
fn located<'s>(older: &OlderFile, scanned: Scanned<'s>) -> Scanned<'s> {
    // Where that cannot be read any more the place in today's form is as good.
    let place = |offset| older.source_of(offset).unwrap_or(offset);
    match scanned {
        Scanned::Entry(entry) => Scanned::Entry(ScannedEntry { offset: place(entry.offset), ..entry }),
        Scanned::Damaged(stretch) => Scanned::Damaged(Stretch { offset: place(stretch.offset), ..stretch }),
    }
}

/// Opens one part to be scanned. A log of an older layout is one part, and stands in today's form.
pub(super) fn open_part(disk: &dyn Disk, name: LogName) -> Result<ScannedPart> {
    let part = open_present(disk, name)?;
    let (name, file) = match part {
        ScannedPart { name, file: None, .. } => match name.flat() {
            Some(flat) if found(disk.stat(&name.path)).at("stat", &name.path)?.is_none() => {
                let file = found(disk.open(&flat.path, OpenMode::Read)).at("open", &flat.path)?;
                let name = if file.is_some() { flat } else { name };
                (name, file)
            }
            _ => (name, None),
        },
        ScannedPart { name, file: Some(file), .. } if name.part == 1 && is_older(&*file, &name)? => (name, Some(file)),
        part => return Ok(part),
    };
    let Some(file) = file else { return Ok(ScannedPart { name, file: None, older: None }) };
    let older = Arc::new(OlderFile::read(file, &name)?);
    Ok(ScannedPart { name, file: Some(Box::new(Arc::clone(&older))), older: Some(older) })
}

fn open_present(disk: &dyn Disk, name: LogName) -> Result<ScannedPart> {
    let file = match found(disk.open(&name.path, OpenMode::Read)) {
        Ok(file) => file,
        Err(_) if disk.stat(&name.path).is_ok_and(|stat| stat.kind != FileKind::File) => None,
        Err(error) => return Err(StoreError::io("open", &name.path, error)),
    };
    Ok(ScannedPart { name, file, older: None })
}

impl Parts {
    /// Opens the parts of a log: so many of the first, and the newest.
    pub(crate) fn open(disk: &dyn Disk, first: &LogName, open_max: usize) -> Result<Self> {
        let is_there = |name: &LogName| found(disk.stat(&name.path)).at("stat", &name.path);
        let mut names = vec![first.clone()];
        if let Some(what) = read_replacing(disk, first)? {
            names = Vec::new();
            for part in 1..=what.through {
                let name = first.of_part(part);
                let new = LogName { path: name.replacement(), ..name.clone() };
                names.push(if part >= what.from && is_there(&new)?.is_some() { new } else { name });
            }
        } else if is_there(&first.of_part(2))?.is_some() || is_there(first)?.is_none_or(|stat| !stat.writable) {
            let newest = find_parts(disk, first)?.newest;
            names = Vec::new();
            for part in 1..=newest {
                let name = first.of_part(part);
                // Of many parts that are missing one after another the first is told.
                if is_there(&name)?.is_some() || names.last().is_none_or(|last: &LogName| last.part + 1 == part) {
                    names.push(name);
                }
            }
        }
        let newest = names.len() - 1;
        let mut parts = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            let is_open = at < open_max || at == newest;
            let part = if is_open { Some(open_part(disk, name.clone())?) } else { None };
            let name = part.as_ref().map_or(name, |part| part.name.clone());
            parts.push((name, part));
        }
        Ok(Self(parts))
    }

    /// The log, if it is one of an older layout.
    fn older(&self) -> Option<&OlderFile> {
        self.0.first().and_then(|(_, part)| part.as_ref()?.older.as_deref())
    }

    /// Whether the newest part has its name still, and no other follows it.
    fn are_current(&self, disk: &dyn Disk) -> Result<bool> {
        let Some((name, Some(part))) = self.0.last() else { return Ok(true) };
        let Some(file) = &part.file else { return Ok(true) };
        let id = file.stat().at("stat", &name.path)?.id;
        Ok(found(disk.stat(&name.path)).at("stat", &name.path)?.is_some_and(|stat| stat.id == id))
    }

    pub(crate) fn scan(&self, disk: &dyn Disk, writers: Writers, visit: &mut Visit<'_>) -> Result<()> {
        let mut scan = Scan::new(disk, writers, visit);
        let newest = self.0.len() - 1;
        for (at, (name, part)) in self.0.iter().enumerate() {
            let flow = match part {
                Some(part) => scan.part(part, at == newest)?,
                None => {
                    let part = open_part(disk, name.clone())?;
                    if !self.are_current(disk)? {
                        return Err(being_replaced(name));
                    }
                    scan.part(&part, at == newest)?
                }
            };
            if flow.is_break() {
                return Ok(());
            }
        }
        if let Some((first, _)) = self.0.first() {
            let _: ControlFlow<()> = scan.finish(first);
        }
        Ok(())
    }

    /// The same log up to a part that others follow from now on.
    pub(crate) fn before(&self, from: u32) -> impl Iterator<Item = LogName> {
        self.0.iter().map(|(name, _)| name.clone()).filter(move |name| name.part < from)
    }

    /// Parts of these names, opened.
    pub(crate) fn of_names(disk: &dyn Disk, names: impl Iterator<Item = LogName>) -> Result<Self> {
        names.map(|name| Ok((name.clone(), Some(open_part(disk, name)?)))).collect::<Result<_>>().map(Self)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(LogName, Option<ScannedPart>)> {
        self.0.iter()
    }
}
