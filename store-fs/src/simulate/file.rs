//! One regular file: what every process sees of it, what is on stable storage, and what a power loss makes of the rest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::image::Loss;
use super::random::Random;

/// What a medium writes whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug)]
enum FileChange {
    Write {
        at: usize,
        bytes: Arc<[u8]>,
    },
    /// Cut or grown to a length.
    Length(usize),
}

impl FileChange {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write_at(to, *at, bytes),
            Self::Length(length) => to.resize(*length, 0),
        }
    }

    /// What a write is when it is cut short.
    fn apply_torn(&self, to: &mut Vec<u8>, random: &mut Random) {
        let Self::Write { at, bytes } = self else { return };
        let mut length = random.below(bytes.len() + 1);
        if random.chance(50) {
            length = ((at + length) / SECTOR_BYTES * SECTOR_BYTES).saturating_sub(*at);
        }
        write_at(to, *at, &bytes[..length]);
    }
}

fn write_at(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

/// A regular file.
#[derive(Clone, Debug)]
pub(super) struct File {
    now: Vec<u8>,
    stable: Vec<u8>,
    pending: Vec<(u64, FileChange)>,
    /// Sectors whose bytes a failed sync forgot: everybody sees them, and no sync writes them.
    forgotten: BTreeSet<usize>,
    /// Whether it could be written to, ever since it was made. What a sync of the bytes makes of that is nowhere promised: of the
    /// changes that no power loss has settled yet, any number is lost.
    writable: Vec<bool>,
}

impl Default for File {
    fn default() -> Self {
        Self::of(Vec::new(), true)
    }
}

impl File {
    /// A file that is on stable storage as it is.
    pub(super) fn of(bytes: Vec<u8>, writable: bool) -> Self {
        Self {
            stable: bytes.clone(),
            now: bytes,
            pending: Vec::new(),
            forgotten: BTreeSet::new(),
            writable: vec![writable],
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.writable.last().copied().unwrap_or(true)
    }

    pub(super) fn set_writable(&mut self, writable: bool) {
        if self.is_writable() != writable {
            self.writable.push(writable);
        }
    }

    /// Whether it can be written to after a power loss.
    pub(super) fn surviving_bits(&self, loss: Loss, random: &mut Random) -> bool {
        match loss {
            Loss::Nothing => self.is_writable(),
            Loss::Everything => self.writable.first().copied().unwrap_or(true),
            Loss::Ordered | Loss::Torn | Loss::Sectors => random.pick(&self.writable),
        }
    }

    /// When what is not on stable storage yet was changed.
    pub(super) fn stamps(&self) -> impl Iterator<Item = u64> {
        self.pending.iter().map(|(stamp, _)| *stamp)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn append(&mut self, stamp: u64, bytes: &[u8]) {
        let mut at = self.now.len();
        self.now.extend_from_slice(bytes);
        // A sector is written with all that is in it: what was forgotten of it is remembered.
        if self.forgotten.remove(&(at / SECTOR_BYTES)) {
            at = at / SECTOR_BYTES * SECTOR_BYTES;
        }
        self.pending.push((stamp, FileChange::Write { at, bytes: self.now[at..].into() }));
    }

    pub(super) fn truncate(&mut self, stamp: u64, length: usize) {
        self.now.resize(length, 0);
        self.forgotten.retain(|sector| sector * SECTOR_BYTES < length);
        self.pending.push((stamp, FileChange::Length(length)));
    }

    pub(super) fn sync(&mut self) {
        for (_, change) in self.pending.drain(..) {
            change.apply(&mut self.stable);
        }
    }

    /// Time passes: everything is on stable storage, as it is now.
    pub(super) fn settle(&mut self) {
        self.stable = self.now.clone();
        self.pending.clear();
        self.forgotten.clear();
        self.writable = vec![self.is_writable()];
    }

    /// The medium loses a bit of a byte that is on it.
    pub(super) fn rot(&mut self, at: usize) {
        if let Some(byte) = self.now.get_mut(at) {
            *byte ^= 1;
        }
        self.settle();
    }

    /// What a kernel does when the medium refuses the bytes: it tells once, and takes them for written.
    pub(super) fn forget(&mut self, stamp: u64) {
        for (_, change) in self.pending.drain(..) {
            match change {
                FileChange::Write { at, bytes } => {
                    let end = (at + bytes.len()).div_ceil(SECTOR_BYTES);
                    self.forgotten.extend(at / SECTOR_BYTES..end);
                }
                FileChange::Length(length) => self.stable.resize(length.min(self.stable.len()), 0),
            }
        }
        self.pending.push((stamp, FileChange::Length(self.now.len())));
    }

    /// Its bytes after a power loss at a moment.
    pub(super) fn survivor(&self, loss: Loss, moment: u64, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.stable.clone();
        if self.pending.is_empty() {
            return bytes;
        }
        let whole = match loss {
            Loss::Everything => 0,
            Loss::Nothing => self.pending.len(),
            Loss::Ordered => self.pending.iter().take_while(|(stamp, _)| *stamp < moment).count(),
            Loss::Torn => random.below(self.pending.len() + 1),
            Loss::Sectors => return self.surviving_sectors(random),
        };
        for (_, change) in &self.pending[..whole] {
            change.apply(&mut bytes);
        }
        let torn = self.pending.get(whole).filter(|(stamp, _)| loss == Loss::Torn || *stamp == moment);
        if let Some((_, change)) = torn
            && matches!(loss, Loss::Torn | Loss::Ordered)
        {
            change.apply_torn(&mut bytes, random);
        }
        bytes
    }

    fn surviving_sectors(&self, random: &mut Random) -> Vec<u8> {
        let mut versions = vec![self.stable.clone()];
        for (_, change) in &self.pending {
            let mut next = versions[versions.len() - 1].clone();
            change.apply(&mut next);
            versions.push(next);
        }
        // The length is that of some moment, or of a write that was cut short.
        let settled = random.below(versions.len());
        let mut length = versions[settled].len();
        if let Some((_, change @ FileChange::Write { .. })) = self.pending.get(settled)
            && random.chance(30)
        {
            let mut torn = versions[settled].clone();
            change.apply_torn(&mut torn, random);
            length = torn.len();
        }
        let mut bytes = vec![0; length];
        let lost_percent = random.pick(&[10, 30, 60]);
        for start in (0..length).step_by(SECTOR_BYTES) {
            let end = (start + SECTOR_BYTES).min(length);
            let latest = versions.len() - 1;
            let version = if random.chance(lost_percent) { random.below(latest + 1) } else { latest };
            // A truncation that survived has wiped what stood behind it before.
            let cut = self.pending[version.min(settled)..settled].iter().filter_map(|(_, change)| match change {
                FileChange::Length(length) => Some(*length),
                FileChange::Write { .. } => None,
            });
            let end = cut.min().map_or(end, |cut| end.min(cut)).min(versions[version].len());
            if start < end {
                bytes[start..end].copy_from_slice(&versions[version][start..end]);
            }
        }
        bytes
    }
}
