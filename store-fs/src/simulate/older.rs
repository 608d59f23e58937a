//! A disk on which programs of the older layouts have left their logs: one of bare lines in its session's folder, which ends with
//! a line that was never finished, and flat ones.

use std::io;
use std::path::Path;

use store_core::{LogEntry, SegmentId, SegmentStart, SessionId};

use super::disk::SimDisk;
use super::machine::{FLAT, NOW, STORE, segment_id, session_id};
use super::tree::layout;
use crate::disk::{Disk as _, OpenMode};

/// How many flat logs there are.
const FLAT_LOGS: u8 = 4;

/// The disk, with all of that on stable storage.
pub(super) fn disk() -> Result<SimDisk, String> {
    let disk = SimDisk::new();
    fill(&disk.start_process()).map_err(|error| format!("making logs of older layouts: {error}"))?;
    Ok(disk)
}

fn fill(disk: &SimDisk) -> io::Result<()> {
    let root = Path::new(STORE);
    let folder = layout().session(session_id(1));
    let folders = [root.parent().unwrap_or(root).to_owned(), root.to_owned(), folder];
    folders.iter().try_for_each(|folder| disk.create_folder(folder))?;
    let torn = br#"{"kind":"note","ts":17640"#;
    let path = layout().log(session_id(1), segment_id(1));
    write(disk, &path, &[&lines(session_id(1), segment_id(1))?[..], torn].concat())?;
    for n in FLAT..FLAT + FLAT_LOGS {
        let (session, segment) = (session_id(n), segment_id(n));
        let flat = layout().flat_name(session, segment).ok_or_else(|| io::Error::other("not flat"))?;
        write(disk, &flat.path, &lines(session, segment)?)?;
    }
    folders.iter().rev().try_for_each(|folder| disk.sync_folder(folder))?;
    disk.sync_folder(Path::new("/"))
}

fn write(disk: &SimDisk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, OpenMode::CreateNew)?;
    crate::record_log::append_all_or_nothing(&*file, 0, bytes)?;
    file.sync_file()
}

/// What such a program wrote to a log: entries without anything else.
fn lines(session: SessionId, segment: SegmentId) -> io::Result<Vec<u8>> {
    let start = LogEntry::SegmentStart(Box::new(SegmentStart::new(session, NOW))).to_text()?;
    let notes = (1..=3).map(|n| format!(r#"{{"kind":"note","ts":{NOW},"n":{n},"in":"{segment}"}}"#));
    let texts: Vec<String> = std::iter::once(start).chain(notes).collect();
    Ok(texts.iter().flat_map(|text| [text.as_bytes(), b"\n"].concat()).collect())
}
