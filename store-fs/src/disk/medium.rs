//! What a medium can be relied on for: which filesystems are not this machine's own, and what a sync of a whole one tells.

use super::StatFs;

/// From how many files and folders on one sync of all that the filesystem holds is quicker than one for each.
#[cfg(target_os = "linux")]
pub(super) const WHOLE_FROM: usize = 8;

/// Whether a sync of a whole filesystem tells what it failed with: since Linux 5.8, by syncfs(2).
#[cfg(target_os = "linux")]
pub(super) fn tells_failed_syncs() -> bool {
    let system = rustix::system::uname();
    let mut numbers = system.release().to_str().unwrap_or_default().split('.').map(|number| number.parse::<u32>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
        _ => false,
    }
}

/// The filesystem types whose locks and syncs depend on somebody else, by their numbers in statfs(2).
#[cfg(target_os = "linux")]
pub(super) fn is_remote(stat: &StatFs) -> bool {
    const NFS: u64 = 0x6969;
    const SMB: u64 = 0x517B;
    const CIFS: u64 = 0xFF53_4D42;
    const SMB2: u64 = 0xFE53_4D42;
    const FUSE: u64 = 0x6573_5546;
    const PLAN9: u64 = 0x0102_1997;
    const AFS: u64 = 0x5346_414F;
    const CODA: u64 = 0x7375_7245;
    const CEPH: u64 = 0x00C3_6400;
    // The number is 32 bits wide; some architectures widen it with its sign.
    let number = u64::try_from(i128::from(stat.f_type) & 0xFFFF_FFFF).unwrap_or_default();
    [NFS, SMB, CIFS, SMB2, FUSE, PLAN9, AFS, CODA, CEPH].contains(&number)
}

/// The filesystem types whose locks and syncs depend on somebody else, by their names in statfs(2).
#[cfg(target_os = "macos")]
pub(super) fn is_remote(stat: &StatFs) -> bool {
    let name: String =
        stat.f_fstypename.iter().map(|byte| char::from(byte.cast_unsigned())).take_while(|c| *c != '\0').collect();
    ["nfs", "smbfs", "cifs", "afpfs", "webdav", "ftp"].contains(&name.as_str()) || name.contains("fuse")
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn is_remote(_stat: &StatFs) -> bool {
    false
}
