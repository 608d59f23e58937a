//! One file that another store can take in and prove: logs with their keys, what they continue, facts and blobs.
//!
//! It is lines of JSON. The first says what it is; then blobs, then segments in the order of their origins, each announced with the chain head that its entries
//! have, and each entry exactly as a log has it, checksum included; then facts; the last line has the sum of all before it. A *bundle* holds a whole
//! session and, of others, what it continues, and is compressed with zstd; the same without facts, of one branch alone and as plain lines, is the form `jsonl`.
//! The format is a page: `docs/EXPORT.md`.
//!
//! Taking one in is a migration from a store in memory that was filled with it, so that what is there already stays and what is there is proved; the price
//! is memory for the whole file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store_core::chain::{Chain, ContentAddress};
use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::integrity::for_each_blob;
use store_core::{
    AppendOptions, Backend, BlobRef, CreateOptions, Fact, FactScope, MemoryStore, NewEntry, Record, SegmentId, Seq,
    SessionId, Store, StoreError, TimestampMs,
};

use crate::error::{Result, SessionError};
use crate::lineage::lineage;
use crate::migrate::{MigrateOptions, MigrateReport, migrate};
use crate::order::origins_first;

/// The format that is written, and the lowest that can read it.
// Persisted: never renumber or reuse.
const FORMAT: u32 = 1;
/// How many entries are read or appended at once.
const BATCH: usize = 512;
/// The longest line: an entry of the largest size, or a blob in base64.
const LINE_BYTES_MAX: u64 = 512 << 20;
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Text this repetitive is worth a little time.
const LEVEL: i32 = 6;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The whole session, with facts.
    Session,
    /// The branch that ends with a segment.
    Branch(SegmentId),
}

/// A line that is no entry.
// Persisted: never rename.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Bundle { format: u32, min_reader: u32, sessions: Vec<SessionId> },
    Blob { sha256: String, bytes: u64, data: String },
    Segment { session_id: SessionId, segment_id: SegmentId, entries: u64, head: String },
    Fact { session_id: SessionId, ts: TimestampMs, domain: String, value: serde_json::Value },
    End { lines: u64, sha256: String },
}

/// A segment that is told, as far as it is.
struct Told {
    session: SessionId,
    through: Seq,
    head: String,
}

/// Writes a bundle as plain lines.
pub(super) fn lines(store: &dyn Store, session: SessionId, scope: Scope) -> Result<Vec<u8>> {
    let segments = told(store, session, scope)?;
    let facts = match scope {
        Scope::Session => match store.facts(FactScope::Session(session)) {
            // What cannot be read of them keeps nobody from the entries.
            Err(StoreError::Corrupt(_)) => Vec::new(),
            facts => facts?,
        },
        Scope::Branch(_) => Vec::new(),
    };
    let mut out = Writer::default();
    out.line(&Line::Bundle { format: FORMAT, min_reader: FORMAT, sessions: vec![session] })?;
    for reference in blobs(store, &segments, &facts)? {
        let data = STANDARD.encode(store.get_blob(&reference)?);
        out.line(&Line::Blob { sha256: reference.sha256, bytes: reference.bytes, data })?;
    }
    for (segment, told) in &segments {
        let (session_id, head) = (told.session, told.head.clone());
        out.line(&Line::Segment { session_id, segment_id: *segment, entries: told.through.0, head })?;
        let context = LogContext::segment(*segment);
        each(store, told.session, *segment, told.through, |record| {
            let fields = LineFields { seq: record.position.seq, more: 0, key: record.key.as_deref(), synced: None };
            encode_line(&mut out.bytes, &context, &fields, &record.text);
            out.lines += 1;
            Ok(())
        })?;
    }
    for fact in facts {
        out.line(&Line::Fact { session_id: session, ts: fact.ts, domain: fact.domain, value: fact.value })?;
    }
    let (lines, sha256) = (out.lines, store_core::chain::sha256_hex(&out.bytes));
    out.line(&Line::End { lines, sha256 })?;
    Ok(out.bytes)
}

/// Writes a bundle, compressed.
pub(super) fn packed(store: &dyn Store, session: SessionId) -> Result<Vec<u8>> {
    let lines = lines(store, session, Scope::Session)?;
    Ok(zstd::bulk::compress(&lines, LEVEL).map_err(StoreError::backend)?)
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    lines: u64,
}

impl Writer {
    fn line(&mut self, line: &Line) -> Result<()> {
        serde_json::to_writer(&mut self.bytes, line).map_err(StoreError::backend)?;
        self.bytes.push(b'\n');
        self.lines += 1;
        Ok(())
    }
}

/// The segments that are told, each behind what it continues.
fn told(store: &dyn Store, session: SessionId, scope: Scope) -> Result<Vec<(SegmentId, Told)>> {
    let ends = match scope {
        Scope::Session => store.list_segments(session)?,
        Scope::Branch(segment) => vec![segment],
    };
    let mut through: BTreeMap<SegmentId, (SessionId, Seq)> = BTreeMap::new();
    let mut origins = BTreeMap::new();
    for end in ends {
        for part in lineage(store, session, end)? {
            let known = through.entry(part.segment_id).or_insert((part.session_id, part.through));
            known.1 = known.1.max(part.through);
            if let Some(origin) = part.start.origin() {
                origins.insert(part.segment_id, *origin);
            }
        }
    }
    let segments: BTreeSet<(SessionId, SegmentId)> =
        through.iter().map(|(segment, (session, _))| (*session, *segment)).collect();
    let mut told = Vec::with_capacity(segments.len());
    for (session, segment) in origins_first(&segments, &origins) {
        let through = through[&segment].1;
        let mut chain = Chain::default();
        each(store, session, segment, through, |record| {
            chain.push(&record.text);
            Ok(())
        })?;
        told.push((segment, Told { session, through, head: chain.head.to_string() }));
    }
    Ok(told)
}

/// Visits the entries of a segment.
fn each(
    store: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    through: Seq,
    mut visit: impl FnMut(&Record) -> Result<()>,
) -> Result<()> {
    let mut after = Seq::START;
    while after < through {
        let left = usize::try_from(through.0 - after.0).unwrap_or(usize::MAX);
        let records = store.read_range(session, segment, after, left.min(BATCH))?;
        let Some(last) = records.last().map(|record| record.position.seq) else { break };
        records.iter().try_for_each(&mut visit)?;
        after = last;
    }
    Ok(())
}

fn blobs(store: &dyn Store, segments: &[(SegmentId, Told)], facts: &[Fact]) -> Result<BTreeSet<BlobRef>> {
    let mut found = BTreeSet::new();
    for (segment, told) in segments {
        each(store, told.session, *segment, told.through, |record| {
            for_each_blob(&record.text, &mut |reference| found.extend([reference]));
            Ok(())
        })?;
    }
    for fact in facts {
        for_each_blob(&fact.value.to_string(), &mut |reference| found.extend([reference]));
    }
    Ok(found)
}

/// What was taken in.
#[derive(Clone, Debug)]
pub struct TakenIn {
    /// The sessions that the file is about.
    pub sessions: Vec<SessionId>,
    /// The segments that it has, each with its entries and the chain head over them, which was made anew and held against the file's.
    pub heads: Vec<(SegmentId, u64, String)>,
    /// What came of it.
    pub report: MigrateReport,
}

/// Whether a file is a bundle, or a branch in the form `jsonl`.
///
/// # Errors
/// What the system says when it is read.
pub fn is_bundle(path: &Path) -> io::Result<bool> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut input = open(path)?;
    let mut beginning = Vec::new();
    // A file that only begins like a compressed one is none of ours.
    let read = input.by_ref().take(MARK.len() as u64).read_to_end(&mut beginning);
    Ok(read.is_ok() && beginning == MARK)
}

/// What each begins with.
const MARK: &[u8] = b"{\"bundle\":{";

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let is_packed = file.fill_buf()?.starts_with(&ZSTD_MAGIC);
    Ok(if is_packed { Box::new(BufReader::new(zstd::stream::Decoder::with_buffer(file)?)) } else { Box::new(file) })
}

/// Takes a bundle into a store: checks every line, every chain and the file's sum before anything is written, then copies what is not there yet
/// and reads it back, as [`migrate`](crate::migrate()) does. Taking it in again changes nothing.
///
/// Memory holds the whole file.
///
/// # Errors
/// `Import` for a file that is none, of a newer format, cut or changed; what the store fails with as a whole. What fails one segment is in the report.
pub fn take_in(path: &Path, target: &dyn Backend, now: TimestampMs) -> Result<TakenIn> {
    let refuse = |detail: String| SessionError::Import { path: path.to_owned(), detail, source: None };
    let mut reading = Reading {
        refuse: &refuse,
        store: MemoryStore::new(),
        sum: ContentAddress::default(),
        lines: 0,
        sessions: Vec::new(),
        heads: Vec::new(),
    };
    let mut input = open(path).map_err(|error| refuse(error.to_string()))?;
    // Until the sum is known, whatever does not fit is the file's fault: it lies in memory alone.
    let read = reading.read(&mut *input);
    read.map_err(|error| match error {
        SessionError::Import { .. } => error,
        error => refuse(format!("line {}: {error}", reading.lines)),
    })?;
    let Reading { store, sessions, heads, .. } = reading;
    let options = MigrateOptions { now, sessions: Some(sessions.clone()), dry_run: false, correlation_id: None };
    let report = migrate(&store, target, &options, &mut |_| ControlFlow::Continue(()))?;
    Ok(TakenIn { sessions, heads, report })
}

/// A bundle that is being read, into memory.
struct Reading<'a> {
    refuse: &'a dyn Fn(String) -> SessionError,
    store: MemoryStore,
    sum: ContentAddress,
    lines: u64,
    sessions: Vec<SessionId>,
    heads: Vec<(SegmentId, u64, String)>,
}

impl Reading<'_> {
    fn refuse<T>(&self, detail: impl std::fmt::Display) -> Result<T> {
        Err((self.refuse)(format!("line {}: {detail}", self.lines + 1)))
    }

    fn read(&mut self, input: &mut dyn BufRead) -> Result<()> {
        let mut text = Vec::new();
        while self.next(input, &mut text)? {
            let line: Line = match serde_json::from_slice(&text) {
                Ok(line) => line,
                Err(error) => return self.refuse(error),
            };
            if let Line::End { lines, sha256 } = &line {
                let sum = std::mem::take(&mut self.sum).finish();
                if (*lines, sha256) != (self.lines, &sum) {
                    return self.refuse("the file is not as it was written: its sum is another one");
                }
                return Ok(());
            }
            self.passed(&text);
            self.take(line, input)?;
        }
        self.refuse("the file is cut: its end is missing")
    }

    /// Reads a line, without its end; false behind the last one.
    fn next(&self, input: &mut dyn BufRead, text: &mut Vec<u8>) -> Result<bool> {
        text.clear();
        if let Err(error) = input.take(LINE_BYTES_MAX).read_until(b'\n', text) {
            return self.refuse(error);
        }
        match text.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) => self.refuse("the line is cut, or longer than any"),
        }
    }

    fn passed(&mut self, text: &[u8]) {
        self.sum.update(text);
        self.sum.update(b"\n");
        self.lines += 1;
    }

    fn take(&mut self, line: Line, input: &mut dyn BufRead) -> Result<()> {
        match line {
            Line::Bundle { min_reader, .. } if min_reader > FORMAT => {
                self.refuse(format!("the file is of format {min_reader}, which is newer than this program"))
            }
            Line::Bundle { sessions, .. } => {
                self.sessions = sessions;
                Ok(())
            }
            Line::Blob { sha256, bytes, data } => {
                let data = match STANDARD.decode(data) {
                    Ok(data) => data,
                    Err(error) => return self.refuse(error),
                };
                let wanted = BlobRef { sha256, bytes };
                let guard = self.store.put_blob(&data)?;
                if *guard.reference() != wanted { self.refuse("the blob is another one than it says") } else { Ok(()) }
            }
            Line::Segment { session_id, segment_id, entries, head } => {
                let found = self.segment(session_id, segment_id, entries, input)?;
                if found != head {
                    return self.refuse("the entries of the segment have another chain head than it says");
                }
                self.heads.push((segment_id, entries, head));
                Ok(())
            }
            Line::Fact { session_id, ts, domain, value } => {
                Ok(self.store.put_fact(FactScope::Session(session_id), &Fact { ts, domain, value })?)
            }
            Line::End { .. } => Ok(()),
        }
    }

    /// Reads the entries of a segment; answers with their chain head.
    fn segment(
        &mut self,
        session: SessionId,
        segment: SegmentId,
        entries: u64,
        input: &mut dyn BufRead,
    ) -> Result<String> {
        let context = LogContext::segment(segment);
        let mut chain = Chain::default();
        let mut text = Vec::new();
        let mut batch: Vec<NewEntry> = Vec::new();
        for number in 1..=entries {
            if !self.next(input, &mut text)? {
                return self.refuse("the file is cut within a segment");
            }
            let line = match decode_line(&context, &text) {
                Ok(line) => line,
                Err(error) => return self.refuse(error),
            };
            if line.seq != Seq(number) {
                return self.refuse(format!("the entry has seq {} in place of {number}", line.seq));
            }
            let own = line.text();
            chain.push(&own);
            let entry = NewEntry::text(own);
            batch.push(match line.key {
                Some(key) => entry.with_key(key),
                None => entry,
            });
            self.passed(&text);
            if batch.len() == BATCH || number == entries {
                self.put(session, segment, number == batch.len() as u64, &batch)?;
                batch.clear();
            }
        }
        Ok(chain.head.to_string())
    }

    fn put(&self, session: SessionId, segment: SegmentId, is_first: bool, batch: &[NewEntry]) -> Result<()> {
        if is_first {
            self.store.create_segment(session, segment, batch, &CreateOptions::default())?;
        } else {
            self.store.append_with(session, segment, batch, &AppendOptions::default())?;
        }
        Ok(())
    }
}
