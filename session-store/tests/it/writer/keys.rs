//! Keys of the caller's, for what may have been written before.

use session_store::{Submission, WriteError, append_entry};
use store_core::Seq;

use super::{options, prompts, writer_at};
use crate::common::{every_store, injected, prompt, root};

pub(super) fn keyed(text: &str) -> Submission {
    Submission::from(prompt(text)).with_key(format!("key of {text}"))
}

#[test]
fn an_entry_that_stands_in_the_branch_is_not_written_again_behind_a_fork() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        let first = writer.submit(keyed("0")).unwrap().wait().unwrap();
        append_entry(&*store, at, injected("foreign")).unwrap();
        let forked = writer.submit(keyed("1")).unwrap().wait().unwrap();
        assert_ne!(forked.location, at, "{scheme}");
        // To the writer that forked, and to one that begins in the fork.
        assert_eq!(writer.submit(keyed("0")).unwrap().wait().unwrap(), first, "{scheme}");
        let mixed = writer.submit_all([keyed("0"), keyed("2"), keyed("1")]).unwrap().wait().unwrap();
        assert_eq!(mixed, forked, "{scheme}");
        writer.close().unwrap();
        let later = writer_at(&store, forked.location, options());
        assert_eq!(later.submit(keyed("0")).unwrap().wait().unwrap(), first, "{scheme}");
        assert_eq!(later.submit(keyed("1")).unwrap().wait().unwrap(), forked, "{scheme}");
        later.submit(keyed("3")).unwrap().wait().unwrap();
        assert_eq!(prompts(&*store, forked.location), ["0", "1", "2", "3"], "{scheme}");
        assert_eq!(later.head().turns.turn_count(), 1, "{scheme}");
    }
}

#[test]
fn a_key_of_another_entry_is_refused_wherever_in_the_branch_that_stands() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        writer.submit(keyed("0")).unwrap().wait().unwrap();
        for _ in 0..2 {
            let other = Submission::from(prompt("other")).with_key("key of 0");
            let told = writer.submit(other).unwrap().wait().unwrap_err();
            assert!(matches!(&told, WriteError::Refused(_)), "{scheme}: {told}");
            // The second time it stands in the segment that the fork continues.
            append_entry(&*store, writer.location(), injected("foreign")).unwrap();
            writer.submit(prompt("goes on")).unwrap().wait().unwrap();
        }
    }
}

#[test]
fn what_others_wrote_under_the_same_key_behind_their_own_entries_is_not_taken_for_seen() {
    for (scheme, store, _folder) in every_store() {
        let at = root(&*store, []);
        let writer = writer_at(&store, at, options());
        append_entry(&*store, at, injected("foreign")).unwrap();
        let theirs = [store_core::NewEntry::typed(prompt("0")).with_key("key of 0")];
        store.append_with(at.session_id, at.segment_id, &theirs, &store_core::AppendOptions::default()).unwrap();
        let landed = writer.submit(keyed("0")).unwrap().wait().unwrap();
        assert_eq!((landed.location != at, landed.position.seq), (true, Seq(2)), "{scheme}");
        assert_eq!(prompts(&*store, landed.location), ["0"], "{scheme}");
        assert_eq!(super::origin_of(&*store, landed.location).seq, Seq(1), "{scheme}");
    }
}
