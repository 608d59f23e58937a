//! Rows that are taken out of a book, kept as bytes of the store.
//!
//! A line for each row, with every column as it stood: what is no text is in hexadecimal. The fact `ledger.set_aside.<migration id>` names the bytes, and with that they stay.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use store_core::integrity::{MaintenanceOptions, Quarantined};
use store_core::{BlobRef, Fact, FactScope, MigrationId, Seq, chain};

use crate::blobs;
use crate::error::Result;
use crate::facts::ReadyFact;
use crate::row::{Utf8, to_sql};

/// How many bytes are kept under one name; a row more may be in it.
const BYTES_AT_ONCE: usize = 64 * 1024 * 1024;
// Persisted: never rename.
const DOMAIN: &str = "ledger.set_aside";
const COLUMNS: [&str; 7] = ["book", "seq", "at", "key", "transaction_id", "body", "crc32c"];

/// Takes out the rows of a book behind an event, and those that stand before the first; answers with where they are.
pub(super) fn set_aside(
    transaction: &Connection,
    (book, after): (Utf8<'_>, Seq),
    id: MigrationId,
    options: &MaintenanceOptions,
) -> Result<Vec<Quarantined>> {
    let mut kept = Vec::new();
    {
        let mut statement = transaction.prepare_cached(
            "SELECT book, seq, at, key, transaction_id, body, crc32c FROM ledger_events
             WHERE book = ?1 AND (seq > ?2 OR seq < 1) ORDER BY seq",
        )?;
        let (mut rows, mut lines) = (statement.query((&book, to_sql(after.0)))?, Lines::default());
        while let Some(row) = rows.next()? {
            let mut line = serde_json::Map::new();
            for (at, column) in COLUMNS.iter().enumerate() {
                line.insert((*column).to_owned(), value_of(row.get_ref(at)?));
            }
            lines.push(row.get(1)?, &Value::Object(line));
            if lines.bytes.len() >= BYTES_AT_ONCE {
                kept.push(std::mem::take(&mut lines));
            }
        }
        if lines.rows > 0 {
            kept.push(lines);
        }
    }
    transaction
        .prepare_cached("DELETE FROM ledger_events WHERE book = ?1 AND (seq > ?2 OR seq < 1)")?
        .execute((&book, to_sql(after.0)))?;
    let name = String::from_utf8_lossy(book.0).into_owned();
    kept.into_iter().map(|lines| lines.keep(transaction, &name, id, options)).collect()
}

/// Rows as lines.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    first: i64,
    rows: u64,
}

impl Lines {
    fn push(&mut self, seq: i64, line: &Value) {
        if self.rows == 0 {
            self.first = seq;
        }
        self.rows += 1;
        self.bytes.extend_from_slice(line.to_string().as_bytes());
        self.bytes.push(b'\n');
    }

    fn keep(
        self,
        transaction: &Connection,
        book: &str,
        id: MigrationId,
        options: &MaintenanceOptions,
    ) -> Result<Quarantined> {
        let reference = BlobRef { sha256: chain::sha256_hex(&self.bytes), bytes: self.bytes.len() as u64 };
        blobs::insert(transaction, &reference, &self.bytes)?;
        let value = json!({"book": book, "first_seq": self.first, "rows": self.rows, "kept": reference});
        let fact = Fact { ts: options.now, domain: format!("{DOMAIN}.{id}"), value };
        ReadyFact::new(&fact)?.put(transaction, FactScope::Store)?;
        let path = Some(format!("blob {}", reference.sha256));
        let offset = u64::try_from(self.first).unwrap_or(0);
        Ok(Quarantined { part: 1, offset, bytes: reference.bytes, path })
    }
}

fn value_of(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!({"hex": hex(bytes)}),
        },
        ValueRef::Blob(bytes) => hex(bytes).into(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
