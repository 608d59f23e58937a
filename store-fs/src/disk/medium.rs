//! What a medium can be relied on for: which filesystems are not this machine's own, and what a sync of a whole one tells.

use super::StatFs;

/// From how many files and folders on one sync of all that the filesystem holds is quicker than one for each.
#[cfg(target_os = "linux")]
pub(super) const WHOLE_FROM: usize = 8;

/// Whether a sync of a whole filesystem tells what it failed with: since Linux 5.8, by syncfs(2).
#[cfg(target_os = "linux")]
pub(super) fn tells_failed_syncs() -> bool {
    let system = rustix::system::uname();
    let mut numbers = system.release().to_str().unwrap_or_default().split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
        _ => false,
    }
}

#[cfg(target_os = "linux")]
pub(super) fn is_remote(stat: &StatFs) -> bool {
    // The number is 32 bits wide; some architectures widen it with its sign.
    u32::try_from(i128::from(stat.f_type) & 0xFFFF_FFFF).is_ok_and(store_core::medium::is_remote_type)
}

#[cfg(target_os = "macos")]
pub(super) fn is_remote(stat: &StatFs) -> bool {
    let name: String =
        stat.f_fstypename.iter().map(|byte| char::from(byte.cast_unsigned())).take_while(|c| *c != '\0').collect();
    store_core::medium::is_remote_name(&name)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn is_remote(_stat: &StatFs) -> bool {
    false
}
