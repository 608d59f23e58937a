//! `pod repair [ID]` and `pod repair --into URL`

mod beside;

use std::io::Write;

use serde::Serialize;
use session_store::{HeaderRepaired, OpenMode, Salvaged, SessionError, repair_header, salvage_into};
use store_core::chain::ChainHead;
use store_core::integrity::{Lost, Quarantined, Repair, Verification};
use store_core::{MigrationId, SegmentId, Seq, SessionId, StoreError};

use super::damage::{counted, counted_entries};
use super::rollback::options;
use crate::app::App;
use crate::cli::{Consented, RepairArgs};
use crate::confirm::{Consent, confirm};
use crate::error::{Result, exit};
use crate::keeper::{Keeper, Named};
use crate::output::Output;
use crate::render::{clean, thousands};

/// The repair of one segment as JSON shows it.
#[derive(Clone, Serialize)]
struct Row {
    session_id: SessionId,
    segment_id: SegmentId,
    kept: u64,
    lost: Vec<Lost>,
    quarantined: Vec<Taken>,
    seq: Seq,
    head: ChainHead,
    verification: Verification,
    migration_id: Option<MigrationId>,
    /// `repaired`, `clean` if there was nothing to do, `would_repair`.
    outcome: &'static str,
}

/// What was taken out, as JSON shows it: the path is there also where nothing was done.
#[derive(Clone, Serialize)]
struct Taken {
    part: u32,
    offset: u64,
    bytes: u64,
    path: Option<String>,
}

impl From<Quarantined> for Taken {
    fn from(Quarantined { part, offset, bytes, path }: Quarantined) -> Self {
        Self { part, offset, bytes, path }
    }
}

/// The whole: the first segment that needed it stands at the top.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    first: Option<Row>,
    segments: Vec<Row>,
    /// What lies beside the logs and needed it.
    beside: Vec<beside::Row>,
    /// What says that the store is one, if that needed it.
    header: Option<HeaderRepaired>,
    /// Segments of which nothing can be saved.
    hopeless: Vec<Hopeless>,
    dry_run: bool,
}

/// What was saved into a new store, as JSON shows it.
#[derive(Serialize)]
struct SalvageDocument<'a> {
    into: &'a str,
    #[serde(flatten)]
    saved: &'a Salvaged,
}

#[derive(Serialize)]
struct Hopeless {
    segment_id: SegmentId,
    message: String,
}

/// What was found, and what came of it.
struct Work {
    rows: Vec<Row>,
    beside: Vec<beside::Row>,
    header: Option<HeaderRepaired>,
    hopeless: Vec<Hopeless>,
}

/// Makes a segment, all segments of a session, or a whole store, with what lies beside the logs, whole again.
pub(super) fn run(app: &App, arguments: &RepairArgs) -> Result<u8> {
    if let Some(into) = &arguments.into {
        return salvage(app, into);
    }
    let consented = arguments.consented;
    let id = arguments.id.as_deref();
    let header = match header(app, id, consented)? {
        Header::Refused => return Ok(exit::CANCELLED),
        // What is in a store that cannot be opened yet nobody knows.
        Header::Would(header) => {
            return tell(
                app,
                Work { rows: Vec::new(), beside: Vec::new(), header: Some(header), hopeless: Vec::new() },
                true,
            );
        }
        Header::Done(header) => header,
    };
    let keeper = Keeper::open(app, OpenMode::ReadWrite)?;
    let named = match id {
        Some(id) => vec![keeper.find(app, id)?],
        None => {
            let sessions = keeper.store.list_sessions()?.into_iter();
            sessions.map(|session| Named { session, segment: None }).collect()
        }
    };
    let beside = beside::plan(app, &keeper, &named, id.is_none())?;
    let (rows, hopeless) = plan(app, &keeper, &named)?;
    let mut work = Work { rows, beside, header, hopeless };
    if !consented.dry_run && !work.is_done() {
        if confirm(app, consented.yes, &work.in_words())? == Consent::Refused {
            app.say("nothing was changed");
            return Ok(exit::CANCELLED);
        }
        // The repair of a log asks its checkpoints, and is written down among the events.
        work.beside = beside::repair(app, &keeper, &work.beside)?;
        let options = options(app, false);
        for row in work.rows.iter_mut().filter(|row| row.outcome != "clean") {
            let done = keeper.integrity()?.repair(row.session_id, row.segment_id, &options)?;
            *row = self::row(row.session_id, row.segment_id, done, false);
        }
    }
    tell(app, work, consented.dry_run)
}

impl Work {
    fn is_done(&self) -> bool {
        self.beside.is_empty() && self.rows.iter().all(|row| row.outcome == "clean")
    }

    /// What is to be done, for who is asked.
    fn in_words(&self) -> String {
        let damaged = self.rows.iter().filter(|row| row.outcome != "clean");
        let segments = damaged.clone().count() as u64;
        let lost: u64 = self.rows.iter().flat_map(|row| &row.lost).map(|lost| lost.count()).sum();
        let kept: u64 = damaged.map(|row| row.kept).sum();
        let (segments, beside) = (counted(segments, "segment"), self.beside.len() as u64);
        let logs =
            format!("rewrite {segments}, keeping {} and giving up {}", counted_entries(kept), counted_entries(lost));
        match (beside, segments.starts_with("0 ")) {
            (0, _) => logs,
            (beside, true) => format!("rewrite {} beside the logs", counted(beside, "record")),
            (beside, false) => format!("{logs}, and {} beside the logs", counted(beside, "record")),
        }
    }
}

/// What became of what says that the store is one.
enum Header {
    /// It is as it should be, or was put right.
    Done(Option<HeaderRepaired>),
    Would(HeaderRepaired),
    Refused,
}

fn header(app: &App, id: Option<&str>, consented: Consented) -> Result<Header> {
    let (url, now) = (app.store_url()?.url, app.environment.now);
    let is_damaged = matches!(
        session_store::open(&url, &session_store::OpenOptions { mode: OpenMode::ReadOnly, now, create: false }),
        Err(SessionError::Store(StoreError::Corrupt(_)))
    );
    // Whoever names a conversation means that and no more.
    if !is_damaged || id.is_some() {
        return Ok(Header::Done(None));
    }
    let Some(planned) = repair_header(&url, now, true)? else { return Ok(Header::Done(None)) };
    if consented.dry_run {
        return Ok(Header::Would(planned));
    }
    let what = "write store.json anew, which cannot be read";
    if confirm(app, consented.yes, what)? == Consent::Refused {
        app.say("nothing was changed");
        return Ok(Header::Refused);
    }
    Ok(Header::Done(repair_header(&url, now, false)?))
}

/// What would be done with each segment that was named, and of which of them nothing can be saved.
fn plan(app: &App, keeper: &Keeper, named: &[Named]) -> Result<(Vec<Row>, Vec<Hopeless>)> {
    let integrity = keeper.integrity()?;
    let (mut rows, mut hopeless, mut first_error) = (Vec::new(), Vec::new(), None);
    for one in named {
        let segments = match one.segment {
            Some(segment) => vec![segment],
            None => keeper.store.list_segments(one.session)?,
        };
        for segment in segments {
            match integrity.repair(one.session, segment, &options(app, true)) {
                Ok(planned) => rows.push(row(one.session, segment, planned, true)),
                Err(error @ StoreError::Corrupt(_)) => {
                    hopeless.push(Hopeless { segment_id: segment, message: error.to_string() });
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    match first_error {
        Some(error) if rows.is_empty() => Err(error.into()),
        _ => Ok((rows, hopeless)),
    }
}

fn row(session_id: SessionId, segment_id: SegmentId, done: Repair, dry_run: bool) -> Row {
    let outcome = match done.migration_id {
        None => "clean",
        Some(_) if dry_run => "would_repair",
        Some(_) => "repaired",
    };
    Row {
        session_id,
        segment_id,
        kept: done.kept,
        lost: done.lost,
        quarantined: done.quarantined.into_iter().map(Taken::from).collect(),
        seq: done.after.seq,
        head: done.after.head,
        verification: done.verification,
        migration_id: done.migration_id,
        outcome,
    }
}

fn tell(app: &App, work: Work, dry_run: bool) -> Result<u8> {
    let code = if work.hopeless.is_empty() { exit::OK } else { exit::DAMAGE };
    let Work { rows, beside, header, hopeless } = work;
    if app.global.json {
        let first = rows.iter().find(|row| row.outcome != "clean").or_else(|| rows.first()).cloned();
        app.print_json(&Document { first, segments: rows, beside, header, hopeless, dry_run })?;
        return Ok(code);
    }
    let mut out = Output::plain();
    if let Some(HeaderRepaired { kept, .. }) = &header {
        writeln!(out, "store.json {}written anew", if dry_run { "would be " } else { "" })?;
        kept.as_deref().map_or(Ok(()), |kept| writeln!(out, "  what stood there is kept in {}", clean(kept)))?;
    }
    beside.iter().try_for_each(|row| row.write(&mut out))?;
    for row in rows.iter().filter(|row| row.outcome != "clean") {
        write_row(&mut out, row)?;
    }
    let is_clean = beside.is_empty() && header.is_none() && rows.iter().all(|row| row.outcome == "clean");
    if hopeless.is_empty() && is_clean {
        writeln!(out, "nothing to repair")?;
    }
    let bad = app.terminal.theme.bad;
    for Hopeless { segment_id, message } in &hopeless {
        writeln!(out, "{bad}segment {segment_id}: nothing can be saved{bad:#}")?;
        writeln!(out, "  {}", clean(message))?;
    }
    out.finish()?;
    if dry_run {
        app.say("nothing was changed");
    }
    Ok(code)
}

fn write_row(out: &mut Output, row: &Row) -> Result<()> {
    let would = if row.outcome == "would_repair" { "would be " } else { "" };
    writeln!(out, "segment {}", row.segment_id)?;
    writeln!(out, "  {} {would}kept", counted_entries(row.kept))?;
    for lost in &row.lost {
        match lost.count() {
            1 => writeln!(out, "  entry {} is lost", lost.from)?,
            _ => writeln!(out, "  entries {} to {} are lost", lost.from, lost.through)?,
        }
    }
    let bytes: u64 = row.quarantined.iter().map(|one| one.bytes).sum();
    if bytes > 0 {
        writeln!(out, "  {} bytes {would}taken out", thousands(bytes))?;
    }
    for path in row.quarantined.iter().filter_map(|one| one.path.as_deref()) {
        writeln!(out, "  kept in {}", clean(path))?;
    }
    writeln!(out, "  head {}", row.head)?;
    Ok(())
}

/// Makes a new store of what a database still holds.
fn salvage(app: &App, into: &str) -> Result<u8> {
    let saved = salvage_into(&app.store_url()?.url, into, app.environment.now)?;
    let code = if saved.is_whole() { exit::OK } else { exit::DAMAGE };
    if app.global.json {
        app.print_json(&SalvageDocument { into, saved: &saved })?;
        return Ok(code);
    }
    let mut out = Output::plain();
    writeln!(
        out,
        "saved {}, {}, {}, {}",
        counted(saved.sessions, "session"),
        counted(saved.segments, "segment"),
        counted_entries(saved.entries),
        counted(saved.blobs, "blob")
    )?;
    if saved.ledger_books > 0 {
        writeln!(out, "ledger: {}, {}", counted(saved.ledger_books, "book"), counted(saved.ledger_events, "event"))?;
    }
    for loss in &saved.ledger_lost {
        writeln!(out, "the book {} of the ledger: events {} to {} lost", loss.book, loss.from, loss.through)?;
    }
    for loss in &saved.lost {
        let lost = counted_entries(loss.lost.iter().map(|lost| lost.count()).sum());
        writeln!(out, "segment {}: {lost} lost", loss.segment_id)?;
    }
    for segment in &saved.segments_lost {
        writeln!(out, "segment {segment}: lost")?;
    }
    for segment in &saved.without_session {
        writeln!(out, "segment {segment}: saved, in a conversation of its own")?;
    }
    let others = [(saved.blobs_lost.len() as u64, "blob"), (saved.beside_lost, "fact or checkpoint")];
    for (count, what) in others.into_iter().filter(|(count, _)| *count > 0) {
        writeln!(out, "{} lost", counted(count, what))?;
    }
    out.finish()?;
    app.hint(&format!("`pod verify --store {into}` proves what was saved; the old store is as it was"));
    Ok(code)
}
