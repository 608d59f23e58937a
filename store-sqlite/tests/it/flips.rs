//! Every bit counts: one that is flipped is found, or nothing that the database says depends on it.

use std::ops::ControlFlow;

use store_core::Backend as _;
use store_core::integrity::{VerifyOptions, verify};
use store_sqlite::SqliteStore;

use crate::sample::{database, dump};
use crate::support::Folder;

/// How many bits are flipped of each page: enough that each of its parts is met.
const PER_PAGE: usize = 24;

/// Whether opening or verifying a database says that something is wrong with it.
fn is_found(folder: &Folder) -> bool {
    let Ok(store) = SqliteStore::open_read_only(folder.database()) else { return true };
    let options = VerifyOptions { deep: true, threads: 1, ..VerifyOptions::default() };
    !verify(store.integrity().unwrap(), &options, &|_| ControlFlow::Continue(())).is_ok_and(|report| report.ok)
}

/// The bits of a database that are flipped: its whole head, the head of each page, and some of the rest, more of them where something stands.
fn places(bytes: &[u8], page_bytes: usize) -> Vec<(usize, usize)> {
    let mut places: Vec<(usize, usize)> = (0..100).map(|at| (at, at % 8)).collect();
    let mut dice = 0x2545_F491_4F6C_DD1D_u64;
    for page in (0..bytes.len()).step_by(page_bytes) {
        for index in 0..PER_PAGE {
            // A generator of Marsaglia's: the same bits in every run.
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let within = if index < 4 { 32 } else { page_bytes as u64 };
            let at = page + usize::try_from(dice % within).unwrap();
            let written = (at..page + page_bytes).find(|at| index % 3 == 0 || bytes[*at] != 0);
            let at = written.unwrap_or(at);
            places.push((at, usize::try_from(dice >> 61).unwrap()));
        }
    }
    places
}

#[test]
fn any_flipped_bit_is_found_or_harmless() {
    let folder = database();
    assert!(!is_found(&folder), "the sample itself is whole");
    let whole = dump(&folder.database()).unwrap();
    let bytes = std::fs::read(folder.database()).unwrap();
    let (mut found, mut harmless) = (0, 0);
    for (at, bit) in places(&bytes, 4096) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        // A new file each time, so that no answer comes from a cache.
        let folder = Folder::new();
        std::fs::write(folder.database(), flipped).unwrap();
        std::fs::set_permissions(folder.database(), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if is_found(&folder) {
            found += 1;
        } else {
            harmless += 1;
            let said = dump(&folder.database());
            assert!(
                said.as_ref() == Ok(&whole),
                "bit {bit} of byte {} of page {} was not found",
                at % 4096,
                at / 4096 + 1
            );
        }
    }
    assert!(found > 300, "{found} bits were found, {harmless} harmless");
}
