//! `pod import --watch`.

use serde_json::{Value, json};

use crate::follow::Followed;
use crate::fresh::Talk;
use crate::harness::{World, interrupt};

fn next(watched: &mut Followed) -> Value {
    serde_json::from_str(&watched.line()).unwrap()
}

#[test]
fn what_agents_write_comes_in_a_line_for_each_conversation_until_ctrl_c() {
    for store in ["fs:store", "sqlite:store.db"] {
        let world = World::new();
        let mut talk = Talk::begin(&world, 1, "the first");
        let mut watched = Followed::start(&world, &["import", "--watch", "--json", "--store", store]);
        let first = next(&mut watched);
        assert_eq!((&first["native_id"], &first["status"]), (&json!(talk.id()), &json!("imported")), "{store}");
        talk.say("the second");
        let second = next(&mut watched);
        assert_eq!((&second["native_id"], &second["status"]), (&json!(talk.id()), &json!("updated")), "{store}");
        let other = Talk::begin(&world, 2, "another one");
        // A look that comes between two lines of a file that is being written finds the rest with the next one.
        let third = next(&mut watched);
        assert_eq!(third["native_id"], other.id(), "{store}");
        interrupt(&watched.child);
        assert_eq!(watched.end(), (Some(130), String::new()), "{store}");
        let whole = world.pod(&["verify", "--json", "--store", store]).json();
        assert_eq!((&whole["ok"], &whole["sessions"]), (&json!(true), &json!(2)), "{store}");
        let listed = world.pod(&["list", "--json", "--store", store]).json();
        assert_eq!(listed["total"], 2, "{store}");
    }
}

#[test]
fn people_see_what_comes_in_and_where_it_is_from() {
    let world = World::new();
    let mut talk = Talk::begin(&world, 1, "the first");
    let mut watched = Followed::start(&world, &["import", "--watch", ".pi"]);
    assert!(watched.line().starts_with("imported   pi "));
    talk.say("the second");
    assert!(watched.line().starts_with("updated    pi "));
    interrupt(&watched.child);
    let (code, said) = watched.end();
    assert_eq!(code, Some(130));
    assert!(
        said.starts_with("following ~/.pi; Ctrl-C ends it\n") && said.ends_with("stopped; what came in is kept\n"),
        "{said}"
    );
    let listed = world.pod(&["list", "--json"]).json();
    assert_eq!(listed["sessions"][0]["turns"], 2);
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let world = World::new();
    Talk::begin(&world, 1, "the first");
    let mut watched = Followed::start(&world, &["import", "--watch", "--json"]);
    watched.line();
    assert_eq!(watched.end(), (Some(0), String::new()));
}

#[test]
fn it_watches_nothing_where_no_agent_is() {
    let world = World::new();
    let error = world.pod(&["import", "--watch", "--json"]).json_error();
    assert_eq!(error["error"]["kind"], "nothing_to_import");
}
