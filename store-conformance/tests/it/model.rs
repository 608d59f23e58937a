//! What the model test can catch.

use std::thread;

use store_conformance::faulty::{self, FaultyStore};
use store_conformance::{Harness, MemoryHarness, model_test, run_model};

#[test]
fn the_reference_answers_what_the_reference_answers() {
    model_test::<MemoryHarness>(64);
}

/// The model test does not watch. Faults that only show when threads race, at a limit, or with texts that sequences are not made of are not for this
/// test; the snapshot names them.
#[test]
fn most_faulty_stores_are_caught_by_the_model_test() {
    let stores: Vec<&FaultyStore> = faulty::of_the_log().collect();
    let all = stores.len();
    let missed_in = |part: &[&FaultyStore]| {
        let missed = part.iter().filter(|store| run_model(&|| store.fresh(), 60, 1).is_ok());
        missed.map(|store| store.name).collect::<Vec<_>>()
    };
    let missed: Vec<&str> = thread::scope(|scope| {
        let parts: Vec<_> = stores.chunks(all.div_ceil(4)).map(|part| scope.spawn(move || missed_in(part))).collect();
        parts.into_iter().flat_map(|part| part.join().expect("a store that panics has failed, not the test")).collect()
    });
    assert!(missed.len() * 3 < all, "{} of {all} were missed", missed.len());
    let caught = all - missed.len();
    insta::assert_snapshot!(format!("{caught} of {all} are caught; these are not:\n{}", missed.join("\n")));
}

#[test]
fn a_failure_tells_the_calls_that_led_to_it() {
    let forgetful = faulty::all().find(|store| store.name.contains("key")).expect("a store that is faulty about keys");
    let fresh: &dyn Fn() -> Box<dyn Harness> = &|| forgetful.fresh();
    let words = run_model(fresh, 500, 1).expect_err("the fault shows").to_string();
    assert!(words.contains("in call ") && words.contains("The calls were:\n   1 Step"), "{words}");
    assert_eq!(run_model(fresh, 500, 1).expect_err("it shows again").to_string(), words, "a seed is a sequence");
}
