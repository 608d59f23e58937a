//! Random sequences of what writers and others do, held against what each writer was told.

use std::sync::Arc;

use proptest::prelude::*;
use session_store::{
    NewSegment, SegmentLocation, SessionWriter, append_entry, create_segment, leaves, restore_by_segment,
};
use store_core::{Backend, MemoryStore};

use super::{entry_at, options, prompts, text_of, writer_at};
use crate::common::{NOW, injected, prompt};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// One of two writers submits so many entries together.
    Submit {
        writer: bool,
        entries: u8,
    },
    /// Somebody without a writer appends where a writer stands.
    Foreign {
        writer: bool,
    },
    Flush {
        writer: bool,
    },
    /// A writer is closed and begun anew where it stood.
    Renew {
        writer: bool,
    },
    /// A writer compacts.
    Compact {
        writer: bool,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), 1_u8..4).prop_map(|(writer, entries)| Step::Submit { writer, entries }),
        2 => any::<bool>().prop_map(|writer| Step::Foreign { writer }),
        1 => any::<bool>().prop_map(|writer| Step::Flush { writer }),
        1 => any::<bool>().prop_map(|writer| Step::Renew { writer }),
        1 => any::<bool>().prop_map(|writer| Step::Compact { writer }),
    ]
}

struct Side {
    writer: Option<SessionWriter>,
    tickets: Vec<(String, session_store::Ticket)>,
    said: Vec<String>,
}

impl Side {
    fn writer(&self) -> &SessionWriter {
        self.writer.as_ref().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn everything_submitted_stands_once_and_in_order_in_the_branch_of_its_writer(
        steps in prop::collection::vec(any_step(), 1..40),
    ) {
        let store: Arc<dyn Backend> = Arc::new(MemoryStore::new());
        let at = create_segment(&*store, NOW, NewSegment::default()).unwrap();
        let side = |store| Side { writer: Some(writer_at(store, at, options())), tickets: Vec::new(), said: Vec::new() };
        let mut sides = [side(&store), side(&store)];
        for (number, step) in steps.into_iter().enumerate() {
            play(&store, &mut sides, number, step);
        }
        for (index, side) in sides.into_iter().enumerate() {
            let stands = side.writer.unwrap().close().unwrap().location;
            for (text, ticket) in side.tickets {
                let landed = ticket.wait().unwrap();
                prop_assert_eq!(text_of(&entry_at(&*store, landed)), Some(text));
            }
            let own = own_prompts(&*store, stands, index);
            prop_assert_eq!(own, side.said);
        }
        for leaf in leaves(&*store, at.session_id).unwrap() {
            restore_by_segment(&*store, leaf).unwrap();
        }
    }
}

fn own_prompts(store: &dyn store_core::Store, at: SegmentLocation, side: usize) -> Vec<String> {
    prompts(store, at).into_iter().filter(|text| text.starts_with(&format!("{side}:"))).collect()
}

fn play(store: &Arc<dyn Backend>, sides: &mut [Side; 2], number: usize, step: Step) {
    let (Step::Submit { writer, .. }
    | Step::Foreign { writer }
    | Step::Flush { writer }
    | Step::Renew { writer }
    | Step::Compact { writer }) = step;
    let index = usize::from(writer);
    let side = &mut sides[index];
    match step {
        Step::Submit { entries, .. } => {
            let texts: Vec<String> = (0..entries).map(|n| format!("{index}:{number}.{n}")).collect();
            let ticket = side.writer().submit_all(texts.iter().map(|text| prompt(text).into())).unwrap();
            side.tickets.push((texts.last().unwrap().clone(), ticket));
            side.said.extend(texts);
        }
        Step::Foreign { .. } => drop(append_entry(&**store, side.writer().location(), injected("foreign")).unwrap()),
        Step::Flush { .. } => {
            let landed = side.writer().flush().wait().unwrap();
            assert_eq!(landed.location, side.writer().location());
        }
        Step::Renew { .. } => {
            let stands = side.writer.take().unwrap().close().unwrap().location;
            side.writer = Some(writer_at(store, stands, options()));
        }
        Step::Compact { .. } => drop(side.writer().compact(NewSegment::default()).wait().unwrap()),
    }
}
