//! Where the entries of idempotency keys stand, as far as a handle looked.
//!
//! A key is known by 64 bits of a hash that is another in each process, and its entry by its seq; the entry's line tells whether it is
//! the key's. Two keys of one hash are told apart there; the one whose place was forgotten for the
//! other's is looked for from the log's start, which nobody has to fear and nobody can bring about.
//!
//! A log keeps its keys for ever and may have any number of them, a process has so much memory: the latest are held, older ones are
//! put aside in files without a name. Nothing of that outlives the handle, so that nothing of it can be stale; the price is that the first keyed call of a
//! handle reads the log once. Where there is no room to put keys aside they are held.

mod filter;
mod runs;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use store_core::codec::Line;
use store_core::{Position, Result, Seq};

use super::End;
use super::append::Draft;
use super::read::View;
use crate::disk::Disk;
use crate::error::At as _;
use crate::layout::LogName;
pub(crate) use runs::{Named, Pair, RunNames, Runs};

/// How many keys are held: as many as a map of 32,768 places has room for, which are about 0.6 MB.
const RECENT_MAX: usize = 28 << 10;

/// Where the entries of idempotency keys stand.
#[derive(Debug)]
pub(super) struct Keys<S = RandomState> {
    hasher: S,
    recent: HashMap<u64, Seq>,
    older: Runs,
    recent_max: usize,
    /// The last entry that was looked at.
    pub(super) through: Seq,
}

impl<S: Default> Default for Keys<S> {
    fn default() -> Self {
        Self::holding(RECENT_MAX)
    }
}

impl<S: Default> Keys<S> {
    fn holding(recent_max: usize) -> Self {
        let (hasher, recent, older) = (S::default(), HashMap::default(), Runs::default());
        Self { hasher, recent, older, recent_max, through: Seq::START }
    }
}

impl<S: BuildHasher> Keys<S> {
    /// Notes the keys of everything up to the end that was not looked at yet.
    pub(super) fn collect(&mut self, disk: &dyn Disk, view: &View<'_>, end: &End) -> Result<()> {
        view.read_from(end, self.through.next(), |_, line| {
            if let Some(key) = &line.key {
                self.note(disk, view.name, key, line.seq);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        self.through = end.seq;
        Ok(())
    }

    /// Notes the keys of calls that were written.
    pub(super) fn add(&mut self, disk: &dyn Disk, name: &LogName, draft: &Draft<'_>, last: Seq) {
        for (line, position) in draft.lines.iter().zip(&draft.written) {
            if let Some(key) = line.key {
                self.note(disk, name, key, position.seq);
            }
        }
        self.through = last;
    }

    fn note(&mut self, disk: &dyn Disk, name: &LogName, key: &str, seq: Seq) {
        self.recent.insert(self.hasher.hash_one(key), seq);
        if self.recent.len() < self.recent_max {
            return;
        }
        let mut pairs: Vec<Pair> = self.recent.iter().map(|(hash, seq)| (*hash, *seq)).collect();
        pairs.sort_unstable();
        match self.older.put(disk, || name.put_aside(), &pairs) {
            Ok(()) => self.recent.clear(),
            Err(_) => self.recent_max *= 2,
        }
    }

    /// Where a key's entry stands and with which text; everything up to the end was looked at. After an error nothing of
    /// what is known may be relied on.
    pub(super) fn find(&self, view: &View<'_>, end: &End, key: &str) -> Result<Option<(Position, String)>> {
        let hash = self.hasher.hash_one(key);
        let seq = match self.recent.get(&hash) {
            Some(seq) => Some(*seq),
            None => self.older.find(hash).at("look up keys of", &view.name.path)?,
        };
        let Some(seq) = seq else { return Ok(None) };
        let mut found = None;
        view.read_from(end, seq, |_, line| {
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
    use std::path::Path;

    use store_core::SegmentId;
    use store_core::SessionId;
    use store_core::codec::{LineFields, encode_line};

    use super::*;
    use crate::disk::{DiskFile, OpenMode, OsDisk};
    use crate::layout::Layout;

    #[derive(Default)]
    struct AlwaysOne;

    impl Hasher for AlwaysOne {
        fn finish(&self) -> u64 {
            1
        }

        fn write(&mut self, _: &[u8]) {}
    }

    /// A log of keyed entries in a folder, and its name.
    fn log_of(folder: &Path, keys: &[String]) -> (Box<dyn DiskFile>, LogName, u64) {
        let name = Layout::new(folder).log_name(SessionId::derive(1, b"s"), SegmentId::derive(1, b"g"));
        let mut bytes = Vec::new();
        for (seq, key) in (1..).zip(keys) {
            let fields = LineFields { seq: Seq(seq), key: Some(key), ..LineFields::default() };
            encode_line(&mut bytes, &name.context, &fields, &format!(r#"{{"kind":"note","ts":{seq}}}"#));
        }
        let file = OsDisk.open(&folder.join("log"), OpenMode::CreateNew).unwrap();
        file.append(&bytes).unwrap();
        (file, name, bytes.len() as u64)
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (file, name, bytes) = log_of(folder.path(), &["a", "b", "c"].map(str::to_owned));
        let view = View::new(&*file, &name, bytes).confirmed();
        let end = view.end().unwrap();
        let mut keys = Keys::<BuildHasherDefault<AlwaysOne>>::default();
        keys.collect(&OsDisk, &view, &end).unwrap();
        let seq_of = |key| keys.find(&view, &end, key).unwrap().map(|(position, _)| position.seq.0);
        assert_eq!(["a", "b", "c", "d"].map(seq_of), [Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn few_keys_are_held_and_all_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..2000).map(|number| format!("k{number}")).collect();
        let (file, name, bytes) = log_of(folder.path(), &names);
        let view = View::new(&*file, &name, bytes).confirmed();
        let end = view.end().unwrap();
        let mut keys = Keys::<RandomState>::holding(100);
        keys.collect(&OsDisk, &view, &end).unwrap();
        assert!(keys.recent.len() < 100 && keys.recent.capacity() < 300, "{} are held", keys.recent.len());
        for (seq, key) in (1..).zip(&names) {
            let found = keys.find(&view, &end, key).unwrap().map(|(position, _)| position.seq.0);
            assert_eq!(found, Some(seq), "{key}");
        }
        assert_eq!(keys.find(&view, &end, "k2000").unwrap(), None);
        assert_eq!(OsDisk.list(folder.path()).unwrap().len(), 1, "the log alone has a name");
    }

    #[test]
    fn where_nothing_can_be_put_aside_keys_are_held() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..500).map(|number| format!("k{number}")).collect();
        let (file, name, bytes) = log_of(folder.path(), &names);
        let name = LogName { root: folder.path().join("gone"), ..name };
        let view = View::new(&*file, &name, bytes).confirmed();
        let end = view.end().unwrap();
        let mut keys = Keys::<RandomState>::holding(100);
        keys.collect(&OsDisk, &view, &end).unwrap();
        assert_eq!(keys.recent.len(), 500);
        assert!(names.iter().all(|key| keys.find(&view, &end, key).unwrap().is_some()));
    }
}
