//! How much of the end of an id is enough to name it: what a list marks, so that a person types no more than that.
//!
//! One pass over all names, however many ids are asked about: names are sorted by their reversed bytes, where the name that shares the
//! longest ending with an id stands next to it.

use rusqlite::Connection;

use super::resolve::PARTIAL_CHARS_MIN;

/// For each id, the fewest characters of its end that no other name ends with; all of them where another name ends with
/// the whole id.
pub(super) fn unique_endings(db: &Connection, ids: &[String]) -> rusqlite::Result<Vec<usize>> {
    let mut query = db.prepare_cached(
        "SELECT id FROM session UNION SELECT id FROM segment
         UNION SELECT native_id FROM segment WHERE native_id IS NOT NULL",
    )?;
    let names = query.query_map([], |row| row.get_ref(0)?.as_bytes().map(reversed).map_err(Into::into))?;
    let mut names: Vec<Vec<u8>> = names.collect::<rusqlite::Result<_>>()?;
    names.sort_unstable();
    Ok(ids.iter().map(|id| unique_ending(&names, &reversed(id.as_bytes()))).collect())
}

fn reversed(name: &[u8]) -> Vec<u8> {
    name.iter().rev().copied().collect()
}

fn unique_ending(sorted: &[Vec<u8>], id: &Vec<u8>) -> usize {
    let before = sorted.partition_point(|name| name < id);
    let behind = sorted.partition_point(|name| name <= id);
    let neighbours = [before.checked_sub(1).and_then(|at| sorted.get(at)), sorted.get(behind)];
    let shared = neighbours.into_iter().flatten().map(|name| shared(name, id)).max().unwrap_or_default();
    (shared + 1).max(PARTIAL_CHARS_MIN).min(id.len())
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(names: &[&str], id: &str) -> usize {
        let mut sorted: Vec<Vec<u8>> = names.iter().map(|name| reversed(name.as_bytes())).collect();
        sorted.sort_unstable();
        unique_ending(&sorted, &reversed(id.as_bytes()))
    }

    #[test]
    fn as_much_is_needed_as_other_names_share() {
        assert_eq!(ending(&["0123456789ab"], "0123456789ab"), 4);
        assert_eq!(ending(&["0123456789ab", "ffffffff89ab", "zz"], "0123456789ab"), 5);
        assert_eq!(ending(&["0123456789ab", "ffffff6789ab", "a-456789ab"], "0123456789ab"), 9);
        assert_eq!(ending(&["ab"], "ab"), 2);
    }

    #[test]
    fn an_id_that_ends_another_name_needs_all_of_itself() {
        assert_eq!(ending(&["0123456789ab", "agent-0123456789ab"], "0123456789ab"), 12);
    }
}
