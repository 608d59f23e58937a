//! Full text: how long reading it takes once, and how long questions take then.
//!
//! Texts are made of a vocabulary in which a word's place says how often it is said, as in languages: the n-th word about as often as the first, divided by n. So
//! a question for a frequent word finds very many places and one for a rare word a few, which is what its time follows.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use session_store::index::{ArchivedFilter, Index, KindFilter, ListQuery, SearchProgress, SearchQuery};
use session_store::query::Query;
use store_core::{Backend, CreateOptions, Durability, Item, ItemEntry, LogEntry, NewEntry, Part, Role, UserInput};

use super::live::Latencies;
use crate::ours::Kind;
use crate::{Result, entries};

/// How many words there are.
const WORDS: u64 = 50_000;
/// How many words an entry says.
const WORDS_PER_ENTRY: u64 = 40;
/// How many entries a conversation has.
const PER_SESSION: u64 = 1000;
/// How many places are asked for, as `pod search` does.
const LIMIT: usize = 20;

/// What was measured.
#[derive(Debug)]
pub struct Found {
    /// How long the index took to read all texts.
    pub read: Duration,
    /// How large its file is then.
    pub index_bytes: u64,
    /// How long questions took, a row a kind of question, with how many places it finds.
    pub rows: Vec<Latencies>,
}

/// Numbers that look like chance and are the same in every run.
#[derive(Clone, Copy, Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled".
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// The place of a word: the logarithm of places is even, so that the n-th is said about 1/n as often as the first.
    fn place(&mut self) -> u64 {
        let even = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and the number of words"
        )]
        let place = (WORDS as f64).powf(even) as u64 - 1;
        place.min(WORDS - 1)
    }
}

/// A word by its place: syllables, so that beginnings of words are shared.
fn word(place: u64) -> String {
    const SYLLABLES: [&str; 16] =
        ["ba", "de", "fi", "go", "ku", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "wo", "xu", "zä"];
    let mut word = String::new();
    let mut rest = place + 16;
    while rest > 0 {
        word.push_str(SYLLABLES[usize::try_from(rest % 16).unwrap_or(0)]);
        rest /= 16;
    }
    word
}

fn text(chance: &mut Chance) -> String {
    let mut text = String::new();
    for _ in 0..WORDS_PER_ENTRY {
        // Writing to a text cannot fail.
        let _ = write!(text, "{} ", word(chance.place()));
    }
    text
}

fn entry(n: u64, chance: &mut Chance) -> NewEntry {
    let ts = entries::START_MS + n;
    let text = text(chance);
    NewEntry::from(match n % 2 {
        0 => LogEntry::UserInput(UserInput { ts, content: vec![Part::text(text)] }),
        _ => LogEntry::AssistantItem(ItemEntry { ts, item: Item::message(Role::Assistant, text) }),
    })
}

fn prepare(kind: Kind, folder: &Path, count: u64) -> Result<()> {
    let store = kind.open(folder)?;
    let options = CreateOptions { durability: Some(Durability::Buffered) };
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    for n in 0..count.div_ceil(PER_SESSION) {
        let (session, segment) = entries::ids(n);
        let mut new = vec![entries::start(session)];
        new.extend((1..PER_SESSION.min(count - n * PER_SESSION)).map(|n| entry(n, &mut chance)));
        store.create_segment(session, segment, &new, &options)?;
    }
    Ok(())
}

/// The question for the n-th time.
type Question = fn(u64) -> String;

/// Kinds of questions, each with its name.
const QUESTIONS: [(&str, Question); 6] = [
    ("a rare word", |n| word(20_000 + n * 97 % 20_000)),
    ("a less frequent word", |n| word(300 + n % 60)),
    ("two such words", |n| format!("{} {}", word(300 + n % 60), word(370 + n % 50))),
    ("a phrase of two frequent words", |n| format!("\"{} {}\"", word(20 + n % 20), word(50 + n % 20))),
    ("the beginning of rare words", |n| format!("{}*", word(20_000 + n * 97 % 20_000))),
    ("a frequent word", |n| word(3 + n % 3)),
];

/// Searches `count` entries in conversations of a thousand, `times` for each kind of question.
///
/// # Errors
/// Those of the store and of the index; a question that finds nothing at all.
pub fn search(kind: Kind, folder: &Path, count: u64, times: u64) -> Result<Found> {
    let place = tempfile::Builder::new().prefix("find-").tempdir_in(folder)?;
    prepare(kind, place.path(), count)?;
    let store = kind.open(place.path())?;
    let index = Index::open(&*store)?;
    index.refresh(&*store)?;
    let begun = Instant::now();
    while index.read_texts(&*store, &mut SearchProgress::default())? {}
    let read = begun.elapsed();
    let path = store.info().projection_path.ok_or("the store keeps no index")?;
    let mut rows = Vec::new();
    for question in QUESTIONS {
        rows.push(ask(&*store, &index, question, times)?);
    }
    Ok(Found { read, index_bytes: std::fs::metadata(path)?.len(), rows })
}

fn ask(store: &dyn Backend, index: &Index, (name, question): (&str, Question), times: u64) -> Result<Latencies> {
    let among = ListQuery { kind: KindFilter::All, archived: ArchivedFilter::All, ..ListQuery::default() };
    let mut took = Vec::new();
    let mut places = Vec::new();
    for n in 0..times {
        let query = Query::parse(&question(n), &|_| Err("no times are asked for".to_owned()));
        let query = SearchQuery { query, among: among.clone(), limit: Some(LIMIT), per_session: None };
        let begun = Instant::now();
        let found = index.search(store, &query)?;
        took.push(begun.elapsed());
        places.push(found.total);
    }
    places.sort_unstable();
    match (places.first(), places.last()) {
        (Some(least), Some(most)) if *most > 0 => {
            Ok(Latencies::new(format!("{name} ({least} to {most} places)"), took))
        }
        _ => Err(format!("{name}: nothing was found").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_said_the_more_seldom_the_further_back_they_stand() {
        let mut chance = Chance(1);
        let places: Vec<u64> = (0..100_000).map(|_| chance.place()).collect();
        let said = |from: u64, to: u64| places.iter().filter(|place| (from..to).contains(*place)).count();
        assert!(said(0, 10) > said(10, 30) && said(10, 30) > said(1000, 1020) * 5);
        assert!(said(20_000, WORDS) > 0);
        assert_ne!(word(7), word(7 + 16));
    }

    #[test]
    fn every_kind_of_question_finds_something() {
        let folder = tempfile::tempdir().unwrap();
        let found = search(Kind::Fs, folder.path(), 3000, 40).unwrap();
        assert_eq!(found.rows.len(), QUESTIONS.len());
        assert!(found.index_bytes > 0);
    }
}
