//! What a word is, for texts and questions alike.
//!
//! A word is a run of letters and digits, in lower case and without accents; a character of a script that is written without spaces is a word of its own, so that a
//! phrase of them finds them anywhere. The database is handed words and does not look for any itself.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// What is kept of a word. Longer ones are hashes and encoded bytes, found by their beginning.
const WORD_CHARS_MAX: usize = 64;

/// A word where it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// In the form in which words are compared.
    pub(super) text: String,
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
}

/// The words of a text, in order.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        loop {
            let from = rest + text[rest..].find(is_of_word)?;
            let first = text[from..].chars().next()?;
            let behind = from + first.len_utf8();
            let end = if stands_alone(first) {
                // An accent belongs to the character before it.
                run_end(text, behind, is_combining_mark)
            } else {
                run_end(text, behind, |c| is_of_word(c) && !stands_alone(c))
            };
            rest = end;
            let word = folded(&text[from..end]);
            if !word.is_empty() {
                return Some(Word { text: word, range: from..end });
            }
        }
    })
}

fn run_end(text: &str, from: usize, belongs: impl Fn(char) -> bool) -> usize {
    text[from..].find(|c| !belongs(c)).map_or(text.len(), |length| from + length)
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c)
}

/// Whether a character is of a script that puts no spaces between words: Chinese, Japanese, Thai and their neighbours.
const fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{2E80}'..='\u{2FDF}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30FF}' | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FF66}'..='\u{FF9F}'
        | '\u{20000}'..='\u{3FFFF}')
}

fn folded(word: &str) -> String {
    if word.is_ascii() {
        return word.chars().take(WORD_CHARS_MAX).map(|c| c.to_ascii_lowercase()).collect();
    }
    // Taken apart first, so that what lower case adds is an accent like any other.
    let plain =
        word.nfkd().flat_map(char::to_lowercase).nfkd().filter(|c| !is_combining_mark(*c) && c.is_alphanumeric());
    plain.take(WORD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        words(text).map(|word| word.text).collect()
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_whatever_their_case_and_accents() {
        assert_eq!(of("Why is `read_range` RED?"), ["why", "is", "read", "range", "red"]);
        assert_eq!(
            of("Çédille NAÏVE e\u{301}te\u{301} İstanbul ﬁle ²"),
            ["cedille", "naive", "ete", "istanbul", "file", "2"]
        );
        assert_eq!(of(" … → 😀 --- "), Vec::<String>::new());
    }

    #[test]
    fn a_character_of_a_script_without_spaces_is_a_word() {
        assert_eq!(of("エラーが出るbuild失敗"), ["エ", "ラ", "ー", "か", "出", "る", "build", "失", "敗"]);
        assert_eq!(of("빌드 실패").len(), 2, "Korean puts spaces");
    }

    #[test]
    fn a_word_stands_where_it_was_found() {
        let text = "Die Größe: 3 m";
        let found: Vec<&str> = words(text).map(|word| &text[word.range]).collect();
        assert_eq!(found, ["Die", "Größe", "3", "m"]);
    }

    #[test]
    fn a_long_word_is_known_by_its_beginning() {
        assert_eq!(of(&"A".repeat(1000)), ["a".repeat(64)]);
        assert_eq!(of(&"Ä".repeat(1000)), ["a".repeat(64)]);
    }
}
