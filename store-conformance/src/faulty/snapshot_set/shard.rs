//! Writers and readers with a fault.

use std::io::{self, Cursor, Read, Write};
use std::mem::ManuallyDrop;
use std::sync::Weak;

use store_core::snapshot_set::{
    MemorySnapshotSet, ShardReader, ShardWriter, SnapshotOrdinal, SnapshotResult, SnapshotSet as _,
};

/// Takes everything and keeps nothing.
pub(super) struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ShardWriter for Nowhere {
    fn sync(&mut self) -> SnapshotResult<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> SnapshotResult<()> {
        Ok(())
    }
}

/// Keeps so many bytes.
pub(super) struct Short(pub(super) Box<dyn ShardWriter>, pub(super) usize);

impl Write for Short {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = bytes.len().min(self.1);
        self.0.write_all(&bytes[..kept])?;
        self.1 -= kept;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ShardWriter for Short {
    fn sync(&mut self) -> SnapshotResult<()> {
        self.0.sync()
    }

    fn finish(self: Box<Self>) -> SnapshotResult<()> {
        self.0.finish()
    }
}

/// Hands the bytes on when it is synced.
pub(super) struct Late(pub(super) Box<dyn ShardWriter>, pub(super) Vec<u8>);

impl Write for Late {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ShardWriter for Late {
    fn sync(&mut self) -> SnapshotResult<()> {
        let bytes = std::mem::take(&mut self.1);
        self.0.write_all(&bytes).map_err(store_core::StoreError::backend)?;
        self.0.sync()
    }

    fn finish(mut self: Box<Self>) -> SnapshotResult<()> {
        self.sync()?;
        self.0.finish()
    }
}

/// Is never given up, only finished.
pub(super) struct Clinging(pub(super) ManuallyDrop<Box<dyn ShardWriter>>);

impl Write for Clinging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ShardWriter for Clinging {
    fn sync(&mut self) -> SnapshotResult<()> {
        self.0.sync()
    }

    fn finish(self: Box<Self>) -> SnapshotResult<()> {
        ManuallyDrop::into_inner(self.0).finish()
    }
}

/// Gives these bytes.
pub(super) struct Given(pub(super) Cursor<Vec<u8>>);

impl Given {
    pub(super) fn boxed(bytes: &[u8]) -> Box<dyn ShardReader> {
        Box::new(Self(Cursor::new(bytes.to_vec())))
    }
}

impl Read for Given {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl ShardReader for Given {
    fn size_bytes(&self) -> u64 {
        self.0.get_ref().len() as u64
    }
}

/// Ends when its snapshot is purged.
pub(super) struct Bound(
    pub(super) Box<dyn ShardReader>,
    pub(super) Weak<MemorySnapshotSet>,
    pub(super) SnapshotOrdinal,
);

impl Read for Bound {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let snapshots = self.1.upgrade().and_then(|set| set.list_snapshots().ok()).unwrap_or_default();
        if snapshots.iter().all(|info| info.ordinal != self.2) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.0.read(to)
    }
}

impl ShardReader for Bound {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
}
