//! The entries that are written in every measurement: about 600 bytes each, with escapes and text beyond ASCII, as conversations have them.

use serde_json::json;
use store_core::{
    Item, ItemEntry, LlmUsage, LogEntry, NewEntry, Part, Role, SegmentId, SegmentStart, SessionId, TurnEnd, UserInput,
};

/// The time of the first entry, in milliseconds since the epoch.
pub const START_MS: u64 = 1_764_000_000_000;

const SAID: &str = "Das Füllmaß stimmt nicht: \"config.toml\" sagt 64 KiB,\n\tder Code nimmt 65 000 — siehe `src/größe.rs`. 漢字も入る。 ";
const OUTPUT: &str = "   Compiling acme-api v0.3.1\nwarning: unused variable: `größe`\n  --> src/main.rs:12:9\n   |\n12 |     let größe = 3;\n\tnote: \"#[warn(unused)]\" is on\n";

/// The `n`th entry of a conversation.
pub fn entry(n: u64) -> LogEntry {
    let ts = START_MS + n * 137;
    let call_id = format!("call_{:08x}", n / 5);
    match n % 5 {
        0 => LogEntry::UserInput(UserInput { ts, content: vec![Part::text(text(SAID, n, 360))] }),
        1 => LogEntry::AssistantItem(ItemEntry { ts, item: Item::message(Role::Assistant, text(SAID, n, 360)) }),
        2 => {
            let arguments = json!({ "path": format!("src/größe_{n}.rs"), "old": text(OUTPUT, n, 100), "new": text(OUTPUT, n + 1, 100) });
            LogEntry::AssistantItem(ItemEntry {
                ts,
                item: Item::ToolCall { call_id, name: "edit".to_owned(), arguments },
            })
        }
        3 => {
            let parts = vec![Part::text(text(OUTPUT, n, 600))];
            LogEntry::ToolResult(ItemEntry { ts, item: Item::ToolResult { call_id, parts, is_error: false } })
        }
        _ if n % 10 == 4 => LogEntry::TurnEnd(TurnEnd { ts, turn_count: n / 10 + 1 }),
        _ => LogEntry::AssistantItem(ItemEntry { ts, item: Item::message(Role::Assistant, text(SAID, n, 560)) }),
    }
}

/// Some `length` bytes of a text, another stretch of it for each entry.
fn text(of: &str, n: u64, length: usize) -> String {
    let mut made = format!("{n}: ");
    while made.len() < length {
        made.push_str(of);
    }
    made
}

/// A usage entry, which is small.
pub fn usage(n: u64) -> LogEntry {
    LogEntry::LlmUsage(LlmUsage {
        ts: START_MS + n,
        request_id: Some(format!("req_{n:012}")),
        input_total_tokens: 1000 + n,
        output_tokens: 200,
        ..LlmUsage::default()
    })
}

/// The `n`th entries from `first` on, to be appended.
pub fn entries(first: u64, count: u64) -> Vec<NewEntry> {
    (first..first + count).map(|n| NewEntry::from(entry(n))).collect()
}

/// The first entry of a segment.
pub fn start(session: SessionId) -> NewEntry {
    NewEntry::from(LogEntry::SegmentStart(Box::new(SegmentStart::new(session, START_MS))))
}

/// The `n`th session and its segment.
pub fn ids(n: u64) -> (SessionId, SegmentId) {
    let seed = n.to_le_bytes();
    (SessionId::derive(START_MS + n, &seed), SegmentId::derive(START_MS + n, &seed))
}

/// The texts of the entries from `first` on.
///
/// # Errors
/// None, as long as the entries are those of this module.
pub fn texts(first: u64, count: u64) -> crate::Result<Vec<String>> {
    (first..first + count).map(|n| Ok(entry(n).to_text()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_about_six_hundred_bytes_with_escapes_and_text_beyond_ascii() {
        let texts = texts(0, 1000).unwrap();
        let mean = texts.iter().map(String::len).sum::<usize>() / texts.len();
        assert!((500..700).contains(&mean), "{mean}");
        assert!(texts.iter().filter(|text| text.contains("\\n") && !text.is_ascii()).count() > 700);
    }
}
