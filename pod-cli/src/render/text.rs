//! Text that came out of a log, made fit for a terminal: without control sequences, and cut by what is seen.
//!
//! Whatever stands in a conversation was written by somebody else. It must not move the cursor, rename the window,
//! write to the clipboard or hide what follows; so every such text passes through here before a person sees it.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// What stands where a text was cut.
const ELLIPSIS: &str = "…";

/// The text without escape sequences and control characters; line breaks and tabs stay.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\u{9b}' => skip_csi(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut rest),
            c if is_hostile(c) => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The cleaned text on one line: runs of white space become one space.
pub(crate) fn one_line(text: &str) -> String {
    let mut out = String::new();
    for word in clean(text).split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// Controls except line break and tab, and what reorders or hides the text around it.
fn is_hostile(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

fn skip_escape(rest: &mut std::str::Chars<'_>) {
    let mut ahead = rest.clone();
    match ahead.next() {
        Some('[') => {
            *rest = ahead;
            skip_csi(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            *rest = ahead;
            skip_string(rest);
        }
        // Intermediate bytes, then a final one: character sets and the like.
        Some(' '..='/') => {
            *rest = ahead;
            skip_while(rest, |c| (' '..='/').contains(&c));
            skip_one_if(rest, |c| ('0'..='~').contains(&c));
        }
        Some('0'..='~') => *rest = ahead,
        // An escape before anything else stands alone: what follows is text.
        _ => {}
    }
}

/// Parameters and intermediates, then the final character of a control sequence.
fn skip_csi(rest: &mut std::str::Chars<'_>) {
    skip_while(rest, |c| (' '..='?').contains(&c));
    skip_one_if(rest, |c| ('@'..='~').contains(&c));
}

/// A string that ends with BEL, ST or ESC \. One that never ends is not allowed to hide the lines below it.
fn skip_string(rest: &mut std::str::Chars<'_>) {
    loop {
        let mut ahead = rest.clone();
        match ahead.next() {
            None | Some('\n') => return,
            Some('\u{7}' | '\u{9c}') => {
                *rest = ahead;
                return;
            }
            Some('\u{1b}') => {
                let mut end = ahead.clone();
                if end.next() == Some('\\') {
                    *rest = end;
                }
                return;
            }
            Some(_) => *rest = ahead,
        }
    }
}

fn skip_while(rest: &mut std::str::Chars<'_>, skip: impl Fn(char) -> bool) {
    while rest.clone().next().is_some_and(&skip) {
        rest.next();
    }
}

fn skip_one_if(rest: &mut std::str::Chars<'_>, skip: impl Fn(char) -> bool) {
    if rest.clone().next().is_some_and(skip) {
        rest.next();
    }
}

/// How many terminal cells a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text cut to at most `cells` terminal cells, between characters as a person sees them, with a mark where it
/// was cut.
pub(crate) fn truncate(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    let mut out = head(text, cells.saturating_sub(1)).to_owned();
    if cells > 0 {
        out.push_str(ELLIPSIS);
    }
    Cow::Owned(out)
}

/// The text cut at its front, for paths: their end tells more.
pub(crate) fn truncate_front(text: &str, cells: usize) -> Cow<'_, str> {
    if width(text) <= cells {
        return Cow::Borrowed(text);
    }
    let mut start = text.len();
    let mut used = 1;
    for (at, grapheme) in text.grapheme_indices(true).rev() {
        used += width(grapheme);
        if used > cells {
            break;
        }
        start = at;
    }
    let mark = if cells > 0 { ELLIPSIS } else { "" };
    Cow::Owned(format!("{mark}{}", text.get(start..).unwrap_or_default()))
}

fn head(text: &str, cells: usize) -> &str {
    let mut end = 0;
    let mut used = 0;
    for (at, grapheme) in text.grapheme_indices(true) {
        used += width(grapheme);
        if used > cells {
            break;
        }
        end = at + grapheme.len();
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_disappear_and_their_text_stays() {
        let cases = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;owned\u{7}title", "title"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{1b}Pq#0\u{1b}\\b", "ab"),
            ("a\u{9b}2Jb", "ab"),
            ("a\u{9d}52;c;aGk=\u{9c}b", "ab"),
            ("\u{1b}(Bplain", "plain"),
            ("\u{1b}c\u{1b}7reset", "reset"),
            ("bell\u{7}back\u{8}space\r\n", "bellbackspace\n"),
            ("del\u{7f}nul\0", "delnul"),
            ("tab\tand\nline", "tab\tand\nline"),
            ("right\u{202e}left\u{2066}", "rightleft"),
        ];
        for (hostile, seen) in cases {
            assert_eq!(clean(hostile), seen, "{hostile:?}");
        }
    }

    #[test]
    fn a_sequence_that_never_ends_hides_no_further_line() {
        assert_eq!(clean("\u{1b}]0;owned\nnext line"), "\nnext line");
        assert_eq!(clean("\u{1b}["), "");
        assert_eq!(clean("\u{1b}"), "");
        assert_eq!(clean("\u{1b}é"), "é");
        assert_eq!(clean("\u{1b}[12é"), "é");
    }

    #[test]
    fn clean_text_is_not_copied() {
        assert!(matches!(clean("plain ünïcode 日本"), Cow::Borrowed(_)));
    }

    #[test]
    fn one_line_folds_all_white_space() {
        assert_eq!(one_line("  a\r\n\tb\u{2028}c \u{1b}[1md"), "a b c d");
    }

    #[test]
    fn wide_and_joined_characters_are_cut_whole() {
        assert_eq!(truncate("日本語", 6), "日本語");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("👩‍👩‍👧x", 2), "…");
        assert_eq!(truncate("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(truncate("abc", 0), "");
        assert_eq!(truncate_front("/home/dev/src", 6), "…v/src");
        assert_eq!(truncate_front("/日本", 4), "…本");
    }
}
