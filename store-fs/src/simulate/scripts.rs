//! Fixed scripts of realistic work, each short enough to be stopped at every call.

use store_core::Durability;

use super::machine::FLAT;
use super::script::{Beginning, How, Script, Step};

const BUFFERED: How = How::Asked(Durability::Buffered);
const SYNCED: How = How::Asked(Durability::Synced);
const KEYED: How = How::Keyed(Durability::Synced);

pub(super) fn create(by: usize, segment: u8, session: u8, entries: usize) -> Step {
    Step::Create { by, segment, session, entries }
}

pub(super) fn fork(by: usize, segment: u8, session: u8, of: u8) -> Step {
    Step::Fork { by, segment, session, of }
}

fn append(by: usize, segment: u8, sizes: &[usize], how: How) -> Step {
    Step::Append { by, segment, sizes: sizes.to_vec(), how }
}

pub(super) fn fact(by: usize, session: Option<u8>) -> Step {
    Step::Fact { by, session }
}

impl Script {
    /// Scripts of realistic work, each short enough to be stopped at every call.
    pub fn fixed() -> Vec<Self> {
        vec![
            Self::conversation(),
            Self::tree_of_segments(),
            Self::two_processes(),
            Self::dead_writers(),
            Self::deleted_and_made_again(),
            Self::large_calls(),
            Self::older_layouts(),
            Self::writers_beside_each_other(),
            Self::leases_and_tails(),
            Self::many_at_once(),
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

    /// What is done first to logs of an older layout, each written anew for another reason; two processes come to one of them.
    fn older_layouts() -> Self {
        let steps = vec![
            Step::Tail { by: 1, segment: FLAT },
            append(0, 1, &[30], SYNCED),
            append(0, FLAT, &[300, 20], BUFFERED),
            append(1, FLAT, &[20], SYNCED),
            Step::Tail { by: 1, segment: FLAT },
            fork(1, 3, 2, FLAT + 1),
            Step::Cursor { by: 0 },
            fact(0, Some(FLAT + 2)),
            create(0, 4, FLAT + 3, 1),
            Step::Close { by: 0 },
            append(0, FLAT + 3, &[10], KEYED),
            Step::Delete { by: 0, session: FLAT + 2 },
        ];
        Self { beginning: Beginning::OlderLayouts, ..Self::new("older layouts", steps) }
    }

    /// What comes to the next writer when the sync of another one fails; with handles that know each other's syncs, and handles that do not.
    fn writers_beside_each_other() -> Self {
        let steps = vec![
            create(0, 1, 1, 0),
            append(0, 1, &[600], BUFFERED),
            append(2, 1, &[30], SYNCED),
            append(0, 1, &[500, 40], BUFFERED),
            append(1, 1, &[10], SYNCED),
            append(2, 1, &[10], SYNCED),
            fact(0, Some(1)),
            fact(2, Some(1)),
            fact(1, Some(1)),
            Step::Cursor { by: 1 },
            append(0, 1, &[10, 700], KEYED),
            Step::Close { by: 0 },
            append(2, 1, &[10], SYNCED),
            Step::Close { by: 2 },
            append(0, 1, &[20], SYNCED),
            append(1, 1, &[20], SYNCED),
        ];
        Self::new("writers beside each other", steps)
    }

    fn leases_and_tails() -> Self {
        let steps = vec![
            create(0, 1, 1, 1),
            Step::Lease { by: 0, segment: 1 },
            Step::Tail { by: 1, segment: 1 },
            append(0, 1, &[200, 10], BUFFERED),
            Step::Lease { by: 1, segment: 1 },
            Step::Delete { by: 1, session: 1 },
            Step::Tail { by: 1, segment: 1 },
            append(1, 1, &[400], SYNCED),
            Step::Tail { by: 0, segment: 1 },
            Step::Kill { by: 0 },
            Step::Lease { by: 1, segment: 1 },
            append(0, 1, &[10], SYNCED),
            Step::Tail { by: 1, segment: 1 },
            Step::Close { by: 1 },
            Step::Delete { by: 0, session: 1 },
            create(1, 1, 1, 0),
            Step::Tail { by: 0, segment: 1 },
        ];
        Self::new("leases and tails", steps)
    }

    /// Sessions that are made together, some of which are there already, are deleted, or are gone on with.
    fn many_at_once() -> Self {
        let many = |by, sessions: &[(u8, u8, usize)]| Step::CreateMany { by, sessions: sessions.to_vec() };
        let steps = vec![
            many(0, &[(1, 1, 1), (2, 2, 0), (3, 3, 2)]),
            append(0, 1, &[30], SYNCED),
            fact(1, Some(2)),
            Step::Cursor { by: 1 },
            many(1, &[(2, 2, 0), (4, 4, 1)]),
            fork(0, 5, 5, 4),
            Step::Delete { by: 0, session: 2 },
            many(0, &[(2, 2, 1), (6, 6, 0)]),
            append(1, 2, &[10], BUFFERED),
            Step::Close { by: 0 },
            fact(0, Some(6)),
        ];
        Self::new("many at once", steps)
    }

    /// Work of processes that are killed before any of its last calls is synced: a power loss then leaves holes.
    pub(super) fn unsynced() -> Self {
        let steps = vec![
            create(0, 1, 1, 1),
            append(0, 1, &[300], SYNCED),
            append(0, 1, &[1200], BUFFERED),
            append(0, 1, &[700, 10, 900], BUFFERED),
            append(1, 1, &[2000], BUFFERED),
            Step::Trace { by: 1, segment: 1 },
            append(1, 1, &[10], BUFFERED),
            Step::Kill { by: 0 },
            Step::Kill { by: 1 },
        ];
        Self::new("unsynced work", steps)
    }

    /// What is done where a power loss left holes.
    pub(super) fn onwards() -> Self {
        let steps = vec![
            Step::Cursor { by: 1 },
            Step::Tail { by: 1, segment: 1 },
            append(0, 1, &[20], BUFFERED),
            Step::Trace { by: 0, segment: 1 },
            append(1, 1, &[700], KEYED),
            Step::Tail { by: 1, segment: 1 },
            fork(1, 2, 2, 1),
            fact(0, Some(1)),
            Step::Close { by: 0 },
            append(0, 1, &[10, 20], SYNCED),
        ];
        Self::new("onwards from holes", steps)
    }
}
