//! Where everything of a snapshot set lies. `docs/FORMAT.md` describes it for people.

use std::path::{Path, PathBuf};

use store_core::snapshot_set::{SnapshotOrdinal, SnapshotType, shard_name, snapshot_name};
use uuid::Uuid;

use super::{LOCK, NEW};
use crate::disk::{FileKind, Listed};

// Persisted: never rename.
const BASE: &str = ".base";

/// What a name in the folder of a snapshot set stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetName {
    /// The lock, something that is being made or goes away, or a hidden file of somebody else.
    Ignored,
    Snapshot(SnapshotOrdinal, SnapshotType),
    Base(SnapshotOrdinal),
    Foreign,
}

/// The paths of one snapshot set.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotLayout {
    root: PathBuf,
}

impl SnapshotLayout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join(LOCK)
    }

    /// A name for a snapshot that is being made, or that is going away.
    pub(crate) fn new_name(&self) -> PathBuf {
        self.root.join(format!("{NEW}{}", Uuid::new_v4()))
    }

    pub(crate) fn snapshot(&self, ordinal: SnapshotOrdinal, kind: SnapshotType) -> PathBuf {
        self.root.join(snapshot_name(ordinal, kind))
    }

    pub(crate) fn shard_in(folder: &Path, shard: u32, shard_count: u32) -> PathBuf {
        folder.join(shard_name(shard, shard_count))
    }

    /// The note that a state has to be restored from this full snapshot or a newer one.
    pub(crate) fn base(&self, ordinal: SnapshotOrdinal) -> PathBuf {
        self.root.join(format!("{ordinal}{BASE}"))
    }

    /// What was listed in the set's folder. Numbers may have zeros in front: that such a name is not one that the set writes
    /// is told with the file's other troubles.
    pub(crate) fn parse(listed: &Listed) -> SetName {
        let Some(name) = listed.name.to_str() else { return SetName::Foreign };
        if name.starts_with('.') || (name == LOCK && listed.kind == FileKind::File) {
            return SetName::Ignored;
        }
        let Some((number, word)) = name.split_once('.') else { return SetName::Foreign };
        let Some(ordinal) = parse_number(number).map(SnapshotOrdinal) else { return SetName::Foreign };
        if listed.kind == FileKind::File && name == format!("{ordinal}{BASE}") {
            return SetName::Base(ordinal);
        }
        let kind = SnapshotType::ALL.into_iter().find(|kind| kind.as_str() == word);
        match kind.filter(|_| listed.kind == FileKind::Folder) {
            Some(kind) => SetName::Snapshot(ordinal, kind),
            None => SetName::Foreign,
        }
    }

    /// What was listed in a snapshot's folder, if it is a shard: its number and how many there are.
    pub(crate) fn parse_shard(listed: &Listed) -> Option<(u32, u32)> {
        let (shard, shard_count) = listed.name.to_str()?.split_once("-of-")?;
        let number = |text| u32::try_from(parse_number(text)?).ok();
        Some((number(shard)?, number(shard_count)?)).filter(|_| listed.kind == FileKind::File)
    }

    pub(crate) fn is_hidden(listed: &Listed) -> bool {
        listed.name.to_str().is_some_and(|name| name.starts_with('.'))
    }
}

fn parse_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
