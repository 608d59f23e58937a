//! `pod verify [ID…]`

mod ledger;

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;
use session_store::OpenMode;
use session_store::index::{self, IndexCheck};
use store_core::integrity::{
    Finding, FindingKind, Head, Progress, Report, Scope, VerifyOptions, acknowledge_holes, verify,
};
use store_core::ledger::LedgerReport;
use store_core::{SegmentId, SessionId};

use super::damage;
use super::rollback::options;
use crate::app::App;
use crate::cli::VerifyArgs;
use crate::error::{Result, exit};
use crate::keeper::{Keeper, Named};
use crate::output::Output;
use crate::progress::ProgressLine;
use crate::render::thousands;

/// A verification as JSON shows it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// How many holes somebody took note of just now.
    acknowledged: u64,
    /// The index that the store keeps; `null` if it keeps none, or only a part of the store was verified.
    index: Option<IndexState>,
    /// The ledger; `null` if the store keeps none, or only a part of the store was verified.
    ledger: Option<LedgerReport>,
}

#[derive(Serialize)]
struct IndexState {
    /// `agrees`, or `made_anew` if it did not.
    state: &'static str,
    /// Whether it was held against the logs row by row.
    compared: bool,
}

/// Proves that what is stored is what was written.
pub(super) fn run(app: &App, arguments: &VerifyArgs) -> Result<u8> {
    let keeper =
        if arguments.acknowledge { Keeper::open(app, OpenMode::ReadWrite)? } else { Keeper::open_to_look(app)? };
    let named: Vec<Named> = arguments.ids.iter().map(|id| keeper.find(app, id)).collect::<Result<_>>()?;
    let mut acknowledged = if arguments.acknowledge { acknowledge(app, &keeper, &named)? } else { 0 };
    let options = VerifyOptions {
        scope: scope(&keeper, &named)?,
        deep: arguments.deep,
        expected: arguments.head.clone(),
        threads: 0,
    };
    let mut report = with_progress(app, "verifying", |progress| Ok(verify(keeper.integrity()?, &options, progress)?))?;
    if arguments.acknowledge && !report.stopped {
        let taken_out = take_out_holes(app, &keeper, &report)?;
        if taken_out > 0 {
            acknowledged += taken_out;
            report = with_progress(app, "verifying", |progress| Ok(verify(keeper.integrity()?, &options, progress)?))?;
        }
    }
    let index = match options.scope {
        Scope::Store if !report.stopped => index::check(&*keeper.store, arguments.deep)?,
        _ => None,
    };
    let advice = damage::advice(&report.damage);
    let ledger = match options.scope {
        Scope::Store if !report.stopped => ledger::check(app)?,
        _ => None,
    };
    add_index(&mut report, index.as_ref());
    report.ok &= ledger.as_ref().is_none_or(|ledger| ledger.ok);
    if app.global.json {
        let index = index.map(|found| IndexState {
            state: if found.findings.is_empty() { "agrees" } else { "made_anew" },
            compared: found.compared,
        });
        app.print_json(&Document { report: &report, acknowledged, index, ledger })?;
    } else {
        tell(app, arguments, &report, ledger.as_ref(), acknowledged)?;
        for advice in advice {
            app.hint(&advice);
        }
        if index.is_some_and(|found| !found.findings.is_empty()) {
            app.hint("the index was made anew from the logs; if it told of more than they hold, a copy of the store may have that");
        }
        if let Some(advice) = ledger.as_ref().and_then(ledger::advice) {
            app.hint(advice);
        }
    }
    Ok(match &report {
        Report { stopped: true, .. } => exit::CANCELLED,
        Report { ok: true, .. } => exit::OK,
        _ => exit::DAMAGE,
    })
}

/// Runs something that tells its progress, until Ctrl-C asks it to stop.
pub(super) fn with_progress<T>(
    app: &App,
    what: &str,
    work: impl FnOnce(&(dyn Fn(Progress) -> ControlFlow<()> + Sync)) -> Result<T>,
) -> Result<T> {
    let asked = app.interrupt.ask_to_stop()?;
    let line = Mutex::new(ProgressLine::on_stderr(app));
    let done = work(&|far| {
        let Progress { segments, segments_done, entries, bytes } = far;
        let text = format!(
            "{what} {} of {segments}  {} entries, {} bytes",
            (segments_done + 1).min(segments),
            thousands(entries),
            thousands(bytes)
        );
        line.lock().unwrap_or_else(PoisonError::into_inner).tell(Instant::now(), &text);
        asked.flow()
    });
    app.interrupt.end_at_once();
    done
}

fn scope(keeper: &Keeper, named: &[Named]) -> Result<Scope> {
    if named.is_empty() {
        return Ok(Scope::Store);
    }
    if named.iter().all(|one| one.segment.is_none()) {
        return Ok(Scope::Sessions(named.iter().map(|one| one.session).collect()));
    }
    let mut segments: Vec<(SessionId, SegmentId)> = Vec::new();
    for one in named {
        match one.segment {
            Some(segment) => segments.push((one.session, segment)),
            None => {
                let of_session = keeper.store.list_segments(one.session)?;
                segments.extend(of_session.into_iter().map(|segment| (one.session, segment)));
            }
        }
    }
    Ok(Scope::Segments(segments))
}

fn acknowledge(app: &App, keeper: &Keeper, named: &[Named]) -> Result<u64> {
    let holes = acknowledge_holes(keeper.integrity()?, app.environment.now, |hole| {
        let concerns = |one: &Named| {
            hole.segment.is_some_and(|(session, segment)| {
                session == one.session && one.segment.is_none_or(|named| named == segment)
            })
        };
        named.is_empty() || named.iter().any(concerns)
    })?;
    Ok(holes.len() as u64)
}

/// Takes out the holes that no writer has come to yet, as the next one would: what is still in a log cannot be taken note of. A log that is damaged otherwise stays as
/// it is. Answers with how many these were.
fn take_out_holes(app: &App, keeper: &Keeper, report: &Report) -> Result<u64> {
    let options = options(app, false);
    let mut taken = 0;
    for hole in report.damage.iter().filter(|finding| finding.kind == FindingKind::Hole) {
        let is_elsewhere = |other: &&Finding| {
            (other.session_id, other.segment_id) == (hole.session_id, hole.segment_id)
                && other.kind.is_damage()
                && other.kind != FindingKind::Hole
        };
        if report.damage.iter().any(|other| is_elsewhere(&other)) {
            continue;
        }
        let done = match (hole.session_id, hole.segment_id) {
            (Some(session), Some(segment)) => {
                keeper.integrity()?.repair(session, segment, &options)?.migration_id.is_some()
            }
            (session, _) => !keeper.integrity()?.repair_beside(session, &options)?.is_empty(),
        };
        taken += u64::from(done);
    }
    Ok(taken)
}

/// What was found of the index stands beside what was found of the logs.
fn add_index(report: &mut Report, index: Option<&IndexCheck>) {
    let findings = index.map(|found| found.findings.as_slice()).unwrap_or_default();
    report.ok &= findings.is_empty();
    let found = findings.iter().map(|detail| Finding::of_store(FindingKind::Projection, detail.clone()));
    report.damage.splice(0..0, found);
}

fn tell(
    app: &App,
    arguments: &VerifyArgs,
    report: &Report,
    ledger: Option<&LedgerReport>,
    acknowledged: u64,
) -> Result<()> {
    let theme = &app.terminal.theme;
    let mut out = Output::plain();
    damage::write_findings(app, &mut out, &report.damage)?;
    ledger.map_or(Ok(()), |ledger| ledger::write_findings(app, &mut out, ledger))?;
    for head in &report.expected {
        let Head { segment_id, seq, head } = head;
        let end = report.heads.iter().find(|end| end.segment_id == *segment_id).map(|end| end.seq);
        let stands = match end {
            Some(end) if end == *seq => format!("is segment {segment_id} as it is now, {seq} entries"),
            Some(end) => format!("is segment {segment_id} as it was after entry {seq} of {end}"),
            None => format!("is segment {segment_id} as it was after entry {seq}"),
        };
        writeln!(out, "{head}\n  {stands}")?;
    }
    if let (1, [head]) = (report.segments, report.heads.as_slice())
        && arguments.head.is_empty()
    {
        writeln!(out, "head {}", head.head)?;
    }
    // The damage of a ledger is told in a line of its own.
    let is_clean = report.damage_omitted == 0 && !report.damage.iter().any(|finding| finding.kind.is_damage());
    let style = if is_clean && !report.stopped { theme.good } else { theme.bad };
    writeln!(out, "{style}{}{style:#}", damage::summary(report))?;
    if let Some(ledger) = ledger {
        let style = if ledger.ok { theme.good } else { theme.bad };
        writeln!(out, "{style}{}{style:#}", ledger::summary(ledger))?;
    }
    out.finish()?;
    if acknowledged > 0 {
        app.say(&format!("took note of {}", damage::counted(acknowledged, "hole")));
    }
    Ok(())
}
