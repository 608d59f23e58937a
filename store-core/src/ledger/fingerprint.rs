//! The 64 bits that an idempotency key or a transaction's id is known by where the whole of it would take too much room.
//!
//! They are the first of SHA-256 of a word and the text, so nobody can choose many that are alike, and they are the same in every
//! process. Two texts of one fingerprint are possible; whoever finds one looks at what stands there.

use sha2::{Digest, Sha256};

use crate::id::TransactionId;

/// That of an idempotency key.
// Persisted: never change.
pub fn of_key(key: &str) -> u64 {
    fingerprint(b"key:", key.as_bytes())
}

/// That of a transaction's id.
// Persisted: never change.
pub fn of_id(id: TransactionId) -> u64 {
    fingerprint(b"id:", id.as_bytes())
}

fn fingerprint(word: &[u8], bytes: &[u8]) -> u64 {
    let digest = Sha256::new_with_prefix(word).chain_update(bytes).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_the_documented_ones() {
        let id = TransactionId::derive(1_764_000_000_000, b"t");
        insta::assert_snapshot!(format!("{:016x} {:016x}", of_key("request-1"), of_id(id)));
    }
}
