//! What was asked of a store, in order, and what it answered: all that can be held against it after a crash.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use store_core::{BlobRef, ChangeCursor, SegmentId, SegmentOrigin, SessionId};

/// One log of a store, as a caller names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LogId {
    Segment(SessionId, SegmentId),
    Trace(SessionId, SegmentId),
    Facts(Option<SessionId>),
}

impl LogId {
    pub(super) const fn session(self) -> Option<SessionId> {
        match self {
            Self::Segment(session, _) | Self::Trace(session, _) => Some(session),
            Self::Facts(session) => session,
        }
    }
}

/// What a store holds: the texts of each log.
pub(super) type Picture = BTreeMap<LogId, Vec<String>>;

/// An entry that was asked to be written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) key: Option<String>,
    pub(super) blob: Option<BlobRef>,
}

impl Entry {
    pub(super) fn plain(text: String) -> Self {
        Self { text, key: None, blob: None }
    }
}

/// One call that changes something.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Create {
        session: SessionId,
        segment: SegmentId,
        entries: Vec<Entry>,
        origin: Option<SegmentOrigin>,
        /// What is said of the session as soon as it is there.
        fact: Option<String>,
    },
    Append {
        log: LogId,
        entries: Vec<Entry>,
    },
    Delete {
        session: SessionId,
    },
}

/// What the store said to it.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// Nothing yet, or an error after which it may have happened.
    Unknown,
    /// It did not happen.
    Refused,
    /// It happened.
    Done {
        /// Whether it survives a power loss.
        synced: bool,
        /// Which seq each entry has; none where the call does not say.
        seqs: Vec<u64>,
    },
}

impl Outcome {
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }

    /// Whether it must not be lost.
    fn is_kept(&self, kept: Kept) -> bool {
        matches!(self, Self::Done { synced, .. } if *synced || kept == Kept::Acknowledged)
    }

    const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused)
    }
}

#[derive(Debug)]
struct Asking {
    asked: Asked,
    begun: usize,
    answered: Option<(usize, Outcome)>,
}

/// A place in the changes, and what the store held there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) mark: usize,
    pub(super) cursor: ChangeCursor,
    pub(super) picture: Picture,
}

/// Everything that was asked, each asking and each answer with a mark that counts up.
#[derive(Debug, Default)]
pub(super) struct Record {
    askings: Vec<Asking>,
    pub(super) places: Vec<Place>,
    mark: usize,
}

impl Record {
    /// A record that begins with what a store holds, on stable storage.
    pub(super) fn beginning_with(picture: &Picture, origins: &BTreeMap<SegmentId, SegmentOrigin>) -> Self {
        let mut record = Self::default();
        for (log, texts) in picture {
            let entries: Vec<Entry> = texts.iter().cloned().map(Entry::plain).collect();
            let asked = match *log {
                LogId::Segment(session, segment) => {
                    Asked::Create { session, segment, entries, origin: origins.get(&segment).copied(), fact: None }
                }
                log => Asked::Append { log, entries },
            };
            let asking = record.ask(asked);
            record.answer(asking, Outcome::Done { synced: true, seqs: Vec::new() });
        }
        record
    }

    /// The segments that were created and acknowledged, and where.
    pub(super) fn created(&self) -> BTreeMap<SegmentId, SessionId> {
        let created = |asking: &Asking| match (&asking.asked, &asking.answered) {
            (Asked::Create { session, segment, .. }, Some((_, outcome))) if outcome.is_done() => {
                Some((*segment, *session))
            }
            _ => None,
        };
        self.askings.iter().filter_map(created).collect()
    }

    /// Whether a session may have been deleted.
    pub(super) fn has_deleted(&self, session: SessionId) -> bool {
        self.askings.iter().any(|asking| matches!(asking.asked, Asked::Delete { session: of } if of == session))
    }

    pub(super) const fn mark(&self) -> usize {
        self.mark
    }

    pub(super) fn ask(&mut self, asked: Asked) -> usize {
        self.mark += 1;
        self.askings.push(Asking { asked, begun: self.mark, answered: None });
        self.askings.len() - 1
    }

    pub(super) fn answer(&mut self, asking: usize, outcome: Outcome) {
        self.mark += 1;
        self.askings[asking].answered = Some((self.mark, outcome));
    }

    pub(super) fn place(&mut self, cursor: ChangeCursor, picture: Picture) {
        self.mark += 1;
        self.places.push(Place { mark: self.mark, cursor, picture });
    }

    /// What was asked, and what was known of it, at a mark.
    pub(super) fn until(&self, mark: usize) -> History<'_> {
        let known = self.askings.iter().filter(|asking| asking.begun <= mark).map(|asking| {
            let answered = asking.answered.as_ref().filter(|(at, _)| *at <= mark);
            (&asking.asked, answered.map_or(&Outcome::Unknown, |(_, outcome)| outcome))
        });
        History { calls: known.collect() }
    }
}

/// The calls until some moment.
#[derive(Debug)]
pub(super) struct History<'a> {
    calls: Vec<(&'a Asked, &'a Outcome)>,
}

type LogCall<'a> = (&'a [Entry], &'a Outcome);

impl<'a> History<'a> {
    /// Every segment that was asked for.
    pub(super) fn segments(&self) -> BTreeSet<SegmentId> {
        let segment = |(asked, _): &(&Asked, &Outcome)| match asked {
            Asked::Create { segment, .. } => Some(*segment),
            _ => None,
        };
        self.calls.iter().filter_map(segment).collect()
    }

    /// The references to blobs, by the text of the entry that has them.
    pub(super) fn blobs(&self) -> BTreeMap<&'a str, &'a BlobRef> {
        let entries = self.calls.iter().flat_map(|(asked, _)| match asked {
            Asked::Create { entries, .. } | Asked::Append { entries, .. } => entries.as_slice(),
            Asked::Delete { .. } => &[],
        });
        entries.filter_map(|entry| Some((entry.text.as_str(), entry.blob.as_ref()?))).collect()
    }

    /// What each segment that was created continues.
    pub(super) fn origins(&self) -> BTreeMap<&'a str, SegmentOrigin> {
        let origin = |(asked, _): &(&'a Asked, &Outcome)| match asked {
            Asked::Create { entries, origin: Some(origin), .. } => Some((entries.first()?.text.as_str(), *origin)),
            _ => None,
        };
        self.calls.iter().filter_map(origin).collect()
    }

    /// What is said of a session as soon as it is there, by the text of its segment's first entry.
    pub(super) fn first_facts(&self) -> BTreeMap<&'a str, &'a str> {
        let first = |(asked, _): &(&'a Asked, &Outcome)| match *asked {
            Asked::Create { entries, fact: Some(fact), .. } => Some((entries.first()?.text.as_str(), fact.as_str())),
            _ => None,
        };
        self.calls.iter().filter_map(first).collect()
    }

    /// Which creations of a segment may be the one that stands; `None` among them if it may be absent.
    fn possible(&self, segment: SegmentId, kept: Kept) -> BTreeSet<Option<usize>> {
        let mut possible = BTreeSet::from([None]);
        let mut home = BTreeMap::new();
        for (at, (asked, outcome)) in self.calls.iter().enumerate() {
            match asked {
                Asked::Create { segment: of, session, .. } if *of == segment && !outcome.is_refused() => {
                    if outcome.is_done() {
                        possible.clear();
                    }
                    possible.insert(Some(at));
                    home.insert(at, *session);
                }
                Asked::Append { log: LogId::Segment(_, of), .. } if *of == segment && outcome.is_kept(kept) => {
                    possible.remove(&None);
                }
                Asked::Delete { session } if !outcome.is_refused() => {
                    let of_session = |at: &Option<usize>| at.is_some_and(|at| home.get(&at) == Some(session));
                    if possible.iter().any(of_session) {
                        possible.insert(None);
                    }
                    if outcome.is_done() {
                        possible.retain(|at| !of_session(at));
                    }
                }
                _ => {}
            }
        }
        possible
    }

    /// Checks that a segment may be absent.
    pub(super) fn check_absent(&self, segment: SegmentId, kept: Kept) -> Result<(), String> {
        if self.possible(segment, kept).contains(&None) { Ok(()) } else { Err(format!("segment {segment} is lost")) }
    }

    /// Checks that a segment's texts are what was asked for; answers with the call that created it.
    pub(super) fn check_segment(
        &self,
        session: SessionId,
        segment: SegmentId,
        texts: &[String],
        kept: Kept,
    ) -> Result<usize, String> {
        let first = texts.first().ok_or_else(|| format!("segment {segment} is empty"))?;
        let created = |at: usize| match self.calls[at].0 {
            Asked::Create { entries, session: of, .. } => {
                *of == session && entries.first().is_some_and(|entry| entry.text == *first)
            }
            _ => false,
        };
        let possible = self.possible(segment, kept);
        let Some(at) = possible.iter().flatten().copied().find(|at| created(*at)) else {
            return Err(format!("segment {segment} stands there and should not: {first}"));
        };
        self.check_log(LogId::Segment(session, segment), at, texts, kept)?;
        Ok(at)
    }

    /// Checks the texts of a log that began with the call `from`.
    pub(super) fn check_log(&self, log: LogId, from: usize, texts: &[String], kept: Kept) -> Result<(), String> {
        check_texts(&self.calls_on(log, from), texts, kept).map_err(|error| format!("{log:?}: {error}"))
    }

    /// Checks the facts of a session, which began anew with each deletion that may have happened.
    pub(super) fn check_facts(&self, session: Option<SessionId>, texts: &[String], kept: Kept) -> Result<(), String> {
        let log = LogId::Facts(session);
        let mut starts = vec![0];
        for (at, (asked, outcome)) in self.calls.iter().enumerate() {
            if matches!(asked, Asked::Delete { session: of } if Some(*of) == session) && !outcome.is_refused() {
                if outcome.is_done() {
                    starts.clear();
                }
                starts.push(at);
            }
        }
        let mut result = Ok(());
        for from in starts {
            result = self.check_log(log, from, texts, kept);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn calls_on(&self, log: LogId, from: usize) -> Vec<LogCall<'a>> {
        let mut calls = Vec::new();
        for (at, (asked, outcome)) in self.calls.iter().enumerate().skip(from) {
            match asked {
                Asked::Create { session, segment, entries, .. } if log == LogId::Segment(*session, *segment) => {
                    if at == from {
                        calls.push((entries.as_slice(), *outcome));
                    } else if outcome.is_done() {
                        break;
                    }
                }
                Asked::Append { log: of, entries } if *of == log => calls.push((entries.as_slice(), *outcome)),
                Asked::Delete { session } if log.session() == Some(*session) && outcome.is_done() && at > from => break,
                _ => {}
            }
        }
        calls
    }
}

/// Which acknowledged calls must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// What was acknowledged as synced, and all before it: the power was lost.
    Synced,
    /// Everything acknowledged: only processes died.
    Acknowledged,
}

fn check_texts(calls: &[LogCall<'_>], texts: &[String], kept: Kept) -> Result<(), String> {
    let must_through = calls.iter().rposition(|(_, outcome)| outcome.is_kept(kept));
    let mut at = 0;
    let mut known: HashSet<&str> = HashSet::new();
    for (index, (entries, outcome)) in calls.iter().enumerate() {
        if outcome.is_refused() {
            continue;
        }
        let fresh: Vec<&Entry> = entries.iter().filter(|entry| !known.contains(entry.text.as_str())).collect();
        let stands =
            texts.len() >= at + fresh.len() && fresh.iter().zip(&texts[at..]).all(|(entry, text)| entry.text == *text);
        if stands {
            at += fresh.len();
            known.extend(fresh.iter().map(|entry| entry.text.as_str()));
            check_seqs(entries, outcome, texts)?;
        } else if outcome.is_done() {
            if must_through.is_some_and(|through| index <= through) {
                let fresh: Vec<&str> = fresh.iter().map(|entry| head(&entry.text)).collect();
                return Err(format!("acknowledged and not there: {fresh:?}; {at} of {} entries fit", texts.len()));
            }
            break;
        }
    }
    match texts.get(at) {
        Some(text) => Err(format!("not asked for, or half a call, at seq {}: {}", at + 1, head(text))),
        None => Ok(()),
    }
}

fn check_seqs(entries: &[Entry], outcome: &Outcome, texts: &[String]) -> Result<(), String> {
    let Outcome::Done { seqs, .. } = outcome else { return Ok(()) };
    for (entry, seq) in entries.iter().zip(seqs) {
        let stands = usize::try_from(*seq).ok().and_then(|seq| texts.get(seq.checked_sub(1)?));
        if stands != Some(&entry.text) {
            return Err(format!("seq {seq} was given to {}, and holds {stands:?}", head(&entry.text)));
        }
    }
    Ok(())
}

fn head(text: &str) -> &str {
    text.get(..60).unwrap_or(text)
}
