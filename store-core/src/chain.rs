//! The hash chain over a log: one head names a whole history.
//!
//! c(0) is 32 zero bytes; c(n) = SHA-256(c(n-1) ‖ SHA-256(text of entry n)). The text is the entry's own, braces
//! included, without the line's fields, so that the heads of two backends are equal after a migration.
//!
//! A head proves what the segment itself holds, from its first entry to its last. Of what the segment continues it
//! proves the name only: the first entry says which entry of which segment, not what stands there. Whoever wants to
//! prove a whole branch holds a head for each segment of its lineage, which is what a
//! [`Manifest`](crate::integrity::Manifest) lists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

use crate::id::Seq;

/// The head of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainHead(pub [u8; 32]);

impl ChainHead {
    /// The head before the first entry.
    pub const ROOT: Self = Self([0; 32]);

    /// The head after one more entry with this text.
    #[must_use]
    pub fn next(self, text: &str) -> Self {
        self.next_of(&TextDigest::of(text))
    }

    /// The same for a text that was hashed before.
    #[must_use]
    pub fn next_of(self, text: &TextDigest) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(text.0);
        Self(hasher.finalize().into())
    }
}

/// SHA-256 of one entry's text: the part of a chain that is made without knowing what stands before the entry, and so by any thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextDigest([u8; 32]);

impl TextDigest {
    /// Hashes a text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }
}

/// A text that is not a chain head.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chain head is 64 hex digits")]
pub struct ParseHeadError;

impl FromStr for ChainHead {
    type Err = ParseHeadError;

    /// Reads 64 hex digits of either case.
    fn from_str(text: &str) -> Result<Self, ParseHeadError> {
        let text = text.to_ascii_lowercase();
        if !is_sha256_hex(&text) {
            return Err(ParseHeadError);
        }
        let mut head = [0; 32];
        for (byte, digits) in head.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| ParseHeadError)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| ParseHeadError)?;
        }
        Ok(Self(head))
    }
}

impl Serialize for ChainHead {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChainHead {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// A chain that is made entry by entry: where it is, and its head there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// The last entry that it holds.
    pub seq: Seq,
    /// The head behind that entry.
    pub head: ChainHead,
}

impl Chain {
    /// The chain before the first entry.
    pub const START: Self = Self { seq: Seq::START, head: ChainHead::ROOT };

    /// Goes on with the next entry's text.
    pub fn push(&mut self, text: &str) {
        self.push_digest(&TextDigest::of(text));
    }

    /// The same with a text that was hashed before.
    pub fn push_digest(&mut self, text: &TextDigest) {
        self.head = self.head.next_of(text);
        self.seq = self.seq.next();
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
    let mut address = ContentAddress::default();
    address.update(bytes);
    address.finish()
}

/// The content address of bytes that come in pieces: what [`sha256_hex`] gives for all of them.
#[derive(Clone, Debug, Default)]
pub struct ContentAddress(Sha256);

impl ContentAddress {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The address: 64 lower-case hex digits.
    pub fn finish(self) -> String {
        ChainHead(self.0.finalize().into()).to_string()
    }
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
    fn a_head_is_read_as_it_is_written() {
        let head = ChainHead::ROOT.next("{}");
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(head.to_string().to_uppercase().parse(), Ok(head));
        assert_eq!(serde_json::from_str::<ChainHead>(&serde_json::to_string(&head).unwrap()).unwrap(), head);
        let text = head.to_string();
        for bad in ["", &text[1..], &format!("{text}0"), &text.replace('a', "g"), &format!("+{}", &text[1..])] {
            assert_eq!(bad.parse::<ChainHead>(), Err(ParseHeadError), "{bad:?}");
        }
    }

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
