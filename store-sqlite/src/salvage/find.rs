//! Looking through every page for rows, and choosing among several that claim one place.

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::types::ValueRef;
use store_core::{SegmentId, SessionId};

use super::DatabaseSalvage;
use super::btree::{self, Kind, TreePage, record};
use super::pages::Pages;
use super::rows::{Row, SHA256_DIGITS, SegmentHint, row};
use crate::side::SideTable;

/// Where a record stands. A place that is smaller is the better one: pages that are live come before free ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    is_free: bool,
    page: u32,
    cell: u32,
}

/// The rows that were found, by what they are.
#[derive(Default)]
pub(super) struct Finds {
    pub(super) entries: BTreeMap<SegmentId, BTreeMap<u64, Spot>>,
    /// Facts, traces, checkpoints and events by table and owner.
    pub(super) sides: HashMap<SideTable, BTreeMap<Vec<u8>, BTreeMap<u64, Spot>>>,
    pub(super) blobs: BTreeMap<String, BTreeMap<i64, Spot>>,
    pub(super) quarantine: BTreeMap<i64, Spot>,
    pub(super) hints: HashMap<SegmentId, SegmentHint>,
    /// The events of each book of the ledger. None is ever deleted, so one on a free page is as good as any.
    pub(super) ledger: BTreeMap<String, BookFinds>,
}

/// How much longer than its last valid event a book is believed to have been.
const EVENTS_BEYOND_MAX: u64 = 4096;

/// What was found of a book.
#[derive(Default)]
pub(super) struct BookFinds {
    pub(super) spots: BTreeMap<u64, Spot>,
    /// The last event that anything tells of.
    pub(super) through: u64,
}

impl Finds {
    /// Looks through all pages.
    pub(super) fn look(pages: &Pages, salvage: &mut DatabaseSalvage) -> Self {
        let (free, is_whole) = pages.free();
        // Without the list of free pages, what no tree leads to is free, if all trees can be followed.
        let live = if is_whole { None } else { reachable(pages) };
        let is_free = |number| live.as_ref().map_or_else(|| free.contains(&number), |live| !live.contains(&number));
        let mut finds = Self::default();
        for number in 1..=pages.count {
            let Some(page) = pages.get(number) else {
                salvage.unreadable_pages.push(number);
                continue;
            };
            let Some(tree) = btree::parse(&page, number == 1, pages.usable()) else { continue };
            let spot = Spot { is_free: is_free(number), page: number, cell: 0 };
            finds.add_page(pages, &page, &tree, spot, &mut salvage.damaged_rows);
        }
        finds.drop_deleted();
        finds
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.sides.is_empty()
            && self.blobs.is_empty()
            && self.hints.is_empty()
            && self.ledger.is_empty()
    }

    fn add_page(&mut self, pages: &Pages, page: &[u8], tree: &TreePage, spot: Spot, damaged: &mut u64) {
        for (cell, at) in tree.cells.iter().zip(0..) {
            // Most of an index is nothing to look for.
            let Some(payload) = cell.payload(page, pages) else { continue };
            let Some(values) = record(&payload) else { continue };
            let spot = Spot { cell: at, ..spot };
            match row(tree.kind, cell.rowid, &values) {
                Some(Row::Damaged) => *damaged += u64::from(!spot.is_free),
                Some(row) => self.add(&row, spot),
                None => {}
            }
        }
    }

    fn add(&mut self, row: &Row<'_>, spot: Spot) {
        let keep = |known: &mut Spot| *known = spot.min(*known);
        match *row {
            Row::Entry { segment, seq, .. } => {
                self.entries.entry(segment).or_default().entry(seq).and_modify(keep).or_insert(spot);
            }
            Row::Side { table, owner, seq, .. } => {
                let owners = self.sides.entry(table).or_default();
                owners.entry(owner.to_vec()).or_default().entry(seq).and_modify(keep).or_insert(spot);
            }
            Row::BlobPart { sha256, part, .. } => {
                let parts = self.blobs.entry(sha256.to_owned()).or_default();
                parts.entry(part).and_modify(keep).or_insert(spot);
            }
            Row::EmptyBlob { sha256 } => {
                self.blobs.entry(sha256.to_owned()).or_default();
            }
            Row::Quarantined { number, .. } => {
                self.quarantine.entry(number).and_modify(keep).or_insert(spot);
            }
            // A free page knows of segments that are gone.
            Row::Segment { segment, hint } if !spot.is_free => {
                let known = self.hints.entry(segment).or_insert(hint);
                // The index knows only the session.
                if hint.entry_count >= known.entry_count {
                    *known = hint;
                }
            }
            Row::LedgerEvent { book, seq, .. } => {
                let found = self.ledger.entry(book.to_owned()).or_default();
                found.spots.entry(seq).and_modify(keep).or_insert(spot);
                found.through = found.through.max(seq);
            }
            Row::LedgerEnd { book, seq } if !spot.is_free => {
                let found = self.ledger.entry(book.to_owned()).or_default();
                found.through = found.through.max(seq);
            }
            Row::LedgerEnd { .. } | Row::Segment { .. } | Row::Damaged => {}
        }
    }

    /// Leaves out what lies on free pages and belongs to nothing that lives.
    fn drop_deleted(&mut self) {
        for found in self.ledger.values_mut() {
            // What has no checksum is a hint.
            let last = found.spots.last_key_value().map_or(0, |(seq, _)| *seq);
            found.through = found.through.min(last + EVENTS_BEYOND_MAX);
        }
        // A book of which nothing but its end is known is lost as a whole, which is told. The index of the parts of blobs has rows of the same shape.
        let is_digest = |name: &str| name.len() == SHA256_DIGITS && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.ledger.retain(|name, found| found.through > 0 && !(found.spots.is_empty() && is_digest(name)));
        let hints = &self.hints;
        for (segment, entries) in &mut self.entries {
            let count = hints.get(segment).map_or(0, |hint| hint.entry_count);
            entries.retain(|seq, spot| !spot.is_free || *seq <= count);
        }
        self.entries.retain(|_, entries| !entries.is_empty());
        let owners: HashSet<Vec<u8>> = hints
            .iter()
            .flat_map(|(segment, hint)| [segment.as_bytes().to_vec(), hint.session.as_bytes().to_vec()])
            .chain([Vec::new()])
            .collect();
        for sides in self.sides.values_mut() {
            for (owner, rows) in sides.iter_mut() {
                rows.retain(|_, spot| !spot.is_free || owners.contains(owner));
            }
            sides.retain(|_, rows| !rows.is_empty());
        }
        self.sides.retain(|_, sides| !sides.is_empty());
        self.quarantine.retain(|_, spot| !spot.is_free);
    }

    /// The session that a segment belongs to, as far as its row says.
    pub(super) fn session_of(&self, segment: SegmentId) -> Option<SessionId> {
        self.hints.get(&segment).map(|hint| hint.session)
    }
}

/// Every page of every tree; `None` if one of them cannot be taken apart.
fn reachable(pages: &Pages) -> Option<HashSet<u32>> {
    let mut seen = HashSet::new();
    // The tree of the first page is the schema, which may have several pages.
    let mut next = vec![(1, true)];
    while let Some((number, is_schema)) = next.pop() {
        if !seen.insert(number) {
            // No page has two above it.
            return None;
        }
        let page = pages.get(number)?;
        let tree = btree::parse(&page, number == 1, pages.usable())?;
        next.extend(tree.children.iter().map(|child| (*child, is_schema)));
        if !is_schema {
            continue;
        }
        if tree.kind != Kind::Table {
            return None;
        }
        // A row of the schema: type, name, table, root page, statement. They stand in the leaves.
        for cell in tree.cells.iter().filter(|_| tree.children.is_empty()) {
            let payload = cell.payload(&page, pages)?;
            match record(&payload)?.get(3) {
                Some(ValueRef::Integer(root)) if *root > 0 => next.push((u32::try_from(*root).ok()?, false)),
                _ => return None,
            }
        }
    }
    Some(seen)
}

/// Reads the record at a spot again and hands over its row.
pub(super) fn with_row<T>(pages: &Pages, spot: Spot, each: impl FnOnce(&Row<'_>) -> T) -> Option<T> {
    let page = pages.get(spot.page)?;
    let tree = btree::parse(&page, spot.page == 1, pages.usable())?;
    let cell = tree.cells.get(usize::try_from(spot.cell).ok()?)?;
    let payload = cell.payload(&page, pages)?;
    let values = record(&payload)?;
    let kind: Kind = tree.kind;
    row(kind, cell.rowid, &values).map(|row| each(&row))
}
