//! `pod show ID --raw`: the entries of a branch as they are stored.

use std::collections::VecDeque;
use std::io::Write;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use session_store::index::Target;
use session_store::{ShowLineage, TurnFold, lineage};
use store_core::{Record, SegmentId, Seq, SessionId};

use super::log::{LogLine, for_each_record, write_line};
use crate::app::App;
use crate::cli::ShowArgs;
use crate::error::{Result, exit};
use crate::library::Library;

#[derive(Serialize)]
struct Document {
    session_id: SessionId,
    segment_id: SegmentId,
    lineage: Vec<ShowLineage>,
    entries: Vec<Box<RawValue>>,
}

/// Prints the entries of the branch; with `--all`, of every segment of the session behind the prefix it inherited.
pub(super) fn run(app: &App, library: &Library, target: &Target, arguments: &ShowArgs) -> Result<u8> {
    let parts = parts(library, target, arguments.all)?;
    let records = records(library, &parts, arguments)?;
    if app.global.json {
        let entries = records
            .iter()
            .map(|(segment, record)| to_raw_value(&LogLine::new(*segment, record)?).map_err(std::io::Error::from))
            .collect::<std::io::Result<_>>()?;
        let (session_id, segment_id) = (target.session, target.segment);
        app.print_json(&Document { session_id, segment_id, lineage: parts, entries })?;
        return Ok(exit::OK);
    }
    let mut out = app.paged();
    let mut before = None;
    for (segment, record) in &records {
        if before != Some(*segment) {
            let strong = app.terminal.theme.strong;
            let gap = if before.is_some() { "\n" } else { "" };
            writeln!(out, "{gap}{strong}segment {segment}{strong:#}")?;
            before = Some(*segment);
        }
        write_line(app, &mut out, record)?;
    }
    out.finish()?;
    Ok(exit::OK)
}

/// What is printed of which segment, in order.
fn parts(library: &Library, target: &Target, all: bool) -> Result<Vec<ShowLineage>> {
    let branch = lineage(&*library.store, target.session, target.segment)?;
    let branch = branch.into_iter().map(|part| ShowLineage {
        session_id: part.session_id,
        segment_id: part.segment_id,
        through: part.through,
    });
    if !all {
        return Ok(branch.collect());
    }
    let mut parts: Vec<ShowLineage> = branch.filter(|part| part.session_id != target.session).collect();
    for segment in library.index.segments(target.session)?.into_iter().filter(|segment| !segment.superseded) {
        parts.push(ShowLineage {
            session_id: target.session,
            segment_id: segment.segment_id,
            through: Seq(segment.entries),
        });
    }
    Ok(parts)
}

fn records(library: &Library, parts: &[ShowLineage], arguments: &ShowArgs) -> Result<Vec<(SegmentId, Record)>> {
    let last = arguments.last.map_or(usize::MAX, |last| usize::try_from(last).unwrap_or(usize::MAX));
    let mut records = VecDeque::new();
    let mut turns = TurnFold::default();
    for part in parts {
        let from = Target { session: part.session_id, segment: part.segment_id, exact_segment: true };
        for_each_record(&*library.store, &from, part.segment_id, Seq::START, Some(part.through), |record| {
            turns.apply(&record.entry);
            let turn = turns.turn();
            if arguments.turns.is_none_or(|range| (range.first..=range.last).contains(&turn)) {
                records.push_back((part.segment_id, record.clone()));
            }
            if records.len() > last {
                records.pop_front();
            }
            Ok(())
        })?;
    }
    Ok(records.into())
}
