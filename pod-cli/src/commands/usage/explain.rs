//! `pod usage explain ID`

use std::collections::BTreeMap;

use serde::Serialize;
use session_store::UsageTotals;
use session_store::index::{RecordPlace, UsageRecord, Verdict};
use session_store::usage::{NanoDollars, PricedUse, Sums};
use store_core::{SegmentId, SessionId};

use super::{dollars, table};
use crate::app::App;
use crate::cli::UsageExplainArgs;
use crate::error::{Result, exit};
use crate::library::Library;
use crate::render::{Cell, Column, SHORT_ID_CELLS, Table, clock, rfc3339, thousands};

const COLUMNS: [Column; 7] = [
    Column::text("SEGMENT").shown_from(80),
    Column::number("SEQ"),
    Column::text("WHEN").shown_from(130),
    Column::number("TOKENS").shown_from(50),
    Column::number("COST").shown_from(40),
    Column::text("STATUS"),
    Column::text("WHY").flexible(),
];

/// What every record counts for, as JSON shows it.
#[derive(Serialize)]
struct Document {
    session_id: SessionId,
    /// The segment that was asked for, if one was.
    segment_id: Option<SegmentId>,
    records: Vec<Row>,
    counts: BTreeMap<&'static str, u64>,
    /// What is counted; as the report has it of the session.
    total: Sums,
    /// What others own, each request once.
    inherited: Sums,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    place: RecordPlace,
    ts: String,
    /// The request, under the name that tells its repeats.
    request: String,
    model: Option<String>,
    /// What the record says.
    #[serde(flatten)]
    usage: UsageTotals,
    /// What it counts with, if it counts.
    counted_usage: Option<UsageTotals>,
    cost_usd: Option<String>,
    listed_usd: Option<String>,
    reported_usd: Option<String>,
    status: Vec<&'static str>,
    /// The session that owns the request.
    owner: SessionId,
    /// The record that counts of it.
    counted: RecordPlace,
    why: String,
}

/// Says what each usage record of a conversation counts for.
pub(super) fn run(app: &App, arguments: &UsageExplainArgs) -> Result<u8> {
    let library = Library::for_reading(app)?;
    let target = library.resolve(app, &arguments.id)?;
    let segment = target.exact_segment.then_some(target.segment);
    let prices = app.prices()?;
    let records = library.index.explain_usage(target.session, segment)?;
    let (mut total, mut inherited) = (Sums::default(), BTreeMap::new());
    let mut counts = BTreeMap::from([("counted", 0), ("inherited", 0), ("duplicate", 0), ("unpriced", 0)]);
    let mut rows = Vec::with_capacity(records.len());
    for record in records {
        let priced = PricedUse::of(record.clone().into_use(), &prices);
        match record.verdict {
            Verdict::Counted => total.add(&priced),
            Verdict::Inherited => drop(inherited.insert(record.request.clone(), priced.clone())),
            Verdict::Duplicate => {}
        }
        let row = row(record, &priced);
        for status in &row.status {
            *counts.entry(*status).or_default() += 1;
        }
        rows.push(row);
    }
    let mut of_others = Sums::default();
    inherited.values().for_each(|priced| of_others.add(priced));
    let document = Document {
        session_id: target.session,
        segment_id: segment,
        records: rows,
        counts,
        total,
        inherited: of_others,
    };
    if app.global.json {
        app.print_json(&document)?;
    } else {
        write_table(app, &document)?;
    }
    Ok(exit::OK)
}

fn row(record: UsageRecord, priced: &PricedUse) -> Row {
    let text = |amount: Option<NanoDollars>| amount.map(|amount| amount.to_string());
    let totals = |usage| {
        let mut totals = UsageTotals::default();
        totals.add(usage);
        totals
    };
    let is_counted = record.verdict == Verdict::Counted;
    let status = match record.verdict {
        Verdict::Counted if priced.listed.is_none() => vec!["counted", "unpriced"],
        Verdict::Counted => vec!["counted"],
        Verdict::Inherited => vec!["inherited"],
        Verdict::Duplicate => vec!["duplicate"],
    };
    let counted = Some(priced).filter(|_| is_counted);
    Row {
        why: why(&record, priced),
        place: record.place,
        ts: rfc3339(record.usage.ts),
        model: record.usage.model.clone(),
        usage: totals(&record.usage),
        counted_usage: is_counted.then(|| totals(&record.counted_usage)),
        cost_usd: text(counted.and_then(PricedUse::cost)),
        listed_usd: text(counted.and_then(|priced| priced.listed)),
        reported_usd: text(counted.and_then(|priced| priced.reported)),
        status,
        owner: record.counted.session_id,
        counted: record.counted,
        request: record.request,
    }
}

/// Why a record counts for what it does, in words.
fn why(record: &UsageRecord, priced: &PricedUse) -> String {
    let short = |id: String| id.get(id.len().saturating_sub(SHORT_ID_CELLS)..).unwrap_or(&id).to_owned();
    let RecordPlace { session_id, segment_id, seq } = record.counted;
    match record.verdict {
        Verdict::Inherited => format!("conversation {} holds the request first", short(session_id.to_string())),
        Verdict::Duplicate if segment_id == record.place.segment_id => {
            format!("entry {seq} counts for the request")
        }
        Verdict::Duplicate => {
            format!("entry {seq} of segment {} counts for the request", short(segment_id.to_string()))
        }
        Verdict::Counted => {
            let larger = if record.usage.input_total_tokens == record.counted_usage.input_total_tokens
                && record.usage.output_tokens == record.counted_usage.output_tokens
            {
                ""
            } else {
                ", with what a larger record of it says elsewhere"
            };
            let price = match (priced.listed, priced.reported) {
                (Some(_), _) => "",
                (None, Some(_)) => "; the list has no price for it, the agent said one",
                (None, None) => "; nobody knows a price for it",
            };
            format!("this conversation holds the request first{larger}{price}")
        }
    }
}

fn write_table(app: &App, document: &Document) -> Result<()> {
    if document.records.is_empty() {
        app.say("no usage was recorded");
        return Ok(());
    }
    let theme = &app.terminal.theme;
    let mut rows = Table::new(&COLUMNS);
    for row in &document.records {
        let id = row.place.segment_id.to_string();
        let style = if row.status.contains(&"counted") { theme.good } else { theme.dim };
        let cost = row.cost_usd.as_deref().and_then(NanoDollars::parse).map(dollars);
        rows.row(vec![
            Cell::default().styled(theme.dim, id.get(id.len().saturating_sub(SHORT_ID_CELLS)..).unwrap_or(&id)),
            Cell::plain(&row.place.seq.to_string()),
            Cell::default().styled(theme.dim, &row.ts.parse().map_or_else(|_| row.ts.clone(), local)),
            Cell::plain(&thousands(row.usage.total_tokens)),
            Cell::plain(&cost.unwrap_or_default()),
            Cell::default().styled(style, &row.status.join(", ")),
            Cell::plain(&row.why),
        ]);
    }
    let mut out = app.paged();
    table::write(app, &mut out, &rows)?;
    out.finish()?;
    let count = |status: &str| document.counts.get(status).copied().unwrap_or(0);
    let cost = document.total.cost_usd.map_or_else(String::new, |cost| format!(", {}", dollars(cost)));
    app.say(&format!(
        "{} counted ({} tokens{cost}), {} inherited, {} duplicate; {} unpriced",
        count("counted"),
        thousands(document.total.usage.total_tokens),
        count("inherited"),
        count("duplicate"),
        count("unpriced"),
    ));
    Ok(())
}

fn local(time: jiff::Timestamp) -> String {
    clock(u64::try_from(time.as_millisecond()).unwrap_or_default())
}
