//! The example of `docs/SESSIONS.md`, made anew.

use serde_json::Value;
use session_store::{
    ForkPoint, NewSegment, SegmentLocation, ShowOptions, create_compacted_segment, current_leaf, fork, fork_at, leaves,
    lineage, restore_by_segment, transcript,
};
use store_core::{HistoryItem, HistoryRef, Item, MemoryStore, Role, Seq, Store};

use crate::common::{NOW, answer, call, extend, prompt, result, root, said, turn_end, usage};

const PAGE: &str = include_str!("../../../docs/SESSIONS.md");

/// Ids by their names, in the order they are made.
struct Names(Vec<(String, &'static str)>);

impl Names {
    fn add(&mut self, location: SegmentLocation, session: &'static str, segment: &'static str) {
        self.0.push((location.session_id.to_string(), session));
        self.0.push((location.segment_id.to_string(), segment));
    }

    fn put(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }
}

/// A log as the page shows it: without times and what is empty or zero.
fn log(store: &dyn Store, location: SegmentLocation, names: &Names) -> String {
    let records = store.read_range(location.session_id, location.segment_id, Seq(0), usize::MAX).unwrap();
    let lines = records.into_iter().map(|record| {
        let mut entry: serde_json::Map<String, Value> = serde_json::from_str(&record.text).unwrap();
        for name in ["ts", "meta", "history_len", "cache_read_tokens", "cache_write_tokens"] {
            entry.shift_remove(name);
        }
        format!("{:>2}  {}\n", record.position.seq, names.put(&Value::Object(entry).to_string()))
    });
    lines.collect()
}

fn assert_on_page(what: &str, text: &str) {
    assert!(PAGE.contains(text), "docs/SESSIONS.md lacks {what}:\n{text}");
}

#[test]
fn the_example_of_the_page_is_what_happens() {
    let store = MemoryStore::new();
    let mut names = Names(Vec::new());
    let first =
        [prompt("Why is the build red?"), call("c1"), result("c1", "error: unused import"), answer("An import.")];
    let second = [prompt("Fix it."), answer("Done.")];
    let ends = [turn_end(1), usage("r1", 900, 40)];
    let a = root(&store, first.into_iter().chain(ends).chain(second).chain([turn_end(2)]));
    names.add(a, "S", "A");
    let b = fork_at(&store, NOW, a, ForkPoint::Turn(1)).unwrap();
    names.add(b, "S", "B");
    extend(&store, b, [prompt("Delete it."), answer("Deleted."), turn_end(2)]);
    let history = vec![
        HistoryItem::Item(Item::message(Role::User, "So far: an unused import broke the build.")),
        HistoryItem::Reference(HistoryRef { segment_id: b.segment_id, from: Seq(2), through: Seq(3) }),
    ];
    let new = NewSegment { history, ..NewSegment::default() };
    let c = create_compacted_segment(&store, NOW, b, ForkPoint::End, new).unwrap();
    names.add(c, "S", "C");
    extend(&store, c, [prompt("Thanks."), answer("Gladly.")]);
    let d = fork(&store, NOW, c, ForkPoint::End).unwrap();
    names.add(d, "T", "D");

    for (name, location) in [("log A", a), ("log B", b), ("log C", c), ("log D", d)] {
        assert_on_page(name, &log(&store, location, &names));
    }
    let parts = lineage(&store, d.session_id, d.segment_id).unwrap();
    let branch: Vec<String> = parts.iter().map(|part| format!("{} 1..={}", part.segment_id, part.through)).collect();
    assert_on_page("the lineage of D", &names.put(&branch.join(", ")));
    let state = restore_by_segment(&store, d.segment_id).unwrap();
    assert_on_page("the history of D", &format!("```\n{}\n```", said(&state.history).join("\n")));
    let counts = format!("{} turns, {} request", state.turn_count, state.usage_history.len());
    assert_on_page("the counts of D", &counts);
    let shown = transcript(&store, d.session_id, d.segment_id, &ShowOptions::default()).unwrap();
    let rows: Vec<String> = shown
        .messages
        .iter()
        .map(|row| {
            let kind = serde_json::to_value(row.kind).unwrap();
            let segment = names.put(&row.segment_id.to_string());
            format!("{segment} {:>2}  turn {}  {:<11}  {}", row.seq, row.turn, kind.as_str().unwrap(), row.text)
                .trim_end()
                .to_owned()
        })
        .collect();
    assert_on_page("the transcript of D", &format!("```\n{}\n```", rows.join("\n")));
    let of_s: Vec<String> = leaves(&store, a.session_id).unwrap().iter().map(ToString::to_string).collect();
    assert_on_page("the leaves of S", &names.put(&format!("The leaves of S are {}", of_s.join(" and "))));
    assert_on_page(
        "the current leaf",
        &names.put(&format!("{} is the current one", current_leaf(&store, a.session_id).unwrap())),
    );
}
