//! From bytes to JSON records: one line at a time, whatever state the file is in.
//!
//! Lines end with `\n` and nothing else: other separators occur inside of strings. A byte order mark, carriage returns and runs
//! of NUL are left out, a lone surrogate becomes U+FFFD, bytes that are not UTF-8 become U+FFFD. Of a line that does not
//! parse as a whole every whole object is saved. The longest line bounds the memory; one over the limit is passed over.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use store_core::call::LINE_BYTES_MAX;
use store_core::json;

use super::surrogates::repair_surrogates;

/// The longest line that is read, without its end.
const TEXT_BYTES_MAX: usize = 100 * 1024 * 1024;
const _: () = assert!(TEXT_BYTES_MAX as u64 == LINE_BYTES_MAX);

/// How deep a record may be nested, so that an entry around it can be stored.
const DEPTH_MAX: usize = json::DEPTH_MAX - 8;

/// The field under which a record is kept that is nested too deep.
const UNPARSED: &str = "unparsed";

/// How many places of a broken line are tried as the beginning of an object.
const TRIES_MAX: usize = 4096;

/// What is wrong with a line that ends with the file and not with a line end.
const TORN: &str = "the last line is torn";

/// A record, or what is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// A JSON object, and how many bytes its text has.
    Record { value: Value, bytes: usize },
    /// What a person should know.
    Warning(String),
}

/// What stands on a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    /// 0-based.
    pub(super) line: u64,
    pub(super) found: Found,
}

/// The records of a file, in order.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
    ready: VecDeque<Piece>,
    /// Tells a record from an object inside of a torn one.
    is_record: fn(&Value) -> bool,
    /// Tells which lines are read.
    is_wanted: fn(&str) -> bool,
}

/// How a line came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a line end.
    Whole,
    /// With the file.
    Torn,
    /// It is longer than any record.
    TooLong,
    /// There is none.
    Nothing,
}

impl<R: BufRead> Lines<R> {
    /// The records that `input` holds.
    pub(super) fn new(input: R, is_record: fn(&Value) -> bool) -> Self {
        Self { input, line: 0, buffer: Vec::new(), ready: VecDeque::new(), is_record, is_wanted: |_| true }
    }

    /// The same of these lines alone.
    pub(super) fn only(self, is_wanted: fn(&str) -> bool) -> Self {
        Self { is_wanted, ..self }
    }

    /// The same where so many lines were read before.
    pub(super) fn behind(self, lines: u64) -> Self {
        Self { line: lines, ..self }
    }

    /// What is read.
    pub(super) const fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// How many lines were read, with those before.
    pub(super) const fn lines(&self) -> u64 {
        self.line
    }

    /// The next record or warning; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let end = self.read_line()?;
            match end {
                End::Nothing => return Ok(None),
                End::TooLong => {
                    let mebibytes = TEXT_BYTES_MAX >> 20;
                    self.warn(format!("the line is longer than {mebibytes} MiB and was passed over"));
                }
                End::Whole | End::Torn => self.take_line(end == End::Torn),
            }
            self.line += 1;
        }
    }

    fn read_line(&mut self) -> io::Result<End> {
        self.buffer.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let chunk = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                chunk => chunk?,
            };
            if chunk.is_empty() {
                return Ok(match (any, too_long) {
                    (false, _) => End::Nothing,
                    (true, true) => End::TooLong,
                    (true, false) => End::Torn,
                });
            }
            any = true;
            let end = memchr::memchr(b'\n', chunk);
            let text = &chunk[..end.unwrap_or(chunk.len())];
            too_long |= self.buffer.len() + text.len() > TEXT_BYTES_MAX;
            if too_long {
                self.buffer = Vec::new();
            } else {
                self.buffer.extend_from_slice(text);
            }
            let used = end.map_or(chunk.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() {
                return Ok(if too_long { End::TooLong } else { End::Whole });
            }
        }
    }

    fn take_line(&mut self, is_torn: bool) {
        let mut bytes = std::mem::take(&mut self.buffer);
        if bytes.contains(&0) {
            bytes.retain(|byte| *byte != 0);
            self.warn("NUL bytes were left out".to_owned());
        }
        let (text, is_utf8) = match String::from_utf8(bytes) {
            Ok(text) => (text, true),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), false),
        };
        let line = text.trim_start_matches('\u{feff}').trim_matches([' ', '\t', '\r']);
        if !line.is_empty() && (self.is_wanted)(line) {
            if !is_utf8 {
                self.warn("bytes that are not UTF-8 were replaced".to_owned());
            }
            self.take_text(line, is_torn);
        }
        self.buffer = text.into_bytes();
    }

    fn take_text(&mut self, text: &str, is_torn: bool) {
        if json::is_deeper(text, DEPTH_MAX) {
            self.warn(format!("the record is nested deeper than {DEPTH_MAX} and is kept as text"));
            return self.keep_as_text(text);
        }
        let error = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(fields)) => return self.push(Value::Object(fields), text.len()),
            Ok(_) => return self.warn("the line is not a JSON object".to_owned()),
            Err(error) => error,
        };
        let repaired = repair_surrogates(text);
        if let Some(repaired) = &repaired
            && let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(repaired)
        {
            self.warn("half of a surrogate pair was replaced".to_owned());
            return self.push(value, repaired.len());
        }
        if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            self.warn(format!("the record cannot be taken apart and is kept as text: {}", problem(&error)));
            return self.keep_as_text(text);
        }
        let saved = self.salvage(repaired.as_deref().unwrap_or(text));
        let what = if is_torn { TORN.to_owned() } else { format!("the line is not valid JSON: {}", problem(&error)) };
        self.warn(match saved {
            Saved { objects: 0, .. } => what,
            Saved { objects, all: true } => format!("{objects} records stand on one line"),
            Saved { objects, all: false } => format!("{what}; whole records on it that were saved: {objects}"),
        });
    }

    /// Takes every whole object of a broken line. Behind a broken one only what is a record itself counts, because what is
    /// whole inside of the broken one is not.
    fn salvage(&mut self, text: &str) -> Saved {
        let mut saved = Saved { objects: 0, all: true };
        let mut at = 0;
        let mut tries = 0;
        let mut is_beginning = true;
        while let Some(start) = text.get(at..).and_then(|rest| rest.find('{')).map(|found| at + found) {
            tries += 1;
            if tries > TRIES_MAX {
                saved.all = false;
                break;
            }
            let skipped = text[at..start].trim();
            saved.all &= skipped.is_empty();
            let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
            let value = values.next();
            let end = start + values.byte_offset();
            match value {
                Some(Ok(value)) if (is_beginning && skipped.is_empty()) || self.stands_alone(&value, &text[end..]) => {
                    self.push(value, end - start);
                    saved.objects += 1;
                    is_beginning = true;
                    at = end;
                }
                _ => {
                    is_beginning = false;
                    saved.all = false;
                    at = start + 1;
                }
            }
        }
        saved.all &= text[at.min(text.len())..].trim().is_empty();
        saved
    }

    fn stands_alone(&self, value: &Value, rest: &str) -> bool {
        let rest = rest.trim_start();
        (rest.is_empty() || rest.starts_with('{')) && (self.is_record)(value)
    }

    fn keep_as_text(&mut self, text: &str) {
        let kept = Map::from_iter([(UNPARSED.to_owned(), Value::String(text.to_owned()))]);
        self.push(Value::Object(kept), text.len());
    }

    fn push(&mut self, value: Value, bytes: usize) {
        self.ready.push_back(Piece { line: self.line, found: Found::Record { value, bytes } });
    }

    fn warn(&mut self, message: String) {
        self.ready.push_back(Piece { line: self.line, found: Found::Warning(message) });
    }
}

/// What is wrong with a line, and where on it.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("{what}, column {}", error.column())
}

/// What was saved of a broken line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Saved {
    objects: u64,
    /// Nothing else stood on the line.
    all: bool,
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<String> {
        let is_record = |value: &Value| value.get("type").is_some();
        let mut lines = Lines::new(BufReader::with_capacity(7, bytes), is_record);
        let mut all = Vec::new();
        while let Some(piece) = lines.next().unwrap() {
            all.push(match piece.found {
                Found::Record { value, .. } => format!("{} {value}", piece.line),
                Found::Warning(message) => format!("{} ! {message}", piece.line),
            });
        }
        all
    }

    #[test]
    fn marks_carriage_returns_and_empty_lines_are_left_out() {
        assert_eq!(read(b"\xef\xbb\xbf{\"a\":1}\r\n\r\n\n {\"b\":2}"), ["0 {\"a\":1}", "3 {\"b\":2}"]);
    }

    #[test]
    fn nul_runs_are_left_out_with_a_warning() {
        assert_eq!(
            read(b"\0\0\0\n\0{\"a\":1}\n"),
            ["0 ! NUL bytes were left out", "1 ! NUL bytes were left out", "1 {\"a\":1}"]
        );
    }

    #[test]
    fn other_line_separators_are_part_of_a_string() {
        assert_eq!(read("{\"a\":\"x\u{2028}y\u{85}z\"}\n".as_bytes()), ["0 {\"a\":\"x\u{2028}y\u{85}z\"}"]);
    }

    #[test]
    fn fused_objects_are_all_saved() {
        assert_eq!(
            read(b"{\"a\":1}{\"b\":{}} {\"c\":3}\n"),
            ["0 {\"a\":1}", "0 {\"b\":{}}", "0 {\"c\":3}", "0 ! 3 records stand on one line"]
        );
    }

    #[test]
    fn behind_a_torn_object_only_a_record_is_saved() {
        let all = read(b"{\"type\":\"x\",\"in\":{\"y\":1},\"to{\"type\":\"z\",\"q\":{\"type\":1}}\n");
        assert_eq!(all[0], "0 {\"type\":\"z\",\"q\":{\"type\":1}}");
        assert!(all[1].ends_with("whole records on it that were saved: 1"), "{all:?}");
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_torn_last_line_keeps_the_whole_object_before_it() {
        assert_eq!(
            read(b"{\"a\":1}{\"b\":{\"c\":1}"),
            ["0 {\"a\":1}", "0 ! the last line is torn; whole records on it that were saved: 1"]
        );
        assert_eq!(read(b"{\"a\":1}\n{\"b\":{\"c\":1}"), ["0 {\"a\":1}", "1 ! the last line is torn"]);
    }

    #[test]
    fn half_surrogates_are_replaced_and_whole_ones_stay() {
        let line = br#"{"a":"\ud83d\ude00 \ud83d \\ud83d \ude00","b":1}"#;
        assert_eq!(
            read(line),
            [
                "0 ! half of a surrogate pair was replaced",
                "0 {\"a\":\"\u{1F600} \u{fffd} \\\\ud83d \u{fffd}\",\"b\":1}"
            ]
        );
    }

    #[test]
    fn what_is_not_an_object_is_a_warning() {
        assert_eq!(
            read(b"[1]\n\"x\"\nnull\n"),
            [
                "0 ! the line is not a JSON object",
                "1 ! the line is not a JSON object",
                "2 ! the line is not a JSON object"
            ]
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(
            read(b"{\"a\":\"\xff\"}\n"),
            ["0 ! bytes that are not UTF-8 were replaced", "0 {\"a\":\"\u{fffd}\"}"]
        );
    }

    #[test]
    fn a_record_nested_too_deep_is_kept_as_text() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        let all = read(deep.as_bytes());
        assert_eq!(all.len(), 2);
        assert_eq!(all[1], format!("0 {}", serde_json::json!({ UNPARSED: deep })));
    }

    /// Such a record is valid JSON. It was once lost as if it were not.
    #[test]
    fn a_number_beyond_every_range_is_kept_as_text() {
        let text = r#"{"a":1e400}"#;
        let all = read(text.as_bytes());
        assert_eq!(all[1], format!("0 {}", serde_json::json!({ UNPARSED: text })));
    }

    #[test]
    fn a_line_over_the_limit_is_passed_over_and_the_next_one_is_read() {
        let mut bytes = vec![b'x'; TEXT_BYTES_MAX + 1];
        bytes.extend_from_slice(b"\n{\"a\":1}\n");
        let mut lines = Lines::new(BufReader::new(bytes.as_slice()), |_| true);
        let first = lines.next().unwrap().unwrap();
        assert!(matches!(&first.found, Found::Warning(message) if message.contains("100 MiB")), "{first:?}");
        assert_eq!(lines.next().unwrap().unwrap().line, 1);
        assert_eq!(lines.next().unwrap(), None);
    }
}
