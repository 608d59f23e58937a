//! Files as Claude Code writes them, which is what imports are measured with: prompts, answers, calls and their results in turn, each record
//! behind the one before it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::entries::START_MS;

/// Records of this many bytes have some of their own, apart from what is said.
const RECORD_BYTES: usize = 600;

/// How many files, how many lines each, and about how many bytes a line.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many files.
    pub files: u64,
    /// How many lines each has.
    pub lines: u64,
    /// About how many bytes a line has.
    pub line_bytes: usize,
}

/// Writes the files into a folder that exists and answers with how many bytes they have together.
///
/// # Errors
/// Those of the medium.
pub fn write(folder: &Path, shape: Shape) -> Result<u64> {
    let mut bytes = 0;
    for file in 0..shape.files {
        let path = folder.join(format!("{}.jsonl", uuid(file, 0)));
        let mut out = BufWriter::new(File::create(&path)?);
        for line in 0..shape.lines {
            writeln!(out, "{}", record(file, line, shape.line_bytes.saturating_sub(RECORD_BYTES)))?;
        }
        out.into_inner()?;
        bytes += std::fs::metadata(&path)?.len();
    }
    Ok(bytes)
}

/// The id of a file's record; record 0 is the conversation itself. Spread over the whole range, as random ids are.
fn uuid(file: u64, record: u64) -> String {
    let mixed = |n: u64| (n ^ (n >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (high, low) = (mixed(mixed(file + 1) ^ record), mixed(mixed(record + 1) ^ (file << 32)));
    let rest = low >> 16 & 0xFFFF_FFFF_FFFF;
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{rest:012x}", high >> 32, high >> 16 & 0xFFFF, high & 0xFFF, low & 0xFFF)
}

fn record(file: u64, line: u64, said_bytes: usize) -> Value {
    let (own, ms) = (uuid(file, line + 1), START_MS + file * 1_000_000 + line * 1000);
    let seconds = ms / 1000;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let call = format!("toolu_{file:08}{:04}", line.div_ceil(2));
    let said = said(&own, said_bytes);
    let usage = json!({ "input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 50 });
    let assistant = |content: Value, stop: &str| {
        json!({ "id": format!("msg_{own}"), "type": "message", "role": "assistant", "model": "claude-x", "content": [content],
            "stop_reason": stop, "usage": usage })
    };
    let (kind, message) = match line % 6 {
        0 => ("user", json!({ "role": "user", "content": said })),
        1 | 3 => {
            let call = json!({ "type": "tool_use", "id": call, "name": "Bash", "input": { "command": said } });
            ("assistant", assistant(call, "tool_use"))
        }
        2 | 4 => {
            let result = json!({ "type": "tool_result", "tool_use_id": call, "content": said });
            ("user", json!({ "role": "user", "content": [result] }))
        }
        _ => ("assistant", assistant(json!({ "type": "text", "text": said }), "end_turn")),
    };
    json!({ "parentUuid": line.checked_sub(1).map(|before| uuid(file, before + 1)), "isSidechain": false, "userType": "external",
        "cwd": "/home/someone/project", "sessionId": uuid(file, 0), "version": "2.1.0", "gitBranch": "main", "type": kind,
        "message": message, "uuid": own, "timestamp": format!("2026-11-{:02}T{hour:02}:{minute:02}:{second:02}.000Z", file % 28 + 1) })
}

/// Words of a conversation, with escapes and text beyond ASCII, another stretch for each record.
fn said(own: &str, bytes: usize) -> String {
    const WORDS: &str = "cargo test says: \"größe\" is 3, expected 4\n\tat src/main.rs:12 — see `config.toml`; the rest is as before, and ";
    let mut said = format!("{own}: ");
    while said.len() < bytes {
        said.push_str(WORDS);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_and_lines_have_their_length() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = write(folder.path(), Shape { files: 5, lines: 40, line_bytes: 1650 }).unwrap();
        assert!((1500..1800).contains(&(bytes / 200)), "{} bytes a line", bytes / 200);
        let mut ids = std::collections::HashSet::new();
        for file in 0..200 {
            for record in 0..200 {
                assert!(ids.insert(uuid(file, record)), "{file} {record}");
            }
        }
    }
}
