//! `pod fork ID`

use serde::Serialize;
use session_store::{ForkPoint, SegmentLocation, fork, fork_at};
use store_core::{LogEntry, SegmentId, SegmentOrigin, Seq, SessionId, StoreError};

use crate::app::App;
use crate::cli::ForkArgs;
use crate::error::{Result, exit};
use crate::library::Library;

/// A fork as JSON shows it.
#[derive(Serialize)]
struct Document {
    session_id: SessionId,
    segment_id: SegmentId,
    forked_from: Origin,
}

#[derive(Serialize)]
struct Origin {
    session_id: SessionId,
    segment_id: SegmentId,
    at_turn_index: u64,
    seq: Seq,
}

/// Continues a conversation from an earlier point.
pub(super) fn run(app: &App, arguments: &ForkArgs) -> Result<u8> {
    let library = Library::for_writing(app)?;
    let target = library.resolve(app, &arguments.id)?;
    let from = SegmentLocation { session_id: target.session, segment_id: target.segment };
    let at = arguments.at.map_or(ForkPoint::End, ForkPoint::Turn);
    let made = if arguments.new_session { fork } else { fork_at };
    let made = made(&*library.store, app.environment.now, from, at)?;
    let origin = origin(&library, made)?;
    if app.global.json {
        let forked_from = Origin {
            session_id: origin.session_id,
            segment_id: origin.segment_id,
            at_turn_index: origin.at_turn_index,
            seq: origin.seq,
        };
        let (session_id, segment_id) = (made.session_id, made.segment_id);
        app.print_json(&Document { session_id, segment_id, forked_from })?;
        return Ok(exit::OK);
    }
    let mut out = crate::output::Output::plain();
    std::io::Write::write_all(&mut out, format!("{}\n", made.segment_id).as_bytes())?;
    out.finish()?;
    let turns = match origin.at_turn_index {
        1 => "1 turn".to_owned(),
        turns => format!("{turns} turns"),
    };
    let place =
        if arguments.new_session { format!("session {}", made.session_id) } else { "the same session".to_owned() };
    app.say(&format!("forked in {place}, with {turns} before it"));
    Ok(exit::OK)
}

/// What the new segment says that it continues.
fn origin(library: &Library, made: SegmentLocation) -> Result<SegmentOrigin> {
    let first = library.store.read_range(made.session_id, made.segment_id, Seq::START, 1)?;
    match first.first().map(|record| &record.entry) {
        Some(LogEntry::SegmentStart(start)) => start.origin().copied(),
        _ => None,
    }
    .ok_or_else(|| StoreError::no_segment(made.segment_id).into())
}
