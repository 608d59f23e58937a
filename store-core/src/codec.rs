//! The line codec: how an entry's text becomes a line of a `.jsonl` file, and what a line that is read turns out to be.
//!
//! ```text
//! {"seq":42,"more":1,"key":"k","kind":"user_input","ts":1764000000000,"content":[],"synced":40,"crc32c":"9A3F00C1"}
//! ```
//!
//! `seq` comes first and `crc32c` last; between them stands the entry's own text without its braces. The optional
//! `more`, `key` and `synced` belong to the line. An entry may not have a top-level field of these names, which
//! is what makes taking a line apart unambiguous. The checksum covers the log's context (so that a line moved into
//! another log is noticed) and every byte before `,"crc32c":`.
//!
//! Nothing here does I/O or decides what to do with a damaged line: that is the recovery of the backend.

use std::borrow::Cow;

use crate::id::{SegmentId, Seq};
use crate::json;

// Persisted: never renumber or reuse.
const SEQ_OPEN: &[u8] = br#"{"seq":"#;
const MORE_OPEN: &[u8] = br#""more":"#;
const KEY_OPEN: &[u8] = br#""key":"#;
const SYNCED_OPEN: &[u8] = br#","synced":"#;
const CRC_OPEN: &[u8] = br#","crc32c":""#;
const CRC_CLOSE: &[u8] = br#""}"#;
const CRC_DIGITS: usize = 8;
const DECIMAL: &[u8; 10] = b"0123456789";
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// What a log's checksums are taken over before the line: which log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogContext {
    /// The checksum of what stands before every line.
    head: u32,
}

impl LogContext {
    /// The log of a segment: the 16 bytes of its id.
    pub fn segment(id: SegmentId) -> Self {
        Self { head: crc32c::crc32c(id.as_bytes()) }
    }

    /// Any other log: its path relative to the store's root, with `/` between the names.
    pub fn path(relative: &str) -> Self {
        Self { head: crc32c::crc32c(relative.as_bytes()) }
    }

    /// The CRC-32C of the context followed by these bytes.
    pub fn checksum(&self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.head, bytes)
    }
}

/// The fields of a line that are not the entry's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineFields<'a> {
    /// The entry's place.
    pub seq: Seq,
    /// How many lines of the same call still follow; 0 is not written.
    pub more: u64,
    /// The entry's idempotency key.
    pub key: Option<&'a str>,
    /// Everything up to this seq was known to be on stable storage when the line was written.
    pub synced: Option<Seq>,
}

/// Appends one line with its newline to `out` and answers with the line's checksum.
///
/// `text` is a JSON object in UTF-8 without white space around it; an empty object has no line form.
pub fn encode_line(
    out: &mut Vec<u8>,
    context: &LogContext,
    fields: &LineFields<'_>,
    text: &(impl AsRef<[u8]> + ?Sized),
) -> u32 {
    let start = out.len();
    out.extend_from_slice(SEQ_OPEN);
    push_number(out, fields.seq.0);
    out.push(b',');
    if fields.more > 0 {
        out.extend_from_slice(MORE_OPEN);
        push_number(out, fields.more);
        out.push(b',');
    }
    if let Some(key) = fields.key {
        out.extend_from_slice(KEY_OPEN);
        push_string(out, key);
        out.push(b',');
    }
    out.extend_from_slice(inner_of(text.as_ref()));
    if let Some(synced) = fields.synced {
        out.extend_from_slice(SYNCED_OPEN);
        push_number(out, synced.0);
    }
    let crc = context.checksum(&out[start..]);
    out.extend_from_slice(CRC_OPEN);
    push_hex(out, crc);
    out.extend_from_slice(CRC_CLOSE);
    out.push(b'\n');
    crc
}

fn inner_of(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or(text)
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    // As many digits as the largest has. The formatting of the standard library takes longer than the checksum of a short line.
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = DECIMAL[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn push_hex(out: &mut Vec<u8>, crc: u32) {
    let digits: [u8; CRC_DIGITS] = std::array::from_fn(|at| HEX[((crc >> (28 - 4 * at)) & 15) as usize]);
    out.extend_from_slice(&digits);
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// A line whose checksum matches, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The entry's place.
    pub seq: Seq,
    /// How many lines of the same call still follow.
    pub more: u64,
    /// The entry's idempotency key.
    pub key: Option<Cow<'a, str>>,
    /// Everything up to this seq was on stable storage when the line was written.
    pub synced: Option<Seq>,
    /// The line's checksum.
    pub crc32c: u32,
    inner: &'a str,
}

impl Line<'_> {
    /// The entry's own text, braces included.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.inner.len() + 2);
        self.push_text(&mut text);
        text
    }

    /// Appends the entry's own text, for who reads many lines into the same memory.
    pub fn push_text(&self, out: &mut String) {
        out.push('{');
        out.push_str(self.inner);
        out.push('}');
    }
}

/// Why bytes are not a valid line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The line does not end in a complete checksum field.
    #[error("the line has no checksum")]
    NoChecksum,
    /// The checksum is not that of the bytes before it.
    #[error("the line's checksum is {stored:08X}, its bytes give {computed:08X}")]
    Checksum {
        /// What the line says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// The checksum matches, but something else than the line's closing bytes stands behind it.
    #[error("the line does not end behind its checksum")]
    Closing,
    /// The checksum matches, but the line was not written by this codec.
    #[error("the line's fields are out of order or spelt otherwise")]
    Fields,
}

/// Takes a whole line apart, without its newline.
///
/// # Errors
/// The line is damaged, or it was written by something else.
pub fn decode_line<'a>(context: &LogContext, line: &'a [u8]) -> Result<Line<'a>, LineError> {
    let body = line.strip_suffix(CRC_CLOSE).ok_or(LineError::NoChecksum)?;
    let (body, stored) = split_checksum(body).ok_or(LineError::NoChecksum)?;
    decode_body(context, body, stored)
}

/// What the bytes behind the last newline of a log are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail<'a> {
    /// A whole entry: its complete checksum matches and only `missing` was not written.
    Complete {
        /// The line.
        line: Line<'a>,
        /// What has to be written to make it a line.
        missing: &'static [u8],
    },
    /// A write that stopped before its checksum was complete: unread and uncounted.
    Torn,
    /// A complete checksum that does not match: damage, not a stopped write.
    Damaged(LineError),
}

/// Says what the bytes behind the last newline are. There is at least one byte.
pub fn decode_tail<'a>(context: &LogContext, tail: &'a [u8]) -> Tail<'a> {
    let closings: [(&[u8], &'static [u8]); 3] = [(b"\"}", b"\n"), (b"\"", b"}\n"), (b"", b"\"}\n")];
    for (written, missing) in closings {
        let Some(body) = tail.strip_suffix(written) else { continue };
        let Some((body, stored)) = split_checksum(body) else { continue };
        return match decode_body(context, body, stored) {
            Ok(line) => Tail::Complete { line, missing },
            Err(error) => Tail::Damaged(error),
        };
    }
    // A write that stopped is the beginning of a line. A whole line with other bytes behind it was changed later.
    if holds_whole_line(context, tail) { Tail::Damaged(LineError::Closing) } else { Tail::Torn }
}

/// Whether somewhere in the bytes stands a checksum of all that is before it.
fn holds_whole_line(context: &LogContext, tail: &[u8]) -> bool {
    let (mut summed, mut crc) = (0, context.checksum(b""));
    let opens = tail.windows(CRC_OPEN.len()).enumerate().filter(|(_, window)| *window == CRC_OPEN);
    for (at, _) in opens {
        crc = crc32c::crc32c_append(crc, &tail[summed..at]);
        summed = at;
        let digits = tail.get(..at + CRC_OPEN.len() + CRC_DIGITS).and_then(split_checksum);
        if digits.is_some_and(|(_, stored)| stored == crc) {
            return true;
        }
    }
    false
}

/// The bytes before `,"crc32c":"` and the eight digits behind it.
fn split_checksum(line: &[u8]) -> Option<(&[u8], u32)> {
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(CRC_DIGITS)?)?;
    let body = rest.strip_suffix(CRC_OPEN)?;
    let upper_hex = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    if !digits.iter().all(upper_hex) {
        return None;
    }
    let stored = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((body, stored))
}

fn decode_body<'a>(context: &LogContext, body: &'a [u8], stored: u32) -> Result<Line<'a>, LineError> {
    let computed = context.checksum(body);
    if computed != stored {
        return Err(LineError::Checksum { stored, computed });
    }
    let text = simdutf8::basic::from_utf8(body).map_err(|_| LineError::Fields)?;
    take_apart(text, stored).ok_or(LineError::Fields)
}

fn take_apart(body: &str, crc32c: u32) -> Option<Line<'_>> {
    let rest = body.strip_prefix(r#"{"seq":"#)?;
    let (seq, mut rest) = take_number(rest)?;
    let mut more = 0;
    if let Some(behind) = rest.strip_prefix(r#""more":"#) {
        (more, rest) = take_number(behind).filter(|(more, _)| *more > 0)?;
    }
    let mut key = None;
    if let Some(behind) = rest.strip_prefix(r#""key":"#) {
        let end = string_end(behind)?;
        key = Some(read_key(&behind[..end])?);
        rest = behind[end..].strip_prefix(',')?;
    }
    let (inner, synced) = take_synced(rest)?;
    Some(Line { seq: Seq(seq), more, key, synced, crc32c, inner })
}

/// A number and the comma behind it.
fn take_number(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.split_once(',')?;
    Some((read_number(digits)?, rest))
}

/// A number as the codec spells it: no sign, no zeros in front.
fn read_number(digits: &str) -> Option<u64> {
    let spelt = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if spelt { digits.parse().ok() } else { None }
}

/// The length of the JSON string that the text starts with, quotes included.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// A key as the codec spells it: with those escapes that it needs and no others.
fn read_key(quoted: &str) -> Option<Cow<'_, str>> {
    let plain = &quoted[1..quoted.len() - 1];
    if !plain.contains(|c: char| c == '\\' || c.is_ascii_control()) {
        return Some(Cow::Borrowed(plain));
    }
    let key: String = json::from_str(quoted).ok()?;
    let mut spelt = Vec::with_capacity(quoted.len());
    push_string(&mut spelt, &key);
    (spelt == quoted.as_bytes()).then_some(Cow::Owned(key))
}

/// Parts the `synced` field off the end. The entry's own text cannot end in one, since the name is reserved.
fn take_synced(text: &str) -> Option<(&str, Option<Seq>)> {
    let digits = text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (rest, number) = text.split_at(text.len() - digits);
    match rest.strip_suffix(r#","synced":"#) {
        Some(inner) => Some((inner, Some(Seq(read_number(number)?)))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn context() -> LogContext {
        LogContext::segment(SegmentId::derive(1_764_000_000_000, b"codec"))
    }

    fn encode(fields: &LineFields<'_>, text: &str) -> Vec<u8> {
        let mut line = Vec::new();
        encode_line(&mut line, &context(), fields, text);
        line
    }

    #[test]
    fn the_line_form_is_the_documented_one() {
        let fields = LineFields { seq: Seq(42), more: 1, key: Some("a\"b"), synced: Some(Seq(40)) };
        let lines = [
            encode(&LineFields { seq: Seq(1), ..LineFields::default() }, r#"{"kind":"x","ts":1}"#),
            encode(&fields, r#"{"kind":"user_input","ts":1764000000000,"content":[]}"#),
        ];
        insta::assert_snapshot!(String::from_utf8(lines.concat()).unwrap());
    }

    #[test]
    fn a_tail_is_torn_until_its_checksum_is_complete_and_whole_from_then_on() {
        let text = r#"{"kind":"x","ts":1,"s":"é"}"#;
        let whole = encode(&LineFields { seq: Seq(3), ..LineFields::default() }, text);
        for length in 1..whole.len() {
            let tail = decode_tail(&context(), &whole[..length]);
            let missing = whole.len() - length;
            if missing <= 3 {
                let Tail::Complete { line, missing } = tail else { panic!("{length}: {tail:?}") };
                assert_eq!(line.text(), text);
                assert_eq!([&whole[..length], missing].concat(), whole);
            } else {
                assert_eq!(tail, Tail::Torn, "cut at {length}");
            }
        }
    }

    #[test]
    fn a_whole_line_without_its_newline_but_with_other_bytes_is_damaged_not_torn() {
        let whole = encode(&LineFields { seq: Seq(3), ..LineFields::default() }, r#"{"kind":"x","ts":1}"#);
        let line = whole.strip_suffix(b"\n").unwrap();
        for behind in [&b"\x0b"[..], b"\0\0", br#"{"seq":4,"kind":"x","crc32c":"0000"#] {
            let tail = [line, behind].concat();
            assert_eq!(decode_tail(&context(), &tail), Tail::Damaged(LineError::Closing), "{behind:?}");
        }
        let nested = r#"{"kind":"x","ts":1,"of":{"a":1,"crc32c":"9A3F00C1"},"more_text":"here"}"#;
        let torn = encode(&LineFields { seq: Seq(3), ..LineFields::default() }, nested);
        assert_eq!(decode_tail(&context(), &torn[..torn.len() - 20]), Tail::Torn);
    }

    /// Lines with a right checksum that say the same in another spelling were read, and a rewrite of the log changed their bytes.
    #[test]
    fn what_is_spelt_otherwise_was_not_written_by_the_codec() {
        let bodies = [
            r#"{"seq":07,"kind":"x","ts":1"#,
            r#"{"seq":+7,"kind":"x","ts":1"#,
            r#"{"seq":7,"more":0,"kind":"x","ts":1"#,
            r#"{"seq":7,"key":"\u0041","kind":"x","ts":1"#,
            "{\"seq\":7,\"key\":\"a\u{1}\",\"kind\":\"x\",\"ts\":1",
            r#"{"seq":7,"kind":"x","ts":1,"synced":07"#,
            r#"{"seq":7,"kind":"x","ts":1,"synced":99999999999999999999"#,
        ];
        for body in bodies {
            let crc = context().checksum(body.as_bytes());
            let line = format!(r#"{body},"crc32c":"{crc:08X}"}}"#);
            assert_eq!(decode_line(&context(), line.as_bytes()), Err(LineError::Fields), "{body}");
        }
    }

    #[test]
    fn a_line_of_another_log_does_not_pass() {
        let line = encode(&LineFields { seq: Seq(1), ..LineFields::default() }, r#"{"kind":"x","ts":1}"#);
        let other = LogContext::path("facts.jsonl");
        let error = decode_line(&other, line.trim_ascii_end()).unwrap_err();
        assert!(matches!(error, LineError::Checksum { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn every_line_comes_apart_into_what_it_was_made_of(
            seq in 1..u64::MAX,
            more in 0..1000_u64,
            key in proptest::option::of("\\PC{1,20}"),
            synced in proptest::option::of(0..u64::MAX),
            value in "\\PC{0,40}",
            number in any::<u64>(),
        ) {
            let text = serde_json::json!({"kind": "x", "ts": 1, "v": value, "n": number}).to_string();
            let fields = LineFields { seq: Seq(seq), more, key: key.as_deref(), synced: synced.map(Seq) };
            let bytes = encode(&fields, &text);
            let line = decode_line(&context(), bytes.strip_suffix(b"\n").unwrap()).unwrap();
            prop_assert_eq!(line.text(), text);
            prop_assert_eq!((line.seq, line.more, line.key.as_deref(), line.synced), (fields.seq, more, key.as_deref(), fields.synced));
        }

        #[test]
        fn one_changed_byte_is_noticed(at in 0..80_usize, bit in 0..8_u32) {
            let mut bytes = encode(&LineFields { seq: Seq(7), ..LineFields::default() }, r#"{"kind":"x","ts":1,"text":"some words of a person"}"#);
            bytes.pop();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(decode_line(&context(), &bytes).is_err());
        }
    }
}
