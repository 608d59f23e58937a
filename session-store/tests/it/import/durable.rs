//! What is said of a file counts only for what a power loss leaves.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use session_store::import::{ImportOptions, Importer};
use session_store::index::Index;
use tempfile::TempDir;

use super::world::NOON;
use crate::common::LyingStore;

/// A conversation that is written in several calls: so many prompts and answers.
pub(super) fn long(turns: usize) -> (TempDir, PathBuf) {
    let native_id = "5e55a000-0000-4000-8000-0000000010a6";
    let mut text = String::new();
    let mut parent = "null".to_owned();
    for line in 0..2 * turns {
        let uuid = format!("5e55a000-0000-4000-8000-{line:012x}");
        let message = match line % 2 {
            0 => format!(r#"{{"role":"user","content":"prompt {line}"}}"#),
            _ => format!(
                r#"{{"role":"assistant","id":"m{line}","model":"m","content":[{{"type":"text","text":"answer {line}"}}],"stop_reason":"end_turn","usage":{{"input_tokens":1,"output_tokens":1}}}}"#
            ),
        };
        let kind = if line % 2 == 0 { "user" } else { "assistant" };
        writeln!(
            text,
            r#"{{"parentUuid":{parent},"isSidechain":false,"type":"{kind}","sessionId":"{native_id}","version":"2.1.0","cwd":"/home/a","uuid":"{uuid}","timestamp":"2026-11-01T{:02}:{:02}:{:02}.000Z","message":{message}}}"#,
            line / 3600,
            line / 60 % 60,
            line % 60
        )
        .unwrap();
        parent = format!("\"{uuid}\"");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{native_id}.jsonl"));
    fs::write(&path, text).unwrap();
    (folder, path)
}

/// The cursor of a file that lost its last entries would say that they had been read.
#[test]
fn facts_are_put_when_all_that_they_tell_of_is_synced() {
    for turns in [4, 100, 400, 512, 800] {
        let (_folder, path) = long(turns);
        let store = LyingStore::default();
        let index = Index::open(&store).unwrap();
        let importer = Importer { store: &store, index: &index, now: NOON };
        let import = || importer.run(std::slice::from_ref(&path), &ImportOptions::default(), &mut |_| {}).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let cut = text.len() / 3;
        fs::write(&path, &text[..cut]).unwrap();
        let entries = import().entries;
        assert_eq!(store.take_hasty_facts(), Vec::<String>::new(), "{turns}");
        fs::write(&path, &text).unwrap();
        assert!(import().entries > 0 && entries > 0, "{turns}");
        assert_eq!(store.take_hasty_facts(), Vec::<String>::new(), "{turns}, grown");
    }
}
