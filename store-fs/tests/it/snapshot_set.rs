//! Snapshot sets in a folder: the common checks, and what is its own — names, damage, permissions, the bytes of the page.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use store_conformance::SnapshotSetHarness;
use store_core::StoreError;
use store_core::snapshot_set::{
    PublishOptions, SnapshotDamage, SnapshotError, SnapshotInfo, SnapshotOrdinal, SnapshotResult, SnapshotSet,
    SnapshotType,
};
use store_fs::FileSnapshotSet;
use tempfile::TempDir;

use crate::support::{names, tree};

struct FolderHarness(TempDir);

impl FolderHarness {
    fn root(&self) -> PathBuf {
        self.0.path().join("ledger").join("snapshots")
    }

    fn set(&self) -> FileSnapshotSet {
        FileSnapshotSet::open(self.root()).unwrap()
    }
}

impl SnapshotSetHarness for FolderHarness {
    fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self) -> SnapshotResult<Box<dyn SnapshotSet>> {
        Ok(Box::new(FileSnapshotSet::open(self.root())?))
    }
}

mod conformance {
    store_conformance::snapshot_set_conformance_tests!(super::FolderHarness);
}

#[test]
fn any_sequence_of_calls_answers_what_the_reference_answers() {
    store_conformance::snapshot_set_model_test::<FolderHarness>(48);
}

fn write(set: &FileSnapshotSet, ordinal: SnapshotOrdinal, shard: u32, text: &str) {
    let mut writer = set.write_shard(ordinal, shard).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap();
}

fn read(set: &FileSnapshotSet, ordinal: u64, shard: u32) -> String {
    let mut text = String::new();
    set.read_shard(SnapshotOrdinal(ordinal), shard).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn diff(set: &FileSnapshotSet, shard_count: u32) -> SnapshotInfo {
    set.create_or_get_snapshot(SnapshotType::Diff, shard_count, false).unwrap()
}

fn publish(set: &FileSnapshotSet, shard_count: u32) -> SnapshotOrdinal {
    let ordinal = set.create_or_get_snapshot(SnapshotType::Pending, shard_count, false).unwrap().ordinal;
    for shard in 0..shard_count {
        write(set, ordinal, shard, &format!("state {ordinal}, shard {shard}\n"));
    }
    set.publish_completed_snapshot(ordinal, PublishOptions::PURGE_ALL).unwrap().ordinal
}

/// Two full snapshots of two shards, 2 and 4, and the diffs 3 and 5.
fn example(set: &FileSnapshotSet) {
    for _ in 0..2 {
        let change = diff(set, 1).ordinal;
        write(set, change, 0, &format!("change {change}\n"));
        publish(set, 2);
    }
    let change = diff(set, 1).ordinal;
    write(set, change, 0, &format!("change {change}\n"));
    set.create_or_get_snapshot(SnapshotType::Pending, 2, false).unwrap();
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/snapshot_set_v1")
}

fn copy_fixture(to: &Path) {
    for (name, bytes) in tree(&fixture()) {
        std::fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        std::fs::write(to.join(name), bytes).unwrap();
    }
}

#[test]
fn the_same_calls_write_the_shipped_set() {
    let folder = FolderHarness::fresh();
    example(&folder.set());
    assert_eq!(tree(&folder.root()), tree(&fixture()));
}

#[test]
fn a_shipped_set_is_read_and_gone_on_with() {
    let folder = FolderHarness::fresh();
    copy_fixture(&folder.root());
    let reader = FileSnapshotSet::open_read_only(folder.root()).unwrap();
    assert_eq!(reader.get_snapshots_to_restore().unwrap().full.unwrap().ordinal, SnapshotOrdinal(4));
    assert_eq!(read(&reader, 4, 1), "state 4, shard 1\n");
    assert_eq!(tree(&folder.root()), tree(&fixture()), "reading changed the set");
    let set = folder.set();
    assert_eq!(set.damage().unwrap(), []);
    assert_eq!(read(&set, 5, 0), "change 5\n");
    assert_eq!(publish(&set, 2), SnapshotOrdinal(7));
    assert_eq!(names(&folder.root()), ["4.base", "4.full", "5.diff", "7.full", "LOCK"]);
}

#[test]
fn the_page_shows_the_shipped_set_as_it_is() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/FORMAT.md")).unwrap();
    for (name, bytes) in tree(&fixture()) {
        let text = String::from_utf8(bytes).unwrap();
        let shown = if text.is_empty() { "empty".to_owned() } else { format!("`{}`", text.trim_end()) };
        assert!(page.contains(&format!("| `{name}` | {shown} |")), "docs/FORMAT.md does not show {name}: {shown}");
    }
}

fn damage_of(change: impl FnOnce(&Path)) -> (FolderHarness, SnapshotError) {
    let folder = FolderHarness::fresh();
    copy_fixture(&folder.root());
    change(&folder.root());
    let error = folder.set().get_snapshots_to_restore().unwrap_err();
    (folder, error)
}

#[test]
fn a_shard_that_somebody_removed_is_named() {
    let (folder, error) = damage_of(|root| std::fs::remove_file(root.join("4.full/1-of-2")).unwrap());
    let files = vec![folder.root().join("4.full/1-of-2")];
    let damage = SnapshotDamage::MissingShards { ordinal: SnapshotOrdinal(4), files };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));
    assert_eq!(folder.set().damage().unwrap(), [damage]);
}

#[test]
fn a_damaged_full_snapshot_leaves_the_older_one_with_every_diff_behind_it() {
    let (folder, _) = damage_of(|root| std::fs::remove_file(root.join("4.full/0-of-2")).unwrap());
    let set = folder.set();
    let older = set.get_snapshots_to_restore_before(SnapshotOrdinal(4)).unwrap();
    assert_eq!(older.full.unwrap().ordinal, SnapshotOrdinal(2));
    assert_eq!(older.diffs.iter().map(|diff| diff.ordinal.0).collect::<Vec<_>>(), [3, 5]);
    // It is not counted among the two that are kept, so the only good one stays.
    assert_eq!(publish(&set, 1), SnapshotOrdinal(7));
    assert_eq!(names(&folder.root()), ["2.base", "2.full", "3.diff", "4.full", "5.diff", "7.full", "LOCK"]);
}

#[test]
fn a_snapshot_without_any_file_is_missing_them() {
    let (folder, error) = damage_of(|root| std::fs::remove_file(root.join("5.diff/0-of-1")).unwrap());
    let files = vec![folder.root().join("5.diff")];
    let damage = SnapshotDamage::MissingShards { ordinal: SnapshotOrdinal(5), files };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));
}

#[test]
fn shards_that_are_there_twice_are_named() {
    let (folder, error) = damage_of(|root| std::fs::write(root.join("4.full/01-of-2"), "state").unwrap());
    let files = vec![folder.root().join("4.full/01-of-2"), folder.root().join("4.full/1-of-2")];
    let damage = SnapshotDamage::DuplicateShards { ordinal: SnapshotOrdinal(4), files };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));
}

#[test]
fn shards_that_do_not_belong_together_are_named() {
    let (folder, error) =
        damage_of(|root| std::fs::rename(root.join("4.full/1-of-2"), root.join("4.full/1-of-3")).unwrap());
    let files = vec![folder.root().join("4.full/0-of-2"), folder.root().join("4.full/1-of-3")];
    let damage = SnapshotDamage::MismatchedShards { ordinal: SnapshotOrdinal(4), files };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));
}

#[test]
fn a_snapshot_that_is_there_twice_is_named() {
    let (folder, error) = damage_of(|root| {
        std::fs::create_dir(root.join("4.pending")).unwrap();
        std::fs::write(root.join("4.pending/0-of-1"), "").unwrap();
    });
    let files = vec![folder.root().join("4.full"), folder.root().join("4.pending")];
    let damage = SnapshotDamage::DuplicateSnapshots { ordinal: SnapshotOrdinal(4), files };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));
}

#[test]
fn names_that_no_set_writes_are_told() {
    let cases: [(&str, &str); 4] = [
        ("5.diff", "5.dif"),
        ("5.diff", "05.diff"),
        ("5.diff/0-of-1", "5.diff/00-of-1"),
        ("5.diff/0-of-1", "5.diff/x"),
    ];
    for (from, to) in cases {
        let (folder, error) = damage_of(|root| std::fs::rename(root.join(from), root.join(to)).unwrap());
        let damage = SnapshotDamage::Foreign { files: vec![folder.root().join(to)] };
        assert!(matches!(&error, SnapshotError::Damaged(found) if *found == damage), "{to}: {error}");
    }
}

#[test]
fn a_hidden_file_is_nobodys_business() {
    let folder = FolderHarness::fresh();
    copy_fixture(&folder.root());
    for name in [".DS_Store", "4.full/.DS_Store"] {
        std::fs::write(folder.root().join(name), "x").unwrap();
    }
    assert_eq!(folder.set().damage().unwrap(), []);
}

#[test]
fn a_full_snapshot_that_somebody_removed_is_missed_when_diffs_were_purged() {
    let (_folder, error) = damage_of(|root| {
        std::fs::remove_dir_all(root.join("2.full")).unwrap();
        std::fs::remove_dir_all(root.join("4.full")).unwrap();
    });
    let ordinal = SnapshotOrdinal(2);
    assert!(
        matches!(error, SnapshotError::Damaged(SnapshotDamage::FullSnapshotLost { ordinal: found }) if found == ordinal)
    );
}

#[test]
fn an_open_set_notices_what_somebody_does_to_its_files() {
    let folder = FolderHarness::fresh();
    let set = folder.set();
    example(&set);
    std::fs::remove_file(folder.root().join("6.pending/1-of-2")).unwrap();
    let refused = set.write_shard(SnapshotOrdinal(6), 0).unwrap_err();
    assert!(matches!(refused, SnapshotError::Damaged(SnapshotDamage::MissingShards { .. })));
    let refused = set.publish_completed_snapshot(SnapshotOrdinal(6), PublishOptions::PURGE_ALL).unwrap_err();
    assert!(matches!(refused, SnapshotError::Damaged(SnapshotDamage::MissingShards { .. })));
    // What is not wanted any more need not be whole.
    set.discard_pending_snapshot(SnapshotOrdinal(6)).unwrap();
    assert_eq!(set.damage().unwrap(), []);
}

#[test]
fn no_symbolic_link_is_followed() {
    let (folder, error) = damage_of(|root| {
        std::fs::rename(root.join("4.full/1-of-2"), root.join("../elsewhere")).unwrap();
        symlink(root.join("../elsewhere"), root.join("4.full/1-of-2")).unwrap();
    });
    let damage = SnapshotDamage::Foreign { files: vec![folder.root().join("4.full/1-of-2")] };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));

    let (folder, error) = damage_of(|root| {
        std::fs::rename(root.join("4.full"), root.join("../elsewhere")).unwrap();
        symlink(root.join("../elsewhere"), root.join("4.full")).unwrap();
        symlink(root.join("../elsewhere"), root.join(".new-link")).unwrap();
    });
    let damage = SnapshotDamage::Foreign { files: vec![folder.root().join("4.full")] };
    assert!(matches!(error, SnapshotError::Damaged(found) if found == damage));
    assert_eq!(names(&folder.root().join("../elsewhere")), ["0-of-2", "1-of-2"]);

    let folder = FolderHarness::fresh();
    drop(folder.set());
    std::fs::remove_file(folder.root().join("LOCK")).unwrap();
    symlink(folder.root().join("elsewhere"), folder.root().join("LOCK")).unwrap();
    assert!(FileSnapshotSet::open(folder.root()).is_err());
}

#[test]
fn files_and_folders_are_the_owners_alone() {
    let folder = FolderHarness::fresh();
    example(&folder.set());
    let mode = |path: &str| std::fs::metadata(folder.root().join(path)).unwrap().permissions().mode() & 0o777;
    for path in ["", "2.full", "3.diff", "6.pending"] {
        assert_eq!(mode(path), 0o700, "{path}");
    }
    for path in ["LOCK", "2.base", "2.full/0-of-2", "3.diff/0-of-1", "6.pending/1-of-2"] {
        assert_eq!(mode(path), 0o600, "{path}");
    }
}

#[test]
fn a_reader_needs_no_lock_and_changes_nothing() {
    let folder = FolderHarness::fresh();
    let owner = folder.set();
    example(&owner);
    let reader = FileSnapshotSet::open_read_only(folder.root()).unwrap();
    assert_eq!(reader.list_snapshots().unwrap(), owner.list_snapshots().unwrap());
    let read_only = |error: SnapshotError| matches!(error, SnapshotError::Store(StoreError::ReadOnly));
    assert!(read_only(reader.create_or_get_snapshot(SnapshotType::Diff, 1, true).unwrap_err()));
    assert!(read_only(reader.write_shard(SnapshotOrdinal(5), 0).unwrap_err()));
    let published = reader.publish_completed_snapshot(SnapshotOrdinal(6), PublishOptions::default());
    assert!(read_only(published.unwrap_err()));
    assert!(read_only(reader.discard_pending_snapshot(SnapshotOrdinal(6)).unwrap_err()));
    publish(&owner, 1);
    assert_eq!(reader.get_snapshots_to_restore().unwrap(), owner.get_snapshots_to_restore().unwrap());
}

#[test]
fn an_ordinal_beyond_the_last_is_an_error() {
    let folder = FolderHarness::fresh();
    let last = folder.root().join(format!("{}.diff", u64::MAX));
    std::fs::create_dir_all(&last).unwrap();
    std::fs::write(last.join("0-of-1"), "").unwrap();
    let refused = folder.set().create_or_get_snapshot(SnapshotType::Diff, 1, false).unwrap_err();
    assert!(matches!(refused, SnapshotError::OrdinalsExhausted));
}
