//! Pages for people.

use session_store::export::{html, markdown};
use session_store::{NewSegment, SegmentState, create_segment, current_leaf, save_delta, save_user_input};
use store_core::{Item, Part, Role, SessionId};

use crate::import::world::{NOON, World};

const HOSTILE: &str = "</title><script>alert(1)</script>\u{1b}[2J\u{202e}<img src=x onerror=y>";

fn hostile() -> (World, SessionId) {
    let world = World::memory();
    let at = create_segment(&*world.store, NOON, NewSegment::default()).unwrap();
    let state = SegmentState::open(&*world.store, at).unwrap();
    save_user_input(&*world.store, &state, NOON, vec![Part::text(HOSTILE)]).unwrap();
    let image = Part::Image {
        media_type: Some("image/svg+xml\" onload=\"z".into()),
        data: Some("iVBORw0KGgo=".into()),
        url: None,
    };
    let address = Part::Image { media_type: None, data: None, url: Some("https://example.com/x.png".into()) };
    let said = Item::Message { role: Role::Assistant, parts: vec![Part::text("```\nfence\n```"), image, address] };
    let call =
        Item::ToolCall { call_id: "c".into(), name: HOSTILE.into(), arguments: serde_json::json!({"a": HOSTILE}) };
    let result = Item::ToolResult { call_id: "c".into(), parts: vec![Part::text(HOSTILE)], is_error: true };
    save_delta(&*world.store, &state, NOON, vec![said, call, result]).unwrap();
    (world, at.session_id)
}

#[test]
fn a_page_holds_nothing_that_runs_or_is_loaded_whatever_was_said() {
    let (world, session) = hostile();
    let page = html(&*world.store, session, current_leaf(&*world.store, session).unwrap()).unwrap();
    for hostile in ["<script", "<img src=x", "onload=\"", "\u{1b}", "\u{202e}", "src=\"http", "href=", "image/svg"] {
        assert!(!page.contains(hostile), "{hostile}: {page}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("default-src 'none'") && page.contains("color-scheme:light dark"));
    assert!(page.contains("src=\"data:image/png;base64,iVBORw0KGgo=\""));
    assert_eq!(page.matches("<article").count(), page.matches("</article>").count());
}

#[test]
fn a_text_holds_no_control_sequences_and_fences_that_close() {
    let (world, session) = hostile();
    let text = markdown(&*world.store, session, current_leaf(&*world.store, session).unwrap()).unwrap();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    assert_eq!(text.lines().filter(|line| line.starts_with("```")).count() % 2, 0, "{text}");
}

#[test]
fn every_sample_is_told_whole() {
    let world = World::of(&["claude", "codex", "codex-0.80.0", "pi", "constructed"]);
    for row in world.rows() {
        let (session, leaf) = (row.session_id, row.segment_id);
        let page = html(&*world.store, session, leaf).unwrap();
        let text = markdown(&*world.store, session, leaf).unwrap();
        let options = session_store::ShowOptions::default();
        let rows = session_store::transcript(&*world.store, session, leaf, &options).unwrap().messages;
        assert_eq!(page.matches("<article").count(), rows.len());
        for row in rows.iter().filter(|row| row.kind.is_message() && row.parts.is_none()) {
            let said = row.text.trim().replace('\r', "");
            assert!(text.contains(&said), "{said:?}");
        }
    }
}

#[test]
fn a_conversation_as_text() {
    let file = "pi/agent/sessions/--home-dev-src-acme-api--/2026-11-21T03-58-56-796Z_01a1fc41-db1c-72c1-8473-a4e300b60ed5.jsonl";
    let world = World::of(&[file]);
    let row = world.rows().remove(0);
    insta::assert_snapshot!("markdown", markdown(&*world.store, row.session_id, row.segment_id).unwrap());
    insta::assert_snapshot!("html", html(&*world.store, row.session_id, row.segment_id).unwrap());
}
