//! Ids as a person types them: the last characters, with as many of them marked as are enough.
//!
//! The first half of an id is the time it was made in, which neighbours share; its end is what tells them apart.

use super::{Cell, Theme};

/// The fewest characters that name something.
pub(crate) const SUFFIX_CHARS_MIN: usize = 4;
/// How much of an id is shown in a table.
pub(crate) const SHORT_ID_CELLS: usize = 8;

/// How many characters of the end of `id` name it alone, by what `is_unique` says of a suffix.
///
/// The whole id is the answer where no suffix is enough.
pub(crate) fn unique_suffix<E>(id: &str, mut is_unique: impl FnMut(&str) -> Result<bool, E>) -> Result<usize, E> {
    for chars in SUFFIX_CHARS_MIN..id.len() {
        let Some(suffix) = id.get(id.len() - chars..) else { continue };
        if !suffix.starts_with('-') && is_unique(suffix)? {
            return Ok(chars);
        }
    }
    Ok(id.len())
}

/// The end of an id, its last `unique` characters marked.
pub(crate) fn short_id(id: &str, unique: usize, theme: &Theme) -> Cell {
    let shown = id.get(id.len().saturating_sub(SHORT_ID_CELLS.max(unique))..).unwrap_or(id);
    let (rest, marked) = shown.split_at_checked(shown.len().saturating_sub(unique)).unwrap_or(("", shown));
    Cell::default().styled(theme.dim, rest).styled(theme.unique, marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const ID: &str = "0193c2f4-6a00-7abc-8def-0123456789ab";

    fn unique_from(others: &[&str]) -> usize {
        let unique = |suffix: &str| Ok::<_, Infallible>(others.iter().all(|other| !other.ends_with(suffix)));
        unique_suffix(ID, unique).unwrap()
    }

    #[test]
    fn the_shortest_ending_that_names_it_alone_is_marked() {
        assert_eq!(unique_from(&[]), 4);
        assert_eq!(unique_from(&["0193c2f4-6a00-7abc-8def-ffffffff89ab"]), 5);
        assert_eq!(unique_from(&["0193c2f4-6a00-7abc-8def-ffffff6789ab", "xx456789ab"]), 9);
    }

    #[test]
    fn an_id_that_is_the_end_of_another_needs_all_of_itself() {
        assert_eq!(unique_from(&["agent-0193c2f4-6a00-7abc-8def-0123456789ab"]), ID.len());
    }

    #[test]
    fn the_short_form_is_long_enough_to_be_typed() {
        let plain = Theme::default();
        assert_eq!(short_id(ID, 4, &plain).text(), "456789ab");
        assert_eq!(short_id(ID, 9, &plain).text(), "3456789ab");
        assert_eq!(short_id("tiny", 4, &plain).text(), "tiny");
    }
}
