//! The calls that sequences are made of, and how they are drawn.
//!
//! Everything is drawn small and by number, so that a sequence can be printed, shortened and meant in any store: which store
//! gave which id or checksum is no part of it.

use proptest::prelude::*;
use store_core::Durability;

/// One call, on one of the handles.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Which handle is called.
    pub(super) handle: usize,
    /// Which handle is asked for everything afterwards.
    pub(super) observer: usize,
    pub(super) call: Call,
}

#[derive(Clone, Debug)]
pub(super) enum Call {
    Create {
        session: u64,
        segment: u64,
        start: Start,
        entries: Vec<Entry>,
        durability: Option<Durability>,
    },
    /// Makes sessions at once.
    CreateMany {
        sessions: Vec<NewOne>,
    },
    Append {
        of: Of,
        segment: u64,
        entries: Vec<Entry>,
        expected: End,
        durability: Option<Durability>,
    },
    AppendOne {
        segment: u64,
        text: u64,
    },
    ReadRange {
        of: Of,
        segment: u64,
        after: u64,
        limit: usize,
    },
    ReadTail {
        segment: u64,
        count: usize,
    },
    Trace {
        of: Of,
        segment: u64,
        text: u64,
    },
    Fact {
        session: Option<u64>,
        text: u64,
    },
    PutBlob {
        bytes: usize,
    },
    GetBlob {
        bytes: usize,
        length: u64,
    },
    Delete {
        session: u64,
    },
    Changes {
        observer: usize,
    },
    /// Closes a handle and opens the store again.
    Reopen,
    /// Leaves on the medium what a process that dies can leave.
    LeaveBehind {
        dice: u64,
    },
}

/// A session that is to be made with others.
#[derive(Clone, Debug)]
pub(super) struct NewOne {
    pub(super) session: u64,
    pub(super) segments: Vec<(u64, Start, Vec<Entry>)>,
    pub(super) facts: Vec<u64>,
}

/// Which session a call on a segment names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    /// The one that the segment belongs to.
    Home,
    /// This one.
    Session(u64),
}

/// How a segment begins.
#[derive(Clone, Debug)]
pub(super) enum Start {
    Plain,
    /// Names another session.
    Foreign(u64),
    /// Is missing.
    Missing,
    /// Continues a point of another segment.
    Fork(Point),
    /// The same, as a compaction whose history refers to a range of that segment or of another one.
    Compaction {
        point: Point,
        history: Option<(u64, u64, u64)>,
    },
    /// Both at once.
    Both(Point),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) of: Of,
    pub(super) segment: u64,
    pub(super) seq: u64,
}

/// Where an append expects the log to end.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    Anywhere,
    /// So many entries from the end that the log has.
    Count(i64),
    /// At the position that is so many entries before the end.
    At(u64),
    /// At the end, with another checksum.
    Otherwise,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) shape: Shape,
    pub(super) text: u64,
    pub(super) key: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Of a kind that nobody knows.
    Note,
    /// A person's input, which the policy syncs.
    Input,
    /// A typed entry, which the store serialises.
    Typed,
    /// A few thousand bytes.
    Long,
    /// With spellings that a store must not tidy.
    Odd,
    /// A second start.
    Start,
    /// With a name that belongs to the line.
    Reserved,
    /// Not an object on one line.
    NoObject,
    /// A key without a byte.
    EmptyKey,
    /// Nested too deep.
    Deep,
}

fn session() -> impl Strategy<Value = u64> {
    0..super::world::SESSIONS
}

fn segment() -> impl Strategy<Value = u64> {
    0..super::world::SEGMENTS
}

fn of() -> impl Strategy<Value = Of> {
    prop_oneof![9 => Just(Of::Home), 1 => session().prop_map(Of::Session)]
}

fn point() -> impl Strategy<Value = Point> {
    let seq = prop_oneof![6 => 1..3_u64, 1 => 0..8_u64];
    (of(), segment(), seq).prop_map(|(of, segment, seq)| Point { of, segment, seq })
}

fn start() -> impl Strategy<Value = Start> {
    let history = proptest::option::of((segment(), 0..4_u64, 0..5_u64));
    prop_oneof![
        12 => Just(Start::Plain),
        7 => point().prop_map(Start::Fork),
        4 => (point(), history).prop_map(|(point, history)| Start::Compaction { point, history }),
        1 => session().prop_map(Start::Foreign),
        1 => Just(Start::Missing),
        1 => point().prop_map(Start::Both),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let shape = prop_oneof![
        20 => Just(Shape::Note),
        6 => Just(Shape::Input),
        6 => Just(Shape::Typed),
        4 => Just(Shape::Odd),
        2 => Just(Shape::Long),
        1 => prop_oneof![
            Just(Shape::Start), Just(Shape::Reserved), Just(Shape::NoObject), Just(Shape::EmptyKey), Just(Shape::Deep),
        ],
    ];
    (shape, 0..4_u64, proptest::option::of(0..4_u64)).prop_map(|(shape, text, key)| Entry { shape, text, key })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        8 => Just(End::Anywhere),
        2 => Just(End::Count(0)),
        1 => (-2..3_i64).prop_map(End::Count),
        2 => Just(End::At(0)),
        1 => (0..3_u64).prop_map(End::At),
        1 => Just(End::Otherwise),
    ]
}

fn durability() -> impl Strategy<Value = Option<Durability>> {
    prop_oneof![Just(None), Just(Some(Durability::Buffered)), Just(Some(Durability::Synced))]
}

fn new_one() -> impl Strategy<Value = NewOne> {
    let one = (segment(), start(), proptest::collection::vec(entry(), 0..3));
    let segments = prop_oneof![12 => proptest::collection::vec(one, 1..3), 1 => Just(Vec::new())];
    (session(), segments, proptest::collection::vec(0..5_u64, 0..3)).prop_map(|(session, segments, facts)| NewOne {
        session,
        segments,
        facts,
    })
}

fn any_call() -> impl Strategy<Value = Call> {
    let after = prop_oneof![9 => 0..8_u64, 1 => Just(u64::MAX)];
    let limit = prop_oneof![3 => 0..4_usize, 1 => Just(usize::MAX)];
    let count = prop_oneof![3 => 0..4_usize, 1 => Just(usize::MAX)];
    let entries = || prop_oneof![12 => proptest::collection::vec(entry(), 1..4), 1 => Just(Vec::new())];
    prop_oneof![
        10 => (session(), segment(), start(), entries(), durability()).prop_map(
            |(session, segment, start, entries, durability)| Call::Create { session, segment, start, entries, durability }),
        4 => proptest::collection::vec(new_one(), 1..4).prop_map(|sessions| Call::CreateMany { sessions }),
        16 => (of(), segment(), entries(), end(), durability()).prop_map(
            |(of, segment, entries, expected, durability)| Call::Append { of, segment, entries, expected, durability }),
        2 => (segment(), 0..4_u64).prop_map(|(segment, text)| Call::AppendOne { segment, text }),
        4 => (of(), segment(), after, limit).prop_map(
            |(of, segment, after, limit)| Call::ReadRange { of, segment, after, limit }),
        2 => (segment(), count).prop_map(|(segment, count)| Call::ReadTail { segment, count }),
        2 => (of(), segment(), 0..4_u64).prop_map(|(of, segment, text)| Call::Trace { of, segment, text }),
        3 => (proptest::option::of(session()), 0..5_u64).prop_map(|(session, text)| Call::Fact { session, text }),
        1 => (0..4_usize).prop_map(|bytes| Call::PutBlob { bytes }),
        1 => (0..4_usize, 0..4_u64).prop_map(|(bytes, length)| Call::GetBlob { bytes, length }),
        4 => session().prop_map(|session| Call::Delete { session }),
        3 => (0..2_usize).prop_map(|observer| Call::Changes { observer }),
        3 => Just(Call::Reopen),
        2 => any::<u64>().prop_map(|dice| Call::LeaveBehind { dice }),
    ]
}

/// Any call on any handle.
pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let handle = || 0..super::world::HANDLES;
    (handle(), handle(), any_call()).prop_map(|(handle, observer, call)| Step { handle, observer, call })
}
