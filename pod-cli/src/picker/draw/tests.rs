//! What is drawn, at the sizes that terminals have.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use session_store::index::{ForkedFrom, SegmentSummary};
use session_store::picker::{Event, Key, Scope, TreeTurn};
use session_store::{Live, UsageTotals};
use store_core::{SegmentId, SegmentOrigin, Seq, SessionId, SessionKind};

use super::*;

const NOW: u64 = 1_764_000_000_000;
const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (160, 16), (20, 5)];

fn session(number: u64) -> SessionId {
    SessionId::derive(NOW - number, b"session")
}

fn segment(number: u64) -> SegmentId {
    SegmentId::derive(NOW - number, b"segment")
}

fn row_of(number: u64, title: &str) -> PickerRow {
    let at = NOW - number * 3_600_000;
    let summary = SessionSummary {
        session_id: session(number),
        segment_id: segment(number),
        title: Some(title.to_owned()),
        agent: Some(["codex", "claude", "pi"][usize::try_from(number % 3).unwrap_or(0)].to_owned()),
        native_id: None,
        cwd: Some("/home/dev/src/acme-api".to_owned()),
        branch: Some("main".to_owned()),
        model: Some("large-model-1".to_owned()),
        kind: SessionKind::Main,
        parent_session_id: None,
        forked_from: None,
        created_at: at,
        updated_at: at,
        last_message_at: Some(at),
        segments: 1,
        entries: 4,
        messages: number * 7,
        turns: 1,
        usage: UsageTotals { total_tokens: number * 12_345, ..UsageTotals::default() },
        usage_inherited: UsageTotals::default(),
        cost_usd: None,
        live: Live::Nobody,
        damaged: false,
        archived: false,
        trashed: false,
        pinned: false,
        tags: Vec::new(),
    };
    PickerRow { summary, scope: Scope::Here, compacted: false }
}

fn rows() -> Vec<PickerRow> {
    let mut rows = vec![
        row_of(1, "Why is the import slow?"),
        row_of(
            2,
            "\u{1b}[31mrewrite\u{1b}[0m 書き直し of the importer, and a title that goes on for much longer than any line does",
        ),
        row_of(3, "Survey the folder"),
        row_of(4, "Old notes"),
        row_of(5, "Elsewhere"),
        row_of(6, "Broken"),
    ];
    rows[0].summary.pinned = true;
    rows[0].summary.tags = vec!["speed".to_owned()];
    rows[1].summary.forked_from = Some(ForkedFrom { session_id: session(1), segment_id: segment(1), seq: Seq(3) });
    rows[2].compacted = true;
    rows[3].summary.archived = true;
    rows[4].scope = Scope::All;
    rows[5].summary.damaged = true;
    rows
}

fn picker() -> Picker {
    let mut picker = Picker::new("", Box::new(|_| Err("no time".to_owned())));
    picker.load(rows(), true);
    picker
}

fn press(picker: &mut Picker, keys: &[Key]) {
    for key in keys {
        picker.take(Event::Key(*key));
    }
}

/// The screen as text, at each size.
fn drawn(picker: &mut Picker) -> String {
    let mut preview = Preview::default();
    if let Some(choice) = preview.wants(picker) {
        let said = |role, text: &str| PreviewLine { role, text: text.to_owned() };
        let lines = vec![
            said(ShowRole::User, "Why is the import slow?"),
            said(ShowRole::Tool, "import  1.2 s\n\n\nparse   1.1 s\u{1b}[2J"),
            said(ShowRole::Assistant, "It parses every line twice."),
        ];
        preview.fill(choice, lines);
    }
    let mut all = String::new();
    for (columns, lines) in SIZES {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("memory");
        let home = Path::new("/home/dev");
        let screenful = Screenful { picker, preview: &preview, now: NOW, coloured: true, home: Some(home) };
        terminal.draw(|frame| draw(frame, &screenful)).expect("memory");
        all.push_str(&format!("-- {columns} x {lines}\n{}\n", terminal.backend()));
    }
    all
}

#[test]
fn the_list() {
    insta::assert_snapshot!(drawn(&mut picker()));
}

#[test]
fn a_query_that_matches_some() {
    let mut picker = picker();
    press(&mut picker, &"import is:fo".chars().map(Key::Char).collect::<Vec<_>>());
    insta::assert_snapshot!(drawn(&mut picker));
}

#[test]
fn nothing_that_matches_here() {
    let mut picker = picker();
    press(&mut picker, &"elsew".chars().map(Key::Char).collect::<Vec<_>>());
    insta::assert_snapshot!(drawn(&mut picker));
}

#[test]
fn a_tree() {
    let mut picker = picker();
    press(&mut picker, &[Key::Right]);
    let of = |number, origin: Option<u64>, current| SegmentSummary {
        segment_id: segment(number),
        native_id: None,
        title: Some(format!("Segment {number}")),
        entries: number * 10,
        turns: 1,
        usage: UsageTotals::default(),
        created_at: NOW - 7_200_000,
        updated_at: NOW - 3_600_000,
        forked_from: origin.map(|of| SegmentOrigin {
            session_id: session(1),
            segment_id: segment(of),
            seq: Seq(3),
            at_turn_index: 1,
        }),
        compacted_from: None,
        leaf: current,
        current,
        superseded: false,
        damaged: false,
    };
    let turns = vec![TreeTurn {
        segment: segment(2),
        turn: 2,
        prompt: "Rather rewrite it. 日本語でお願いします".to_owned(),
        ts: NOW - 60_000,
    }];
    let segments = vec![of(1, None, false), of(2, Some(1), true), of(3, Some(2), false)];
    picker.take(Event::Tree { session: session(1), segments, turns });
    insta::assert_snapshot!(drawn(&mut picker));
}

#[test]
fn what_a_search_found() {
    let mut picker = picker();
    press(&mut picker, &"parse".chars().map(Key::Char).collect::<Vec<_>>());
    press(&mut picker, &[Key::Control('t')]);
    let hit = SearchHit {
        session_id: session(1),
        segment_id: segment(1),
        seq: Seq(4),
        role: ShowRole::Assistant,
        ts: NOW - 60_000,
        title: Some("Why is the import slow?".to_owned()),
        snippet: "It parses every line twice, and 日本語 too.\u{1b}[2J".to_owned(),
        ranges: vec![[3, 9]],
    };
    picker.take(Event::Hits { number: 1, hits: vec![hit], total: 7 });
    insta::assert_snapshot!(drawn(&mut picker));
}

#[test]
fn questions_titles_and_keys() {
    let mut picker = picker();
    press(&mut picker, &[Key::Down, Key::Down, Key::Down, Key::Enter]);
    let asked = drawn(&mut picker);
    press(&mut picker, &[Key::Escape, Key::Control('r')]);
    let renaming = drawn(&mut picker);
    press(&mut picker, &[Key::Escape, Key::Char('?')]);
    insta::assert_snapshot!(format!("{asked}\n{renaming}\n{}", drawn(&mut picker)));
}

#[test]
fn no_size_is_too_small() {
    for mode in [&[][..], &[Key::Char('?')], &[Key::Control('t')], &[Key::Right], &[Key::Control('r')]] {
        let mut picker = picker();
        press(&mut picker, mode);
        for (columns, lines) in [(1, 1), (2, 2), (5, 3), (20, 5), (60, 3), (300, 1), (100, 2)] {
            let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("memory");
            let screenful =
                Screenful { picker: &picker, preview: &Preview::default(), now: NOW, coloured: false, home: None };
            terminal.draw(|frame| draw(frame, &screenful)).expect("memory");
        }
    }
}

#[test]
fn a_title_of_ten_thousand_characters_is_drawn_like_any_other() {
    let mut picker = Picker::new("", Box::new(|_| Err("no time".to_owned())));
    picker.load(vec![row_of(1, &"long ".repeat(2_000)), row_of(2, &"\u{200d}".repeat(10_000))], true);
    press(&mut picker, &"long".chars().map(Key::Char).collect::<Vec<_>>());
    assert!(drawn(&mut picker).contains("1 of 2"));
}
