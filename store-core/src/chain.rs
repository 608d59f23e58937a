//! The hash chain over a log: one head names a whole history.
//!
//! c(0) is 32 zero bytes; c(n) = SHA-256(c(n-1) ‖ SHA-256(text of entry n)). The text is the entry's own, braces
//! included, without the line's fields, so that the heads of two backends are equal after a migration.

use std::fmt;

use sha2::{Digest, Sha256};

/// The head of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ChainHead(pub [u8; 32]);

impl ChainHead {
    /// The head before the first entry.
    pub const ROOT: Self = Self([0; 32]);

    /// The head after one more entry with this text.
    #[must_use]
    pub fn next(self, text: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(Sha256::digest(text.as_bytes()));
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for ChainHead {
    /// 64 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

/// The content address of some bytes: SHA-256 in 64 lower-case hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    struct Hex([u8; 32]);
    impl fmt::Display for Hex {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write_hex(&self.0, f)
        }
    }
    Hex(Sha256::digest(bytes).into()).to_string()
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Whether a text is a content address: 64 lower-case hex digits. Only such a text may become part of a path.
pub fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_the_documented_ones() {
        let one = ChainHead::ROOT.next("{}");
        let two = one.next(r#"{"a":1}"#);
        insta::assert_snapshot!(format!("{}\n{one}\n{two}", ChainHead::ROOT), @"
        0000000000000000000000000000000000000000000000000000000000000000
        961af672d320bfb80e482edf9e092930b12b6f10f28ac4913d1d64c49219da68
        aba4cff544a75e8148107d01313aa4287d9b73f623095eb3e42c2118cda5e9a4
        ");
    }
}
