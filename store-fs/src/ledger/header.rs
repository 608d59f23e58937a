//! What a ledger says of its format.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use store_core::ledger::TimestampUs;
use store_core::{Result, StoreError};

use crate::disk::{Disk, OpenMode};
use crate::error::{At as _, found};
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

/// What becomes of whoever finds books and no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// They are no ledger that can be read.
    IsRefused,
    /// They are, and it is told.
    IsTold,
}

/// Whether this version may read the ledger that is there. Without a header none is, unless books stand where it would be. Answers whether it is lost.
pub(super) fn check(disk: &dyn Disk, layout: &Layout, lost: Lost) -> Result<bool> {
    let path = layout.ledger_header();
    let header = match read(disk, &path) {
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound && has_books(disk, layout)? => {
            if lost == Lost::IsTold {
                return Ok(true);
            }
            let detail = "it is not there, and beside it are books".to_owned();
            return Err(StoreError::NotAStore { path, detail });
        }
        header => header?,
    };
    if header.min_reader > VERSION {
        return Err(StoreError::UnsupportedVersion { found: header.min_reader, known: VERSION });
    }
    Ok(false)
}

/// Whether this version may write to the ledger that is there; it is made one if none is. The caller holds the ledger's lock. Answers whether the header of one that has books was lost.
pub(super) fn find_or_write(disk: &dyn Disk, layout: &Layout, now: TimestampUs) -> Result<bool> {
    let path = layout.ledger_header();
    match read(disk, &path) {
        Ok(header) if header.format.max(header.min_writer) > VERSION => {
            let found = header.format.max(header.min_writer);
            return Err(StoreError::UnsupportedVersion { found, known: VERSION });
        }
        Ok(_) => return Ok(false),
        Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let header = Header { format: VERSION, min_reader: 1, min_writer: 1, created_at: now };
    let mut text = serde_json::to_vec(&header).map_err(StoreError::backend)?;
    text.push(b'\n');
    write_whole(disk, &layout.ledger_new_name(), &path, &text)?;
    let folder = layout.ledger();
    disk.sync_folder(&folder).at("sync", &folder)?;
    has_books(disk, layout)
}

/// Whether there are folders of books. The header is there before the first is made.
fn has_books(disk: &dyn Disk, layout: &Layout) -> Result<bool> {
    let folder = layout.ledger();
    let listed = found(disk.list(&folder)).at("list", &folder)?.unwrap_or_default();
    Ok(listed.iter().any(|listed| Layout::parse_book(listed).is_some()))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Header> {
    let file = disk.open(path, OpenMode::Read).at("open", path)?;
    let bytes = read_small(&*file, BYTES_MAX).at("read", path)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| StoreError::NotAStore { path: path.to_owned(), detail: error.to_string() })
}
