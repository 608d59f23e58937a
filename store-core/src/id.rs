//! Identifiers of sessions and segments, and the numbers that name a place in a log.
//!
//! Ids are UUIDs of version 7: their text sorts by the millisecond they were made in. No path is ever built
//! from a text that a caller gave, because an id can only be made here or parsed here.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::ParseIdError;

/// Milliseconds since the Unix epoch, UTC.
pub type TimestampMs = u64;

/// The 74 bits of a version 7 UUID that are neither time, version nor variant.
const PAYLOAD_MASK: u128 = (1 << 74) - 1;
/// A version 7 UUID holds 48 bits of milliseconds.
const MILLIS_MASK: u64 = (1 << 48) - 1;

/// The last minted (time, payload) of this process, which every next one exceeds.
static LAST_MINTED: Mutex<(u64, u128)> = Mutex::new((0, 0));

fn compose(millis: u64, payload: u128) -> Uuid {
    let time = u128::from(millis & MILLIS_MASK) << 80;
    let rand_a = (payload >> 62) & 0xFFF;
    let rand_b = payload & ((1 << 62) - 1);
    Uuid::from_u128(time | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b)
}

fn mint(now: TimestampMs) -> Uuid {
    let random = Uuid::new_v4().as_u128();
    // The topmost payload bit stays clear so that counting up within a millisecond has room.
    let fresh = random & (PAYLOAD_MASK >> 1);
    let mut last = LAST_MINTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let now = now & MILLIS_MASK;
    *last = if now > last.0 {
        (now, fresh)
    } else if last.1 < PAYLOAD_MASK - (1 << 32) {
        (last.0, last.1 + 1 + (random >> 96))
    } else {
        (last.0 + 1, fresh)
    };
    compose(last.0, last.1)
}

fn derive(millis: TimestampMs, seed: &[u8]) -> Uuid {
    let digest = Sha256::digest(seed);
    let mut payload = 0_u128;
    for byte in digest.iter().take(10) {
        payload = (payload << 8) | u128::from(*byte);
    }
    compose(millis, payload & PAYLOAD_MASK)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id for the given time. Ids minted by one process only ever grow, even when `now` goes back.
            pub fn mint(now: TimestampMs) -> Self {
                Self(mint(now))
            }

            /// The id that a time and a seed always give: the time in front, then bits of SHA-256 of the seed.
            pub fn derive(millis: TimestampMs, seed: &[u8]) -> Self {
                Self(derive(millis, seed))
            }

            /// The id with these 16 bytes, big-endian.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id, big-endian: what its text is made of and what checksums are taken over.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The time in the id's first 48 bits.
            pub fn timestamp_ms(&self) -> TimestampMs {
                u64::try_from(self.0.as_u128() >> 80).unwrap_or(u64::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Reads the hyphenated lower-case form that `Display` writes, and nothing else, so that one id has one text.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let id = Uuid::try_parse(text).map_err(|_| ParseIdError::new(text))?;
                let mut canonical = Uuid::encode_buffer();
                if id.as_hyphenated().encode_lower(&mut canonical) != text {
                    return Err(ParseIdError::new(text));
                }
                Ok(Self(id))
            }
        }
    };
}

id_type! {
    /// One conversation as a person knows it: a tree of segments that share this id.
    SessionId
}

id_type! {
    /// One append-only log. Unique in the whole store, not only within its session.
    SegmentId
}

id_type! {
    /// One thing that was done to a store's bytes on purpose: a rollback, a repair, a migration.
    MigrationId
}

id_type! {
    /// One transaction of the ledger, whatever book it is in.
    TransactionId
}

/// An entry's place in its segment: 1-based and consecutive. 0 stands for "before the first entry".
///
/// Order is told by `Seq`, never by a timestamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first entry: as `after`, it means from the start.
    pub const START: Self = Self(0);

    /// The place behind this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a writer or reader remembers of a log: a seq and that line's checksum.
///
/// The checksum makes a log that was rolled back and grew again distinguishable. It is opaque: backends
/// compute it over different bytes, so positions of two backends are never equal by design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The entry's place.
    pub seq: Seq,
    /// The stored checksum of that entry, eight upper-case hex digits in text.
    #[serde(with = "crc_hex")]
    pub crc32c: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:08X}", self.seq, self.crc32c)
    }
}

pub(crate) mod crc_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(crc: &u32, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{crc:08X}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        u32::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_ids_never_go_back_when_the_clock_does() {
        let first = SessionId::mint(2_000);
        let second = SessionId::mint(1_000);
        assert!(second > first, "{second} must sort behind {first}");
    }

    #[test]
    fn a_derived_id_is_a_version_7_uuid_of_its_time() {
        let id = SegmentId::derive(1_764_000_000_000, b"seed");
        assert_eq!(id, SegmentId::derive(1_764_000_000_000, b"seed"));
        assert_eq!(id.timestamp_ms(), 1_764_000_000_000);
        assert_eq!(Uuid::from_bytes(*id.as_bytes()).get_version_num(), 7);
        assert_ne!(id, SegmentId::derive(1_764_000_000_000, b"other"));
    }

    #[test]
    fn only_the_canonical_text_of_an_id_parses() {
        let id = SegmentId::derive(5, b"x");
        assert_eq!(id.to_string().parse::<SegmentId>().unwrap(), id);
        for bad in ["", "../../etc/passwd", &id.to_string().to_uppercase(), &id.to_string().replace('-', "")] {
            assert!(bad.parse::<SegmentId>().is_err(), "{bad:?} must not parse");
        }
    }
}
