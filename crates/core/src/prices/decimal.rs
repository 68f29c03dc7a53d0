//! Decimal text to integer microunits, exactly.

/// Why a price is not a whole number of microunits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// Not digits with at most one point and an exponent.
    #[error("price \"{text}\" is not a decimal number")]
    NotDecimal {
        /// The text.
        text: String,
    },
    /// Below zero.
    #[error("price {text} is negative")]
    Negative {
        /// The text.
        text: String,
    },
    /// Finer than a microunit.
    #[error("price {text} is not a whole number of microunits")]
    TooFine {
        /// The text.
        text: String,
    },
    /// More than `u64::MAX` microunits.
    #[error("price {text} is more than {} microunits", u64::MAX)]
    TooLarge {
        /// The text.
        text: String,
    },
}

/// What to do with a price that is finer than a microunit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Refuse it.
    #[default]
    Refuse,
    /// The next whole microunit above: an estimate made with it is never below the published price.
    Up,
    /// The nearest whole microunit, the one above from the half on: undoes what binary floats leave at the end
    /// of a decimal (`0.18000000000000002`), and may be below the published price.
    Nearest,
}

/// A price in microunits, and the published text when that is another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Converted<'t> {
    pub(super) microunits: u64,
    pub(super) rounded_from: Option<&'t str>,
}

/// The power of ten from units to microunits, for prices per million tokens.
pub(super) const PER_MILLION: i64 = 6;
/// Likewise for prices per token.
pub(super) const PER_TOKEN: i64 = 12;

/// Units per million tokens to microunits per million tokens: `"2.50"` is 2,500,000.
///
/// # Errors
/// [`PriceError`] when the text is no decimal number or no whole number of microunits.
pub fn microunits_per_million(units_per_million: &str) -> Result<u64, PriceError> {
    scaled(units_per_million, PER_MILLION, Rounding::Refuse).map(|price| price.microunits)
}

/// Units per token to microunits per million tokens: `"2.5e-06"` is 2,500,000.
///
/// # Errors
/// As [`microunits_per_million`].
pub fn microunits_per_million_from_token(units_per_token: &str) -> Result<u64, PriceError> {
    scaled(units_per_token, PER_TOKEN, Rounding::Refuse).map(|price| price.microunits)
}

/// `text × 10^places`, a whole number or made one by the rule.
pub(super) fn scaled(
    text: &str,
    places: i64,
    rounding: Rounding,
) -> Result<Converted<'_>, PriceError> {
    let not_decimal = || PriceError::NotDecimal { text: text.to_owned() };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i16>().map_err(|_| not_decimal())?)
        }
        None => (text, 0),
    };
    let (negative, magnitude) =
        mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(not_decimal());
    }
    let fraction = fraction.trim_end_matches('0');
    let digits = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(Converted { microunits: 0, rounded_from: None });
    }
    if negative {
        return Err(PriceError::Negative { text: text.to_owned() });
    }
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| not_decimal())?;
    let shift = places + i64::from(exponent) - fraction_digits;
    let too_large = || PriceError::TooLarge { text: text.to_owned() };
    if let Ok(zeros) = u32::try_from(shift) {
        let factor = 10_u64.checked_pow(zeros).ok_or_else(too_large)?;
        let value = digits.parse::<u64>().map_err(|_| too_large())?;
        let microunits = value.checked_mul(factor).ok_or_else(too_large)?;
        return Ok(Converted { microunits, rounded_from: None });
    }
    let dropped = usize::try_from(shift.unsigned_abs()).map_err(|_| too_large())?;
    let (kept, rest) = match digits.len().checked_sub(dropped) {
        Some(kept) => digits.split_at_checked(kept).unwrap_or((digits, "")),
        // Less than a tenth of a microunit.
        None => ("", "0"),
    };
    let whole = if kept.is_empty() { 0 } else { kept.parse().map_err(|_| too_large())? };
    if digits.len() >= dropped && rest.bytes().all(|digit| digit == b'0') {
        return Ok(Converted { microunits: whole, rounded_from: None });
    }
    let up = match rounding {
        Rounding::Refuse => return Err(PriceError::TooFine { text: text.to_owned() }),
        Rounding::Up => true,
        Rounding::Nearest => rest.as_bytes().first().is_some_and(|digit| *digit >= b'5'),
    };
    let microunits = whole.checked_add(u64::from(up)).ok_or_else(too_large)?;
    Ok(Converted { microunits, rounded_from: Some(text) })
}
