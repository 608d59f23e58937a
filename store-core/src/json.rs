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
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Parses one JSON text of at most [`DEPTH_MAX`] levels.
///
/// # Errors
/// The text is not JSON, is nested deeper, or does not hold a `T`.
pub fn from_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    if depth(text) > DEPTH_MAX {
        return Err(serde_json::Error::custom(format_args!("nested deeper than {DEPTH_MAX}")));
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    parser.disable_recursion_limit();
    let value = T::deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}
