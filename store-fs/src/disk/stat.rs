//! What an open file is, asked for without its times.
//!
//! A filesystem whose times are only as fine as somebody looks at them writes a file's inode anew at the first write after each look. So
//! who looks before every write does not ask for times.

use std::io;
use std::os::fd::AsFd;

use super::system::{AtFlags, FileType, StatxFlags, makedev, statx};
use super::{FileId, FileKind, FileStat};

/// Asks the system.
pub(super) fn stat(file: impl AsFd) -> io::Result<FileStat> {
    let wanted = StatxFlags::TYPE | StatxFlags::MODE | StatxFlags::NLINK | StatxFlags::INO | StatxFlags::SIZE;
    let found = statx(file, c"", AtFlags::EMPTY_PATH, wanted)?;
    let mode = u32::from(found.stx_mode);
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        _ => FileKind::Other,
    };
    Ok(FileStat {
        id: FileId { device: makedev(found.stx_dev_major, found.stx_dev_minor), inode: found.stx_ino },
        kind,
        bytes: found.stx_size,
        writable: mode & 0o222 != 0,
        mode: mode & 0o777,
        links: found.stx_nlink.into(),
    })
}
