//! What lies beside the logs: each file held against what it should say, streamed.
//!
//! What the format's page calls harmless, leftovers of stopped processes among it, is no finding. Bytes in quarantine have nothing that they
//! could be held against.

use std::ops::ControlFlow;
use std::path::Path;

use store_core::integrity::{Event, Finding, FindingKind};
use store_core::{Damage, Fact, FactScope, Result, SegmentId, SessionId, Store as _, StoreError, TraceEntry};

use super::checkpoint::read_line;
use crate::disk::{FileKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::Layout;
use crate::live::is_touched;
use crate::logs::{LogKey, Purpose};
use crate::open::{canonical_header, read_small};
use crate::store::FsStore;

/// More than any of the small files has.
const SMALL_BYTES_MAX: usize = 64 * 1024;
const OF_OTHERS: u32 = 0o077;
const WRITTEN_BY_OTHERS: u32 = 0o022;

impl FsStore {
    pub(super) fn examine_session(&self, session: SessionId) -> Result<Vec<Finding>> {
        if !self.exists(session)? {
            return Err(StoreError::no_session(session));
        }
        let mut findings = Vec::new();
        let facts = |text: &str| store_core::json::from_str::<Fact>(text).map(drop);
        findings.extend(self.examine_log(LogKey::Facts(FactScope::Session(session)), Some(session), facts)?);
        findings.extend(self.examine_empty_session(session)?);
        for segment in self.list_segments(session)? {
            let traces = |text: &str| store_core::json::from_str::<TraceEntry>(text).map(drop);
            findings.extend(self.examine_log(LogKey::Trace(session, segment), Some(session), traces)?);
            let checkpoints = |text: &str| read_line(text).map(drop);
            findings.extend(self.examine_log(LogKey::Checkpoints(session, segment), Some(session), checkpoints)?);
            self.examine_layout(session, segment, &mut findings)?;
            if self.is_adopted() && !self.has_flat(session, segment)? {
                self.examine_ways_to(session, segment, &mut findings)?;
            }
        }
        self.examine_modes(&self.layout.session(session), OF_OTHERS, true, Some(session), &mut findings)?;
        let flat = self.flat_of(session)?.and_then(|segment| self.layout.flat_name(session, segment));
        if let Some(flat) = flat {
            self.examine_mode(&flat.path, OF_OTHERS, Some(session), &mut findings)?;
        }
        Ok(findings)
    }

    pub(super) fn examine_store(&self) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        let facts = |text: &str| store_core::json::from_str::<Fact>(text).map(drop);
        findings.extend(self.examine_log(LogKey::Facts(FactScope::Store), None, facts)?);
        let events = |text: &str| Event::from_text(text).map(drop);
        findings.extend(self.examine_log(LogKey::Migrations, None, events)?);
        if let Some(finding) = self.examine_log(LogKey::Changes, None, is_touched)? {
            // Whoever asks for changes is told everything: that costs time and nothing else.
            findings.push(Finding { kind: FindingKind::Projection, ..finding });
        }
        if self.is_adopted() {
            self.examine_header(&mut findings)?;
        }
        let lost = self.lost_segments(None)?;
        findings.extend(lost.into_iter().map(|(session, segment)| self.finding_of_lost(session, segment)));
        self.examine_blobs(&mut findings)?;
        // A root that was there before the store was made in it has the mode that its owner gave it.
        self.examine_mode(self.layout.root(), WRITTEN_BY_OTHERS, None, &mut findings)?;
        for path in self.layout.own() {
            self.examine_modes(&path, OF_OTHERS, true, None, &mut findings)?;
        }
        Ok(findings)
    }

    /// Reads a log beside the segments, checked, and each text of it.
    pub(super) fn examine_log(
        &self,
        key: LogKey,
        session: Option<SessionId>,
        check: impl Fn(&str) -> Result<(), serde_json::Error>,
    ) -> Result<Option<Finding>> {
        let read = self.logs.on(key, Purpose::Read, |log| {
            log.read(|view| {
                let end = view.end()?;
                view.read_from(&end, store_core::Seq(1), |place, line| {
                    check(&line.text())
                        .map_err(|error| view.corrupt(place.offset, Some(line.seq), error.to_string()))?;
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(end.hole.then(|| view.corrupt(end.bytes, Some(end.seq.next()), "what a power loss left")))
            })
        });
        let of_damage = |kind, error| match error {
            StoreError::Corrupt(damage) => Ok(Some(Finding::of_damage(session, kind, damage))),
            error => Err(error),
        };
        match read {
            Ok(Some(Some(hole))) => of_damage(FindingKind::Hole, hole),
            Ok(_) => Ok(None),
            Err(StoreError::Io { op, path, source }) if self.is_another_kind(&path) => {
                let detail = format!("{}: {op}: {source}", path.display());
                Ok(Some(Finding { session_id: session, ..Finding::of_store(FindingKind::Structure, detail) }))
            }
            Err(error) => of_damage(FindingKind::Checksum, error),
        }
    }

    pub(super) fn is_another_kind(&self, path: &Path) -> bool {
        self.disk.stat(path).is_ok_and(|stat| stat.kind != FileKind::File)
    }

    /// What cannot be proved of a log of an older layout, and what an older program left beside one of today's.
    fn examine_layout(&self, session: SessionId, segment: SegmentId, findings: &mut Vec<Finding>) -> Result<()> {
        if self.older_layout(session, segment)?.is_some() {
            let detail = "the log is of an older layout, whose lines have no checksums";
            findings.push(Finding::of_segment(session, segment, None, FindingKind::Unproved, detail));
        }
        if self.is_flat_beside(session, segment)?
            && let Some(flat) = self.layout.flat_name(session, segment)
        {
            let detail = format!("{} stands beside the log, and its bytes are not kept", flat.path.display());
            findings.push(Finding::of_segment(session, segment, None, FindingKind::Structure, detail));
        }
        Ok(())
    }

    /// The look-up of a segment, and the record that it continues another.
    fn examine_ways_to(&self, session: SessionId, segment: SegmentId, findings: &mut Vec<Finding>) -> Result<()> {
        let projection = |detail: String| Finding::of_segment(session, segment, None, FindingKind::Projection, detail);
        let path = self.layout.by_segment(segment);
        let said = match found(self.disk.open(&path, OpenMode::Read)) {
            Ok(Some(file)) => read_small(&*file, SMALL_BYTES_MAX).at("read", &path)?,
            Ok(None) => Vec::new(),
            Err(_) if self.is_another_kind(&path) => Vec::new(),
            Err(error) => return Err(StoreError::io("open", &path, error)),
        };
        // A segment that is there twice is said by its look-up to be in the other session; that is told where it is verified.
        if said != format!("{session}\n").as_bytes() && self.has_log(session, segment)? {
            findings.push(projection(format!("{} does not name the session", path.display())));
        }
        match self.origin_of(session, segment) {
            Ok(Some(origin)) => {
                let path = self.layout.by_origin(origin.segment_id, segment);
                let is_there = found(self.disk.stat(&path)).at("stat", &path)?.is_some();
                if !is_there && self.has_log(session, segment)? {
                    findings.push(projection(format!("{} is not there", path.display())));
                }
            }
            // What the log's damage hides is told where the log is verified.
            Ok(None) | Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn examine_header(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let path = self.layout.store_json();
        let Some(file) = found(self.disk.open(&path, OpenMode::Read)).at("open", &path)? else {
            findings.push(Finding::of_store(FindingKind::Structure, "store.json is not there"));
            return Ok(());
        };
        let bytes = read_small(&*file, SMALL_BYTES_MAX).at("read", &path)?;
        if canonical_header(&bytes).is_some_and(|canonical| canonical != bytes) {
            findings
                .push(Finding::of_store(FindingKind::Structure, "store.json is not what this format's version writes"));
        }
        Ok(())
    }

    fn examine_blobs(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for (folder, address) in self.blob_files()? {
            let path = self.layout.blob(&address);
            let what = match found(self.disk.open(&path, OpenMode::Read)) {
                Ok(Some(file)) => match self.address_of(&path, &*file)? {
                    (found, _) if found == address => continue,
                    (found, _) => format!("the bytes of blob {address} are those of {found}"),
                },
                // It was collected meanwhile.
                Ok(None) => continue,
                Err(_) if self.is_another_kind(&path) => format!("blob {address} is not a regular file"),
                Err(error) => return Err(StoreError::io("open", &folder, error)),
            };
            let damage = Damage { segment: None, part: 1, offset: 0, seq: None, detail: what };
            findings.push(Finding::of_damage(None, FindingKind::Blob, damage));
        }
        Ok(())
    }

    /// Every blob that lies under its name: its folder, and its address.
    pub(super) fn blob_files(&self) -> Result<Vec<(std::path::PathBuf, String)>> {
        let root = self.layout.blobs();
        let mut files = Vec::new();
        for listed in found(self.disk.list(&root)).at("list", &root)?.unwrap_or_default() {
            if listed.kind != FileKind::Folder {
                continue;
            }
            let folder = Layout::listed(&root, &listed);
            let names = found(self.disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
            let addresses = names.iter().filter_map(|listed| Layout::parse_blob(&folder, listed));
            files.extend(addresses.map(|address| (folder.clone(), address.to_owned())));
        }
        Ok(files)
    }

    /// Who else may do anything with a file, or with a folder and all that is in it.
    fn examine_modes(
        &self,
        path: &Path,
        forbidden: u32,
        is_deep: bool,
        session: Option<SessionId>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let is_folder = self.examine_mode(path, forbidden, session, findings)?;
        if !is_folder || !is_deep {
            return Ok(());
        }
        for listed in found(self.disk.list(path)).at("list", path)?.unwrap_or_default() {
            self.examine_modes(&Layout::listed(path, &listed), forbidden, true, session, findings)?;
        }
        Ok(())
    }

    /// The same of one name; answers with whether it is a folder. Nobody asks a symbolic link what it may.
    fn examine_mode(
        &self,
        path: &Path,
        forbidden: u32,
        session: Option<SessionId>,
        findings: &mut Vec<Finding>,
    ) -> Result<bool> {
        let Some(stat) = found(self.disk.stat(path)).at("stat", path)? else { return Ok(false) };
        if stat.kind != FileKind::Other && stat.mode & forbidden != 0 {
            let detail = format!("{} has mode {:04o}", path.display(), stat.mode);
            findings.push(Finding { session_id: session, ..Finding::of_store(FindingKind::Permission, detail) });
        }
        Ok(stat.kind == FileKind::Folder)
    }
}
