//! What stands on a disk, read from its bytes alone, as `docs/FORMAT.md` says: what the judge holds the store's answers against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::{SegmentId, Seq};

use super::machine::STORE;
use super::record::LogId;
use crate::layout::{Layout, LogName};

/// Every file with its bytes, every folder with none.
pub(super) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What a line may lack at its end, with its newline.
const CLOSINGS: [&[u8]; 4] = [b"", b"\n", b"}\n", b"\"}\n"];

pub(super) fn layout() -> Layout {
    Layout::new(Path::new(STORE))
}

pub(super) fn name_of(log: LogId) -> LogName {
    match log {
        LogId::Segment(session, segment) => layout().log_name(session, segment),
        LogId::Trace(session, segment) => layout().trace_name(session, segment),
        LogId::Facts(Some(session)) => layout().session_facts_name(session),
        LogId::Facts(None) => layout().facts_name(),
    }
}

/// The bytes of each part of a log, in order.
fn parts_of(tree: &Tree, log: LogId) -> impl Iterator<Item = &[u8]> {
    let name = name_of(log);
    let parts = if name.segment.is_some() { u32::MAX } else { 1 };
    (1..=parts)
        .map_while(move |part| tree.get(&name.of_part(part).path))
        .map(|bytes| bytes.as_deref().unwrap_or_default())
}

/// All bytes of a log, as if it had one part; of one of an older layout those of the log that it would be today.
pub(super) fn bytes_of(tree: &Tree, log: LogId) -> Vec<u8> {
    let name = name_of(log);
    let mut bytes = parts_of(tree, log).collect::<Vec<_>>().concat();
    if !tree.contains_key(&name.path)
        && let Some(Some(flat)) = name.flat().and_then(|flat| tree.get(&flat.path))
    {
        bytes.clone_from(flat);
    }
    if name.segment.is_some() && bytes.starts_with(br#"{"kind":"#) { today(&name.context, &bytes) } else { bytes }
}

/// Lines of an older layout as today's: each object gets its number and its checksum.
fn today(context: &LogContext, bytes: &[u8]) -> Vec<u8> {
    let mut today = Vec::new();
    for (at, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let inner = line.strip_suffix(b"\n").unwrap_or(line);
        let text = std::str::from_utf8(inner).ok();
        match text.filter(|text| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).is_ok()) {
            Some(text) if !text.starts_with(r#"{"seq":"#) => {
                let fields = LineFields { seq: Seq(at as u64 + 1), ..LineFields::default() };
                encode_line(&mut today, context, &fields, text);
            }
            _ => today.extend_from_slice(line),
        }
    }
    today
}

/// A log's newest part, and how many bytes are before it.
pub(super) fn newest_part(tree: &Tree, log: LogId) -> (u32, usize) {
    let lengths: Vec<usize> = parts_of(tree, log).map(<[u8]>::len).collect();
    let sealed = lengths.len().saturating_sub(1);
    (u32::try_from(lengths.len().max(1)).unwrap_or(u32::MAX), lengths[..sealed].iter().sum())
}

/// Where what counts of a log ends: behind the last line of the last whole call that it begins with. A line counts also where
/// zeros, or the end of the file, stand in place of its closing bytes.
pub(super) fn valid_length(log: LogId, bytes: &[u8]) -> usize {
    let context = name_of(log).context;
    let (mut length, mut at, mut seq) = (0, 0, 0);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let end = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
        let Some((found, more)) = decode_closed(&context, &line[..end]) else { break };
        seq += 1;
        if found != seq {
            break;
        }
        at += end;
        if more == 0 {
            length = at;
        }
        if !line.ends_with(b"\n") || end < line.len() {
            break;
        }
    }
    length
}

/// The seq and the `more` of a line that lacks nothing but closing bytes.
fn decode_closed(context: &LogContext, line: &[u8]) -> Option<(u64, u64)> {
    CLOSINGS.iter().find_map(|closing| {
        let closed = [line, closing].concat();
        let line = decode_line(context, closed.strip_suffix(b"\n")?).ok()?;
        Some((line.seq.0, line.more))
    })
}

pub(super) fn differing<'a>(one: &'a Tree, other: &'a Tree) -> impl Iterator<Item = &'a PathBuf> {
    let gone = one.iter().filter(|(path, bytes)| other.get(*path) != Some(bytes)).map(|(path, _)| path);
    gone.chain(other.keys().filter(|path| !one.contains_key(*path)))
}

pub(super) fn is_quarantined(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|name| name == "quarantine")
}

/// What a recovery leaves nothing of; `has_touched` says whether it wrote to a session.
pub(super) fn is_leftover(path: &Path, has_touched: bool) -> bool {
    let is_beside = |log: &LogName| *path == log.failed() || *path == log.replacement();
    if is_beside(&layout().migrations_name()) {
        // The record of what was done is written only where something was.
        return false;
    }
    // Whoever touches something looks for dead handles, and lists what it touched; nothing else does.
    if is_beside(&layout().changes_name()) || path.parent() == Some(&layout().live_root()) {
        return has_touched;
    }
    // Whoever writes to a log of the layout that had no folders leaves it in a folder.
    let is_flat = path.parent() == Some(Path::new(STORE)) && flat_segment(path).is_some();
    let text = path.to_string_lossy();
    is_flat || text.contains("/.new-") || text.ends_with(".new") || text.ends_with(".failed")
}

fn flat_segment(path: &Path) -> Option<SegmentId> {
    path.file_name()?.to_str()?.strip_suffix(".jsonl")?.parse().ok()
}
