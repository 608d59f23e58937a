//! Putting other parts in the place of a log's last ones, all at once.
//!
//! The new files are written whole, each beside the part that it is to be, and synced. Then one small file appears beside the log and says
//! from which part on it is replaced and which part is its last from now on: that is the moment at which the log is another one.
//! What is left is done by whoever comes first: the new files get their names, the parts behind the last are removed, and the small file
//! goes. Until then readers take the new files from where they lie. So there is no moment at which a log is neither
//! the old one nor the new one, whatever its number of parts; the price is one more look for a name when a log is opened.

use serde::{Deserialize, Serialize};
use store_core::codec::{LineFields, LogContext, decode_line, encode_line};
use store_core::{Damage, Result, Seq, StoreError};

use super::parts::find_parts;
use super::{RecordLog, append_all_or_nothing};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::{At as _, found};
use crate::layout::LogName;
use crate::open::{read_small, write_whole};

/// More than the small file has.
const REPLACING_BYTES_MAX: usize = 4096;
/// How much of a new file is written at once.
const WRITE_BYTES: usize = 1024 * 1024;

/// What is being done to a log's parts as a whole.
// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replacing {
    /// The first part that is replaced.
    pub(crate) from: u32,
    /// The last part that the log has from now on; not less than `from`.
    pub(crate) through: u32,
    /// What is to be said to the record of the segment's checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) void_after: Option<u64>,
}

fn context(name: &LogName, path: &std::path::Path) -> LogContext {
    LogContext::path(&name.relative_path(path))
}

/// What is being done to the log, if that is decided and not done yet.
pub(crate) fn read_replacing(disk: &dyn Disk, name: &LogName) -> Result<Option<Replacing>> {
    let Some(path) = name.replacing_file() else { return Ok(None) };
    if found(disk.stat(&path)).at("stat", &path)?.is_none() {
        return Ok(None);
    }
    let Some(file) = found(disk.open(&path, OpenMode::Read)).at("open", &path)? else { return Ok(None) };
    let bytes = read_small(&*file, REPLACING_BYTES_MAX).at("read", &path)?;
    let context = context(name, &path);
    let line = bytes.strip_suffix(b"\n").and_then(|line| decode_line(&context, line).ok());
    let said = line.and_then(|line| serde_json::from_str::<Replacing>(&line.text()).ok());
    match said.filter(|said| (1..=said.through).contains(&said.from)) {
        Some(said) => Ok(Some(said)),
        None => {
            let detail = format!("{} cannot be read", name.relative_path(&path));
            Err(StoreError::Corrupt(Damage { segment: name.segment, part: 1, offset: 0, seq: None, detail }))
        }
    }
}

/// Decides that the log is another one. The new files are on stable storage, with their names; the caller holds the session's lock and
/// those of the parts that are replaced, of which the newest has no write bits.
pub(crate) fn decide(disk: &dyn Disk, temporary: &std::path::Path, first: &LogName, what: Replacing) -> Result<()> {
    let Some(path) = first.replacing_file() else { return Ok(()) };
    let text = serde_json::to_string(&what).map_err(StoreError::backend)?;
    let mut line = Vec::new();
    encode_line(&mut line, &context(first, &path), &LineFields { seq: Seq(1), ..LineFields::default() }, &text);
    write_whole(disk, temporary, &path, &line)?;
    disk.sync_folder(first.folder()).at("sync", first.folder())
}

/// Does what was decided. `void` says to the record of checkpoints what is to be said. The caller holds the session's lock.
pub(crate) fn finish(
    disk: &dyn Disk,
    first: &LogName,
    what: Replacing,
    void: impl FnOnce(u64) -> Result<()>,
) -> Result<()> {
    let sync = || disk.sync_folder(first.folder()).at("sync", first.folder());
    // Whoever decided may have died before that was on stable storage: then nothing of it may be done yet.
    sync()?;
    let newest = find_parts(disk, first)?.newest;
    for name in (what.from..=what.through).rev().map(|part| first.of_part(part)) {
        let new = name.replacement();
        // One that is not there has its name already.
        if found(disk.stat(&new)).at("stat", &new)?.is_some() {
            disk.rename(&new, &name.path).at("rename", &new)?;
        }
    }
    sync()?;
    for name in (what.through + 1..=newest).rev().map(|part| first.of_part(part)) {
        found(disk.remove_file(&name.path)).at("remove", &name.path)?;
    }
    for name in (what.from..=newest.max(what.through)).map(|part| first.of_part(part)) {
        // What a failed sync left in doubt is not there any more.
        found(disk.remove_file(&name.failed())).at("remove", &name.failed())?;
    }
    sync()?;
    if let Some(void_after) = what.void_after {
        void(void_after)?;
    }
    if let Some(path) = first.replacing_file() {
        found(disk.remove_file(&path)).at("remove", &path)?;
    }
    sync()?;
    let last = first.of_part(what.through);
    let file = disk.open(&last.path, OpenMode::Read).at("open", &last.path)?;
    file.set_writable(true).at("unprotect", &last.path)
}

impl RecordLog {
    /// Whether it is decided that the log is another one.
    pub(super) fn is_being_replaced(&self) -> Result<bool> {
        let Some(path) = self.name.replacing_file() else { return Ok(false) };
        Ok(found(self.disk.stat(&path)).at("stat", &path)?.is_some())
    }
}

/// Files that are going to be a log's last parts.
pub(crate) struct NewParts<'a> {
    disk: &'a dyn Disk,
    first: &'a LogName,
    /// How long a part may become.
    part_bytes_max: u64,
    /// The last of them, and how many bytes it has.
    file: Box<dyn DiskFile>,
    name: LogName,
    bytes: u64,
    buffer: Vec<u8>,
}

impl<'a> NewParts<'a> {
    pub(crate) fn begin(disk: &'a dyn Disk, first: &'a LogName, from: u32, part_bytes_max: u64) -> Result<Self> {
        let name = first.of_part(from);
        let file = create(disk, &name)?;
        Ok(Self { disk, first, part_bytes_max, file, name, bytes: 0, buffer: Vec::new() })
    }

    /// The next line, which may be the first of another part.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<()> {
        let bytes = self.bytes + self.buffer.len() as u64;
        if bytes > 0 && bytes + line.len() as u64 > self.part_bytes_max {
            self.close()?;
            self.name = self.first.of_part(self.name.part + 1);
            (self.file, self.bytes) = (create(self.disk, &self.name)?, 0);
        }
        self.push(line)
    }

    /// More bytes of the same part.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        append_all_or_nothing(&*self.file, self.bytes, &self.buffer).at("write", &self.name.replacement())?;
        self.bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        self.flush()?;
        let path = self.name.replacement();
        self.file.set_writable(false).at("write-protect", &path)?;
        self.file.sync_file().at("sync", &path)
    }

    /// Returns when all of them are on stable storage, with their names; answers with the last one's number.
    pub(crate) fn finish(mut self) -> Result<u32> {
        self.close()?;
        self.disk.sync_folder(self.first.folder()).at("sync", self.first.folder())?;
        Ok(self.name.part)
    }

    /// Removes what was written.
    pub(crate) fn clear(disk: &dyn Disk, first: &LogName, from: u32) {
        for part in from.. {
            // What stays is a leftover.
            if disk.remove_file(&first.of_part(part).replacement()).is_err() {
                break;
            }
        }
    }
}

fn create(disk: &dyn Disk, name: &LogName) -> Result<Box<dyn DiskFile>> {
    let path = name.replacement();
    // Whoever left one there died before it was decided on.
    found(disk.remove_file(&path)).at("remove", &path)?;
    disk.open(&path, OpenMode::CreateNew).at("create", &path)
}
