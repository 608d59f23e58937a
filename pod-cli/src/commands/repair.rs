//! `pod repair [ID]`, `pod repair --ledger [BOOK]` and `pod repair --into URL`

mod beside;
mod header;
mod ledger;
mod salvage;

use std::collections::BTreeSet;
use std::io::Write;

use serde::Serialize;
use session_store::{HeaderRepaired, OpenMode};
use store_core::chain::ChainHead;
use store_core::integrity::{Lost, Quarantined, Repair, Verification, VerifyOptions, verify};
use store_core::ledger::LedgerRepair;
use store_core::{MigrationId, SegmentId, Seq, SessionId, StoreError};

use self::header::Header;
use self::ledger::Which;
use super::damage::{counted, counted_entries};
use super::rollback::options;
use super::verify::with_progress;
use crate::app::App;
use crate::cli::RepairArgs;
use crate::confirm::{Consent, confirm};
use crate::error::{CliError, Result, exit};
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
    /// The ledger, where it was asked for: `null` if the store has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    ledger: Option<Option<ledger::Part>>,
    dry_run: bool,
}

/// What is done, or would be.
#[derive(Default)]
struct Work {
    rows: Vec<Row>,
    beside: Vec<beside::Row>,
    header: Option<HeaderRepaired>,
    hopeless: Vec<Hopeless>,
    /// `None`: not asked for; `Some(None)`: there is none.
    ledger: Option<Option<LedgerRepair>>,
}

#[derive(Serialize)]
struct Hopeless {
    segment_id: SegmentId,
    message: String,
    #[serde(skip)]
    error: StoreError,
}

/// Makes what is damaged whole again.
pub(super) fn run(app: &App, arguments: &RepairArgs) -> Result<u8> {
    if let Some(into) = &arguments.into {
        return salvage::run(app, into, arguments.consented.dry_run);
    }
    let which = match &arguments.ledger {
        Some(Some(named)) => Some(Which::Named(named)),
        Some(None) => Some(Which::All),
        None if arguments.id.is_none() => Some(Which::OfTheStore),
        None => None,
    };
    let consented = arguments.consented;
    // Whoever names a conversation, or the ledger, means that and no more.
    let is_of_all = arguments.ledger.is_none() && arguments.id.is_none();
    let header = match is_of_all.then(|| header::repair(app, consented)).transpose()? {
        None => None,
        Some(Header::Done(header)) => header,
        // What is in a store that cannot be opened yet nobody knows.
        Some(Header::Would(header)) => return tell(app, arguments, Work { header: Some(header), ..Work::default() }),
        Some(Header::Refused) => {
            app.say("nothing was changed");
            return Ok(exit::CANCELLED);
        }
    };
    let keeper = if arguments.ledger.is_none() { Some(Keeper::open(app, OpenMode::ReadWrite)?) } else { None };
    let mut work = match (&keeper, &arguments.id) {
        (Some(keeper), Some(id)) => plan(app, keeper, keeper.find(app, id)?)?,
        (Some(keeper), None) => match plan_store(app, keeper)? {
            Some(work) => work,
            None => return Ok(exit::CANCELLED),
        },
        (None, _) => Work::default(),
    };
    work.header = header;
    work.ledger = which.map(|which| ledger::plan(app, which)).transpose()?;
    let question = question(&work);
    if let Some(question) = question.filter(|_| !consented.dry_run) {
        if confirm(app, consented.yes, &question)? == Consent::Refused {
            app.say("nothing was changed");
            return Ok(exit::CANCELLED);
        }
        apply(app, keeper.as_ref(), which, &mut work)?;
    }
    tell(app, arguments, work)
}

/// What is asked before anything is done; `None` if there is nothing to do.
fn question(work: &Work) -> Option<String> {
    let damaged: Vec<&Row> = work.rows.iter().filter(|row| row.outcome != "clean").collect();
    let lost: u64 = damaged.iter().flat_map(|row| &row.lost).map(|lost| lost.count()).sum();
    let kept: u64 = damaged.iter().map(|row| row.kept).sum();
    let segments = (!damaged.is_empty()).then(|| {
        format!(
            "rewrite {}, keeping {} and giving up {}",
            counted(damaged.len() as u64, "segment"),
            counted_entries(kept),
            counted_entries(lost)
        )
    });
    let beside = (!work.beside.is_empty())
        .then(|| format!("rewrite {} beside the logs", counted(work.beside.len() as u64, "record")));
    let books = work.ledger.iter().flatten().find_map(ledger::question);
    let parts: Vec<String> = segments.into_iter().chain(beside).chain(books).collect();
    (!parts.is_empty()).then(|| parts.join(", and "))
}

fn apply(app: &App, keeper: Option<&Keeper>, which: Option<Which<'_>>, work: &mut Work) -> Result<()> {
    let options = options(app, false);
    if let Some(keeper) = keeper {
        // The repair of a log asks its checkpoints, and is written down among the events.
        work.beside = beside::repair(app, keeper, &work.beside)?;
        for row in work.rows.iter_mut().filter(|row| row.outcome != "clean") {
            let done = keeper.integrity()?.repair(row.session_id, row.segment_id, &options)?;
            *row = self::row(row.session_id, row.segment_id, done, false);
        }
    }
    if let (Some(which), Some(Some(planned))) = (which, &mut work.ledger)
        && !planned.is_whole()
    {
        *planned = ledger::apply(app, which)?;
    }
    Ok(())
}

/// What would be done with each segment of the store that a verification finds damaged; `None` if that was stopped.
fn plan_store(app: &App, keeper: &Keeper) -> Result<Option<Work>> {
    let options = VerifyOptions::default();
    let report = with_progress(app, "looking at", |progress| Ok(verify(keeper.integrity()?, &options, progress)?))?;
    if report.stopped {
        return Ok(None);
    }
    let segments: BTreeSet<(SessionId, SegmentId)> =
        report.damage.iter().filter_map(|finding| Some((finding.session_id?, finding.segment_id?))).collect();
    let sessions: BTreeSet<SessionId> = report.damage.iter().filter_map(|finding| finding.session_id).collect();
    let beside = beside::plan(app, keeper, sessions, true)?;
    Ok(Some(Work { beside, ..plan_segments(app, keeper, segments.into_iter().collect())? }))
}

/// What would be done with each segment that was named; fails if nothing can be saved of any.
fn plan(app: &App, keeper: &Keeper, named: Named) -> Result<Work> {
    let segments = match named.segment {
        Some(segment) => vec![segment],
        None => segments_of(keeper, named.session)?,
    };
    let mut work = plan_segments(app, keeper, segments.into_iter().map(|segment| (named.session, segment)).collect())?;
    work.beside = beside::plan(app, keeper, [named.session], false)?;
    if work.rows.is_empty()
        && let Some(first) = work.hopeless.first_mut()
    {
        return Err(std::mem::replace(&mut first.error, StoreError::ReadOnly).into());
    }
    Ok(work)
}

/// What would be done with each segment, and of which of them nothing can be saved.
fn plan_segments(app: &App, keeper: &Keeper, segments: Vec<(SessionId, SegmentId)>) -> Result<Work> {
    let integrity = keeper.integrity()?;
    let mut work = Work::default();
    for (session, segment_id) in segments {
        match integrity.repair(session, segment_id, &options(app, true)) {
            Ok(planned) => work.rows.push(row(session, segment_id, planned, true)),
            Err(error @ StoreError::Corrupt(_)) => {
                work.hopeless.push(Hopeless { segment_id, message: error.to_string(), error });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(work)
}

/// The segments of a session, and those that something says were in it.
fn segments_of(keeper: &Keeper, session: SessionId) -> Result<Vec<SegmentId>> {
    let mut segments = keeper.store.list_segments(session)?;
    if segments.is_empty() && keeper.store.exists(session)? {
        let told = keeper.integrity()?.examine(Some(session))?;
        segments.extend(told.into_iter().filter_map(|finding| finding.segment_id));
        segments.dedup();
    }
    Ok(segments)
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

fn tell(app: &App, arguments: &RepairArgs, work: Work) -> Result<u8> {
    let Work { rows, beside, header, hopeless, ledger } = work;
    let dry_run = arguments.consented.dry_run;
    let ledger = ledger.map(|ledger| ledger.map(|repair| ledger::part(repair, dry_run)));
    let books = ledger.as_ref().and_then(Option::as_ref);
    let is_left = !hopeless.is_empty() || (!dry_run && books.is_some_and(ledger::Part::is_left));
    let code = if is_left { exit::DAMAGE } else { exit::OK };
    let first = rows.iter().find(|row| row.outcome != "clean").or_else(|| rows.first()).cloned();
    if let (None, Some(id)) = (&first, &arguments.id) {
        return Err(CliError::NotFound { id: id.clone() });
    }
    if app.global.json {
        app.print_json(&Document { first, segments: rows, beside, header, hopeless, ledger, dry_run })?;
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
    if let Some(books) = books {
        books.write(app, &mut out)?;
    }
    let beside_is_clean = beside.is_empty() && header.is_none();
    let is_clean =
        beside_is_clean && rows.iter().all(|row| row.outcome == "clean") && books.is_none_or(ledger::Part::is_clean);
    if hopeless.is_empty() && is_clean {
        writeln!(out, "nothing to repair")?;
    }
    let bad = app.terminal.theme.bad;
    for Hopeless { segment_id, message, .. } in &hopeless {
        writeln!(out, "{bad}segment {segment_id}: nothing can be saved{bad:#}")?;
        writeln!(out, "  {}", clean(message))?;
    }
    out.finish()?;
    if dry_run {
        app.say("nothing was changed");
    } else if books.is_some_and(ledger::Part::has_lost) {
        app.hint("`pod usage rebuild` and `pod budget list` count again what is still in the conversations");
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
