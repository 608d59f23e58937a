//! JSON on its way to a terminal.

use std::io::{self, Write};

/// Replaces DEL and the C1 controls by their JSON escapes.
///
/// JSON escapes the C0 controls by itself, the others may stand in it as they are, and some terminals obey them. In
/// JSON they occur inside strings only, where the escape says the same, so the document's value does not change.
#[derive(Debug)]
pub(crate) struct EscapeControls<W> {
    inner: W,
    /// The lead byte of U+0080..=U+00BF came last: the next byte decides.
    pending: bool,
}

/// The UTF-8 lead byte that the C1 controls share with U+00A0..=U+00BF.
const LEAD: u8 = 0xC2;

impl<W: Write> EscapeControls<W> {
    /// Writes to `inner`.
    pub(crate) const fn new(inner: W) -> Self {
        Self { inner, pending: false }
    }
}

impl<W: Write> Write for EscapeControls<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        for &byte in bytes {
            let after_lead = std::mem::take(&mut self.pending);
            match (after_lead, byte) {
                (true, 0x80..=0x9F) => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                (true, _) => out.extend_from_slice(&[LEAD, byte]),
                (false, LEAD) => self.pending = true,
                (false, 0x7F) => out.extend_from_slice(b"\\u007f"),
                (false, _) => out.push(byte),
            }
        }
        self.inner.write_all(&out)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_stays_and_no_control_is_left() {
        let value = serde_json::json!({"t": "a\u{9b}31mb\u{7f}c\u{1b}[0m \u{a0}é日本 \u{9f}"});
        let text = serde_json::to_string(&value).unwrap();
        let mut out = EscapeControls::new(Vec::new());
        for byte in text.as_bytes() {
            out.write_all(std::slice::from_ref(byte)).unwrap();
        }
        let escaped = String::from_utf8(out.inner).unwrap();
        assert!(!escaped.chars().any(char::is_control), "{escaped:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }
}
