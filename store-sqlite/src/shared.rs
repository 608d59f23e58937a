//! What everybody in this process who has one file open shares, for as long as somebody has it.

use std::sync::{Arc, Mutex, Weak};

use crate::connection::guard;
use crate::disk::FileId;

/// What is shared of each file.
pub(crate) struct Shared<T>(Mutex<Vec<(FileId, Weak<T>)>>);

impl<T: Default> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// What is shared of this file: a new one for the first who asks.
    pub(crate) fn of(&self, file: FileId) -> Arc<T> {
        let mut open = guard(&self.0);
        open.retain(|(_, shared)| shared.strong_count() > 0);
        let known = open.iter().find(|(id, _)| *id == file).and_then(|(_, shared)| shared.upgrade());
        known.unwrap_or_else(|| {
            let shared = Arc::default();
            open.push((file, Arc::downgrade(&shared)));
            shared
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_which_goes_with_the_last_who_has_it() {
        static OPEN: Shared<Mutex<u32>> = Shared::new();
        let [one, other] = [FileId::for_tests(1), FileId::for_tests(2)];
        let first = OPEN.of(one);
        *guard(&first) = 7;
        assert!(Arc::ptr_eq(&first, &OPEN.of(one)));
        assert_eq!(*guard(&OPEN.of(other)), 0);
        drop(first);
        assert_eq!(*guard(&OPEN.of(one)), 0);
    }
}
