//! Ids as a person types them: the last characters, with as many of them marked as are enough.
//!
//! The first half of an id is the time it was made in, which neighbours share; its end is what tells them apart.

use super::{Cell, Theme};

/// How much of an id is shown in a table.
pub(crate) const SHORT_ID_CELLS: usize = 8;

/// The end of an id, its last `unique` characters marked.
pub(crate) fn short_id(id: &str, unique: usize, theme: &Theme) -> Cell {
    let shown = id.get(id.len().saturating_sub(SHORT_ID_CELLS.max(unique))..).unwrap_or(id);
    let (rest, marked) = shown.split_at_checked(shown.len().saturating_sub(unique)).unwrap_or(("", shown));
    Cell::default().styled(theme.dim, rest).styled(theme.unique, marked)
}

#[cfg(test)]
mod tests {
    use super::*;
    const ID: &str = "0193c2f4-6a00-7abc-8def-0123456789ab";

    #[test]
    fn the_short_form_is_long_enough_to_be_typed() {
        let plain = Theme::default();
        assert_eq!(short_id(ID, 4, &plain).text(), "456789ab");
        assert_eq!(short_id(ID, 9, &plain).text(), "3456789ab");
        assert_eq!(short_id("tiny", 4, &plain).text(), "tiny");
    }
}
