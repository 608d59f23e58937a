//! The texts of a call's entries, one behind the other in memory that the call has once.
//!
//! A call of a hundred entries would else ask for memory a hundred times and more. A text keeps its whole call's memory alive, so what is
//! to stay longer than the call is copied out of it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The text of one entry: UTF-8, and one JSON object. A copy costs nothing.
#[derive(Clone)]
pub struct EntryText {
    call: Arc<Vec<u8>>,
    place: Range<usize>,
}

impl EntryText {
    /// The texts that stand at these places.
    pub(crate) fn of_call(bytes: Vec<u8>, places: Vec<Range<usize>>) -> impl Iterator<Item = Self> {
        let call = Arc::new(bytes);
        places.into_iter().map(move |place| Self { call: Arc::clone(&call), place })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.call[self.place.clone()]
    }

    /// Itself as text. It is looked through for that: whoever writes it asks for its bytes.
    pub fn as_str(&self) -> &str {
        let text = simdutf8::basic::from_utf8(self.as_bytes());
        text.unwrap_or_else(|_| unreachable!("an entry's text is made of texts"))
    }
}

impl From<String> for EntryText {
    fn from(text: String) -> Self {
        Self { place: 0..text.len(), call: Arc::new(text.into_bytes()) }
    }
}

impl PartialEq for EntryText {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EntryText {}

impl PartialEq<str> for EntryText {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Debug for EntryText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
