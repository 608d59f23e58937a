//! US dollars as a whole number of billionths, so that sums are exact.

use std::fmt;

/// How many decimals a dollar has here.
const DECIMALS: usize = 9;
const PER_DOLLAR: u64 = 1_000_000_000;

/// Billionths of a US dollar. A price is never less than nothing; what is left of a budget may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoDollars(pub i64);

impl NanoDollars {
    /// Reads `12.5` or `1.2e-7`; what is below a billionth is rounded to the nearest. `None` for anything else, for less than nothing, and for more than can be counted.
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.trim().split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text.trim(), 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let shift = i32::try_from(DECIMALS).ok()? + exponent - i32::try_from(fraction.len()).ok()?;
        let digits: i128 = digits.parse().ok()?;
        let nanos = match (u32::try_from(shift), u32::try_from(-i64::from(shift))) {
            (Ok(shift), _) => digits.checked_mul(10_i128.checked_pow(shift)?)?,
            (_, Ok(shift)) => match 10_i128.checked_pow(shift) {
                Some(divisor) => (digits + divisor / 2) / divisor,
                None => 0,
            },
            _ => return None,
        };
        i64::try_from(nanos).ok().map(Self)
    }

    /// The sum, unless it is more than can be counted.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

impl fmt::Display for NanoDollars {
    /// A decimal text without zeros at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let (whole, fraction) = (nanos / PER_DOLLAR, nanos % PER_DOLLAR);
        let fraction = format!("{fraction:0DECIMALS$}");
        let sign = if self.0 < 0 { "-" } else { "" };
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{sign}{whole}"),
            fraction => write!(f, "{sign}{whole}.{fraction}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written_as_decimal_texts() {
        for (text, nanos, back) in [
            ("12.50", 12_500_000_000, "12.5"),
            ("0", 0, "0"),
            ("0.000000001", 1, "0.000000001"),
            ("1.2e-7", 120, "0.00000012"),
            ("4.4e-10", 0, "0"),
            ("5e-10", 1, "0.000000001"),
            ("3e2", 300_000_000_000, "300"),
        ] {
            let amount = NanoDollars::parse(text).unwrap();
            assert_eq!((amount.0, amount.to_string().as_str()), (nanos, back), "{text}");
        }
        for bad in ["", "-1", "x", "1.2.3", "1e99", "NaN", "99999999999"] {
            assert_eq!(NanoDollars::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn less_than_nothing_is_written_with_its_sign_also_where_it_is_less_than_a_dollar() {
        for (nanos, text) in [(-100_000_000, "-0.1"), (-2_500_000_000, "-2.5"), (i64::MIN, "-9223372036.854775808")] {
            assert_eq!(NanoDollars(nanos).to_string(), text);
        }
    }
}
