//! Rows of the ledger's tables.

use rusqlite::{Connection, OptionalExtension as _, Row};
use store_core::ledger::rules::Standing;
use store_core::ledger::{Account, AccountId, AccountKind, Asset, AssetId, BookName, Event, LedgerResult, text};
use store_core::{Seq, StoreError};

use crate::error::{Result, damage};
use crate::row;

/// Tells a row without a key from one with an empty key.
// Persisted: never renumber or reuse.
const NO_KEY: [u8; 1] = [0];
const WITH_KEY: [u8; 1] = [1];

/// The checksum of an event's row: CRC-32C of `ledger_events`, the book's name and a 0, the seq (8 bytes, big-endian), 0 or 1 and the length (4 bytes,
/// big-endian) and bytes of the key, and the body.
pub(crate) fn checksum(book: &BookName, seq: u64, key: Option<&str>, body: &str) -> u32 {
    let append = crc32c::crc32c_append;
    let crc = append(crc32c::crc32c(b"ledger_events"), book.as_str().as_bytes());
    let crc = append(append(crc, &[0]), &seq.to_be_bytes());
    let crc = match key {
        None => append(crc, &NO_KEY),
        Some(key) => {
            let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
            append(append(append(crc, &WITH_KEY), &length.to_be_bytes()), key.as_bytes())
        }
    };
    append(crc, body.as_bytes())
}

/// The event in the columns seq, key, body, crc32c from `first` on.
pub(super) fn event(book: &BookName, row: &Row<'_>, first: usize) -> Result<LedgerResult<Event>> {
    let seq = row::number(row, first)?;
    let (key, body): (Option<String>, String) = (row.get(first + 1)?, row.get(first + 2)?);
    let stored = row::number(row, first + 3)?;
    let computed = checksum(book, seq, key.as_deref(), &body);
    if u64::from(computed) != stored {
        let detail = format!("the checksum is {computed:08X}, the row says {stored:08X}");
        return Ok(Err(text::damaged(book, Seq(seq), detail)));
    }
    Ok(text::decode(book, Seq(seq), key.as_deref(), &body))
}

/// Something that stands in a column and cannot.
pub(super) fn strange(what: &str) -> StoreError {
    damage(None, None, format!("the ledger's tables say {what:?}"))
}

fn name<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| strange(text).into())
}

/// A book's name in a column.
pub(super) fn book(row: &Row<'_>, column: usize) -> Result<BookName> {
    name(&row.get::<_, String>(column)?)
}

/// The asset in the columns asset, precision.
pub(super) fn asset_of(row: &Row<'_>) -> Result<Asset> {
    let precision: i64 = row.get(1)?;
    let precision = u8::try_from(precision).map_err(|_| strange("a precision"))?;
    Ok(Asset { id: name(&row.get::<_, String>(0)?)?, precision })
}

/// A registered asset.
pub(super) fn asset(connection: &Connection, id: &AssetId) -> Result<Option<Asset>> {
    let mut statement = connection.prepare_cached("SELECT asset, precision FROM ledger_assets WHERE asset = ?1")?;
    let mut rows = statement.query([id.as_str()])?;
    rows.next()?.map(asset_of).transpose()
}

/// An account, with the number that its balances have it by.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    pub(super) number: i64,
    pub(super) account: Account,
    pub(super) net: i64,
    pub(super) updated_seq: Seq,
}

/// The columns that [`AccountRow`] is read from.
pub(super) const ACCOUNT_COLUMNS: &str = "account_id, path, asset, kind, min_balance, net, updated_seq";

impl AccountRow {
    pub(super) fn read(book: &BookName, row: &Row<'_>) -> Result<Self> {
        let (path, kind): (String, String) = (row.get(1)?, row.get(3)?);
        let account = Account {
            id: AccountId::new(book, &path).map_err(|_| strange(&path))?,
            asset: name(&row.get::<_, String>(2)?)?,
            kind: AccountKind::of(&kind).ok_or_else(|| strange(&kind))?,
            min_balance: row.get(4)?,
        };
        Ok(Self { number: row.get(0)?, account, net: row.get(5)?, updated_seq: Seq(row::number(row, 6)?) })
    }

    pub(super) fn find(connection: &Connection, id: &AccountId) -> Result<Option<Self>> {
        let sql = format!("SELECT {ACCOUNT_COLUMNS} FROM ledger_accounts WHERE book = ?1 AND path = ?2");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query((id.book().as_str(), id.path()))?;
        rows.next()?.map(|row| Self::read(id.book(), row)).transpose()
    }

    /// What a transaction is judged by.
    pub(super) fn standing(&self) -> Standing {
        let Account { asset, kind, min_balance, .. } = &self.account;
        Standing { asset: asset.clone(), kind: *kind, min_balance: *min_balance, net: self.net }
    }
}

/// The last event of a book and its commit time; `None` if nothing was written to it.
pub(super) fn end(connection: &Connection, book: &BookName) -> Result<Option<(Seq, u64)>> {
    let mut statement = connection.prepare_cached("SELECT last_seq, last_at FROM ledger_books WHERE book = ?1")?;
    let found =
        statement.query_row([book.as_str()], |row| Ok((row::number(row, 0), row::number(row, 1)))).optional()?;
    found.map(|(seq, at)| Ok((Seq(seq?), at?))).transpose()
}
