//! The picker's model: keys and news go in, what is on the screen and what is to be done comes out.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use proptest::prelude::*;
use session_store::UsageTotals;
use session_store::index::{ForkedFrom, SearchHit, SegmentSummary, SessionSummary};
use session_store::picker::{
    Action, Choice, Counts, Event, Key, Mode, Order, Picker, PickerRow, Question, Scope, TreeTurn,
};
use session_store::{Live, ShowRole, query::State};
use store_core::{SegmentId, SegmentOrigin, Seq, SessionId, SessionKind};

const NOON: u64 = 1_772_366_400_000;

fn session(number: u64) -> SessionId {
    SessionId::derive(NOON + number, b"session")
}

fn segment(number: u64) -> SegmentId {
    SegmentId::derive(NOON + number, b"segment")
}

/// A conversation whose last message is so many minutes after noon.
fn row(number: u64, title: &str) -> PickerRow {
    let at = NOON + number * 60_000;
    let summary = SessionSummary {
        session_id: session(number),
        segment_id: segment(number),
        title: Some(title.to_owned()),
        agent: Some("codex".to_owned()),
        native_id: None,
        cwd: Some("/home/dev/web".to_owned()),
        branch: Some("main".to_owned()),
        model: None,
        kind: SessionKind::Main,
        parent_session_id: None,
        forked_from: None,
        created_at: NOON - number,
        updated_at: at,
        last_message_at: Some(at),
        segments: 1,
        entries: 4,
        messages: 2,
        turns: 1,
        usage: UsageTotals { total_tokens: (number * 7) % 5, ..UsageTotals::default() },
        usage_inherited: UsageTotals::default(),
        cost_usd: None,
        live: Live::Unknown,
        damaged: false,
        archived: false,
        trashed: false,
        pinned: false,
        tags: Vec::new(),
    };
    PickerRow { summary, scope: Scope::Here, compacted: false }
}

fn picker(rows: Vec<PickerRow>) -> Picker {
    let mut picker = Picker::new("", Box::new(|_| Ok(NOON)));
    picker.load(rows, true);
    picker
}

fn three() -> Picker {
    picker(vec![row(1, "Fix the red build"), row(2, "Tour of the repository"), row(3, "A faster import")])
}

fn press(picker: &mut Picker, keys: &[Key]) -> Vec<Action> {
    keys.iter().flat_map(|key| picker.take(Event::Key(*key))).collect()
}

fn type_in(picker: &mut Picker, text: &str) -> Vec<Action> {
    text.chars().flat_map(|c| picker.take(Event::Key(Key::Char(c)))).collect()
}

fn titles(picker: &Picker) -> Vec<String> {
    picker.rows().map(|shown| shown.row.summary.title.clone().unwrap()).collect()
}

fn choice(number: u64) -> Choice {
    Choice { session: session(number), segment: segment(number), turn: None }
}

#[test]
fn the_newest_stands_first_and_enter_picks_what_is_selected() {
    let mut picker = three();
    assert_eq!(titles(&picker), ["A faster import", "Tour of the repository", "Fix the red build"]);
    assert_eq!(press(&mut picker, &[Key::Down, Key::Enter]), [Action::Pick(choice(2))]);
    assert_eq!(press(&mut picker, &[Key::PageDown, Key::Down, Key::Enter]), [Action::Pick(choice(1))]);
    assert_eq!(press(&mut picker, &[Key::PageUp, Key::Up, Key::Enter]), [Action::Pick(choice(3))]);
}

#[test]
fn what_is_typed_filters_and_says_where_it_matches() {
    let mut picker = three();
    type_in(&mut picker, "fbld");
    assert_eq!(titles(&picker), ["Fix the red build"]);
    let shown = picker.rows().next().unwrap();
    let title: Vec<char> = "Fix the red build".chars().collect();
    let matched: String = shown.title.0.iter().map(|at| title[*at as usize]).collect();
    assert_eq!(matched.to_lowercase(), "fbld");
    assert_eq!(press(&mut picker, &[Key::Escape]), [], "the first escape clears the query");
    assert_eq!(titles(&picker).len(), 3);
    assert_eq!(press(&mut picker, &[Key::Escape]), [Action::Quit { cancelled: false }]);
    assert_eq!(press(&mut picker, &[Key::Control('c')]), [Action::Quit { cancelled: true }]);
}

#[test]
fn operators_hold_and_half_of_one_is_no_error() {
    let mut rows = vec![row(1, "one"), row(2, "two"), row(3, "three")];
    rows[0].summary.agent = Some("pi".to_owned());
    rows[1].summary.forked_from = Some(ForkedFrom { session_id: session(1), segment_id: segment(1), seq: Seq(2) });
    let mut picker = picker(rows);
    type_in(&mut picker, "agent:pi");
    assert_eq!(titles(&picker), ["one"]);
    press(&mut picker, &[Key::Escape]);
    type_in(&mut picker, "is:fo");
    assert_eq!((titles(&picker).len(), picker.problems().len()), (3, 1));
    type_in(&mut picker, "rk");
    assert_eq!((titles(&picker), picker.problems().len()), (vec!["two".to_owned()], 0));
}

#[test]
fn what_is_not_shown_is_counted_by_its_reason() {
    let mut rows: Vec<PickerRow> = (1..=7).map(|number| row(number, "import")).collect();
    rows[0].summary.archived = true;
    rows[1].summary.trashed = true;
    rows[2].summary.kind = SessionKind::Subagent;
    rows[3].summary.title = Some("something else".to_owned());
    rows[4].scope = Scope::Repository;
    rows[5].scope = Scope::All;
    let mut picker = picker(rows);
    type_in(&mut picker, "import");
    let counts = Counts { shown: 1, total: 7, trashed: 1, archived: 1, subagents: 1, unmatched: 1, elsewhere: 2 };
    assert_eq!(picker.counts(), counts);
    press(&mut picker, &[Key::Tab]);
    assert_eq!((picker.scope(), picker.counts().shown, picker.counts().elsewhere), (Scope::Repository, 2, 1));
    press(&mut picker, &[Key::Tab, Key::Control('l')]);
    assert_eq!((picker.scope(), picker.counts().shown, picker.reveals()), (Scope::All, 6, true));
    press(&mut picker, &[Key::Control('l'), Key::Escape]);
    type_in(&mut picker, "is:archived");
    assert_eq!(titles(&picker), ["import"], "what is asked for by its state is shown");
    assert_eq!(State::ALL.len(), 7);
}

#[test]
fn what_was_compacted_is_asked_for_by_name() {
    let mut rows: Vec<PickerRow> = vec![row(1, "whole"), row(2, "cut")];
    rows[1].compacted = true;
    let mut picker = picker(rows);
    type_in(&mut picker, "is:compacted");
    assert_eq!(titles(&picker), ["cut"]);
    press(&mut picker, &[Key::Control('u')]);
    type_in(&mut picker, "-is:compacted");
    assert_eq!(titles(&picker), ["whole"]);
}

#[test]
fn a_folder_without_conversations_shows_those_of_a_wider_scope() {
    let mut elsewhere = row(1, "elsewhere");
    elsewhere.scope = Scope::All;
    let picker = picker(vec![elsewhere]);
    assert_eq!((titles(&picker), picker.scope()), (vec!["elsewhere".to_owned()], Scope::All));
    assert!(picker.notice().unwrap().contains("all folders"), "{:?}", picker.notice());
}

#[test]
fn pinned_ones_come_first_in_every_order() {
    let mut rows = vec![row(1, "one"), row(2, "two"), row(3, "three")];
    rows[1].summary.pinned = true;
    let mut picker = picker(rows);
    assert_eq!(titles(&picker), ["two", "three", "one"]);
    press(&mut picker, &[Key::Control('s')]);
    assert_eq!(
        (picker.order(), titles(&picker)),
        (Order::Created, ["two", "one", "three"].map(str::to_owned).to_vec())
    );
    press(&mut picker, &[Key::Control('s')]);
    assert_eq!((picker.order(), titles(&picker)), (Order::Tokens, ["two", "one", "three"].map(str::to_owned).to_vec()));
}

/// Does what the actions ask for, as whoever runs the picker would.
fn obey(picker: &mut Picker, actions: &[Action]) {
    for action in actions {
        let session = match action {
            Action::Rename { session, .. }
            | Action::Archive { session, .. }
            | Action::Trash { session, .. }
            | Action::Pin { session, .. } => *session,
            _ => continue,
        };
        let known = |picker: &Picker| {
            picker.rows().find(|shown| shown.row.summary.session_id == session).map(|shown| shown.row.summary.clone())
        };
        let mut summary = known(picker).unwrap_or_else(|| {
            let number = (0..100).find(|number| self::session(*number) == session).unwrap();
            row(number, "Fix the red build").summary
        });
        match action {
            Action::Rename { title, .. } => summary.title = Some(title.clone()),
            Action::Archive { archived, .. } => summary.archived = *archived,
            Action::Trash { trashed, .. } => summary.trashed = *trashed,
            Action::Pin { pinned, .. } => summary.pinned = *pinned,
            _ => {}
        }
        picker.take(Event::Changed { session, row: Some(Box::new(summary)) });
    }
}

#[test]
fn what_was_done_to_a_conversation_can_be_undone_in_turn() {
    let mut picker = three();
    let renamed = press(&mut picker, &[Key::Control('r'), Key::Control('u'), Key::Char('x'), Key::Enter]);
    assert_eq!(renamed, [Action::Rename { session: session(3), title: "x".to_owned() }]);
    obey(&mut picker, &renamed);
    let trashed = press(&mut picker, &[Key::Control('d')]);
    assert_eq!(trashed, [Action::Trash { session: session(3), trashed: true }]);
    obey(&mut picker, &trashed);
    assert_eq!((titles(&picker).len(), picker.counts().trashed), (2, 1));
    let undone = press(&mut picker, &[Key::Control('z'), Key::Control('z')]);
    let expected = [
        Action::Trash { session: session(3), trashed: false },
        Action::Rename { session: session(3), title: "A faster import".to_owned() },
    ];
    assert_eq!(undone, expected);
    assert_eq!(press(&mut picker, &[Key::Control('z')]), []);
    assert_eq!(picker.notice(), Some("nothing to undo"));
}

#[test]
fn a_title_is_typed_and_an_empty_one_is_not_taken() {
    let mut picker = three();
    press(&mut picker, &[Key::Control('r')]);
    assert!(matches!(picker.mode(), Mode::Rename(_, line) if line.text() == "A faster import"), "{:?}", picker.mode());
    assert_eq!(press(&mut picker, &[Key::Control('u'), Key::Char(' '), Key::Enter]), []);
    assert!(picker.notice().unwrap().contains("title"), "{:?}", picker.notice());
    press(&mut picker, &[Key::Control('r'), Key::Escape]);
    assert_eq!(picker.mode(), &Mode::List);
}

fn of_tree(number: u64, origin: Option<u64>, current: bool) -> SegmentSummary {
    let origin = origin.map(|of| SegmentOrigin {
        session_id: session(1),
        segment_id: segment(of),
        seq: Seq(3),
        at_turn_index: 1,
    });
    SegmentSummary {
        segment_id: segment(number),
        native_id: None,
        title: Some(format!("segment {number}")),
        entries: 3,
        turns: 1,
        usage: UsageTotals::default(),
        created_at: NOON + number,
        updated_at: NOON + number,
        forked_from: origin,
        compacted_from: None,
        leaf: current,
        current,
        superseded: false,
        damaged: false,
    }
}

#[test]
fn any_segment_and_any_turn_can_be_picked_in_the_tree() {
    let mut picker = picker(vec![row(1, "one")]);
    assert_eq!(press(&mut picker, &[Key::Right]), [Action::LoadTree(session(1))]);
    assert_eq!(picker.tree(), None, "it is loaded first");
    let segments = vec![of_tree(1, None, false), of_tree(2, Some(1), false), of_tree(3, Some(1), true)];
    let turn = |of: u64, turn| TreeTurn { segment: segment(of), turn, prompt: format!("turn {turn}"), ts: NOON };
    picker.take(Event::Tree { session: session(1), segments, turns: vec![turn(1, 1), turn(3, 2)] });
    let rows = picker.tree().unwrap();
    let shape: Vec<_> =
        rows.iter().map(|row| (row.depth, row.segment.title.clone().unwrap(), row.turn.is_some())).collect();
    let expected = [(0, "segment 1", false), (1, "segment 2", false), (1, "segment 3", false), (2, "segment 3", true)];
    assert_eq!(shape, expected.map(|(depth, title, turn)| (depth, title.to_owned(), turn)));
    assert_eq!(picker.place(), 2, "the current leaf is selected");
    let picked = press(&mut picker, &[Key::Down, Key::Enter]);
    assert_eq!(picked, [Action::Pick(Choice { session: session(1), segment: segment(3), turn: Some(2) })]);
    let picked = press(&mut picker, &[Key::Up, Key::Up, Key::Up, Key::Right, Key::Down, Key::Enter]);
    assert_eq!(picked, [Action::Pick(Choice { session: session(1), segment: segment(1), turn: Some(1) })]);
    press(&mut picker, &[Key::Left, Key::Left]);
    assert_eq!(picker.mode(), &Mode::List);
}

#[test]
fn segments_that_continue_each_other_in_a_circle_are_all_shown() {
    let mut picker = picker(vec![row(1, "one")]);
    press(&mut picker, &[Key::Right]);
    let segments = vec![of_tree(1, Some(2), false), of_tree(2, Some(1), false), of_tree(3, None, true)];
    picker.take(Event::Tree { session: session(1), segments, turns: Vec::new() });
    assert_eq!(picker.tree().unwrap().len(), 3);
}

fn hit(number: u64) -> SearchHit {
    SearchHit {
        session_id: session(number),
        segment_id: segment(number + 50),
        seq: Seq(2),
        role: ShowRole::User,
        ts: NOON,
        title: None,
        snippet: "a zebra".to_owned(),
        ranges: vec![[2, 7]],
    }
}

#[test]
fn an_answer_to_an_older_search_is_not_shown() {
    let mut picker = three();
    type_in(&mut picker, "zeb");
    assert_eq!(press(&mut picker, &[Key::Control('t')]), [Action::Search { number: 1, text: "zeb".to_owned() }]);
    assert_eq!(type_in(&mut picker, "r"), [Action::Search { number: 2, text: "zebr".to_owned() }]);
    picker.take(Event::Hits { number: 1, hits: vec![hit(1), hit(2)], total: 2 });
    assert!(picker.is_searching() && picker.hits().0.is_empty());
    picker.take(Event::Hits { number: 2, hits: vec![hit(2)], total: 1 });
    assert!(!picker.is_searching());
    let picked = press(&mut picker, &[Key::Down, Key::Enter]);
    assert_eq!(picked, [Action::Pick(Choice { session: session(2), segment: segment(52), turn: None })]);
}

#[test]
fn a_damaged_or_live_conversation_is_asked_about() {
    let mut rows = vec![row(1, "damaged"), row(2, "live")];
    rows[0].summary.damaged = true;
    rows[1].summary.live = Live::Writer(store_core::LeaseHolder::default());
    let mut picker = picker(rows);
    assert_eq!(press(&mut picker, &[Key::Enter]), []);
    assert_eq!(picker.mode(), &Mode::Ask(Question::Live(choice(2))));
    assert_eq!(press(&mut picker, &[Key::Char('x'), Key::Char('w')]), [Action::Watch(choice(2))]);
    assert_eq!(press(&mut picker, &[Key::Enter, Key::Char('f')]), [Action::Fork(choice(2))]);
    assert_eq!(press(&mut picker, &[Key::Down, Key::Enter, Key::Char('r')]), [Action::Repair(choice(1))]);
    assert_eq!(press(&mut picker, &[Key::Enter, Key::Escape]), []);
    assert_eq!(picker.mode(), &Mode::List);
}

#[test]
fn a_conversation_that_vanishes_takes_no_other_with_it() {
    let mut picker = three();
    press(&mut picker, &[Key::Down]);
    picker.take(Event::Changed { session: session(2), row: None });
    assert_eq!((titles(&picker).len(), picker.place()), (2, 1));
    picker.take(Event::Changed { session: session(1), row: None });
    picker.take(Event::Changed { session: session(3), row: None });
    assert_eq!(
        press(&mut picker, &[Key::Enter, Key::Right, Key::Control('d'), Key::Control('r'), Key::Control('y')]),
        []
    );
}

#[test]
fn rows_that_come_later_keep_the_selection() {
    let mut picker = three();
    press(&mut picker, &[Key::Down]);
    let more =
        vec![row(1, "Fix the red build"), row(2, "Tour of the repository"), row(3, "A faster import"), row(4, "new")];
    picker.load(more, true);
    assert_eq!(press(&mut picker, &[Key::Enter]), [Action::Pick(choice(2))]);
}

#[test]
fn help_goes_with_any_key() {
    let mut picker = three();
    press(&mut picker, &[Key::Char('?')]);
    assert_eq!(picker.mode(), &Mode::Help);
    press(&mut picker, &[Key::Char('x')]);
    assert_eq!((picker.mode(), picker.line().text()), (&Mode::List, ""));
}

fn any_key() -> impl Strategy<Value = Key> {
    let named = [
        Key::Enter,
        Key::Escape,
        Key::Tab,
        Key::Backspace,
        Key::Delete,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Function(1),
    ];
    prop_oneof![
        any::<char>().prop_map(Key::Char),
        prop::sample::select(vec!['a', 'b', 'd', 'e', 'f', 'l', 'n', 'o', 'p', 'r', 's', 't', 'u', 'w', 'y', 'z'])
            .prop_map(Key::Control),
        prop::sample::select("agent:is:forkdeimport \"*-".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        prop::sample::select(named.to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_typed_every_conversation_is_shown_or_counted(keys in prop::collection::vec(any_key(), 0..60)) {
        let mut rows: Vec<PickerRow> = (1..=9).map(|number| row(number, "import de")).collect();
        rows[1].summary.archived = true;
        rows[2].summary.damaged = true;
        rows[3].scope = Scope::All;
        let mut picker = picker(rows);
        for key in keys {
            let actions = press(&mut picker, &[key]);
            if let Some(Action::LoadTree(session)) = actions.first() {
                let segments = vec![of_tree(1, None, true), of_tree(2, Some(1), false)];
                picker.take(Event::Tree { session: *session, segments, turns: Vec::new() });
            }
            obey(&mut picker, &actions);
            let Counts { shown, total, trashed, archived, subagents, unmatched, elsewhere } = picker.counts();
            prop_assert_eq!(shown + trashed + archived + subagents + unmatched + elsewhere, total);
            prop_assert_eq!(picker.rows().len(), shown);
            prop_assert!(picker.place() <= shown.max(2));
            let (before, behind) = picker.line().halves();
            prop_assert_eq!(format!("{before}{behind}"), picker.line().text());
        }
    }
}
