//! Halves of surrogate pairs: JSON can escape them, no text can hold them.
//!
//! Agents cut texts between UTF-16 units. A record is not lost for that.

/// The text with U+FFFD for every escaped half of a surrogate pair; `None` if there is none.
pub(super) fn repair_surrogates(text: &str) -> Option<String> {
    let mut repaired = String::new();
    let mut copied = 0;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit_at(bytes, at) {
            Some(0xD800..=0xDBFF) if matches!(unit_at(bytes, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                repaired.push_str(&text[copied..at]);
                repaired.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            _ => at += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    repaired.push_str(text.get(copied..)?);
    Some(repaired)
}

/// The UTF-16 unit that is escaped at a place.
fn unit_at(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some((unit << 4) | u16::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_are_replaced() {
        assert_eq!(repair_surrogates(r#"{"a":"\ud83d\ude00 \\ud83d"}"#), None);
        assert_eq!(repair_surrogates(r#""\ude00\ud83dx""#).as_deref(), Some(r#""\ufffd\ufffdx""#));
        assert_eq!(repair_surrogates(r#""\ud83d"#).as_deref(), Some(r#""\ufffd"#));
    }
}
