//! What a verification found, for people: what is damaged, where, and what to do next.

use std::collections::BTreeSet;
use std::io::{self, Write};

use store_core::integrity::{Finding, FindingKind, Report};
use store_core::{SegmentId, SessionId};

use crate::app::App;
use crate::render::{one_line, thousands};

/// So many findings of one place are told; the others are counted.
const TOLD_OF_A_PLACE_MAX: usize = 10;
/// So many segments are named in a hint.
const NAMED_MAX: usize = 3;

/// Writes all findings, by place.
pub(super) fn write_findings(app: &App, out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    let place = |finding: &Finding| (finding.session_id, finding.segment_id);
    for of_place in findings.chunk_by(|a, b| place(a) == place(b)) {
        let Some(first) = of_place.first() else { continue };
        write_place(app, out, place(first))?;
        for finding in of_place.iter().take(TOLD_OF_A_PLACE_MAX) {
            write_finding(app, out, finding)?;
        }
        match of_place.len().saturating_sub(TOLD_OF_A_PLACE_MAX) {
            0 => {}
            more => writeln!(out, "  … and {more} more (--json tells all)")?,
        }
    }
    Ok(())
}

fn write_place(app: &App, out: &mut dyn Write, place: (Option<SessionId>, Option<SegmentId>)) -> io::Result<()> {
    let (strong, dim) = (app.terminal.theme.strong, app.terminal.theme.dim);
    match place {
        (session, Some(segment)) => {
            writeln!(out, "{strong}segment {segment}{strong:#}")?;
            session.map_or(Ok(()), |session| writeln!(out, "  {dim}of session {session}{dim:#}"))
        }
        (Some(session), None) => writeln!(out, "{strong}session {session}{strong:#}"),
        (None, None) => writeln!(out, "{strong}the store{strong:#}"),
    }
}

fn write_finding(app: &App, out: &mut dyn Write, finding: &Finding) -> io::Result<()> {
    let theme = &app.terminal.theme;
    let style = if finding.kind.is_damage() { theme.bad } else { theme.warn };
    let kind = finding.kind.to_string().replace('_', " ");
    let mut at = String::new();
    if let Some(seq) = finding.seq {
        at = format!("entry {seq}, ");
    }
    if finding.segment_id.is_some() {
        at.push_str(&format!("part {}, offset {}", finding.part, finding.offset));
    }
    writeln!(out, "  {style}{kind}{style:#}  {}", at.trim_end_matches(", "))?;
    writeln!(out, "    {}", one_line(&finding.detail))
}

/// One line about the whole.
pub(super) fn summary(report: &Report) -> String {
    let looked_at = format!(
        "{}, {}, {}",
        counted(report.sessions, "session"),
        counted(report.segments, "segment"),
        counted_entries(report.entries)
    );
    let of_kind = |is_it: fn(FindingKind) -> bool| report.damage.iter().filter(|one| is_it(one.kind)).count() as u64;
    let findings = of_kind(FindingKind::is_damage) + report.damage_omitted;
    let torn = match of_kind(|kind| kind == FindingKind::TornTail) {
        0 => String::new(),
        tails => format!("; {} of writes that nobody was promised", counted(tails, "torn tail")),
    };
    let unproved = match of_kind(|kind| kind == FindingKind::Unproved) {
        0 => String::new(),
        logs => format!("; {} of an older layout, without checksums", counted(logs, "log")),
    };
    let verdict = match (report.stopped, findings) {
        (true, _) => format!("stopped before the end, with {} until then", counted(findings, "finding")),
        (false, 0) => "everything is as it was written".to_owned(),
        (false, findings) => counted(findings, "finding"),
    };
    format!("{looked_at}: {verdict}{torn}{unproved}")
}

/// A count with its noun.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{} {noun}s", thousands(count)) }
}

/// A count of entries.
pub(super) fn counted_entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{} entries", thousands(count)) }
}

/// What to do about the findings, most useful first.
pub(super) fn advice(findings: &[Finding]) -> Vec<String> {
    let mut advice = Vec::new();
    let of_kind = |kinds: &[FindingKind]| findings.iter().filter(|one| kinds.contains(&one.kind)).collect::<Vec<_>>();
    let mendable = [
        FindingKind::Checksum,
        FindingKind::Sequence,
        FindingKind::Json,
        FindingKind::Structure,
        FindingKind::Chain,
        FindingKind::Projection,
    ];
    let to_mend = of_kind(&mendable);
    let segments: BTreeSet<SegmentId> = to_mend.iter().filter_map(|finding| finding.segment_id).collect();
    let beside = to_mend.iter().filter(|finding| finding.segment_id.is_none());
    let sessions: BTreeSet<SessionId> = beside.clone().filter_map(|finding| finding.session_id).collect();
    let ids: Vec<String> =
        segments.iter().map(ToString::to_string).chain(sessions.iter().map(ToString::to_string)).collect();
    for id in ids.iter().take(NAMED_MAX) {
        advice.push(format!("`pod repair {id} --dry-run` says what can be saved"));
    }
    if ids.len() > NAMED_MAX {
        advice
            .push(format!("{} more can be repaired the same way, all at once by `pod repair`", ids.len() - NAMED_MAX));
    }
    let of_store = |kinds: &[FindingKind]| {
        to_mend.iter().any(|one| one.segment_id.is_none() && one.session_id.is_none() && kinds.contains(&one.kind))
    };
    if of_store(&[FindingKind::Checksum, FindingKind::Sequence, FindingKind::Json]) {
        advice.push("`pod repair --dry-run` says what can be saved of what belongs to the store as a whole".to_owned());
    }
    let lacking = [FindingKind::Chain, FindingKind::Origin, FindingKind::Blob, FindingKind::Structure];
    if !of_kind(&lacking).is_empty() {
        advice.push("what no repair brings back can only come from a copy of the store; `pod repair --into URL` saves a broken database".to_owned());
    }
    if !of_kind(&[FindingKind::Projection]).is_empty() {
        advice.push("`pod migrate --to URL` copies all that can be read into a store that is whole".to_owned());
    }
    if !of_kind(&[FindingKind::Hole]).is_empty() {
        advice.push("`pod verify --acknowledge` takes note of what power losses left".to_owned());
    }
    if !of_kind(&[FindingKind::Permission]).is_empty() {
        advice.push("files are for their owner alone: chmod 600, folders 700".to_owned());
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_finding_has_advice_that_fits() {
        let (session, segment) = (SessionId::derive(1, b"s"), SegmentId::derive(1, b"s"));
        let of = |kind| Finding::of_segment(session, segment, None, kind, "x");
        assert!(advice(&[]).is_empty());
        assert!(advice(&[of(FindingKind::TornTail)]).is_empty(), "the next writer deals with it");
        let repair = format!("`pod repair {segment} --dry-run` says what can be saved");
        for kind in [FindingKind::Checksum, FindingKind::Sequence, FindingKind::Json] {
            assert_eq!(advice(&[of(kind), of(kind)]), [repair.as_str()]);
        }
        for kind in [FindingKind::Chain, FindingKind::Structure, FindingKind::Projection] {
            assert_eq!(advice(&[of(kind)])[0], repair, "what mends comes first: {kind}");
        }
        for kind in [FindingKind::Chain, FindingKind::Origin, FindingKind::Blob, FindingKind::Structure] {
            assert!(advice(&[of(kind)]).concat().contains("a copy of the store"), "{kind}");
        }
        let migrate = "`pod migrate --to URL` copies all that can be read into a store that is whole";
        assert_eq!(advice(&[of(FindingKind::Projection)])[1], migrate);
        let of_facts = Finding::of_session(session, FindingKind::Checksum, "x");
        assert_eq!(advice(&[of_facts]), [format!("`pod repair {session} --dry-run` says what can be saved")]);
        let of_store = Finding::of_store(FindingKind::Checksum, "x");
        assert!(advice(&[of_store]).concat().starts_with("`pod repair --dry-run`"));
        assert!(advice(&[of(FindingKind::Hole)]).concat().contains("--acknowledge"));
        assert!(advice(&[of(FindingKind::Permission)]).concat().contains("chmod"));
    }
}
