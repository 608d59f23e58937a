//! Names: books, assets, accounts. A name can only be made by parsing, so that no path and no key is built of anything else.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::error::{LedgerError, LedgerResult};

/// The most bytes of a book's name.
const BOOK_BYTES_MAX: usize = 64;
/// The most bytes of an asset's name.
const ASSET_BYTES_MAX: usize = 64;
/// The most bytes of an account's path.
const PATH_BYTES_MAX: usize = 512;

// Persisted: never rename.
const SYSTEM: &str = "_system";

/// A ledger's namespace: 1 to 64 of `a-z0-9_-`. A leading `_` is reserved.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BookName(Arc<str>);

impl BookName {
    /// The book that assets are registered in. It can be read like any other.
    pub fn system() -> Self {
        Self(SYSTEM.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the ledger keeps it for itself.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('_')
    }
}

impl FromStr for BookName {
    type Err = LedgerError;

    /// Reads a name. One that is reserved and stands for nothing is `ReservedBook`; anything else that is none is `InvalidName`.
    fn from_str(text: &str) -> LedgerResult<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if text.is_empty() || text.len() > BOOK_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(invalid("book", text));
        }
        let name = Self(text.into());
        if name.is_reserved() && text != SYSTEM {
            return Err(LedgerError::ReservedBook { book: name });
        }
        Ok(name)
    }
}

/// What is counted: a currency, or any other unit. 1 to 64 of `A-Za-z0-9._-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(Arc<str>);

impl AssetId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AssetId {
    type Err = LedgerError;

    fn from_str(text: &str) -> LedgerResult<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > ASSET_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(invalid("asset", text));
        }
        Ok(Self(text.into()))
    }
}

/// An account: the book it is in, and its path there.
///
/// Its text is `book:path`. A book's name has no colon, so the first one ends it, and no two accounts have the same text, whatever
/// their paths hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    book: BookName,
    path: Arc<str>,
}

impl AccountId {
    /// An account of a book. A path has 1 to 512 bytes and no control characters.
    ///
    /// # Errors
    /// `InvalidName`.
    pub fn new(book: &BookName, path: &str) -> LedgerResult<Self> {
        if path.is_empty() || path.len() > PATH_BYTES_MAX || path.chars().any(char::is_control) {
            return Err(invalid("account", path));
        }
        Ok(Self { book: book.clone(), path: path.into() })
    }

    /// The book.
    pub const fn book(&self) -> &BookName {
        &self.book
    }

    /// The path within the book.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for AccountId {
    type Err = LedgerError;

    fn from_str(text: &str) -> LedgerResult<Self> {
        let (book, path) = text.split_once(':').ok_or_else(|| invalid("account", text))?;
        Self::new(&book.parse()?, path)
    }
}

fn invalid(what: &'static str, text: &str) -> LedgerError {
    LedgerError::InvalidName { what, text: text.chars().take(80).collect() }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.book.0, self.path)
    }
}

impl fmt::Display for BookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! name_traits {
    ($($name:ident),+) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    )+};
}

name_traits!(BookName, AssetId, AccountId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_names_of_books_are_invalid_and_reserved_ones_reserved() {
        let long = "x".repeat(65);
        for bad in ["", "A", "a/b", "..", "a.b", "ä", "a b", "a:b", &long] {
            assert!(matches!(bad.parse::<BookName>(), Err(LedgerError::InvalidName { .. })), "{bad:?}");
        }
        assert!(matches!("_mine".parse::<BookName>(), Err(LedgerError::ReservedBook { .. })));
        assert!("_system".parse::<BookName>().unwrap().is_reserved());
        for good in ["a", "0-_z", &long[..64]] {
            assert_eq!(good.parse::<BookName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn the_text_of_an_account_names_it_alone() {
        for (book, path) in [("a", "b:c"), ("a", ":"), ("a-b", "c"), ("a", "b/c d\"é")] {
            let account = AccountId::new(&book.parse().unwrap(), path).unwrap();
            assert_eq!(account.to_string().parse::<AccountId>().unwrap(), account);
        }
        for bad in ["", "a", "a:", "A:b", "a:b\n"] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad:?}");
        }
    }
}
