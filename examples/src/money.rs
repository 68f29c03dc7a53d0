//! Two units of money, and the one place where they meet.
//!
//! The kernel counts microdollars (10^-6 USD). The ledger counts microcents (10^-6 cent = 10^-8 USD). So
//! 1 microdollar = 100 microcents.

use std::error::Error;

/// A microdollar in microcents: 10^8 microcents a dollar over 10^6 microdollars a dollar.
pub const MICROCENTS_PER_MICRODOLLAR: i64 = 100;
pub use calybris_core::finance::MICROCENTS_PER_CENT;

/// A dollar in microcents.
pub const MICROCENTS_PER_DOLLAR: i64 = 100_000_000;
/// A dollar in microdollars.
pub const MICRODOLLARS_PER_DOLLAR: u64 = 1_000_000;

/// Microdollars (a cost of the kernel) as microcents (an amount of the ledger).
///
/// # Errors
/// When the amount does not fit, naming it.
pub fn microcents(microdollars: u64) -> Result<i64, Box<dyn Error>> {
    let amount = i64::try_from(microdollars).ok();
    let amount = amount.and_then(|amount| amount.checked_mul(MICROCENTS_PER_MICRODOLLAR));
    amount.ok_or_else(|| format!("{microdollars} microdollars do not fit the ledger").into())
}

/// Microcents as dollars with `places` decimals, cut: `usd(2_500_000_000, 2)` is `$25.00`.
#[must_use]
pub fn usd(microcents: i64, places: usize) -> String {
    let magnitude = microcents.unsigned_abs();
    let sign = if microcents < 0 { "-" } else { "" };
    let dollar = MICROCENTS_PER_DOLLAR.unsigned_abs();
    let cents = format!("{:08}", magnitude % dollar);
    let cents = cents.get(..places.min(8)).unwrap_or_default();
    format!("{sign}${}.{cents}", thousands(magnitude / dollar))
}

/// Microdollars as dollars with `places` decimals, cut.
#[must_use]
pub fn usd_from_microdollars(microdollars: u64, places: usize) -> String {
    microcents(microdollars).map_or_else(|_| "more than fits".into(), |amount| usd(amount, places))
}

/// Digits in groups of three.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dollar_is_a_dollar_in_both_units() {
        assert_eq!(microcents(MICRODOLLARS_PER_DOLLAR).unwrap(), MICROCENTS_PER_DOLLAR);
        assert!(microcents(u64::MAX).unwrap_err().to_string().contains("18446744073709551615"));
    }

    #[test]
    fn dollars_print_with_their_decimals() {
        assert_eq!(usd(250_000_000, 2), "$2.50");
        assert_eq!(usd(-123_456_789_012, 6), "-$1,234.567890");
        assert_eq!(usd_from_microdollars(2_500_000, 2), "$2.50");
        assert_eq!([thousands(0), thousands(999), thousands(1_000_000)], ["0", "999", "1,000,000"]);
    }
}
