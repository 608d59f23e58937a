//! pi conversations from file to store.

use session_store::ShowKind;
use store_core::{Item, Part};

use super::world::{World, sample};

const TREE: &str = "019fb8b8-0000-7000-8000-000000000001";
const REWIND: &str = "01a1fc41-c7c6-75b1-a473-02866b9d2d2c";
const TRUNK: &str = "01a1fc40-f70a-76c6-a20d-1b90f8c1da48";
const FORK: &str = "01a1fc40-ffc1-7721-985c-5c0f9f4d2f3e";
const GRANDCHILD: &str = "01a1fc41-09cb-7541-91bc-487c866df4da";

fn text(item: &Item) -> String {
    match item {
        Item::Message { parts, .. } => parts.iter().filter_map(Part::as_text).collect(),
        other => panic!("not a message: {other:?}"),
    }
}

fn said(world: &World, native_id: &str) -> Vec<String> {
    let shown = world.branch(native_id);
    shown.into_iter().filter(|row| row.kind == ShowKind::Message).map(|row| row.text).collect()
}

#[test]
fn a_tree_goes_on_from_its_compaction() {
    let world = World::of(&["constructed/pi"]);
    let state = world.state(TREE);
    let texts: Vec<String> = state.history.iter().map(text).collect();
    assert!(texts[0].contains("User listed files and settled on B."), "{texts:?}");
    assert_eq!(texts[1..], ["Try approach B", "B works", "<prior-experience/>", "Look"]);
    let summary = world.summary(TREE);
    assert_eq!(summary.usage.total_tokens, 465);
    let active: u64 = state.usage_history.iter().map(|usage| usage.input_total_tokens + usage.output_tokens).sum();
    assert_eq!(active, 455);
    assert_eq!(summary.title.as_deref(), Some("Approach B"));
    assert_eq!(state.config.model.as_deref(), Some("claude-sonnet-4-5"));
    let branch = said(&world, TREE);
    assert_eq!(branch, ["List files", "One file: main.rs", "Try approach B", "B works", "Look"]);
    let all = world.all(TREE);
    assert_eq!(all.iter().filter(|row| row.text == "A failed").count(), 1);
}

#[test]
fn under_a_broken_header_every_entry_is_read() {
    let world = World::memory();
    let report = world.import(&[sample("constructed/pi/v3_corrupt_header.jsonl")]);
    assert_eq!(said(&world, "v3_corrupt_header"), ["still recoverable", "orphan parent", "self parent (cycle)"]);
    let warned: Vec<Option<u64>> = report.sessions[0].warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(warned, [Some(1), Some(3), Some(4)], "{report:?}");
}

#[test]
fn a_rewound_conversation_shows_its_last_branch_and_keeps_the_others() {
    let world = World::of(&["pi"]);
    assert_eq!(
        said(&world, REWIND),
        [
            "Question one. keen-puffin-9673",
            "Answer A1. zesty-wombat-7228",
            "Question two, abandoned. ochre-lemur-2107",
            "Answer A2, to be abandoned. nimble-tapir-6214",
            "Question three after branch summary. keen-zebu-3777",
            "Answer B3. yonder-badger-7360",
            "Question four. jagged-narwhal-8484",
            "Answer C4. zesty-ibis-5973",
        ]
    );
    let state = world.state(REWIND);
    assert!(state.history.iter().any(|item| text(item).contains("quartz-condor-7626")), "the branch's summary");
    assert_eq!(state.config.model.as_deref(), Some("pi-small"));
    assert_eq!(state.config.thinking.as_deref(), Some("low"));
    let all = world.all(REWIND);
    assert_eq!(all.iter().filter(|row| row.text.contains("brisk-heron-7700")).count(), 1);
    assert_eq!(world.summary(REWIND).title.as_deref(), Some("Branchy session 🌿"));
}

#[test]
fn a_fork_copies_nothing() {
    let world = World::of(&["pi"]);
    let fork = world.summary(FORK);
    assert_eq!(fork.forked_from.unwrap().session_id, world.session(TRUNK).unwrap());
    assert_eq!(said(&world, FORK).len(), 6);
    let own = world.session(FORK).unwrap();
    let stored: Vec<String> = world
        .logs()
        .into_iter()
        .filter(|((session, _), _)| *session == own)
        .flat_map(|(_, log)| log)
        .map(|(_, text)| text)
        .collect();
    assert!(stored.iter().any(|text| text.contains("jagged-puffin-1361")), "{stored:?}");
    assert!(!stored.iter().any(|text| text.contains("jagged-lemur-2153")), "{stored:?}");
    let grandchild = world.summary(GRANDCHILD);
    assert_eq!(grandchild.forked_from.unwrap().session_id, world.session(FORK).unwrap());
}

/// A record of a fork that stands behind another one than its namesake is no copy of it.
#[test]
fn a_copy_has_the_parent_of_its_original() {
    const FIRST: &str = "01a1fc40-0000-7000-8000-0000000000aa";
    const SECOND: &str = "01a1fc40-0000-7000-8000-0000000000bb";
    let header = |id: &str, more: &str| {
        format!(
            r#"{{"type":"session","version":3,"id":"{id}","timestamp":"2026-01-02T10:00:00.000Z","cwd":"/w"{more}}}"#
        )
    };
    let said = |id: &str, parent: &str, second: u32, text: &str| {
        format!(
            r#"{{"type":"message","id":"{id}","parentId":{parent},"timestamp":"2026-01-02T10:00:0{second}.000Z","message":{{"role":"user","content":"{text}"}}}}"#
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |id: &str, lines: &[String]| {
        let path = folder.path().join(format!("2026-01-02T10-00-00-000Z_{id}.jsonl"));
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    };
    let (a, b) = (said("0000000a", "null", 1, "one"), said("0000000b", "\"0000000a\"", 2, "two"));
    let (c, d) = (said("0000000c", "\"0000000a\"", 3, "three"), said("0000000d", "\"0000000c\"", 4, "four"));
    let elsewhere = said("0000000c", "\"0000000b\"", 3, "three");
    let first = write(FIRST, &[header(FIRST, ""), a.clone(), b.clone(), c.clone(), d.clone()]);
    let fork = format!(r#","parentSession":"/s/x_{FIRST}.jsonl""#);
    let own = |fork_lines: &[String]| {
        let second = write(SECOND, fork_lines);
        let world = World::memory();
        world.import(&[first.clone(), second]);
        let entries = world.summary(SECOND).entries;
        (entries, self::said(&world, SECOND))
    };
    let e = said("0000000e", "\"0000000d\"", 5, "five");
    let copied = own(&[header(SECOND, &fork), a.clone(), c, d.clone(), e.clone()]);
    assert_eq!(copied, (3, ["one", "three", "four", "five"].map(str::to_owned).to_vec()));
    let moved = own(&[header(SECOND, &fork), a, b, elsewhere, d, e]);
    assert_eq!(moved.1, ["one", "two", "three", "four", "five"]);
    assert!(moved.0 > copied.0, "{moved:?}");
}
