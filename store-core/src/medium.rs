//! Which filesystems are not this machine's own, so that their locks and syncs depend on somebody else.
//!
//! Backends ask the operating system what a file lies on, and here whether a store may be written there.

/// Whether a number of statfs(2)'s `f_type` on Linux, 32 bits wide, is that of a network filesystem or of one that a program serves.
pub fn is_remote_type(f_type: u32) -> bool {
    const NFS: u32 = 0x6969;
    const SMB: u32 = 0x517B;
    const CIFS: u32 = 0xFF53_4D42;
    const SMB2: u32 = 0xFE53_4D42;
    const FUSE: u32 = 0x6573_5546;
    const PLAN9: u32 = 0x0102_1997;
    const AFS: u32 = 0x5346_414F;
    const CODA: u32 = 0x7375_7245;
    const CEPH: u32 = 0x00C3_6400;
    [NFS, SMB, CIFS, SMB2, FUSE, PLAN9, AFS, CODA, CEPH].contains(&f_type)
}

/// The same by the name that statfs(2) gives elsewhere.
pub fn is_remote_name(name: &str) -> bool {
    ["nfs", "smbfs", "cifs", "afpfs", "webdav", "ftp"].contains(&name) || name.contains("fuse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_filesystems_are_told_from_local_ones() {
        for remote in [0x6969, 0xFF53_4D42, 0x6573_5546, 0x0102_1997, 0x00C3_6400] {
            assert!(is_remote_type(remote), "{remote:#x}");
        }
        // ext4, xfs, btrfs, tmpfs, zfs.
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x2FC1_2FC1] {
            assert!(!is_remote_type(local), "{local:#x}");
        }
        assert!(is_remote_name("macfuse") && is_remote_name("nfs") && !is_remote_name("apfs"));
    }
}
