//! What is done to a store: fixed scripts of realistic work, and scripts that a seed gives.

use store_core::Durability;

use super::random::Random;

/// One thing that is done. `by` is the handle that does it, 0 or 1: each is a process of its own.
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

/// A list of steps with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it is about.
    pub name: String,
    /// What is done.
    pub steps: Vec<Step>,
}

const BUFFERED: How = How::Asked(Durability::Buffered);
const SYNCED: How = How::Asked(Durability::Synced);
const KEYED: How = How::Keyed(Durability::Synced);

fn create(by: usize, segment: u8, session: u8, entries: usize) -> Step {
    Step::Create { by, segment, session, entries }
}

fn fork(by: usize, segment: u8, session: u8, of: u8) -> Step {
    Step::Fork { by, segment, session, of }
}

fn append(by: usize, segment: u8, sizes: &[usize], how: How) -> Step {
    Step::Append { by, segment, sizes: sizes.to_vec(), how }
}

fn fact(by: usize, session: Option<u8>) -> Step {
    Step::Fact { by, session }
}

impl Script {
    fn new(name: &str, steps: Vec<Step>) -> Self {
        Self { name: name.to_owned(), steps }
    }

    /// Scripts of realistic work, each short enough to be stopped at every call.
    pub fn fixed() -> Vec<Self> {
        vec![
            Self::conversation(),
            Self::tree_of_segments(),
            Self::two_processes(),
            Self::dead_writers(),
            Self::deleted_and_made_again(),
            Self::large_calls(),
        ]
    }

    fn conversation() -> Self {
        let steps = vec![
            create(0, 1, 1, 0),
            append(0, 1, &[20], How::Turn),
            append(0, 1, &[300], How::Rides),
            Step::Trace { by: 0, segment: 1 },
            append(0, 1, &[40, 10], How::Rides),
            append(0, 1, &[30], How::Blob(Durability::Buffered)),
            fact(0, Some(1)),
            append(0, 1, &[5], How::Turn),
            Step::Cursor { by: 0 },
            append(0, 1, &[700], How::Rides),
            Step::Trace { by: 0, segment: 1 },
            fact(0, None),
            append(0, 1, &[10, 20, 30], BUFFERED),
            Step::Close { by: 0 },
            append(0, 1, &[10], SYNCED),
        ];
        Self::new("a conversation", steps)
    }

    fn tree_of_segments() -> Self {
        let steps = vec![
            create(0, 1, 1, 2),
            append(0, 1, &[100, 100], BUFFERED),
            fork(0, 2, 1, 1),
            append(0, 2, &[20], How::Turn),
            append(0, 1, &[20], BUFFERED),
            fork(0, 3, 2, 1),
            fact(0, Some(2)),
            Step::Delete { by: 0, session: 1 },
            Step::Delete { by: 0, session: 2 },
            append(0, 2, &[10, 10], SYNCED),
            Step::Delete { by: 0, session: 1 },
            create(0, 4, 3, 1),
        ];
        Self::new("a tree of segments", steps)
    }

    fn two_processes() -> Self {
        let steps = vec![
            create(0, 1, 1, 0),
            append(1, 1, &[30], KEYED),
            append(0, 1, &[30, 40], BUFFERED),
            Step::Cursor { by: 1 },
            append(1, 1, &[10], How::Keyed(Durability::Buffered)),
            Step::Repeat { by: 0, segment: 1 },
            create(1, 2, 1, 1),
            append(0, 2, &[600], SYNCED),
            fact(1, Some(1)),
            fact(0, Some(1)),
            Step::Close { by: 0 },
            append(1, 2, &[50, 60, 70], BUFFERED),
            Step::Repeat { by: 1, segment: 1 },
            append(0, 1, &[10], KEYED),
            Step::Cursor { by: 0 },
            append(1, 1, &[20], BUFFERED),
        ];
        Self::new("two processes", steps)
    }

    fn dead_writers() -> Self {
        let steps = vec![
            create(0, 1, 1, 0),
            append(1, 1, &[500], BUFFERED),
            Step::Cursor { by: 0 },
            append(1, 1, &[10], SYNCED),
            append(1, 1, &[200, 10], BUFFERED),
            Step::Trace { by: 1, segment: 1 },
            Step::Kill { by: 1 },
            append(0, 1, &[30], BUFFERED),
            create(1, 2, 2, 0),
            append(1, 2, &[10], KEYED),
            Step::Kill { by: 0 },
            Step::Cursor { by: 1 },
            append(1, 1, &[20], SYNCED),
            append(0, 2, &[20], BUFFERED),
        ];
        Self::new("dead writers", steps)
    }

    fn deleted_and_made_again() -> Self {
        let steps = vec![
            create(0, 1, 1, 0),
            append(0, 1, &[30], SYNCED),
            append(1, 1, &[30], SYNCED),
            fact(0, Some(1)),
            Step::Cursor { by: 1 },
            Step::Delete { by: 1, session: 1 },
            create(1, 1, 1, 1),
            append(0, 1, &[10], SYNCED),
            append(1, 1, &[10], BUFFERED),
            Step::Delete { by: 0, session: 1 },
            create(1, 1, 2, 0),
            append(0, 1, &[10], KEYED),
        ];
        Self::new("deleted and made again", steps)
    }

    fn large_calls() -> Self {
        let steps = vec![
            create(0, 1, 1, 5),
            append(0, 1, &[3000, 10, 4000], BUFFERED),
            append(0, 1, &[100; 20], BUFFERED),
            append(0, 1, &[2000], KEYED),
            append(0, 1, &[6000], How::Blob(Durability::Synced)),
            append(1, 1, &[9000, 9000], BUFFERED),
            append(1, 1, &[1], BUFFERED),
        ];
        Self::new("large calls", steps)
    }

    /// The script that belongs to a seed: one or two processes on a few sessions.
    pub fn random(seed: u64, name: &str) -> Self {
        let mut random = Random::of(seed, 3);
        let handles = random.pick(&[1, 2, 2]);
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
                78..81 => Step::Trace { by, segment },
                81..86 => Step::Cursor { by },
                86..89 => Step::Delete { by, session },
                89..91 => create(by, segment, session, 1),
                91..97 => Step::Close { by },
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
