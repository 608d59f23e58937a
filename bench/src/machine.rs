//! What the measurements ran on.

use std::fmt;
use std::path::Path;

use crate::Result;

/// The machine and the medium.
#[derive(Clone, Debug)]
pub struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    filesystem: u64,
}

impl Machine {
    /// This machine, and the medium that a folder is on.
    ///
    /// # Errors
    /// The folder's medium cannot be asked.
    pub fn of(folder: &Path) -> Result<Self> {
        let uname = rustix::system::uname();
        let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Ok(Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: model.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.trim().to_owned()),
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            filesystem: u64::try_from(i128::from(rustix::fs::statfs(folder)?.f_type) & 0xFFFF_FFFF)?,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, filesystem } = self;
        let filesystem = match filesystem {
            0xEF53 => "ext4".to_owned(),
            0x0102_1994 => "tmpfs".to_owned(),
            0x5846_5342 => "xfs".to_owned(),
            0x9123_683E => "btrfs".to_owned(),
            0x794C_7630 => "overlayfs".to_owned(),
            other => format!("filesystem {other:#x}"),
        };
        write!(f, "{cores} cores of {processor}, {kernel}, {filesystem}")
    }
}
