//! Repairing what lies beside the logs: a record with damage in it is written anew, with every line of it that is whole.
//!
//! A record is one file, so one rename makes it another one, as it does after a failed sync; who reads or writes it takes no notice but of the new name. Its
//! lines are numbered anew, because every reader of a log counts them.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use store_core::codec::{LineFields, Tail, decode_line, decode_tail, encode_line};
use store_core::integrity::{
    CheckpointLine, FindingKind, MaintenanceOptions, Quarantined, RecordAt, RecordKind, RecordRepair, Scanned,
    list_checkpoints, void_untrue,
};
use store_core::{Damage, FactScope, MigrationId, Result, Seq, SessionId, Store as _, StoreError};

use super::checkpoint::{read_line, said_text};
use crate::disk::{DiskFile, LockKind, OpenMode};
use crate::error::{At as _, found};
use crate::layout::LogName;
use crate::live::Touched;
use crate::logs::LogKey;
use crate::record_log::{RecordLog, Scan, View, Writers, append_all_or_nothing, quarantine};
use crate::store::FsStore;

/// How often a record is opened again that is another file meanwhile.
const OPEN_TRIES: usize = 32;

/// What a record holds.
#[derive(Default)]
struct Plan {
    /// Where each line lies that is kept, by its seq.
    kept: BTreeMap<Seq, Range<u64>>,
    /// What is taken out, in order; stretches that lie one behind the other are one.
    taken: Vec<Range<u64>>,
    /// What has to be said behind the lines that are kept.
    added: Option<String>,
    is_damaged: bool,
    last: Seq,
    /// Damaged stretches behind the last line that is kept: at least so many were somebody's lines.
    trailing: u64,
}

impl Plan {
    fn add(&mut self, scanned: &Scanned<'_>, is_text: impl Fn(&str) -> bool) {
        match scanned {
            Scanned::Entry(entry) => {
                let (seq, at) = (entry.position.seq, entry.offset..entry.offset + entry.bytes);
                if !is_text(entry.text) || self.kept.contains_key(&seq) {
                    self.is_damaged = true;
                    return self.take(at);
                }
                self.is_damaged |= seq != self.last.next();
                self.last = seq;
                self.trailing = 0;
                self.kept.insert(seq, at);
            }
            Scanned::Damaged(stretch) => {
                self.is_damaged |= stretch.kind.is_damage();
                let was_line = stretch.bytes > 0 && stretch.kind == FindingKind::Checksum;
                self.trailing += u64::from(was_line);
                self.take(stretch.offset..stretch.offset + stretch.bytes);
            }
        }
    }

    fn take(&mut self, at: Range<u64>) {
        match self.taken.last_mut() {
            Some(last) if last.end == at.start => last.end = at.end,
            _ if at.is_empty() => {}
            _ => self.taken.push(at),
        }
    }

    const fn is_clean(&self) -> bool {
        !self.is_damaged && self.added.is_none()
    }

    fn lost(&self) -> u64 {
        self.kept.last_key_value().map_or(0, |(last, _)| last.0) - self.kept.len() as u64 + self.trailing
    }

    fn to_repair(&self, at: RecordAt, migration_id: MigrationId) -> RecordRepair {
        let taken = |range: &Range<u64>| Quarantined {
            part: 1,
            offset: range.start,
            bytes: range.end - range.start,
            path: None,
        };
        let quarantined = self.taken.iter().map(taken).collect();
        RecordRepair { migration_id, at, kept: self.kept.len() as u64, lost: self.lost(), quarantined }
    }
}

impl FsStore {
    pub(super) fn repair_records(
        &self,
        session: Option<SessionId>,
        options: &MaintenanceOptions,
    ) -> Result<Vec<RecordRepair>> {
        self.check_maintainable(true)?;
        let mut records = Vec::new();
        match session {
            Some(session) if !self.exists(session)? => return Err(StoreError::no_session(session)),
            Some(session) => {
                records.push(RecordAt::facts(Some(session)));
                for segment in self.list_segments(session)? {
                    records.extend([RecordAt::traces(session, segment), RecordAt::checkpoints(session, segment)]);
                }
            }
            // What is done to any other is written there.
            None => records.extend([RecordAt::EVENTS, RecordAt::facts(None)]),
        }
        let mut done = Vec::new();
        for at in records {
            done.extend(self.repair_record(at, options)?);
        }
        Ok(done)
    }

    fn repair_record(&self, at: RecordAt, options: &MaintenanceOptions) -> Result<Option<RecordRepair>> {
        let key = key_of(at);
        let name = key.name(&self.layout);
        let Some(file) = self.open_record(&name)? else { return Ok(None) };
        // What nobody is refused is left as it is.
        if self.examine_log(key, None, |text| is_of(at, text))?.is_none() {
            return Ok(None);
        }
        if options.dry_run {
            let plan = self.plan_record(at, &name, &*file, Writers::Possible)?;
            return Ok((!plan.is_clean()).then(|| plan.to_repair(at, MigrationId::mint(options.now))));
        }
        self.check_writable()?;
        let _writing = self.before_first_write();
        let _create = self.lock_create()?;
        let _session = at.session.map(|session| self.lock_session_alone(session)).transpose()?;
        for _ in 0..OPEN_TRIES {
            let Some(file) = self.open_record(&name)? else { return Ok(None) };
            let (disk, events) = (Arc::clone(&self.disk), Some(Arc::clone(&self.events)));
            let log = RecordLog::new(disk, name.clone(), file, Some(Seq::START), events)?;
            let Some(done) = log.with_damage(|file| self.rebuild_record(at, &log, &name, file, options))? else {
                continue;
            };
            if let Some(done) = &done {
                self.events.append(&done.to_event(options))?;
            }
            return Ok(done);
        }
        let holder = format!("whoever replaces {}", name.relative());
        Err(StoreError::Busy { holder, host: None, since: None })
    }

    /// Puts a record in the place of a damaged one whose lock is held; none if somebody else was faster.
    fn rebuild_record(
        &self,
        at: RecordAt,
        log: &RecordLog,
        name: &LogName,
        file: &dyn DiskFile,
        options: &MaintenanceOptions,
    ) -> Result<Option<RecordRepair>> {
        let plan = self.plan_record(at, name, file, Writers::KeptOut)?;
        if plan.is_clean() {
            return Ok(None);
        }
        let mut done = plan.to_repair(at, MigrationId::mint(options.now));
        if let (RecordKind::Facts, Some(session)) = (at.record, at.session) {
            self.touch(Touched::session(session))?;
        }
        for (taken, range) in done.quarantined.iter_mut().zip(&plan.taken) {
            taken.path = Some(name.relative_path(&quarantine(&*self.disk, name, file, range.clone())?));
        }
        log.rebuild(|new| rewrite(name, file, &plan, new))?;
        Ok(Some(done))
    }

    /// Keeps everybody else from maintaining or deleting a session.
    fn lock_session_alone(&self, session: SessionId) -> Result<Box<dyn DiskFile>> {
        let path = self.layout.session_lock(session);
        let lock = found(self.disk.open(&path, OpenMode::AppendOrCreate)).at("open", &path)?;
        let lock = lock.ok_or(StoreError::no_session(session))?;
        lock.lock(LockKind::Exclusive).at("lock", &path)?;
        Ok(lock)
    }

    /// The file of a record; none if there is none.
    fn open_record(&self, name: &LogName) -> Result<Option<Box<dyn DiskFile>>> {
        match found(self.disk.open(&name.path, OpenMode::Read)) {
            Err(_) if self.is_another_kind(&name.path) => {
                let detail = format!("{}: what stands here is not a regular file", name.relative());
                Err(StoreError::Corrupt(Damage { segment: None, part: 1, offset: 0, seq: None, detail }))
            }
            opened => opened.at("open", &name.path),
        }
    }

    fn plan_record(&self, at: RecordAt, name: &LogName, file: &dyn DiskFile, writers: Writers) -> Result<Plan> {
        let mut plan = Plan::default();
        let mut lines: BTreeMap<Seq, CheckpointLine> = BTreeMap::new();
        let visit = &mut |scanned: Scanned<'_>| {
            plan.add(&scanned, |text| is_of(at, text).is_ok());
            if let (RecordKind::Checkpoints, Scanned::Entry(entry)) = (at.record, &scanned)
                && let Ok(line) = read_line(entry.text)
            {
                lines.entry(entry.position.seq).or_insert(line);
            }
            ControlFlow::Continue(())
        };
        let _: ControlFlow<()> = Scan::new(&*self.disk, writers, visit).file(name, file)?;
        if plan.is_damaged
            && let (Some(session), Some(segment)) = (at.session, at.segment)
        {
            let listed = list_checkpoints(lines.into_values());
            let void = void_untrue(&listed, |visit| self.scan_log(session, segment, visit))?;
            plan.added = void.as_ref().map(said_text).transpose()?;
        }
        Ok(plan)
    }
}

const fn key_of(at: RecordAt) -> LogKey {
    match at {
        RecordAt { record: RecordKind::Traces, session: Some(session), segment: Some(segment) } => {
            LogKey::Trace(session, segment)
        }
        RecordAt { record: RecordKind::Checkpoints, session: Some(session), segment: Some(segment) } => {
            LogKey::Checkpoints(session, segment)
        }
        RecordAt { record: RecordKind::Events, .. } => LogKey::Migrations,
        RecordAt { session: Some(session), .. } => LogKey::Facts(FactScope::Session(session)),
        RecordAt { session: None, .. } => LogKey::Facts(FactScope::Store),
    }
}

/// Whether a text is one of the record's, as it stands there.
fn is_of(at: RecordAt, text: &str) -> Result<(), serde_json::Error> {
    match at.record {
        RecordKind::Checkpoints => read_line(text).map(drop),
        other => other.check(text),
    }
}

/// Writes the lines that are kept, numbered anew, each as a call of its own.
fn rewrite(name: &LogName, old: &dyn DiskFile, plan: &Plan, new: &dyn DiskFile) -> Result<()> {
    let (mut seq, mut bytes) = (Seq::START, 0);
    let mut write = |text: &str| {
        seq = seq.next();
        let mut line = Vec::new();
        encode_line(&mut line, &name.context, &LineFields { seq, ..LineFields::default() }, text);
        append_all_or_nothing(new, bytes, &line).at("write", &name.path)?;
        bytes += line.len() as u64;
        Ok(())
    };
    for range in plan.kept.values() {
        let line = View::new(old, name, range.end).read_bytes(range.start, range.end)?;
        // A line may have another byte in the place of its newline, or lack its closing bytes.
        let text = match line.split_last().map(|(_, whole)| decode_line(&name.context, whole)) {
            Some(Ok(line)) => line.text(),
            _ => match decode_tail(&name.context, &line) {
                Tail::Complete { line, .. } => line.text(),
                Tail::Torn | Tail::Damaged(_) => {
                    return Err(crate::error::corrupt(
                        None,
                        range.start,
                        None,
                        "a line that was whole is not any more",
                    ));
                }
            },
        };
        write(&text)?;
    }
    plan.added.as_deref().map_or(Ok(()), write)
}
