//! Random trees of forks and compactions, compared with a model that copies everything.

use std::collections::BTreeMap;

use proptest::prelude::*;
use session_store::{
    ForkPoint, MessageFormat, NewSegment, SegmentLocation, ShowOptions, ShowScope, TranscriptFold, append_entry,
    collect_state, create_compacted_segment, create_segment, entry_item, fork, fork_at, history_faults, lineage,
    restore, transcript, valid_history,
};
use store_core::{HistoryItem, HistoryRef, Item, LogEntry, MemoryStore, Role, Seq, Store};

use crate::common::{NOW, answer, call, injected, interrupted, prompt, result, turn_end, usage};

#[derive(Clone, Debug)]
enum Step {
    /// Appends an entry of this sort to a segment.
    Append { segment: usize, sort: u8 },
    /// Continues a segment's entry, in the same session or another one.
    Fork { segment: usize, seq: u64, same: bool },
    /// Compacts a segment at an entry, keeping so many entries before that one.
    Compact { segment: usize, seq: u64, keep: u64 },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<usize>(), any::<u8>()).prop_map(|(segment, sort)| Step::Append { segment, sort }),
        2 => (any::<usize>(), any::<u64>(), any::<bool>()).prop_map(|(segment, seq, same)| Step::Fork { segment, seq, same }),
        1 => (any::<usize>(), any::<u64>(), 0_u64..4).prop_map(|(segment, seq, keep)| Step::Compact { segment, seq, keep }),
    ]
}

fn entry(sort: u8, number: usize) -> LogEntry {
    match sort % 9 {
        0 | 1 => prompt(&format!("prompt {number}")),
        2 | 3 => answer(&format!("answer {number}")),
        4 => call(&format!("c{}", sort % 3)),
        5 => result(&format!("c{}", sort % 3), &format!("result {number}")),
        6 => injected(&format!("injected {number}")),
        7 => usage(&format!("r{}", sort % 4), u64::from(sort), 1),
        _ if sort.is_multiple_of(2) => turn_end(0),
        _ => interrupted(),
    }
}

/// What a branch is up to an entry, copied whole.
#[derive(Clone, Default)]
struct Copied {
    history: Vec<Item>,
    turns: u64,
    open: bool,
    prompts: usize,
    usage: BTreeMap<String, u64>,
}

impl Copied {
    fn take(&mut self, entry: &LogEntry) {
        self.history.extend(entry_item(entry));
        match entry {
            LogEntry::UserInput(_) | LogEntry::AssistantItem(_) | LogEntry::ToolResult(_) => {
                self.turns += u64::from(!self.open);
                self.open = true;
                self.prompts += usize::from(matches!(entry, LogEntry::UserInput(_)));
            }
            LogEntry::TurnEnd(_) | LogEntry::RunErrored(_) => self.open = false,
            LogEntry::LlmUsage(used) => {
                let largest = self.usage.entry(used.request_id.clone().unwrap()).or_default();
                *largest = used.input_total_tokens.max(*largest);
            }
            _ => {}
        }
    }
}

/// A segment of the model: what its branch is after each of its entries.
struct Segment {
    location: SegmentLocation,
    entries: Vec<LogEntry>,
    after: Vec<Copied>,
}

#[derive(Default)]
struct World {
    store: MemoryStore,
    segments: Vec<Segment>,
}

impl World {
    fn begin(&mut self, location: SegmentLocation, copied: Copied) {
        let start = self.store.read_all(location.session_id, location.segment_id).unwrap();
        self.segments.push(Segment { location, entries: start, after: vec![copied] });
    }

    fn run(&mut self, number: usize, step: &Step) {
        let count = self.segments.len();
        match *step {
            Step::Append { segment, sort } => {
                let own = &mut self.segments[segment % count];
                let entry = entry(sort, number);
                append_entry(&self.store, own.location, entry.clone()).unwrap();
                let mut copied = own.after.last().unwrap().clone();
                copied.take(&entry);
                own.entries.push(entry);
                own.after.push(copied);
            }
            Step::Fork { segment, seq, same } => {
                let from = &self.segments[segment % count];
                let at = seq % from.after.len() as u64;
                let copied = from.after[usize::try_from(at).unwrap()].clone();
                let fork = if same { fork_at } else { fork };
                let location = fork(&self.store, NOW, from.location, ForkPoint::Seq(Seq(at + 1))).unwrap();
                self.begin(location, copied);
            }
            Step::Compact { segment, seq, keep } => {
                let from = &self.segments[segment % count];
                let at = seq % from.after.len() as u64;
                let summary = Item::message(Role::User, format!("summary {number}"));
                let mut copied = from.after[usize::try_from(at).unwrap()].clone();
                let first = (at + 1).saturating_sub(keep).max(1);
                let kept = &from.entries[usize::try_from(first).unwrap()..=usize::try_from(at).unwrap()];
                copied.history = std::iter::once(summary.clone()).chain(kept.iter().filter_map(entry_item)).collect();
                let mut history = vec![HistoryItem::Item(summary)];
                if !kept.is_empty() {
                    let (from, through) = (Seq(first + 1), Seq(at + 1));
                    let segment_id = self.segments[segment % count].location.segment_id;
                    history.push(HistoryItem::Reference(HistoryRef { segment_id, from, through }));
                }
                let new = NewSegment { history, ..NewSegment::default() };
                let from = self.segments[segment % count].location;
                let location =
                    create_compacted_segment(&self.store, NOW, from, ForkPoint::Seq(Seq(at + 1)), new).unwrap();
                self.begin(location, copied);
            }
        }
    }
}

fn check(world: &World) -> Result<(), TestCaseError> {
    for segment in &world.segments {
        let SegmentLocation { session_id, segment_id } = segment.location;
        let expected = segment.after.last().unwrap();
        let state = restore(&world.store, session_id, segment_id).unwrap();
        prop_assert_eq!(&state.history, &valid_history(expected.history.clone()));
        for format in MessageFormat::ALL {
            prop_assert_eq!(history_faults(format, &state.history), Vec::new(), "{:?}", format);
        }
        prop_assert_eq!((state.turn_count, state.turns.is_open()), (expected.turns, expected.open));
        prop_assert_eq!(state.user_inputs.len(), expected.prompts);
        prop_assert_eq!(state.entries_count, segment.entries.len() as u64);
        let used: BTreeMap<String, u64> = state
            .usage_history
            .iter()
            .map(|used| (used.request_id.clone().unwrap(), used.input_total_tokens))
            .collect();
        prop_assert_eq!(&used, &expected.usage);
        prop_assert_eq!(used.len(), state.usage_history.len());
        check_branch(world, segment, &state)?;
        check_all(world, segment)?;
    }
    Ok(())
}

/// The ways to a branch agree with each other.
fn check_branch(world: &World, segment: &Segment, state: &session_store::RestoredState) -> Result<(), TestCaseError> {
    let SegmentLocation { session_id, segment_id } = segment.location;
    let loaded = lineage::load(&world.store, session_id, segment_id).unwrap();
    let listed = lineage(&world.store, session_id, segment_id).unwrap();
    let of_loaded: Vec<_> = loaded.iter().map(|part| (part.segment_id, part.position.seq)).collect();
    let of_listed: Vec<_> = listed.iter().map(|part| (part.segment_id, part.through)).collect();
    prop_assert_eq!(of_loaded, of_listed);
    prop_assert_eq!(&collect_state(&loaded), state);
    let shown = transcript(&world.store, session_id, segment_id, &ShowOptions::default()).unwrap().messages;
    let mut fold = TranscriptFold::default();
    for entry in loaded.iter().flat_map(|part| &part.entries) {
        fold.apply(entry);
    }
    prop_assert_eq!(shown.iter().filter(|row| row.kind.is_message()).count() as u64, fold.messages());
    Ok(())
}

/// With all segments, each entry of the session that shows something is shown once.
fn check_all(world: &World, segment: &Segment) -> Result<(), TestCaseError> {
    let SegmentLocation { session_id, segment_id } = segment.location;
    let options = ShowOptions { scope: ShowScope::All, ..ShowOptions::default() };
    let rows = transcript(&world.store, session_id, segment_id, &options).unwrap().messages;
    let mut places: Vec<_> = rows.iter().map(|row| (row.segment_id, row.seq)).collect();
    places.sort_unstable();
    let count = places.len();
    places.dedup();
    prop_assert_eq!(places.len(), count);
    for own in world.segments.iter().filter(|own| own.location.session_id == session_id) {
        for (seq, entry) in (1_u64..).map(Seq).zip(&own.entries) {
            let shows = entry_item(entry).is_some() && !matches!(entry, LogEntry::SystemItem(_));
            let place = (own.location.segment_id, seq);
            prop_assert_eq!(shows, shows && places.binary_search(&place).is_ok());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn references_restore_what_copies_would_have_kept(steps in proptest::collection::vec(any_step(), 1..60)) {
        let mut world = World::default();
        let location = create_segment(&world.store, NOW, NewSegment::default()).unwrap();
        world.begin(location, Copied::default());
        for (number, step) in steps.iter().enumerate() {
            world.run(number, step);
        }
        check(&world)?;
    }
}
