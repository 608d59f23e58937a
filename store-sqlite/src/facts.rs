//! Facts about sessions and the store: numbered per scope, counted by their owner, so that one that is missing is noticed.

use rusqlite::{Connection, OptionalExtension as _};
use store_core::{Fact, FactScope, SessionId, StoreError, call};

use crate::connection::Connections;
use crate::error::{Result, damage};
use crate::side::SideTable;
use crate::{changes, row};

/// The id that stands in front of a fact: none for the store.
pub(crate) fn scope_bytes(scope: &FactScope) -> &[u8] {
    match scope {
        FactScope::Store => &[],
        FactScope::Session(session) => session.as_bytes(),
    }
}

/// A fact that may be put.
pub(crate) struct ReadyFact {
    domain: String,
    body: String,
}

impl ReadyFact {
    pub(crate) fn new(fact: &Fact) -> store_core::Result<Self> {
        Ok(Self { body: call::prepare_fact(fact)?, domain: fact.domain.clone() })
    }

    pub(crate) fn put(&self, transaction: &Connection, scope: FactScope) -> Result<()> {
        let Self { domain, body } = self;
        let owner = scope_bytes(&scope);
        let seq = count(transaction, scope)? + 1;
        transaction
            .prepare_cached("INSERT INTO facts (scope, seq, domain, body, crc32c) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute((owner, row::to_sql(seq), domain, body, SideTable::Facts.checksum(owner, seq, body)))?;
        match scope {
            FactScope::Store => {
                transaction.prepare_cached("UPDATE store SET fact_count = ?1 WHERE id = 1")?.execute([row::to_sql(seq)])
            }
            FactScope::Session(session) => {
                let change = changes::next(transaction)?;
                transaction
                    .prepare_cached("UPDATE sessions SET fact_count = ?2, change = ?3 WHERE session_id = ?1")?
                    .execute((session.as_bytes(), row::to_sql(seq), row::to_sql(change)))
            }
        }?;
        Ok(())
    }
}

pub(crate) fn put_fact(connections: &Connections, scope: FactScope, fact: &Fact) -> Result<()> {
    let ready = ReadyFact::new(fact)?;
    connections.writer()?.write(connections.durability_of_facts(), move |transaction| ready.put(transaction, scope))
}

/// How many facts the scope has.
pub(crate) fn count(connection: &Connection, scope: FactScope) -> Result<u64> {
    let found = match scope {
        FactScope::Store => connection
            .prepare_cached("SELECT fact_count FROM store WHERE id = 1")?
            .query_row([], |row| Ok(row::number(row, 0)))
            .optional()?,
        FactScope::Session(session) => count_of(connection, session)?,
    };
    match (found, scope) {
        (Some(count), _) => count,
        (None, FactScope::Session(session)) => Err(StoreError::no_session(session).into()),
        (None, FactScope::Store) => Err(damage(None, None, "the store has lost its own row").into()),
    }
}

fn count_of(connection: &Connection, session: SessionId) -> Result<Option<Result<u64>>> {
    let mut statement = connection.prepare_cached("SELECT fact_count FROM sessions WHERE session_id = ?1")?;
    Ok(statement.query_row([session.as_bytes()], |row| Ok(row::number(row, 0))).optional()?)
}

pub(crate) fn facts(connections: &Connections, scope: FactScope) -> Result<Vec<Fact>> {
    let owner = scope_bytes(&scope);
    connections.read(|connection| {
        let count = count(connection, scope)?;
        SideTable::Facts.read(connection, owner, None, count)
    })
}
