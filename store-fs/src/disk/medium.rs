//! Which filesystems are not this machine's own.

use super::StatFs;

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
