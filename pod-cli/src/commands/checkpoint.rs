//! `pod checkpoint ID` and `pod checkpoints ID`

use std::io::Write;

use serde::Serialize;
use store_core::chain::ChainHead;
use store_core::integrity::{Checkpoint, ListedCheckpoint, NewCheckpoint};
use store_core::{SegmentId, Seq, SessionId, StoreError};

use crate::app::App;
use crate::cli::CheckpointArgs;
use crate::error::{Result, exit};
use crate::keeper::Keeper;
use crate::output::Output;
use crate::render::{Cell, Column, Table, relative, rfc3339};
use session_store::OpenMode;

const COLUMNS: [Column; 6] = [
    Column::number("NO"),
    Column::number("ENTRY"),
    Column::text("MADE").shown_from(40),
    Column::text("NAME").at_most(24),
    Column::text("REASON").flexible(),
    Column::text(""),
];

/// A checkpoint as JSON shows it.
#[derive(Serialize)]
struct Row<'a> {
    checkpoint: u64,
    seq: Seq,
    head: ChainHead,
    name: Option<&'a str>,
    reason: &'a str,
    created_at: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<bool>,
}

impl<'a> From<&'a Checkpoint> for Row<'a> {
    fn from(made: &'a Checkpoint) -> Self {
        Self {
            checkpoint: made.number,
            seq: made.seq,
            head: made.head,
            name: made.name.as_deref(),
            reason: &made.reason,
            created_at: rfc3339(made.created_at),
            bytes: made.bytes,
            void: None,
        }
    }
}

#[derive(Serialize)]
struct Made<'a> {
    session_id: SessionId,
    segment_id: SegmentId,
    #[serde(flatten)]
    made: Row<'a>,
}

#[derive(Serialize)]
struct Listed<'a> {
    session_id: SessionId,
    segment_id: SegmentId,
    checkpoints: Vec<Row<'a>>,
}

/// Makes a checkpoint of what the segment is now.
pub(super) fn run(app: &App, arguments: &CheckpointArgs) -> Result<u8> {
    let keeper = Keeper::open(app, OpenMode::ReadWrite)?;
    let (session_id, segment_id) = keeper.find_segment(app, &arguments.id)?;
    let new =
        NewCheckpoint { reason: arguments.reason.clone(), name: arguments.name.clone(), now: app.environment.now };
    if arguments.name.is_some() && matches!(new.check(), Err(StoreError::InvalidEntry { .. })) {
        return Err(App::usage(
            "a checkpoint's name has 1 to 256 bytes, and is no number: numbers name checkpoints already",
            "--name before-the-merge, or no --name",
        ));
    }
    let made = keeper.integrity()?.checkpoint(session_id, segment_id, &new)?;
    if app.global.json {
        app.print_json(&Made { session_id, segment_id, made: Row::from(&made) })?;
        return Ok(exit::OK);
    }
    let mut out = Output::plain();
    writeln!(out, "checkpoint {} at entry {}", made.number, made.seq)?;
    writeln!(out, "head {}", made.head)?;
    out.finish()?;
    app.hint(&format!("`pod rollback {segment_id} --to {}` sets the conversation back to it", made.number));
    Ok(exit::OK)
}

/// Lists the checkpoints of a segment, void ones included.
pub(super) fn list(app: &App, id: &str) -> Result<u8> {
    let keeper = Keeper::open_to_look(app)?;
    let (session_id, segment_id) = keeper.find_segment(app, id)?;
    let listed = keeper.integrity()?.checkpoints(session_id, segment_id)?;
    if app.global.json {
        let row = |one: &'_ ListedCheckpoint| one.void;
        let checkpoints = listed.iter().map(|one| Row { void: Some(row(one)), ..Row::from(&one.checkpoint) }).collect();
        app.print_json(&Listed { session_id, segment_id, checkpoints })?;
        return Ok(exit::OK);
    }
    if listed.is_empty() {
        app.say("no checkpoints");
        app.hint(&format!("`pod checkpoint {id}` makes one"));
        return Ok(exit::OK);
    }
    let theme = &app.terminal.theme;
    let mut rows = Table::new(&COLUMNS);
    for ListedCheckpoint { checkpoint, void } in &listed {
        rows.row(vec![
            Cell::plain(&checkpoint.number.to_string()),
            Cell::plain(&checkpoint.seq.to_string()),
            Cell::default().styled(theme.dim, &relative(app.environment.now, checkpoint.created_at)),
            Cell::plain(checkpoint.name.as_deref().unwrap_or_default()),
            Cell::plain(&checkpoint.reason),
            if *void { Cell::default().styled(theme.warn, "void") } else { Cell::default() },
        ]);
    }
    let mut out = app.paged();
    super::table::write(app, &mut out, &rows)?;
    out.finish()?;
    Ok(exit::OK)
}
