//! Which piece of a text shows why it was found.

use std::collections::VecDeque;
use std::ops::Range;

use super::words::{Word, words};
use crate::query::{Query, Term};

/// How much of the text stands before the first place that matches, and how much a snippet holds, in characters.
const BEFORE_CHARS: usize = 40;
const SNIPPET_CHARS: usize = 160;

/// A word or phrase that has to be in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::index) struct Needle {
    words: Vec<String>,
    prefix: bool,
}

/// A piece of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) text: String,
    pub(super) ranges: Vec<[usize; 2]>,
    /// How many of the needles stand in the whole text.
    pub(super) found: usize,
}

impl Needle {
    /// `None` for a term without a letter or digit.
    fn new(term: &Term) -> Option<Self> {
        let words: Vec<String> = words(&term.text).map(|word| word.text).collect();
        (!words.is_empty()).then_some(Self { words, prefix: term.prefix })
    }

    /// What has to be in a text.
    pub(in crate::index) fn all(query: &Query) -> Vec<Self> {
        query.terms.iter().filter(|term| !term.excluded).filter_map(Self::new).collect()
    }

    /// The full-text expression of a query; `None` if no word is asked for.
    pub(in crate::index) fn expression(query: &Query) -> Option<String> {
        let wanted: Vec<String> = Self::all(query).iter().map(Self::to_expression).collect();
        let unwanted = query.terms.iter().filter(|term| term.excluded).filter_map(Self::new);
        let unwanted: String = unwanted.map(|needle| format!(" NOT {}", needle.to_expression())).collect();
        (!wanted.is_empty()).then(|| format!("({}){unwanted}", wanted.join(" AND ")))
    }

    /// Words have letters and digits alone, so that nothing of them is an operator within quotes.
    fn to_expression(&self) -> String {
        let star = if self.prefix { " *" } else { "" };
        format!("\"{}\"{star}", self.words.join(" "))
    }

    /// Whether the last of these words ends it.
    fn ends_with(&self, last: &VecDeque<Word>) -> bool {
        let Some(from) = last.len().checked_sub(self.words.len()) else { return false };
        let end = self.words.len() - 1;
        self.words.iter().enumerate().all(|(at, word)| {
            let said = &last[from + at].text;
            said == word || (at == end && self.prefix && said.starts_with(word.as_str()))
        })
    }
}

/// The piece around the first place that matches; the beginning if none does.
pub(super) fn snippet(text: &str, needles: &[Needle]) -> Snippet {
    let Places { ranges, found } = places(text, needles);
    let from = ranges.first().map_or(0, |first| beginning(text, first.start));
    let mut cut = Cut { ranges: ranges.into(), ..Cut::default() };
    if from > 0 {
        cut.push('…');
    }
    let mut end = text.len();
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < from) {
        if cut.chars >= SNIPPET_CHARS {
            end = at;
            break;
        }
        cut.at(at);
        cut.push(if c.is_whitespace() { ' ' } else { c });
    }
    cut.finish(end);
    if end < text.len() {
        cut.push('…');
    }
    Snippet { text: cut.text.trim_end().to_owned(), ranges: cut.done, found }
}

/// Where a snippet begins: some characters before a place, and at a word.
fn beginning(text: &str, place: usize) -> usize {
    let before = text.get(..place).unwrap_or_default();
    let Some((from, _)) = before.char_indices().rev().nth(BEFORE_CHARS) else { return 0 };
    before[from..].find(char::is_whitespace).map_or(from, |at| from + at + 1).min(place)
}

struct Places {
    /// In order and apart, as many as a snippet can hold.
    ranges: Vec<Range<usize>>,
    found: usize,
}

fn places(text: &str, needles: &[Needle]) -> Places {
    let longest = needles.iter().map(|needle| needle.words.len()).max().unwrap_or_default();
    let mut last: VecDeque<Word> = VecDeque::with_capacity(longest);
    let mut seen = vec![false; needles.len()];
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for word in words(text) {
        let end = word.range.end;
        if last.len() == longest {
            last.pop_front();
        }
        last.push_back(word);
        for (needle, seen) in needles.iter().zip(&mut seen).filter(|(needle, _)| needle.ends_with(&last)) {
            *seen = true;
            let start = last[last.len() - needle.words.len()].range.start;
            match ranges.pop_if(|before| before.end > start) {
                Some(before) => ranges.push(before.start..before.end.max(end)),
                // Every character of a snippet begins at most one.
                None if ranges.len() < SNIPPET_CHARS => ranges.push(start..end),
                None => {}
            }
        }
        if ranges.len() == SNIPPET_CHARS && seen.iter().all(|seen| *seen) {
            break;
        }
    }
    Places { ranges, found: seen.into_iter().filter(|seen| *seen).count() }
}

/// A snippet in the making.
#[derive(Default)]
struct Cut {
    text: String,
    chars: usize,
    ranges: VecDeque<Range<usize>>,
    open: Option<usize>,
    done: Vec<[usize; 2]>,
}

impl Cut {
    /// The text goes on at this byte: ranges that end or begin there are closed and opened.
    fn at(&mut self, byte: usize) {
        let Some(range) = self.ranges.front() else { return };
        if let Some(from) = self.open.filter(|_| range.end <= byte) {
            self.done.push([from, self.chars]);
            self.open = None;
            self.ranges.pop_front();
        }
        if self.ranges.front().is_some_and(|range| range.start <= byte) && self.open.is_none() {
            self.open = Some(self.chars);
        }
    }

    /// Runs of white space are one space, and there is none at the start.
    fn push(&mut self, c: char) {
        if c != ' ' || !(self.text.is_empty() || self.text.ends_with([' ', '…'])) {
            self.text.push(c);
            self.chars += 1;
        }
    }

    fn finish(&mut self, byte: usize) {
        self.at(byte);
        if let Some(from) = self.open.take() {
            self.done.push([from, self.chars]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(text: &str) -> Vec<Needle> {
        Needle::all(&query(text))
    }

    fn query(text: &str) -> Query {
        Query::parse(text, &|_| Err(String::new()))
    }

    /// The snippet with its ranges in brackets.
    fn marked(text: &str, asked: &str) -> String {
        let found = snippet(text, &needles(asked));
        let chars: Vec<char> = found.text.chars().collect();
        let mut said = String::new();
        for (at, c) in chars.iter().enumerate() {
            said.extend(found.ranges.iter().filter(|range| range[0] == at).map(|_| '['));
            said.push(*c);
            said.extend(found.ranges.iter().filter(|range| range[1] == at + 1).map(|_| ']'));
        }
        said
    }

    #[test]
    fn what_matches_is_marked_wherever_it_stands() {
        assert_eq!(marked("The build is red.\n\n  Build again!", "build"), "The [build] is red. [Build] again!");
        assert_eq!(marked("exit code 1, code 2", "\"exit code\" 2"), "[exit code] 1, code [2]");
        assert_eq!(marked("failing fails failure", "fail*"), "[failing] [fails] [failure]");
        assert_eq!(marked("Größe und Grosse", "grösse"), "Größe und [Grosse]");
        assert_eq!(marked("ビルドが失敗した", "失敗"), "ビルドが[失敗]した");
        assert_eq!(marked("a b c", "\"a b\" \"b c\""), "[a b c]");
    }

    #[test]
    fn a_long_text_is_cut_around_the_first_place() {
        let text = format!("{} here it is {}", "before ".repeat(50), "behind ".repeat(50));
        let said = marked(&text, "here");
        assert!(said.starts_with("…before before") && said.contains(" [here] it is behind "), "{said}");
        assert!(said.ends_with('…') && said.chars().count() <= SNIPPET_CHARS + 4, "{said}");
    }

    #[test]
    fn a_text_without_spaces_is_cut_too() {
        let said = marked(&format!("{}失敗{}", "前".repeat(500), "後".repeat(500)), "失敗");
        assert!(said.contains("前[失敗]後"), "{said}");
        assert!(said.chars().count() <= SNIPPET_CHARS + 4, "{said}");
    }

    #[test]
    fn it_is_counted_which_words_are_there() {
        assert_eq!(snippet("one two", &needles("one three two")).found, 2);
        assert_eq!(snippet("", &needles("one")), Snippet::default());
    }

    #[test]
    fn a_query_is_an_expression_of_words_alone() {
        let expression = |text| Needle::expression(&query(text));
        assert_eq!(
            expression("build fail* -\"old way\"").as_deref(),
            Some("(\"build\" AND \"fail\" *) NOT \"old way\"")
        );
        assert_eq!(expression("a\"b OR:c").as_deref(), Some("(\"a b\" AND \"or c\")"));
        assert_eq!(expression("-only -these"), None);
        assert_eq!(expression("→ …"), None);
    }
}
