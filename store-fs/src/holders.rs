//! Who has a store open, as far as the operating system says who holds a lock.
//!
//! Linux lists all locks in `/proc/locks`, each with a process and the file by its device and number; other systems say nothing. Nothing here
//! takes a lock or opens the store, so it can be asked just when somebody else keeps everybody out.

use std::path::Path;

use crate::disk::{Disk as _, OpenMode, OsDisk, device_numbers};
use crate::layout::Layout;
use crate::open::read_small;

/// Longer than the list of all locks of a machine is.
const LOCKS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longer than the name of a process is.
const NAME_BYTES_MAX: usize = 256;

/// A process that has a store open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its number; 0 for one that this process cannot see.
    pub pid: u32,
    /// What it is called, if it is there to be asked.
    pub name: Option<String>,
    /// Whether it has the store for itself.
    pub exclusive: bool,
}

/// The processes that hold the lock on the store in a folder, each once, in no order; this one too if it does. `None` where the system
/// does not say it.
pub fn lock_holders(root: &Path) -> Option<Vec<LockHolder>> {
    let id = OsDisk.stat(&Layout::new(root).lock()).ok()?.id;
    let (major, minor) = device_numbers(id.device);
    let list = read(Path::new("/proc/locks"), LOCKS_BYTES_MAX)?;
    let mut holders: Vec<LockHolder> = Vec::new();
    for (pid, exclusive) in list.lines().filter_map(|line| holder_in(line, (major, minor, id.inode))) {
        if !holders.iter().any(|holder| holder.pid == pid) {
            let name = read(Path::new(&format!("/proc/{pid}/comm")), NAME_BYTES_MAX);
            let name = name.map(|name| name.trim_end().to_owned()).filter(|name| !name.is_empty());
            holders.push(LockHolder { pid, name, exclusive });
        }
    }
    Some(holders)
}

/// The process of a line like `3: FLOCK  ADVISORY  WRITE 3569 fe:00:12779626 0 EOF`, if it is of this file. One that waits for the lock
/// (`3: -> FLOCK …`) does not have it.
fn holder_in(line: &str, asked: (u32, u32, u64)) -> Option<(u32, bool)> {
    let mut fields = line.split_whitespace().skip(1);
    if fields.next()? != "FLOCK" {
        return None;
    }
    let kind = fields.nth(1)?;
    let pid = fields.next()?.parse().unwrap_or(0);
    let mut file = fields.next()?.split(':');
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let found = (hex(file.next()?)?, hex(file.next()?)?, file.next()?.parse::<u64>().ok()?);
    (found == asked).then_some((pid, kind == "WRITE"))
}

fn read(path: &Path, bytes_max: usize) -> Option<String> {
    let file = OsDisk.open(path, OpenMode::Read).ok()?;
    String::from_utf8(read_small(&*file, bytes_max).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_the_lock_on_the_file_holds_it() {
        let holder = |line: &str| holder_in(line, (0xfe, 0, 127));
        assert_eq!(holder("1: FLOCK  ADVISORY  WRITE 3569 fe:00:127 0 EOF"), Some((3569, true)));
        assert_eq!(holder("1: FLOCK  ADVISORY  READ 3569 fe:00:127 0 EOF"), Some((3569, false)));
        assert_eq!(holder("1: FLOCK  ADVISORY  READ -1 fe:00:127 0 EOF"), Some((0, false)));
        assert_eq!(holder("1: -> FLOCK  ADVISORY  WRITE 3570 fe:00:127 0 EOF"), None);
        assert_eq!(holder("1: POSIX  ADVISORY  WRITE 3569 fe:00:127 0 EOF"), None);
        assert_eq!(holder("1: FLOCK  ADVISORY  WRITE 3569 fe:00:128 0 EOF"), None);
        assert_eq!(holder("1: FLOCK  ADVISORY  WRITE 3569 fd:00:127 0 EOF"), None);
        assert_eq!(holder(""), None);
    }
}
