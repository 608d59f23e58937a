//! `pod log`

use serde_json::Value;
use session_store::{OpenMode, OpenOptions, open};
use store_core::Seq;

use crate::fixture::{self, place, segment_id, session_id};
use crate::harness::NOW;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_json_form() {
    insta::assert_snapshot!(fixture::world().pod(&["log", &segment_id("fork"), "--json"]).ok());
}

#[test]
fn people_see_an_entry_a_line() {
    let world = fixture::world();
    for cells in [40, 80, 160] {
        insta::assert_snapshot!(format!("log_{cells}"), world.pod_at_width(cells, &["log", &session_id("ledger")]));
    }
}

#[test]
fn the_stored_text_stands_in_the_line_unchanged() {
    let world = fixture::world();
    let text = world.pod(&["log", &segment_id("trunk"), "--json"]).ok();
    let options = OpenOptions::at(NOW).with_mode(OpenMode::ReadOnly);
    let store = open(&format!("fs:{}", world.usual_store().display()), &options).unwrap();
    let at = place("trunk");
    let records = store.read_range(at.session_id, at.segment_id, Seq::START, usize::MAX).unwrap();
    assert_eq!(text.lines().count(), records.len());
    for (line, record) in text.lines().zip(records) {
        assert!(line.ends_with(&format!("\"entry\":{}}}", record.text)), "{line}\n{}", record.text);
    }
}

#[test]
fn a_session_prints_its_own_entries_of_every_segment_oldest_first() {
    let world = fixture::world();
    let all = lines(&world.pod(&["log", &session_id("ledger"), "--json"]).ok());
    let segments: Vec<&str> = all.iter().map(|line| line["segment_id"].as_str().unwrap()).collect();
    let expected = [("ledger first", 5), ("ledger dead", 2), ("ledger second", 4)];
    let expected: Vec<String> = expected.iter().flat_map(|(name, entries)| vec![segment_id(name); *entries]).collect();
    assert_eq!(segments, expected);
    let fork = lines(&world.pod(&["log", &session_id("fork"), "--json"]).ok());
    assert_eq!(fork.len(), 4, "what it continues is not printed again");
}

#[test]
fn a_segment_prints_exactly_itself_from_where_one_left_off() {
    let world = fixture::world();
    let seqs = |arguments: &[&str]| -> Vec<u64> {
        let text = world.pod(&[&["log", &segment_id("trunk"), "--json"], arguments].concat()).ok();
        lines(&text).iter().map(|line| line["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(&[]), (1..=16).collect::<Vec<u64>>());
    assert_eq!(seqs(&["--after", "14"]), [15, 16]);
    assert_eq!(seqs(&["--after", "99"]), Vec::<u64>::new());
}

#[test]
fn a_log_longer_than_one_read_is_printed_whole() {
    let world = fixture::world();
    let url = format!("fs:{}", world.usual_store().display());
    let store = open(&url, &OpenOptions::at(NOW)).unwrap();
    let at = place("old");
    for turn in 0..600 {
        let end = store_core::LogEntry::TurnEnd(store_core::TurnEnd { ts: NOW, turn_count: turn });
        session_store::append_entry(&*store, at, end).unwrap();
    }
    let seqs: Vec<u64> = lines(&world.pod(&["log", &segment_id("old"), "--json"]).ok())
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    assert_eq!(seqs, (1..=604).collect::<Vec<u64>>());
}
