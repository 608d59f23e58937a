//! What a model is given of real conversations, held against what providers demand.

use std::collections::BTreeMap;

use session_store::{
    CompactOptions, ForkPoint, HistoryFault, LineageEntries, MessageFormat, SegmentLocation, ShowOptions, ShowScope,
    append_entry, collect_state, compact, fork, history_faults, lineage, plan_compaction, restore, transcript,
};
use store_core::{Item, LogEntry, Part, Position, Seq, UserInput};

use super::world::{NOON, World, sample};

/// What a provider would refuse, by where that is.
type Refused = BTreeMap<String, Vec<(MessageFormat, HistoryFault)>>;

fn look(refused: &mut Refused, what: impl Fn() -> String, history: &[Item]) {
    for format in MessageFormat::ALL {
        let faults = history_faults(format, history);
        if !faults.is_empty() {
            refused.entry(what()).or_default().extend(faults.into_iter().map(|fault| (format, fault)));
        }
    }
}

fn world(folder: &str) -> World {
    let world = World::memory();
    world.import(&[sample(folder)]);
    world
}

fn every_segment(world: &World) -> Vec<SegmentLocation> {
    let sessions = world.store.list_sessions().unwrap();
    let of = |session_id| {
        let segments = world.store.list_segments(session_id).unwrap();
        segments.into_iter().map(move |segment_id| SegmentLocation { session_id, segment_id })
    };
    let all: Vec<SegmentLocation> = sessions.into_iter().flat_map(of).collect();
    assert!(!all.is_empty());
    all
}

/// The branch up to the `count`-th entry of its last segment.
fn cut(parts: &[LineageEntries], count: usize) -> Vec<LineageEntries> {
    let mut cut = parts.to_vec();
    let last = cut.last_mut().unwrap();
    last.entries.truncate(count);
    last.position = Position { seq: Seq(count as u64), crc32c: 0 };
    cut
}

fn check_every_prefix(folder: &str) {
    let world = world(folder);
    let mut refused = Refused::new();
    for at in every_segment(&world) {
        let parts = lineage::load(&*world.store, at.session_id, at.segment_id).unwrap();
        for count in 1..=parts.last().unwrap().entries.len() {
            let history = collect_state(&cut(&parts, count)).history;
            look(&mut refused, || format!("{} cut behind {count}", at.segment_id), &history);
        }
    }
    assert!(refused.is_empty(), "{folder}: {refused:#?}");
}

fn check_forks_and_compactions(folder: &str) {
    let world = world(folder);
    let store = &*world.store;
    let mut refused = Refused::new();
    let (mut forks, mut compactions) = (0, 0);
    for at in every_segment(&world) {
        let turns = restore(store, at.session_id, at.segment_id).unwrap().turn_count;
        for turn in 0..=turns {
            let Ok(made) = fork(store, NOON, at, ForkPoint::Turn(turn)) else { continue };
            forks += 1;
            let history = restore(store, made.session_id, made.segment_id).unwrap().history;
            look(&mut refused, || format!("{} forked at turn {turn}", at.segment_id), &history);
        }
        for keep_turns in 0..=turns {
            let mut from = at;
            // And once more, when something was said since.
            for round in 1..=2 {
                let parts = lineage::load(store, from.session_id, from.segment_id).unwrap();
                let Ok(plan) = plan_compaction(&parts, &CompactOptions { keep_turns }) else { break };
                from = compact(store, NOON, &plan, "They talked.").unwrap();
                compactions += 1;
                let what = || format!("{} compacted to {keep_turns} turns, round {round}", at.segment_id);
                look(&mut refused, what, &restore(store, from.session_id, from.segment_id).unwrap().history);
                let prompt = UserInput { ts: NOON, content: vec![Part::text("Go on.")] };
                append_entry(store, from, LogEntry::UserInput(prompt)).unwrap();
                look(&mut refused, what, &restore(store, from.session_id, from.segment_id).unwrap().history);
            }
        }
    }
    assert!(refused.is_empty(), "{folder}: {refused:#?}");
    assert!(forks > 10 && compactions > 10, "{folder}: {forks} forks and {compactions} compactions");
}

/// The rows of a context are the items that are restored, but for thoughts that nobody can read.
fn check_contexts(folder: &str) {
    let world = world(folder);
    let options = ShowOptions { scope: ShowScope::Context, ..ShowOptions::default() };
    for at in every_segment(&world) {
        let rows = transcript(&*world.store, at.session_id, at.segment_id, &options).unwrap().messages;
        let shown: Vec<Option<String>> = rows.into_iter().map(|row| row.tool.map(|tool| tool.call_id)).collect();
        let history = restore(&*world.store, at.session_id, at.segment_id).unwrap().history;
        let given = history.iter().filter(|item| !matches!(item, Item::Reasoning { text, .. } if text.is_empty()));
        let given: Vec<Option<String>> = given
            .map(|item| match item {
                Item::ToolCall { call_id, .. } | Item::ToolResult { call_id, .. } => Some(call_id.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(shown, given, "{folder} {}", at.segment_id);
    }
}

macro_rules! samples {
    ($($name:ident: $folder:literal,)*) => {$(
        mod $name {
            #[test]
            fn every_prefix_is_taken_by_every_provider() {
                super::check_every_prefix($folder);
            }

            #[test]
            fn every_fork_and_compaction_is_taken_by_every_provider() {
                super::check_forks_and_compactions($folder);
            }

            #[test]
            fn a_context_shows_what_is_restored() {
                super::check_contexts($folder);
            }
        }
    )*};
}

samples! {
    claude: "claude",
    codex: "codex",
    older_codex: "codex-0.80.0",
    pi: "pi",
    constructed: "constructed",
}

#[test]
fn the_samples_need_the_view() {
    // Without it providers would refuse some of them, so that the checks above look at something.
    let mut refused = Refused::new();
    for folder in ["claude", "codex", "pi", "constructed"] {
        let world = world(folder);
        for at in every_segment(&world) {
            let parts = lineage::load(&*world.store, at.session_id, at.segment_id).unwrap();
            let raw: Vec<Item> =
                parts.iter().flat_map(|part| &part.entries).filter_map(session_store::entry_item).collect();
            look(&mut refused, || folder.to_owned(), &raw);
        }
    }
    assert_eq!(refused.keys().map(String::as_str).collect::<Vec<_>>(), ["claude", "codex", "constructed", "pi"]);
}
