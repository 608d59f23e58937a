//! `pod` without a command.

use crate::fixture;
use crate::harness::World;

#[test]
fn an_empty_place_says_how_to_begin() {
    insta::assert_snapshot!(World::new().pod(&[]));
}

#[test]
fn looking_makes_nothing() {
    let world = World::new();
    world.pod(&[]).ok();
    world.pod(&["list", "--json"]).ok();
    assert_eq!(std::fs::read_dir(world.path()).unwrap().count(), 0);
}

#[test]
fn the_newest_conversations_and_how_to_go_on() {
    insta::assert_snapshot!(fixture::world().pod_at_width(80, &[]));
}

#[test]
fn for_programs_it_is_a_page_of_the_list() {
    let world = fixture::world();
    assert_eq!(world.pod(&["--json"]).json(), world.pod(&["list", "--limit", "10", "--json"]).json());
}
