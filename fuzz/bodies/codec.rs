//! Properties of the line codec on bytes that nobody vouches for.

use store_core::codec::{LineFields, LogContext, Tail, decode_line, decode_tail, encode_line};
use store_core::{SegmentId, Seq};

fn context() -> LogContext {
    LogContext::segment(SegmentId::from_bytes([0x5A; 16]))
}

fn encode(fields: &LineFields<'_>, text: &str) -> Vec<u8> {
    let mut line = Vec::new();
    encode_line(&mut line, &context(), fields, text);
    line
}

/// The bytes as they would stand in a line whose checksum is right.
fn with_checksum(body: &[u8]) -> Vec<u8> {
    let crc = context().checksum(body);
    [body, format!(r#","crc32c":"{crc:08X}"}}"#).as_bytes()].concat()
}

/// A line that decodes is written again as the same bytes.
fn assert_canonical(bytes: &[u8]) {
    let Ok(line) = decode_line(&context(), bytes) else { return };
    let fields = LineFields { seq: line.seq, more: line.more, key: line.key.as_deref(), synced: line.synced };
    let again = encode(&fields, &line.text());
    assert_eq!(again.strip_suffix(b"\n"), Some(bytes), "a decoded line is not what the codec writes");
}

/// Bytes as a line, as the inside of a line, and as what a line is made of.
pub(crate) fn line(data: &[u8]) {
    assert_canonical(data);
    assert_canonical(&with_checksum(data));
    assert_canonical(&with_checksum(&[br#"{"seq":"#, data].concat()));
    let (numbers, words) = data.split_at(data.len().min(17));
    let number =
        |at: usize| numbers.get(at..at + 8).map_or(0, |n| n.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    let words = String::from_utf8_lossy(words);
    let cut = words.char_indices().nth(words.chars().count() / 2).map_or(0, |(at, _)| at);
    let (key, value) = words.split_at(cut);
    let with = |bit: u8| numbers.get(16).is_some_and(|byte| byte & bit != 0);
    let fields = LineFields {
        seq: Seq(number(0)),
        more: if with(1) { number(8) } else { 0 },
        key: with(2).then_some(key),
        synced: with(4).then(|| Seq(number(8))),
    };
    let text = serde_json::json!({"kind": "x", "ts": 1, "v": value}).to_string();
    let bytes = encode(&fields, &text);
    let bytes = bytes.strip_suffix(b"\n").expect("a line ends");
    assert!(!bytes.contains(&b'\n'), "a line is one line");
    let line = decode_line(&context(), bytes).expect("what was encoded is decoded");
    assert_eq!(line.text(), text);
    assert_eq!(
        (line.seq, line.more, line.key.as_deref(), line.synced),
        (fields.seq, fields.more, fields.key, fields.synced)
    );
}

/// Bytes as the end of a log, and a line that is cut anywhere.
pub(crate) fn tail(data: &[u8]) {
    for bytes in [data.to_vec(), with_checksum(data)] {
        for end in [bytes.len(), bytes.len().saturating_sub(1), bytes.len().saturating_sub(2)] {
            let tail = &bytes[..end];
            if tail.is_empty() {
                continue;
            }
            if let Tail::Complete { line, missing } = decode_tail(&context(), tail) {
                let whole = [tail, missing].concat();
                let whole = whole.strip_suffix(b"\n").expect("what is missing ends the line");
                assert_eq!(decode_line(&context(), whole).as_ref(), Ok(&line), "a completed tail is that line");
            }
        }
    }
    let [at, words @ ..] = data else { return };
    let text = serde_json::json!({"kind": "x", "ts": 1, "v": String::from_utf8_lossy(words)}).to_string();
    let bytes = encode(&LineFields { seq: Seq(7), ..LineFields::default() }, &text);
    let end = 1 + usize::from(*at) * bytes.len() / 256;
    match decode_tail(&context(), &bytes[..end.min(bytes.len() - 1)]) {
        Tail::Complete { line, .. } => {
            assert!(line.text() == text && end + 3 >= bytes.len(), "complete only at its end");
        }
        Tail::Torn => assert!(end + 3 < bytes.len(), "torn only before the end"),
        Tail::Damaged(error) => panic!("the beginning of a line is not damage: {error}"),
    }
}
