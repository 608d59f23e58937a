//! Writing and reading one shard.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store_core::snapshot_set::{ShardReader, ShardWriter, SnapshotInfo, SnapshotResult, SnapshotType};

use super::Shared;
use crate::disk::{DiskFile, OpenMode};
use crate::error::At as _;
use crate::layout::SnapshotLayout;
use crate::record_log::lock_mutex;

pub(super) struct FileShardWriter {
    shared: Arc<Shared>,
    info: SnapshotInfo,
    shard: u32,
    file: Box<dyn DiskFile>,
    path: PathBuf,
}

impl FileShardWriter {
    pub(super) fn open(shared: &Arc<Shared>, info: SnapshotInfo, shard: u32) -> SnapshotResult<Box<dyn ShardWriter>> {
        lock_mutex(&shared.work).begin(&info, shard)?;
        let folder = shared.layout.snapshot(info.ordinal, info.kind);
        let path = SnapshotLayout::shard_in(&folder, shard, info.shard_count);
        let file = open_end(shared, &info, &path).inspect_err(|_| {
            lock_mutex(&shared.work).give_up(info.ordinal, shard);
        })?;
        Ok(Box::new(Self { shared: Arc::clone(shared), info, shard, file, path }))
    }
}

fn open_end(shared: &Shared, info: &SnapshotInfo, path: &Path) -> SnapshotResult<Box<dyn DiskFile>> {
    let file = shared.disk.open(path, OpenMode::Append).at("open", path)?;
    if info.kind == SnapshotType::Pending && file.stat().at("stat", path)?.bytes > 0 {
        file.truncate(0).at("truncate", path)?;
    }
    Ok(file)
}

impl Write for FileShardWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ShardWriter for FileShardWriter {
    fn sync(&mut self) -> SnapshotResult<()> {
        lock_mutex(&self.shared.work).check_trusted(self.info.ordinal, self.shard)?;
        self.file.sync_file().at("sync", &self.path).inspect_err(|_| {
            lock_mutex(&self.shared.work).fail(self.info.ordinal, self.shard);
        })?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> SnapshotResult<()> {
        self.sync()?;
        lock_mutex(&self.shared.work).finish(&self.info, self.shard);
        Ok(())
    }
}

impl Drop for FileShardWriter {
    fn drop(&mut self) {
        lock_mutex(&self.shared.work).give_up(self.info.ordinal, self.shard);
    }
}

pub(super) struct FileShardReader {
    file: Box<dyn DiskFile>,
    at: u64,
    size_bytes: u64,
}

impl FileShardReader {
    pub(super) fn open(file: Box<dyn DiskFile>, path: &Path) -> SnapshotResult<Box<dyn ShardReader>> {
        let size_bytes = file.stat().at("stat", path)?.bytes;
        Ok(Box::new(Self { file, at: 0, size_bytes }))
    }
}

impl Read for FileShardReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(to, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl ShardReader for FileShardReader {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}
