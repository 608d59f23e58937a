//! Creation: a segment exists with all its entries or not at all.

use super::fixture::{create, input, note, same, segment, session, start, text_of, texts};
use crate::{Harness, Outcome};

pub(crate) fn a_created_segment_has_all_its_entries_in_order(harness: &mut dyn Harness) -> Outcome {
    let store = harness.store();
    let more = [input("one"), note("two")];
    create(store, session(1), segment(1), &more)?;
    let expected = vec![text_of(&start(session(1))), text_of(&more[0]), text_of(&more[1])];
    same("the entries of a created segment", texts(store, session(1), segment(1))?, expected)
}
