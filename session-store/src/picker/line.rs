//! A line that is typed, with a cursor.

use unicode_segmentation::UnicodeSegmentation as _;

use super::Key;

/// A text and a place in it. The place is between two characters as a person sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// In bytes.
    cursor: usize,
}

impl Line {
    /// A line with the cursor at its end.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor and behind it.
    pub fn halves(&self) -> (&str, &str) {
        self.text.split_at(self.cursor)
    }

    /// Whether nothing stands behind the cursor.
    pub(super) fn is_at_end(&self) -> bool {
        self.cursor == self.text.len()
    }

    /// Puts text in at the cursor; controls and line breaks are blanks.
    pub(super) fn insert(&mut self, text: &str) {
        let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.text.insert_str(self.cursor, &clean);
        self.cursor += clean.len();
    }

    /// Takes a key that edits; `false` for one that does not.
    pub(super) fn take(&mut self, key: Key) -> bool {
        match key {
            Key::Char(c) => self.insert(c.encode_utf8(&mut [0; 4])),
            Key::Backspace => self.remove(self.before(), self.cursor),
            Key::Delete => self.remove(self.cursor, self.behind()),
            Key::Control('u') => self.remove(0, self.cursor),
            Key::Control('w') => self.remove(self.word_before(), self.cursor),
            Key::Left | Key::Control('b') => self.cursor = self.before(),
            Key::Right => self.cursor = self.behind(),
            Key::Home => self.cursor = 0,
            Key::End | Key::Control('e') => self.cursor = self.text.len(),
            _ => return false,
        }
        true
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }

    fn before(&self) -> usize {
        self.halves().0.grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn behind(&self) -> usize {
        self.cursor + self.halves().1.graphemes(true).next().map_or(0, str::len)
    }

    fn word_before(&self) -> usize {
        let before = self.halves().0.trim_end();
        let space = before.char_indices().rev().find(|(_, c)| c.is_whitespace());
        space.map_or(0, |(at, c)| at + c.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> Line {
        let mut line = Line::new("añb c");
        for key in keys {
            assert!(line.take(*key), "{key:?} edits");
        }
        line
    }

    #[test]
    fn what_is_typed_stands_where_the_cursor_is() {
        assert_eq!(typed(&[Key::Home, Key::Right, Key::Char('x')]).halves(), ("ax", "ñb c"));
        assert_eq!(typed(&[Key::Left, Key::Left, Key::Backspace]).text(), "añ c");
        assert_eq!(typed(&[Key::Home, Key::Delete, Key::End]).halves(), ("ñb c", ""));
    }

    #[test]
    fn words_and_whole_lines_are_removed() {
        assert_eq!(typed(&[Key::Control('w')]).text(), "añb ");
        assert_eq!(typed(&[Key::Control('w'), Key::Control('w')]).text(), "");
        assert_eq!(typed(&[Key::Left, Key::Control('u')]).text(), "c");
        // The space before the word has two bytes, and none of them may be left alone.
        let mut line = Line::new("a\u{a0}b");
        assert!(line.take(Key::Control('w')));
        assert_eq!(line.text(), "a\u{a0}");
    }

    #[test]
    fn a_character_of_several_code_points_is_one() {
        let mut line = Line::new("e\u{301}👩‍👩‍👧");
        assert!(line.take(Key::Backspace));
        assert_eq!(line.text(), "e\u{301}");
        assert!(line.take(Key::Backspace));
        assert_eq!(line.text(), "");
    }

    #[test]
    fn what_is_put_in_at_once_is_one_line() {
        let mut line = Line::default();
        line.insert("two\nlines\u{1b}[2J");
        assert_eq!(line.text(), "two lines [2J");
    }
}
