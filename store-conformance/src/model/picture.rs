//! Everything that a store can be asked, in words that are the same for every backend.

use std::fmt::Debug;

use store_core::{
    BlobRef, Fact, FactScope, Missing, Position, Record, Result, SegmentId, Seq, SessionId, Store, StoreError,
};

/// An error in the terms that every backend shares.
pub(super) fn words_of(error: &StoreError) -> String {
    match error {
        StoreError::NotFound(Missing::Session(id)) => format!("NotFound session {id}"),
        StoreError::NotFound(Missing::Segment(id)) => format!("NotFound segment {id}"),
        StoreError::NotFound(Missing::Blob(sha256)) => format!("NotFound blob {sha256}"),
        StoreError::AlreadyExists { session, segment } => format!("AlreadyExists {segment} in {session}"),
        // Checksums are a backend's own.
        StoreError::Conflict { actual, .. } => format!("Conflict at {}", actual.seq),
        StoreError::KeyReused { key, position } => format!("KeyReused {key:?} at {}", position.seq),
        StoreError::InvalidEntry { index, .. } => format!("InvalidEntry {index}"),
        StoreError::InvalidOrigin { .. } => "InvalidOrigin".to_owned(),
        StoreError::TooLarge { bytes, bytes_max } => format!("TooLarge {bytes} of {bytes_max}"),
        StoreError::Referenced { by } => {
            let mut by = by.clone();
            by.sort_unstable();
            format!("Referenced by {by:?}")
        }
        StoreError::Corrupt(_) => "Corrupt".to_owned(),
        // None of the others is an answer that the reference gives.
        other => format!("the error: {other}"),
    }
}

/// An answer in words.
pub(super) fn words<T>(answer: Result<T>, say: impl FnOnce(T) -> String) -> String {
    match answer {
        Ok(value) => say(value),
        Err(error) => words_of(&error),
    }
}

/// The seqs of an answer.
pub(super) fn seqs(positions: &[Position]) -> String {
    format!("at {:?}", positions.iter().map(|position| position.seq.0).collect::<Vec<_>>())
}

/// A record without its checksum. What its entry says is told by the typed form that its text has.
pub(super) fn record_words(record: &Record) -> String {
    let Record { position, key, text, entry } = record;
    format!("{} {key:?} {text} = {entry:?}", position.seq)
}

/// Records, one to a line.
pub(super) fn records_words(records: &[Record]) -> String {
    records.iter().map(record_words).collect::<Vec<_>>().join("\n")
}

fn facts_words(facts: &[Fact]) -> String {
    facts.iter().map(|fact| format!("{} {} {}", fact.ts, fact.domain, fact.value)).collect::<Vec<_>>().join("; ")
}

fn list<T: Debug>(answer: Result<Vec<T>>) -> String {
    words(answer, |ids| format!("{ids:?}"))
}

/// What to ask about.
pub(super) struct Subjects<'a> {
    pub(super) sessions: &'a [SessionId],
    pub(super) segments: &'a [SegmentId],
    pub(super) blobs: &'a [BlobRef],
}

/// What a store answers when it is asked about these, one answer a line.
pub(super) fn picture(store: &dyn Store, subjects: &Subjects<'_>) -> Vec<String> {
    let mut lines = vec![format!("sessions: {}", list(store.list_sessions()))];
    lines.push(format!("facts of the store: {}", words(store.facts(FactScope::Store), |facts| facts_words(&facts))));
    for session in subjects.sessions {
        lines.push(format!("{session} exists: {}", words(store.exists(*session), |exists| exists.to_string())));
        lines.push(format!("{session} segments: {}", list(store.list_segments(*session))));
        let facts = store.facts(FactScope::Session(*session));
        lines.push(format!("{session} facts: {}", words(facts, |facts| facts_words(&facts))));
    }
    for segment in subjects.segments {
        let found = store.lookup_session_of(*segment);
        let home = found.as_ref().ok().copied().flatten();
        lines.push(format!("{segment} is of {}", words(found, |home| format!("{home:?}"))));
        // Of a segment that is nowhere everything is asked, too: with a session that does not have it.
        let Some(home) = home.or(subjects.sessions.first().copied()) else { continue };
        lines.extend(segment_lines(store, home, *segment));
    }
    for blob in subjects.blobs {
        lines.push(format!("blob {}: {}", blob.sha256, words(store.get_blob(blob), |bytes| format!("{bytes:?}"))));
    }
    lines
}

fn segment_lines(store: &dyn Store, home: SessionId, segment: SegmentId) -> Vec<String> {
    let count = words(store.read_entry_count(home, segment), |count| count.to_string());
    let records = store.read_range(home, segment, Seq::START, usize::MAX);
    let of_records: Option<Vec<_>> =
        records.as_ref().ok().map(|records| records.iter().map(|record| record.entry.clone()).collect());
    let entries = words(store.read_all(home, segment), |entries| match of_records {
        Some(of_records) if of_records == entries => "those of the records".to_owned(),
        _ => format!("{entries:?}"),
    });
    let all = words(records, |records| records_words(&records));
    let tail = words(store.read_tail(home, segment, 2), |records| records_words(&records));
    let traces = words(store.read_traces(home, segment), |traces| format!("{traces:?}"));
    vec![
        format!("{segment} count: {count}"),
        format!("{segment} records:\n{all}"),
        format!("{segment} entries: {entries}"),
        format!("{segment} tail:\n{tail}"),
        format!("{segment} traces: {traces}"),
    ]
}
