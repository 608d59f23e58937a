//! What is done to a store: fixed scripts of realistic work, and scripts that a seed gives.

use store_core::Durability;

use super::random::Random;
use super::scripts::{create, fact, fork};

/// One thing that is done. `by` is the handle that does it: 0 and 1 are processes of their own, 2 is a second handle of 0's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes a segment with its start and so many entries.
    Create {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
        /// Its session.
        session: u8,
        /// How many entries it gets besides its start.
        entries: usize,
    },
    /// Makes sessions at once, each with a segment, so many entries besides its start, and a fact.
    CreateMany {
        /// The handle.
        by: usize,
        /// Session, segment and how many entries, of each.
        sessions: Vec<(u8, u8, usize)>,
    },
    /// Makes a segment that continues the last entry of another.
    Fork {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
        /// Its session.
        session: u8,
        /// The segment that it continues.
        of: u8,
    },
    /// Appends one call.
    Append {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
        /// How many bytes of padding each entry has.
        sizes: Vec<usize>,
        /// How it is written.
        how: How,
    },
    /// Appends the last keyed call on a segment once more.
    Repeat {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
    },
    /// Says a fact about a session, or about the store.
    Fact {
        /// The handle.
        by: usize,
        /// The session.
        session: Option<u8>,
    },
    /// Adds to a segment's trace.
    Trace {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
    },
    /// Deletes a session.
    Delete {
        /// The handle.
        by: usize,
        /// The session.
        session: u8,
    },
    /// Takes a segment's lease, and keeps it until the handle goes or takes another one.
    Lease {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
    },
    /// Reads on in a tail of the segment, which is begun where it is missing, and holds what it told against the log.
    Tail {
        /// The handle.
        by: usize,
        /// The segment.
        segment: u8,
    },
    /// Asks for changes, and notes what the store holds at that place.
    Cursor {
        /// The handle.
        by: usize,
    },
    /// Closes the handle; the next step of it opens the store anew.
    Close {
        /// The handle.
        by: usize,
    },
    /// Kills the process.
    Kill {
        /// The handle.
        by: usize,
    },
}

/// How a call is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As the store's policy has it, and it has a user's input: synced.
    Turn,
    /// As the store's policy has it for entries that ride along.
    Rides,
    /// With this durability.
    Asked(Durability),
    /// Keyed; sent again with the same keys if it fails.
    Keyed(Durability),
    /// With a blob that the first entry refers to.
    Blob(Durability),
}

/// What stands on the disk before the first step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing.
    #[default]
    Nothing,
    /// Logs of each older layout, and no store.
    OlderLayouts,
}

/// A list of steps with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it is about.
    pub name: String,
    /// Where it begins.
    pub beginning: Beginning,
    /// What is done.
    pub steps: Vec<Step>,
}

impl Script {
    pub(super) fn new(name: &str, steps: Vec<Step>) -> Self {
        Self { name: name.to_owned(), beginning: Beginning::Nothing, steps }
    }

    /// The script that belongs to a seed: one or two processes on a few sessions.
    pub fn random(seed: u64, name: &str) -> Self {
        let mut random = Random::of(seed, 3);
        let handles = random.pick(&[1, 2, 2, 3]);
        let length = 4 + random.below(16);
        let mut steps = vec![create(0, 1, 1, random.below(3))];
        let mut made = 1_u8;
        while steps.len() < length {
            let by = random.below(handles);
            let segment = u8::try_from(1 + random.below(usize::from(made))).unwrap_or(1);
            let session = u8::try_from(1 + random.below(3)).unwrap_or(1);
            steps.push(match random.below(100) {
                0..56 => Step::Append { by, segment, sizes: random_sizes(&mut random), how: random_how(&mut random) },
                56..61 => Step::Repeat { by, segment },
                61..67 if made < 6 => {
                    made += 1;
                    create(by, made, session, random.below(4))
                }
                67..73 if made < 6 => {
                    made += 1;
                    fork(by, made, session, segment)
                }
                73..78 => fact(by, (session < 3).then_some(session)),
                78..80 => Step::Trace { by, segment },
                80..81 => {
                    made += 2;
                    let sessions = vec![(made + 2, made - 1, 1), (made + 3, made, random.below(3))];
                    Step::CreateMany { by, sessions }
                }
                81..86 => Step::Cursor { by },
                86..89 => Step::Delete { by, session },
                89..91 => create(by, segment, session, 1),
                91..93 => Step::Lease { by, segment },
                93..95 => Step::Tail { by, segment },
                95..98 => Step::Close { by },
                _ => Step::Kill { by },
            });
        }
        Self::new(name, steps)
    }
}

fn random_sizes(random: &mut Random) -> Vec<usize> {
    let count = random.pick(&[1, 1, 1, 2, 3, 7]);
    let size_max = random.pick(&[1, 60, 60, 600, 5000]);
    (0..count).map(|_| random.below(size_max)).collect()
}

fn random_how(random: &mut Random) -> How {
    let durability = random.pick(&[Durability::Buffered, Durability::Buffered, Durability::Synced]);
    match random.below(10) {
        0..2 => How::Turn,
        2..4 => How::Rides,
        4..7 => How::Asked(durability),
        7..9 => How::Keyed(durability),
        _ => How::Blob(durability),
    }
}
