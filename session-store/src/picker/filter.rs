//! Which rows are shown: fuzzy words over what a row says, and conditions.

use nucleo_matcher::pattern::{Atom, AtomKind, CaseMatching, Normalization};
use nucleo_matcher::{Config, Matcher, Utf32Str};

use super::PickerRow;
use crate::query::{History, Query};

/// How much of a title is looked at; titles of pasted prompts are long.
const TITLE_CHARS_MAX: usize = 300;

/// Which characters of a title match, by their place, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Highlight(pub Vec<u32>);

/// A query, ready to be held against rows.
pub(super) struct Filter<'a> {
    query: &'a Query,
    needles: Vec<Needle>,
    matcher: Matcher,
    buffer: Vec<char>,
}

/// A word or phrase of the query.
struct Needle {
    /// In a title letters may stand between those that were typed.
    title: Atom,
    /// Beside it they may not: ids and paths have some of every letter.
    about: Atom,
    excluded: bool,
}

/// How well a row matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    pub(super) points: u32,
    pub(super) title: Highlight,
}

impl<'a> Filter<'a> {
    pub(super) fn new(query: &'a Query) -> Self {
        let needles = query.terms.iter().map(|term| {
            // What stands in quotes was meant as it stands there.
            let exact = term.excluded || term.prefix || term.text.contains(' ');
            let atom = |kind| Atom::new(&term.text, CaseMatching::Ignore, Normalization::Smart, kind, false);
            let title = atom(if exact { AtomKind::Substring } else { AtomKind::Fuzzy });
            Needle { title, about: atom(AtomKind::Substring), excluded: term.excluded }
        });
        Self { query, needles: needles.collect(), matcher: Matcher::new(Config::DEFAULT), buffer: Vec::new() }
    }

    /// `None` for a row that does not match.
    pub(super) fn score(&mut self, row: &PickerRow) -> Option<Score> {
        if !self.query.admits(&row.summary, History::of(row.compacted)) {
            return None;
        }
        let mut score = Score::default();
        if self.needles.is_empty() {
            return Some(score);
        }
        let title: String = row.summary.title.iter().flat_map(|title| title.chars()).take(TITLE_CHARS_MAX).collect();
        let about = about(row);
        for Needle { title: in_title, about: beside, excluded } in &self.needles {
            let mut places = Vec::new();
            let text = Utf32Str::new(&title, &mut self.buffer);
            let in_title = in_title.indices(text, &mut self.matcher, &mut places);
            let found = in_title.or_else(|| beside.score(Utf32Str::new(&about, &mut self.buffer), &mut self.matcher));
            match (found, excluded) {
                (Some(_), true) | (None, false) => return None,
                (None, true) => {}
                (Some(points), false) => {
                    // What the title says weighs more than what stands beside it.
                    score.points += u32::from(points) * if in_title.is_some() { 2 } else { 1 };
                    score.title.0.extend(places);
                }
            }
        }
        score.title.0.sort_unstable();
        score.title.0.dedup();
        Some(score)
    }
}

/// What a row says beside its title.
fn about(row: &PickerRow) -> String {
    let summary = &row.summary;
    let texts = [&summary.agent, &summary.cwd, &summary.branch, &summary.model, &summary.native_id];
    let mut about = summary.session_id.to_string();
    for text in texts.into_iter().flatten().chain(&summary.tags) {
        about.push(' ');
        about.push_str(text);
    }
    about
}
