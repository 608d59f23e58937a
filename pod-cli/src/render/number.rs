//! Counts as people read them.

/// A count with at most four digits and a unit: 950, 12.3k, 4.56M.
pub(crate) fn thousands(count: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| count >= *unit) {
        None => count.to_string(),
        Some((unit, name)) => {
            // Three digits, rounded down, in whole numbers: what is printed never exceeds what was counted.
            let whole = count / unit;
            let decimals: u32 = match whole {
                0..10 => 2,
                10..100 => 1,
                _ => 0,
            };
            if decimals == 0 {
                return format!("{whole}{name}");
            }
            let places = 10_u64.pow(decimals);
            let fraction = count % unit / (unit / places);
            format!("{whole}.{fraction:0width$}{name}", width = usize::try_from(decimals).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_three_digits() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1_000, "1.00k"),
            (1_999, "1.99k"),
            (12_345, "12.3k"),
            (123_456, "123k"),
            (999_999, "999k"),
            (4_560_000, "4.56M"),
            (7_000_000_000, "7.00G"),
            (u64::MAX, "18446744073G"),
        ];
        for (count, said) in cases {
            assert_eq!(thousands(count), said);
        }
    }
}
