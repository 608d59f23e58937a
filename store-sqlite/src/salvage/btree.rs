//! One page of a b-tree and the records on it, as the "Database File Format" page of sqlite.org describes them. Nothing here believes a
//! number before it has looked whether it can be true.

use rusqlite::types::ValueRef;

use super::pages::{Pages, number};

/// A page of a tree.
pub(super) struct TreePage {
    pub(super) kind: Kind,
    /// The pages below.
    pub(super) children: Vec<u32>,
    /// The records on it, in order; cells that make no sense are left out.
    pub(super) cells: Vec<Cell>,
}

/// What kind of tree a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of a table with row numbers.
    Table,
    /// Of an index, or of a table without row numbers.
    Index,
}

/// A record on a page, and where the rest of it stands.
pub(super) struct Cell {
    pub(super) rowid: i64,
    payload_bytes: usize,
    local: std::ops::Range<usize>,
    overflow: u32,
}

/// A variable-length number and the position behind it.
fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?).into())
}

/// Takes a page apart; `None` if it is no page of a tree. The first page of a database has its head before the tree.
pub(super) fn parse(page: &[u8], is_first: bool, usable: usize) -> Option<TreePage> {
    let start = if is_first { 100 } else { 0 };
    let (kind, is_leaf) = match page.get(start)? {
        0x02 => (Kind::Index, false),
        0x05 => (Kind::Table, false),
        0x0A => (Kind::Index, true),
        0x0D => (Kind::Table, true),
        _ => return None,
    };
    let count = short(page, start + 3)?;
    let pointers = start + if is_leaf { 8 } else { 12 };
    if pointers + 2 * count > usable || page.len() < usable {
        return None;
    }
    let mut tree = TreePage { kind, children: Vec::new(), cells: Vec::new() };
    for index in 0..count {
        let at = short(page, pointers + 2 * index)?;
        if at < pointers + 2 * count || at >= usable {
            continue;
        }
        let body = if is_leaf {
            at
        } else {
            tree.children.push(number(page, at));
            at + 4
        };
        // A table's inner page has row numbers only.
        if kind == Kind::Index || is_leaf {
            tree.cells.extend(cell(page, body, kind, usable));
        }
    }
    if !is_leaf {
        tree.children.push(number(page, start + 8));
    }
    Some(tree)
}

/// Whether a page looks like one of this size: rows are put in from its end on, so one of half the size has nothing in its second half, and one without rows says where
/// it ends.
pub(super) fn is_of_size(page: &[u8], size: usize) -> bool {
    if parse(page, false, size).is_none() {
        return false;
    }
    let pointers = if matches!(page.first(), Some(0x02 | 0x05)) { 12 } else { 8 };
    let (Some(count), Some(content)) = (short(page, 3), short(page, 5)) else { return false };
    if count == 0 {
        // The largest size does not fit, and is said as 0.
        return content == size % 65536;
    }
    (0..count).any(|index| short(page, pointers + 2 * index).is_some_and(|at| (size / 2..size).contains(&at)))
}

fn cell(page: &[u8], at: usize, kind: Kind, usable: usize) -> Option<Cell> {
    let (payload_bytes, at) = varint(page, at)?;
    let payload_bytes = usize::try_from(payload_bytes).ok()?;
    let (rowid, at) = match kind {
        Kind::Table => varint(page, at)?,
        Kind::Index => (0, at),
    };
    let local_max = match kind {
        Kind::Table => usable - 35,
        Kind::Index => (usable - 12) * 64 / 255 - 23,
    };
    let local_bytes = if payload_bytes <= local_max {
        payload_bytes
    } else {
        let local_min = (usable - 12) * 32 / 255 - 23;
        let wanted = local_min + (payload_bytes - local_min) % (usable - 4);
        if wanted <= local_max { wanted } else { local_min }
    };
    let end = at.checked_add(local_bytes).filter(|end| *end <= usable)?;
    let overflow = if local_bytes < payload_bytes { number(page, end) } else { 0 };
    Some(Cell { rowid: rowid.cast_signed(), payload_bytes, local: at..end, overflow })
}

impl Cell {
    /// The whole record; `None` if a page of it is missing.
    pub(super) fn payload(&self, page: &[u8], pages: &Pages) -> Option<Vec<u8>> {
        let limit = u64::from(pages.count) * pages.usable() as u64;
        if self.payload_bytes as u64 > limit {
            return None;
        }
        let mut payload = page.get(self.local.clone())?.to_vec();
        let mut next = self.overflow;
        while payload.len() < self.payload_bytes {
            let page = pages.get(next)?;
            next = number(&page, 0);
            let left = self.payload_bytes - payload.len();
            payload.extend_from_slice(&page[4..pages.usable().min(4 + left)]);
        }
        Some(payload)
    }
}

/// The values of a record; `None` if it is none.
pub(super) fn record(payload: &[u8]) -> Option<Vec<ValueRef<'_>>> {
    let (head_bytes, mut at) = varint(payload, 0)?;
    let head_bytes = usize::try_from(head_bytes).ok().filter(|bytes| *bytes <= payload.len())?;
    let mut body = head_bytes;
    let mut values = Vec::new();
    while at < head_bytes {
        let (code, behind) = varint(payload, at)?;
        at = behind;
        let length = match code {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(code).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((code - 12) / 2).ok()?,
        };
        let bytes = payload.get(body..body.checked_add(length)?)?;
        body += length;
        values.push(match code {
            0 => ValueRef::Null,
            8 => ValueRef::Integer(0),
            9 => ValueRef::Integer(1),
            7 => ValueRef::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
            1..=6 => ValueRef::Integer(integer(bytes)),
            _ if code % 2 == 0 => ValueRef::Blob(bytes),
            _ => ValueRef::Text(bytes),
        });
    }
    (at == head_bytes && body == payload.len()).then_some(values)
}

/// A number with a sign, of up to 8 bytes.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte))
}
