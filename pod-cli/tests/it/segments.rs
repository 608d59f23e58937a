//! `pod segments`

use crate::fixture::{self, segment_id, session_id};

#[test]
fn the_json_form() {
    insta::assert_json_snapshot!(fixture::world().pod(&["segments", &session_id("ledger"), "--json"]).json());
}

#[test]
fn people_see_what_their_terminal_has_room_for() {
    let world = fixture::world();
    for cells in [40, 80, 160] {
        let run = world.pod_at_width(cells, &["segments", &session_id("ledger")]);
        insta::assert_snapshot!(format!("segments_{cells}"), run);
    }
}

#[test]
fn a_segment_names_its_session() {
    let world = fixture::world();
    let by_segment = world.pod(&["segments", &segment_id("ledger dead"), "--json"]).json();
    assert_eq!(by_segment, world.pod(&["segments", &session_id("ledger"), "--json"]).json());
}
