//! What a ledger says of its format.

use std::path::Path;

use serde::{Deserialize, Serialize};
use store_core::ledger::TimestampUs;
use store_core::{Result, StoreError};

use crate::disk::{Disk, OpenMode};
use crate::error::At as _;
use crate::layout::Layout;
use crate::open::{read_small, write_whole};

/// The version that this program writes.
// Persisted: never renumber or reuse.
const VERSION: u32 = 1;
/// More than the file has, in this version or any other.
const BYTES_MAX: usize = 64 * 1024;

// Persisted: never rename a field.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    min_reader: u32,
    min_writer: u32,
    created_at: TimestampUs,
}

/// Whether this version may read the ledger that is there.
pub(super) fn check(disk: &dyn Disk, layout: &Layout) -> Result<()> {
    let header = read(disk, &layout.ledger_header())?;
    if header.min_reader > VERSION {
        return Err(StoreError::UnsupportedVersion { found: header.min_reader, known: VERSION });
    }
    Ok(())
}

/// Whether this version may write to the ledger that is there; it is made one if none is. The caller holds the ledger's lock.
pub(super) fn find_or_write(disk: &dyn Disk, layout: &Layout, now: TimestampUs) -> Result<()> {
    let path = layout.ledger_header();
    match read(disk, &path) {
        Ok(header) if header.format.max(header.min_writer) > VERSION => {
            let found = header.format.max(header.min_writer);
            return Err(StoreError::UnsupportedVersion { found, known: VERSION });
        }
        Ok(_) => return Ok(()),
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let header = Header { format: VERSION, min_reader: 1, min_writer: 1, created_at: now };
    let mut text = serde_json::to_vec(&header).map_err(StoreError::backend)?;
    text.push(b'\n');
    write_whole(disk, &layout.ledger_new_name(), &path, &text)?;
    let folder = layout.ledger();
    disk.sync_folder(&folder).at("sync", &folder)
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Header> {
    let file = disk.open(path, OpenMode::Read).at("open", path)?;
    let bytes = read_small(&*file, BYTES_MAX).at("read", path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::NotAStore { path: path.to_owned(), detail: error.to_string() })
}
