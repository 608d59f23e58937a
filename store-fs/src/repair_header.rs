//! Putting a `store.json` right that cannot be read any more, where everything beside it says that a store lies there.
//!
//! It says which program may use the store, and when that was made. The first is known: only this format has folders that look like this. The second is lost, and told as the
//! time of the oldest session. Nothing that is shown depends on it.

use std::path::Path;

use serde_json::Value;
use store_core::{Result, StoreError, TimestampMs};

use crate::disk::{Disk, LockKind, OpenMode, OsDisk};
use crate::error::{At as _, found};
use crate::layout::{FORMAT_VERSION, Layout};
use crate::open::{header_text, is_damaged_header, read_small, write_permission, write_whole};
use crate::store::ensure_folder;

/// More than a `store.json` has that is worth keeping.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// What was done to a `store.json`, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRepair {
    /// What it says now of the time when the store was made, in milliseconds since the epoch.
    pub created_at: TimestampMs,
    /// Where its old bytes are kept, relative to the store's root; `None` if nothing was done.
    pub kept: Option<String>,
}

/// Writes a `store.json` anew that is damaged; `None` if it is not. What stood there is kept in `quarantine/`.
///
/// # Errors
/// `Locked` while anybody has the store open; `UnsupportedVersion` if what is left of it speaks of a newer format; `NotAStore` where nothing of a store
/// stands beside it; those of the medium.
pub fn repair_header(path: impl AsRef<Path>, now: TimestampMs, dry_run: bool) -> Result<Option<HeaderRepair>> {
    let (disk, layout) = (OsDisk, Layout::new(path.as_ref()));
    if !is_damaged_header(&disk, &layout)? {
        return Ok(None);
    }
    let _alone = if dry_run { None } else { Some(write_permission(&disk, &layout, LockKind::Exclusive)?) };
    let path = layout.store_json();
    let file = disk.open(&path, OpenMode::Read).at("open", &path)?;
    let bytes = read_small(&*file, KEPT_BYTES_MAX).at("read", &path)?;
    if let Some(found) = newer_format(&bytes) {
        return Err(StoreError::UnsupportedVersion { found, known: FORMAT_VERSION });
    }
    let names = disk.list(layout.root()).at("list", layout.root())?;
    let oldest = names.iter().filter_map(Layout::parse_session).map(|session| session.timestamp_ms()).min();
    let created_at = oldest.unwrap_or(now);
    if dry_run {
        return Ok(Some(HeaderRepair { created_at, kept: None }));
    }
    let folder = layout.root_quarantine();
    ensure_folder(&disk, &folder)?;
    let mut attempt = 1;
    let kept = loop {
        let kept = layout.quarantined_header(attempt);
        if found(disk.stat(&kept)).at("stat", &kept)?.is_none() {
            break kept;
        }
        attempt += 1;
    };
    write_whole(&disk, &layout.new_name(), &kept, &bytes)?;
    disk.sync_folder(&folder).at("sync", &folder)?;
    write_whole(&disk, &layout.new_name(), &path, &header_text(created_at)?)?;
    disk.sync_folder(layout.root()).at("sync", layout.root())?;
    let kept = kept.strip_prefix(layout.root()).unwrap_or(&kept).display().to_string();
    Ok(Some(HeaderRepair { created_at, kept: Some(kept) }))
}

/// The format that a damaged header still names in so many words, if it is a newer one.
fn newer_format(bytes: &[u8]) -> Option<u32> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let said = match serde_json::from_slice::<Value>(bytes) {
        Ok(said) => ["format", "min_reader", "min_writer"].iter().filter_map(|name| number(&said[*name])).max(),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let digits = text.split_once(r#""format":"#).map(|(_, rest)| rest);
            let digits = digits.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
            digits.and_then(|digits| digits.parse().ok())
        }
    };
    said.filter(|format| *format > FORMAT_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_newer_header_is_not_made_an_older_one() {
        for bytes in [&br#"{"format":2,"min_rea"#[..], br#"{"fXrmat":2,"min_reader":2,"min_writer":2}"#] {
            assert_eq!(newer_format(bytes), Some(2));
        }
        for bytes in [&b""[..], br#"{"format":1,"#, br#"{"gormat":1,"min_reader":1}"#, b"\xff\xfe"] {
            assert_eq!(newer_format(bytes), None);
        }
    }
}
