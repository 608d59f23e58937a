//! Amounts of money as people type them, read exactly.

use crate::usage::NanoDollars;

/// How many decimals an amount may have.
const DECIMALS_MAX: usize = 9;

/// A text that is no amount for a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// It is not digits with a point and digits behind it at most.
    #[error("it is not a number of US dollars such as 20 or 20.50")]
    Form,
    /// It is less than nothing.
    #[error("it is less than nothing")]
    Negative,
    /// It is nothing.
    #[error("it is nothing")]
    Zero,
    /// It is finer than a billionth of a dollar.
    #[error("it has more than {DECIMALS_MAX} decimals")]
    TooFine,
    /// It is more than can be counted.
    #[error("it is more than can be counted")]
    TooMuch,
}

/// Reads an amount of US dollars, `20` or `20.50`: to the billionth, more than nothing, and nothing is rounded.
///
/// # Errors
/// What is wrong with it.
pub fn parse_amount(text: &str) -> Result<NanoDollars, AmountError> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if digits(fraction) => (whole, fraction),
        Some(_) => return Err(AmountError::Form),
        None => (text, ""),
    };
    match whole.strip_prefix('-') {
        Some(whole) if digits(whole) => return Err(AmountError::Negative),
        None if digits(whole) => {}
        _ => return Err(AmountError::Form),
    }
    if fraction.trim_end_matches('0').len() > DECIMALS_MAX {
        return Err(AmountError::TooFine);
    }
    let fraction: String = fraction.chars().take(DECIMALS_MAX).collect();
    let nanos: i64 = format!("{whole}{fraction:0<DECIMALS_MAX$}").parse().map_err(|_| AmountError::TooMuch)?;
    if nanos == 0 { Err(AmountError::Zero) } else { Ok(NanoDollars(nanos)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly() {
        for (text, nanos) in [
            ("20", 20_000_000_000),
            ("20.50", 20_500_000_000),
            ("0.000000001", 1),
            ("007.10", 7_100_000_000),
            ("1.0000000000000", 1_000_000_000),
            ("9223372036.854775807", i64::MAX),
        ] {
            assert_eq!(parse_amount(text), Ok(NanoDollars(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused_with_what_is_wrong_with_it() {
        for (text, wrong) in [
            ("", AmountError::Form),
            ("twenty", AmountError::Form),
            ("$20", AmountError::Form),
            ("2e3", AmountError::Form),
            ("1,000", AmountError::Form),
            ("1.", AmountError::Form),
            (".5", AmountError::Form),
            ("1.2.3", AmountError::Form),
            (" 1", AmountError::Form),
            ("+1", AmountError::Form),
            ("--1", AmountError::Form),
            ("-1", AmountError::Negative),
            ("-0.5", AmountError::Negative),
            ("0", AmountError::Zero),
            ("0.00", AmountError::Zero),
            ("0.0000000001", AmountError::TooFine),
            ("9223372036.854775808", AmountError::TooMuch),
            ("99999999999999999999999", AmountError::TooMuch),
        ] {
            assert_eq!(parse_amount(text), Err(wrong), "{text:?}");
        }
    }
}
