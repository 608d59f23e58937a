//! Reading JSON with one bound on nesting, so that what one call accepts every other call can read.
//!
//! The parser's own bound is one short of ours and does not hold for values it skips, so the depth is counted
//! here, before parsing, and the parser's bound is switched off.

use serde::Deserialize;
use serde::de::Error as _;

/// How deep arrays and objects may be nested in an entry, the entry's own braces counted.
// Persisted: never lower.
pub const DEPTH_MAX: usize = 128;

/// The deepest nesting of arrays and objects in a JSON text. Brackets inside strings do not count.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut rest = text;
    while let Some((outside, behind)) = rest.split_once('"') {
        nest(outside, &mut depth, &mut deepest);
        rest = behind_string(behind);
    }
    nest(rest, &mut depth, &mut deepest);
    deepest
}

/// Whether the arrays and objects of a JSON text are nested deeper than so many levels.
pub fn is_deeper(text: &str, levels: usize) -> bool {
    brackets(text.as_bytes()) > levels && depth(text) > levels
}

/// Whether a text has more brackets than levels are allowed.
pub(crate) fn may_be_deep(text: &[u8]) -> bool {
    brackets(text) > DEPTH_MAX
}

/// How many brackets open. Counting them wherever they stand is quicker than telling which of them stand in strings, and few texts have
/// many.
fn brackets(text: &[u8]) -> usize {
    // Sums of one byte each, which the processor makes many of at once.
    let count_in = |bytes: &[u8]| bytes.iter().fold(0_u8, |count, byte| count + u8::from(matches!(byte, b'{' | b'[')));
    text.chunks(u8::MAX.into()).map(|bytes| usize::from(count_in(bytes))).sum()
}

/// Counts the brackets of a stretch that has no strings.
fn nest(outside: &str, depth: &mut usize, deepest: &mut usize) {
    for byte in outside.bytes() {
        match byte {
            b'{' | b'[' => {
                *depth += 1;
                *deepest = (*deepest).max(*depth);
            }
            b'}' | b']' => *depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// What follows the string whose opening quote stands before the text; nothing if it is never closed.
///
/// Looks for quotes, not at every byte: most of a long entry is one long string.
fn behind_string(text: &str) -> &str {
    let mut from = 0;
    while let Some(found) = text[from..].find('"') {
        let quote = from + found;
        let escapes = text[..quote].bytes().rev().take_while(|byte| *byte == b'\\').count();
        if escapes % 2 == 0 {
            return &text[quote + 1..];
        }
        from = quote + 1;
    }
    ""
}

/// Parses one JSON text of at most [`DEPTH_MAX`] levels.
///
/// # Errors
/// The text is not JSON, is nested deeper, or does not hold a `T`.
pub fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if is_deeper(text, DEPTH_MAX) {
        return Err(serde_json::Error::custom(format_args!("nested deeper than {DEPTH_MAX}")));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let value = T::deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// The depth of a parsed value, counted the obvious way.
    fn depth_of(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
            Value::Object(fields) => 1 + fields.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = "[\\[\\]{}\"\\\\a-c]{0,6}".prop_map(Value::from);
        leaf.prop_recursive(5, 40, 4, |inner| {
            let fields = proptest::collection::vec(("[\\[{\"\\\\]{0,3}", inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_depth_of_a_text_is_that_of_its_value(value in values()) {
            prop_assert_eq!(depth(&value.to_string()), depth_of(&value));
        }

        #[test]
        fn what_is_too_deep_may_be_deep(brackets in 0..600_usize, text in "[a-c]{0,300}") {
            let nested = format!("{}{text}", "[".repeat(brackets));
            prop_assert_eq!(may_be_deep(nested.as_bytes()), depth(&nested) > DEPTH_MAX);
            prop_assert_eq!(is_deeper(&format!("\"{nested}\""), 2), false);
            prop_assert_eq!(is_deeper(&nested, 120), depth(&nested) > 120);
        }
    }

    #[test]
    fn a_string_that_is_never_closed_ends_the_count() {
        assert_eq!([depth("[[\"[[["), depth("[\"\\\"["), depth("[\"\\\\\"["), depth("")], [2, 1, 2, 0]);
    }
}
