//! What is remembered of the single records of a file, however many it has.
//!
//! Readers and the writer look records up by their ids. The latest ones are held in memory; older ones go into a database of
//! SQLite's own making, which has no name and is gone with the process, so that the memory does not grow with the
//! file. The price is a look-up on disk for what lies far back, and for every record that was never seen.
//!
//! All that is put in is also noted one after the other. These notes are what the next import of a file that grew begins
//! with, see `bookmark`. They hold digests of ids, never the ids.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::marker::PhantomData;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::{Result, SessionError};

/// How many values are held in memory.
const RECENT_MAX: usize = 16 << 10;

/// How many bytes the values have that are held in memory, as they are noted. Held, a value takes some times as much.
const RECENT_BYTES_MAX: usize = 1 << 20;

/// How many bytes of notes are held in memory.
const NOTES_BYTES_MAX: usize = 1 << 20;

/// How many bytes of a database are held in memory, as SQLite counts them: in KiB, negative.
const CACHE_KIB: i32 = -1024;

/// What a value is found by: an id's digest.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(super) struct Key([u8; 16]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// Hashes keys, which are digests: whoever wants two of them to be alike in 8 bytes has to try for long, and slows down his own import.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfKey(u64);

impl Hasher for OfKey {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

/// Makes hashers of keys.
pub(super) type ByKey = BuildHasherDefault<OfKey>;

impl Key {
    /// The key of a text.
    pub(super) fn of(text: &str) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A memory whose values do not matter.
pub(super) trait Notes {
    /// Gives what was noted since the last time, in order.
    fn take(&mut self, visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;

    /// Takes notes back. False if they are none.
    fn restore(&mut self, notes: &[u8]) -> bool;

    /// What went wrong: from then on nothing that is found, or not found, means anything.
    fn trouble(&mut self) -> Option<SessionError>;
}

/// Fails if anything that was remembered is lost.
pub(super) fn check(memories: Vec<&mut dyn Notes>) -> Result<()> {
    memories.into_iter().find_map(Notes::trouble).map_or(Ok(()), Err)
}

/// Values by the ids of records.
pub(super) struct Memory<V> {
    /// `None`: forgotten.
    recent: HashMap<Key, Option<V>, ByKey>,
    recent_bytes: usize,
    older: Option<Connection>,
    notes: Vec<u8>,
    trouble: OnceCell<rusqlite::Error>,
    recent_max: usize,
    values: PhantomData<V>,
}

impl<V> Default for Memory<V> {
    fn default() -> Self {
        Self::holding(RECENT_MAX)
    }
}

impl<V> fmt::Debug for Memory<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("recent", &self.recent.len()).finish_non_exhaustive()
    }
}

impl<V> Memory<V> {
    fn holding(recent_max: usize) -> Self {
        Self {
            recent: HashMap::default(),
            recent_bytes: 0,
            older: None,
            notes: Vec::new(),
            trouble: OnceCell::new(),
            recent_max,
            values: PhantomData,
        }
    }
}

impl<V: Clone + Serialize + DeserializeOwned> Memory<V> {
    /// The value of a record.
    pub(super) fn get(&self, id: &str) -> Option<V> {
        self.at(Key::of(id))
    }

    /// Whether a record has a value.
    pub(super) fn contains(&self, id: &str) -> bool {
        self.get(id).is_some()
    }

    /// Puts a record's value in the place of the one that it had.
    pub(super) fn insert(&mut self, id: &str, value: V) {
        self.put(Key::of(id), Some(value));
    }

    /// The value of a key.
    pub(super) fn at(&self, key: Key) -> Option<V> {
        if let Some(value) = self.recent.get(&key) {
            return value.clone();
        }
        let found = find(self.older.as_ref()?, key);
        found.unwrap_or_else(|error| {
            // The first trouble is the one that tells; whoever asks for it learns that this answer is none.
            let _ = self.trouble.set(error);
            None
        })
    }

    /// Puts a key's value; `None` takes it away.
    pub(super) fn put(&mut self, key: Key, value: Option<V>) {
        let Ok(text) = value.as_ref().map_or(Ok(Vec::new()), serde_json::to_vec) else { return };
        self.note(key, &text);
        self.hold(key, value, text.len());
    }

    fn note(&mut self, key: Key, text: &[u8]) {
        self.notes.extend_from_slice(&key.0);
        self.notes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.notes.extend_from_slice(text);
        if self.notes.len() >= NOTES_BYTES_MAX {
            let notes = std::mem::take(&mut self.notes);
            self.try_older(|db| db.execute("INSERT INTO notes (bytes) VALUES (?1)", [notes]).map(drop));
        }
    }

    fn hold(&mut self, key: Key, value: Option<V>, bytes: usize) {
        self.recent.insert(key, value);
        self.recent_bytes += bytes;
        if self.recent.len() > self.recent_max || self.recent_bytes > RECENT_BYTES_MAX {
            let mut recent = std::mem::take(&mut self.recent);
            self.try_older(|db| store(db, &recent));
            recent.clear();
            (self.recent, self.recent_bytes) = (recent, 0);
        }
    }

    fn try_older(&mut self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<()>) {
        let done = match &mut self.older {
            Some(db) => work(db),
            older => open().and_then(|db| work(older.insert(db))),
        };
        if let Err(error) = done {
            let _ = self.trouble.set(error);
        }
    }
}

impl<V: Clone + Serialize + DeserializeOwned> Notes for Memory<V> {
    fn take(&mut self, visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Some(db) = &self.older {
            let mut query = db.prepare("SELECT bytes FROM notes ORDER BY no").map_err(failed)?;
            let mut rows = query.query([]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                visit(&row.get::<_, Vec<u8>>(0).map_err(failed)?)?;
            }
            db.execute("DELETE FROM notes", []).map_err(failed)?;
        }
        visit(&std::mem::take(&mut self.notes))
    }

    fn restore(&mut self, mut notes: &[u8]) -> bool {
        while !notes.is_empty() {
            let Some((key, rest)) = notes.split_first_chunk::<16>() else { return false };
            let Some((length, rest)) = rest.split_first_chunk::<4>() else { return false };
            let length = u32::from_le_bytes(*length) as usize;
            let Some((text, rest)) = rest.split_at_checked(length) else { return false };
            let value = if text.is_empty() { Ok(None) } else { serde_json::from_slice(text).map(Some) };
            let Ok(value) = value else { return false };
            self.hold(Key(*key), value, length);
            notes = rest;
        }
        true
    }

    fn trouble(&mut self) -> Option<SessionError> {
        self.trouble.take().map(failed)
    }
}

/// A database without a name: in memory as long as it is small, then in a file that nobody else sees.
fn open() -> rusqlite::Result<Connection> {
    let db = Connection::open("")?;
    db.pragma_update(None, "cache_size", CACHE_KIB)?;
    db.pragma_update(None, "journal_mode", "OFF")?;
    db.pragma_update(None, "synchronous", "OFF")?;
    db.execute_batch(
        "CREATE TABLE value (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;
         CREATE TABLE notes (no INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;",
    )?;
    Ok(db)
}

fn find<V: DeserializeOwned>(db: &Connection, key: Key) -> rusqlite::Result<Option<V>> {
    let mut query = db.prepare_cached("SELECT value FROM value WHERE key = ?1")?;
    let found: Option<Vec<u8>> = query.query_row([key.0], |row| row.get(0)).optional()?;
    let found = found.filter(|text| !text.is_empty());
    found.map(|text| serde_json::from_slice(&text).map_err(unreadable)).transpose()
}

fn store<V: Serialize>(db: &mut Connection, values: &HashMap<Key, Option<V>, ByKey>) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO value (key, value) VALUES (?1, ?2)")?;
        for (key, value) in values {
            let text = value.as_ref().map_or(Ok(Vec::new()), serde_json::to_vec).map_err(unreadable)?;
            put.execute(params![key.0, text])?;
        }
    }
    transaction.commit()
}

fn unreadable(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

fn failed(error: rusqlite::Error) -> SessionError {
    let detail = "what is remembered of a file could not be put aside".to_owned();
    SessionError::Index { detail, source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(memory: &mut Memory<String>) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        memory
            .take(&mut |notes| {
                all.push(notes.to_vec());
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn what_lies_far_back_is_found_as_what_came_last() {
        let mut memory = Memory::<String>::holding(10);
        for number in 0..1000 {
            memory.insert(&format!("r{number}"), format!("v{number}"));
        }
        memory.insert("r3", "again".to_owned());
        memory.put(Key::of("r4"), None);
        for number in 0..20 {
            memory.insert(&format!("s{number}"), String::new());
        }
        assert!(memory.recent.len() <= 10);
        assert_eq!(memory.get("r2").as_deref(), Some("v2"));
        assert_eq!(memory.get("r3").as_deref(), Some("again"));
        assert_eq!(memory.get("r4"), None);
        assert_eq!(memory.get("r999").as_deref(), Some("v999"));
        assert!(!memory.contains("never"));
        assert!(memory.trouble().is_none());
    }

    #[test]
    fn few_long_values_are_held() {
        let mut memory = Memory::<String>::default();
        let value = |number: usize| number.to_string().repeat(4000);
        for number in 1000..2000 {
            memory.insert(&number.to_string(), value(number));
            let held: usize = memory.recent.values().flatten().map(String::len).sum();
            assert!(held <= RECENT_BYTES_MAX, "{held} bytes are held");
        }
        for number in 1000..2000 {
            assert_eq!(memory.get(&number.to_string()), Some(value(number)));
        }
        assert!(memory.trouble().is_none());
    }

    #[test]
    fn notes_make_the_same_memory() {
        let mut memory = Memory::<String>::holding(10);
        for number in 0..100_000 {
            memory.insert(&format!("r{}", number % 50_000), format!("v{number}"));
        }
        memory.put(Key::of("r7"), None);
        let first = taken(&mut memory);
        assert!(first.len() > 2, "notes are not held either");
        memory.insert("r8", "later".to_owned());
        let second = taken(&mut memory);
        let mut other = Memory::<String>::default();
        for notes in first.iter().chain(&second) {
            assert!(other.restore(notes));
        }
        for number in 0..50_000 {
            let id = format!("r{number}");
            assert_eq!(other.get(&id), memory.get(&id), "{id}");
        }
        assert_eq!(other.get("r8").as_deref(), Some("later"));
        assert_eq!(taken(&mut other), [Vec::<u8>::new()], "what is restored is not new");
    }

    #[test]
    fn what_are_no_notes_are_refused() {
        let mut memory = Memory::<String>::default();
        memory.insert("a", "b".to_owned());
        let notes = taken(&mut memory).concat();
        for cut in 1..notes.len() {
            assert!(!Memory::<String>::default().restore(&notes[..cut]), "{cut}");
        }
        assert!(!Memory::<u64>::default().restore(&notes));
    }
}
