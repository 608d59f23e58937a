//! Which blobs are referred to.
//!
//! Two questions with two answers. *What must a reader be able to follow?* Objects of exactly `$blob` and `bytes`, found by parsing. *What
//! may not be collected?* Whatever names an address anywhere, also in bytes that are damaged or were taken out: found without parsing,
//! and rather once too often.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use memchr::memmem;
use serde_json::Value;

use super::contract::Integrity;
use super::scan::Scanned;
use crate::chain::is_sha256_hex;
use crate::entry::BlobRef;
use crate::error::{Result, StoreError};
use crate::store::{Fact, FactScope};

/// How many digits an address has.
const ADDRESS_DIGITS: usize = 64;

/// Calls `each` for every reference in an entry's text, at any depth; a text that is not JSON has none.
pub fn for_each_blob(text: &str, each: &mut dyn FnMut(BlobRef)) {
    if may_refer(text)
        && let Ok(value) = crate::json::from_str::<Value>(text)
    {
        walk(&value, each);
    }
}

/// Calls `each` for every reference in a fact's value.
pub(crate) fn for_each_blob_of_fact(fact: &Fact, each: &mut dyn FnMut(BlobRef)) {
    walk(&fact.value, each);
}

/// Whether a text can name `$blob`, however its letters are escaped. Most texts cannot, and need not be parsed.
fn may_refer(text: &str) -> bool {
    // Preparing a search takes as long as searching a short text.
    static PLAIN: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"$blob"));
    static ESCAPE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\\u00"));
    const ESCAPED: [&[u8]; 6] = [b"24", b"62", b"6c", b"6C", b"6f", b"6F"];
    let text = text.as_bytes();
    let escaped = |at: usize| text.get(at + 4..at + 6).is_some_and(|digits| ESCAPED.contains(&digits));
    PLAIN.find(text).is_some() || ESCAPE.find_iter(text).any(escaped)
}

/// Entries are nested 128 deep at most, which bounds the recursion.
fn walk(value: &Value, each: &mut dyn FnMut(BlobRef)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| walk(value, each)),
        Value::Object(fields) => {
            let reference = || {
                let sha256 = fields.get("$blob")?.as_str().filter(|text| is_sha256_hex(text))?.to_owned();
                Some(BlobRef { sha256, bytes: fields.get("bytes")?.as_u64()? })
            };
            match reference().filter(|_| fields.len() == 2) {
                Some(reference) => each(reference),
                None => fields.values().for_each(|value| walk(value, each)),
            }
        }
        _ => {}
    }
}

/// Every stretch of exactly 64 lower-case hex digits in some bytes: whatever could be an address. For bytes that may not be taken apart,
/// such as those in quarantine.
pub fn blob_addresses(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    bytes
        .split(move |byte| !is_digit(byte))
        .filter(|digits| digits.len() == ADDRESS_DIGITS)
        .filter_map(|digits| std::str::from_utf8(digits).ok())
}

/// The addresses that a store's entries and facts refer to.
#[derive(Clone, Debug, Default)]
pub struct BlobUse {
    used: HashSet<[u8; 32]>,
}

impl BlobUse {
    /// Whether a blob is referred to.
    pub fn contains(&self, address: &str) -> bool {
        digest(address).is_some_and(|digest| self.used.contains(&digest))
    }

    /// Adds what some bytes could refer to.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.used.extend(blob_addresses(bytes).filter_map(digest));
    }

    /// Adds what an entry's or a fact's text refers to.
    pub fn add_text(&mut self, text: &str) {
        // An address has no letter that needs an escape; where one is escaped nevertheless, parsing finds it.
        self.add_bytes(text.as_bytes());
        for_each_blob(text, &mut |reference| self.used.extend(digest(&reference.sha256)));
    }
}

fn digest(address: &str) -> Option<[u8; 32]> {
    address.parse::<crate::chain::ChainHead>().ok().map(|head| head.0)
}

/// What all entries and facts of a store refer to. A backend asks this while it keeps out whoever puts blobs, adds what lies in quarantine, and
/// removes the other blobs.
///
/// Reads every log, in memory that grows with the number of blobs.
///
/// # Errors
/// `Corrupt` if any entry cannot be read: nobody knows what it referred to; what the store fails with.
pub fn collectable(store: &dyn Integrity) -> Result<BlobUse> {
    let mut found = BlobUse::default();
    let add_facts = |scope, found: &mut BlobUse| -> Result<()> {
        for fact in store.facts(scope)? {
            found.add_text(&fact.value.to_string());
        }
        Ok(())
    };
    add_facts(FactScope::Store, &mut found)?;
    for session in store.list_sessions()? {
        // A session that is deleted meanwhile refers to nothing any more.
        let facts = add_facts(FactScope::Session(session), &mut found);
        unless_gone(facts)?;
        for segment in store.list_segments(session)? {
            let mut damage = None;
            let scanned = store.scan(session, segment, &mut |scanned| {
                match scanned {
                    Scanned::Entry(entry) => found.add_text(entry.text),
                    Scanned::Damaged(stretch) if !stretch.kind.is_damage() => {}
                    Scanned::Damaged(stretch) => {
                        damage = Some(stretch.to_finding(session, segment).to_damage());
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            });
            unless_gone(scanned)?;
            if let Some(damage) = damage {
                return Err(StoreError::Corrupt(damage));
            }
        }
    }
    Ok(found)
}

fn unless_gone(answer: Result<()>) -> Result<()> {
    match answer {
        Err(StoreError::NotFound(_)) => Ok(()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found_in(text: &str) -> Vec<u64> {
        let mut found = Vec::new();
        for_each_blob(text, &mut |reference| found.push(reference.bytes));
        found
    }

    #[test]
    fn references_are_found_at_any_depth_and_however_they_are_spelt() {
        let address = "ab".repeat(32);
        let plain = format!(r#"{{"$blob":"{address}","bytes":1}}"#);
        assert_eq!(found_in(&plain), [1]);
        assert_eq!(found_in(&format!(r#"{{"kind":"x","a":[[{plain}],{{"b":{plain}}}]}}"#)), [1, 1]);
        assert_eq!(found_in(&plain.replace("$blob", "\\u0024blob")), [1]);
        assert_eq!(found_in(&plain.replace("$blob", "$bl\\u006Fb")), [1]);
        assert_eq!(found_in(&plain.replace("abab", "ab")), [] as [u64; 0], "no address");
        assert_eq!(
            found_in(&format!(r#"{{"a":"{}"}}"#, plain.replace('"', "\\\""))),
            [] as [u64; 0],
            "a text about one"
        );
    }

    #[test]
    fn what_only_looks_like_a_reference_is_kept_too() {
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let mut found = BlobUse::default();
        found.add_bytes(format!(r#"torn: "{{\"$blob\":\"{one}\",\"by"#).as_bytes());
        assert!(found.contains(&one) && !found.contains(&two));
        found.add_text(&format!(r#"{{"$blob":"{}","bytes":1}}"#, two.replace('c', "\\u0063")));
        assert!(found.contains(&two));
    }
}
