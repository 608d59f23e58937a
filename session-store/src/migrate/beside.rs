//! What is said beside logs: facts and traces, added where the target lacks them.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use store_core::integrity::for_each_blob;
use store_core::{
    Backend, BlobGuard, Fact, FactScope, Integrity, Missing, SegmentId, SessionId, Store, StoreError, TraceEntry,
};

/// Those of `all` that `there` lacks, in order. What occurs several times is there as often as it is there.
fn missing<'a, T: Serialize>(all: &'a [T], there: &[T]) -> Result<Vec<&'a T>, StoreError> {
    let text = |one: &T| serde_json::to_string(one).map_err(StoreError::backend);
    let mut known: HashMap<String, u64> = HashMap::new();
    for one in there {
        *known.entry(text(one)?).or_default() += 1;
    }
    let mut missing = Vec::new();
    for one in all {
        match known.get_mut(&text(one)?).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => missing.push(one),
        }
    }
    Ok(missing)
}

/// What is to be put so that the target says what both say, and of each domain the newest counts.
fn facts_to_put(source: &[Fact], target: &[Fact]) -> Result<Vec<Fact>, StoreError> {
    let new = missing(source, target)?;
    let latest = |facts: &[&Fact]| -> BTreeMap<String, Fact> {
        facts.iter().map(|fact| (fact.domain.clone(), (*fact).clone())).collect()
    };
    let counted_before = latest(&target.iter().collect::<Vec<_>>());
    let counts_now = latest(&new);
    let mut put: Vec<Fact> = new.into_iter().cloned().collect();
    // What was said in the target since then would be buried.
    put.extend(counts_now.iter().filter_map(|(domain, now)| {
        let before = counted_before.get(domain)?;
        (before.ts > now.ts).then(|| before.clone())
    }));
    Ok(put)
}

/// Adds the facts of a scope that the target lacks; answers with how many.
pub(super) fn facts(
    source: &dyn Backend,
    target: &dyn Backend,
    scope: FactScope,
    dry_run: bool,
) -> Result<u64, StoreError> {
    let there = match target.facts(scope) {
        Err(StoreError::NotFound(_)) if dry_run => Vec::new(),
        there => there?,
    };
    let put = facts_to_put(&source.facts(scope)?, &there)?;
    for fact in put.iter().filter(|_| !dry_run) {
        let mut blobs = Blobs::default();
        blobs.bring(source, target, &fact.value.to_string())?;
        target.put_fact(scope, fact)?;
    }
    Ok(put.len() as u64)
}

/// Adds the events of a segment's trace that the target lacks; answers with how many.
pub(super) fn traces(
    source: &dyn Store,
    target: &dyn Store,
    session: SessionId,
    segment: SegmentId,
    dry_run: bool,
) -> Result<u64, StoreError> {
    let all: Vec<TraceEntry> = source.read_traces(session, segment)?;
    if all.is_empty() {
        return Ok(0);
    }
    let there = match target.read_traces(session, segment) {
        Err(StoreError::NotFound(_)) if dry_run => Vec::new(),
        there => there?,
    };
    let new = missing(&all, &there)?;
    for trace in new.iter().filter(|_| !dry_run) {
        target.append_trace(session, segment, trace)?;
    }
    Ok(new.len() as u64)
}

/// Blobs that are held in the target until what refers to them is there.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    guards: Vec<BlobGuard>,
    /// Addresses that the source does not have.
    pub(super) missing: Vec<String>,
}

impl Blobs {
    /// Copies what a text refers to. What only looks like a reference, to nothing, is noted.
    ///
    /// # Errors
    /// `Corrupt` if the source's bytes are not those that were put; what the stores fail with.
    pub(super) fn bring(&mut self, source: &dyn Store, target: &dyn Store, text: &str) -> Result<(), StoreError> {
        for reference in references(text) {
            match source.get_blob(&reference) {
                Ok(bytes) => self.guards.push(target.put_blob(&bytes)?),
                Err(StoreError::NotFound(Missing::Blob(_))) => self.missing.push(reference.sha256),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Looks whether the source has what a text refers to.
    ///
    /// # Errors
    /// As [`bring`](Self::bring).
    pub(super) fn look(&mut self, source: &dyn Backend, text: &str) -> Result<(), StoreError> {
        for reference in references(text) {
            let found = match source.integrity() {
                Some(integrity) => Integrity::check_blob(integrity, &reference),
                None => source.get_blob(&reference).map(drop),
            };
            match found {
                Ok(()) => {}
                Err(StoreError::NotFound(Missing::Blob(_))) => self.missing.push(reference.sha256),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn references(text: &str) -> Vec<store_core::BlobRef> {
    let mut references = Vec::new();
    for_each_blob(text, &mut |reference| references.push(reference));
    references
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fact(ts: u64, domain: &str, value: &str) -> Fact {
        Fact { ts, domain: domain.to_owned(), value: json!(value) }
    }

    #[test]
    fn what_stands_there_is_not_put_again_and_the_order_is_kept() {
        let source = [fact(1, "title", "a"), fact(2, "tags", "x"), fact(1, "title", "a"), fact(3, "title", "b")];
        assert_eq!(facts_to_put(&source, &[]).unwrap(), source);
        assert_eq!(facts_to_put(&source, &source[..2]).unwrap(), source[2..]);
        assert_eq!(facts_to_put(&source, &source).unwrap(), []);
        assert_eq!(facts_to_put(&source[..1], &source).unwrap(), []);
    }

    #[test]
    fn what_the_target_said_later_still_counts() {
        let (source, target) = ([fact(1, "title", "old")], [fact(9, "title", "new")]);
        let put = facts_to_put(&source, &target).unwrap();
        assert_eq!(put, [source[0].clone(), target[0].clone()]);
        let after: Vec<Fact> = target.iter().chain(&put).cloned().collect();
        assert_eq!(facts_to_put(&source, &after).unwrap(), [], "and nothing is added again");
    }
}
