//! Where the entries of idempotency keys stand, as far as a handle looked.
//!
//! A key is known by 64 bits of a hash that is another in each process, and found again by reading its line: a log has
//! many keys, and they are long. Two keys of one hash are told apart there; the one whose place was forgotten for the
//! other's is looked for from the log's start, which nobody has to fear and nobody can bring about.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use store_core::codec::Line;
use store_core::{Position, Result, Seq};

use super::append::Call;
use super::read::View;
use super::{End, Place};

/// Where the entries of idempotency keys stand.
#[derive(Debug, Default)]
pub(super) struct Keys<S = RandomState> {
    hasher: S,
    at: HashMap<u64, KeyAt>,
    /// The last entry that was looked at.
    pub(super) through: Seq,
}

#[derive(Clone, Copy, Debug)]
struct KeyAt {
    seq: Seq,
    place: Place,
}

impl<S: BuildHasher> Keys<S> {
    /// Notes the keys of everything up to the end that was not looked at yet.
    pub(super) fn collect(&mut self, view: &View<'_>, end: &End) -> Result<()> {
        let Self { hasher, at, through } = self;
        view.read_from(end, through.next(), |place, line| {
            if let Some(key) = &line.key {
                at.insert(hasher.hash_one(key.as_ref()), KeyAt { seq: line.seq, place });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        *through = end.seq;
        Ok(())
    }

    /// Notes the keys of a call that was written at `start`.
    pub(super) fn add(&mut self, call: &Call<'_>, start: Place, last: Seq) {
        for (line, (position, offset)) in call.lines.iter().zip(&call.written) {
            if let Some(key) = line.key {
                let place = Place { offset: start.offset + offset, ..start };
                self.at.insert(self.hasher.hash_one(key), KeyAt { seq: position.seq, place });
            }
        }
        self.through = last;
    }

    /// Where a key's entry stands and with which text; everything up to the end was looked at.
    pub(super) fn find(&self, view: &View<'_>, end: &End, key: &str) -> Result<Option<(Position, String)>> {
        let Some(at) = self.at.get(&self.hasher.hash_one(key)) else { return Ok(None) };
        let mut found = None;
        view.read_on(end, at.place, at.seq, &mut |_, line| {
            found = entry_of(key, line);
            Ok(ControlFlow::Break(()))
        })?;
        if found.is_some() {
            return Ok(found);
        }
        view.read_from(end, Seq(1), |_, line| {
            found = entry_of(key, line);
            Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }
}

fn entry_of(key: &str, line: &Line<'_>) -> Option<(Position, String)> {
    let position = Position { seq: line.seq, crc32c: line.crc32c };
    (line.key.as_deref() == Some(key)).then(|| (position, line.text()))
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use store_core::SegmentId;
    use store_core::SessionId;
    use store_core::codec::{LineFields, encode_line};

    use super::*;
    use crate::disk::{Disk as _, OpenMode, OsDisk};
    use crate::layout::Layout;

    #[derive(Default)]
    struct AlwaysOne;

    impl Hasher for AlwaysOne {
        fn finish(&self) -> u64 {
            1
        }

        fn write(&mut self, _: &[u8]) {}
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let name = Layout::new(folder.path()).log_name(SessionId::derive(1, b"s"), SegmentId::derive(1, b"g"));
        let mut bytes = Vec::new();
        for (seq, key) in [(1, "a"), (2, "b"), (3, "c")] {
            let fields = LineFields { seq: Seq(seq), key: Some(key), ..LineFields::default() };
            encode_line(&mut bytes, &name.context, &fields, &format!(r#"{{"kind":"note","ts":{seq}}}"#));
        }
        let file = OsDisk.open(&folder.path().join("log"), OpenMode::CreateNew).unwrap();
        file.append(&bytes).unwrap();
        let view = View::new(&*file, &name, bytes.len() as u64).confirmed();
        let end = view.end().unwrap();
        let mut keys = Keys::<BuildHasherDefault<AlwaysOne>>::default();
        keys.collect(&view, &end).unwrap();
        let seq_of = |key| keys.find(&view, &end, key).unwrap().map(|(position, _)| position.seq.0);
        assert_eq!(["a", "b", "c", "d"].map(seq_of), [Some(1), Some(2), Some(3), None]);
    }
}
