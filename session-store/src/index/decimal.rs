//! Exact sums of decimal texts: costs are never rounded through floating point.

use std::fmt;

/// Digits behind the point beyond which a text is not a cost any more.
const SCALE_MAX: u32 = 24;

/// A decimal number: `digits` divided by ten to the power of `scale`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: i128,
    scale: u32,
}

impl Decimal {
    /// Reads `-12.50` and `1.2e-7`; `None` for anything else and for numbers out of range.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let mut digits: i128 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits = digits.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
        }
        let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
        let (digits, scale) = match u32::try_from(scale) {
            Ok(scale) if scale <= SCALE_MAX => (digits, scale),
            Ok(_) => return None,
            Err(_) => (digits.checked_mul(10_i128.checked_pow(scale.unsigned_abs())?)?, 0),
        };
        Some(Self { digits: if negative { -digits } else { digits }, scale })
    }

    /// The sum; `None` if it is out of range.
    pub(super) fn checked_add(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let digits = self.at_scale(scale)?.checked_add(other.at_scale(scale)?)?;
        Some(Self { digits, scale })
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.digits.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.scale as usize + 1;
        let digits = format!("{:0>width$}", self.digits.unsigned_abs());
        let (whole, fraction) = digits.split_at(digits.len() - self.scale as usize);
        let fraction = fraction.trim_end_matches('0');
        let sign = if self.digits < 0 { "-" } else { "" };
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(texts: &[&str]) -> Option<String> {
        let mut total = Decimal::default();
        for text in texts {
            total = total.checked_add(Decimal::parse(text)?)?;
        }
        Some(total.to_string())
    }

    #[test]
    fn sums_are_exact() {
        assert_eq!(sum(&["0.1", "0.2"]).as_deref(), Some("0.3"));
        assert_eq!(sum(&["1.2e-7", "0.00000008"]).as_deref(), Some("0.0000002"));
        assert_eq!(sum(&["12", "-0.50", "1e2"]).as_deref(), Some("111.5"));
        assert_eq!(sum(&["-0.25"]).as_deref(), Some("-0.25"));
        assert_eq!(sum(&["0.000"]).as_deref(), Some("0"));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for bad in ["", ".", "1.2.3", "NaN", "--1", "1e-99", "1e99", "0x10", "1,5", "$3"] {
            assert_eq!(Decimal::parse(bad), None, "{bad:?}");
        }
    }
}
