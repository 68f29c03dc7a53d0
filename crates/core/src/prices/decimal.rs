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

/// Units per million tokens to microunits per million tokens: `"2.50"` is 2,500,000.
///
/// # Errors
/// [`PriceError`] when the text is no decimal number or no whole number of microunits.
pub fn microunits_per_million(units_per_million: &str) -> Result<u64, PriceError> {
    scaled(units_per_million, 6)
}

/// Units per token to microunits per million tokens: `"2.5e-06"` is 2,500,000.
///
/// # Errors
/// As [`microunits_per_million`].
pub fn microunits_per_million_from_token(units_per_token: &str) -> Result<u64, PriceError> {
    scaled(units_per_token, 12)
}

/// `text × 10^places`, when that is a whole number.
fn scaled(text: &str, places: i64) -> Result<u64, PriceError> {
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
        return Ok(0);
    }
    if negative {
        return Err(PriceError::Negative { text: text.to_owned() });
    }
    let fraction_digits = i64::try_from(fraction.len()).map_err(|_| not_decimal())?;
    let shift = places + i64::from(exponent) - fraction_digits;
    shifted(digits, shift, text)
}

/// The number with these digits, times `10^shift`.
fn shifted(digits: &str, shift: i64, text: &str) -> Result<u64, PriceError> {
    let too_large = || PriceError::TooLarge { text: text.to_owned() };
    if let Ok(zeros) = u32::try_from(shift) {
        let factor = 10_u64.checked_pow(zeros).ok_or_else(too_large)?;
        let value = digits.parse::<u64>().map_err(|_| too_large())?;
        return value.checked_mul(factor).ok_or_else(too_large);
    }
    let dropped = usize::try_from(shift.unsigned_abs()).map_err(|_| too_large())?;
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    if trailing < dropped {
        return Err(PriceError::TooFine { text: text.to_owned() });
    }
    let kept = digits.get(..digits.len() - dropped).unwrap_or_default();
    kept.parse::<u64>().map_err(|_| too_large())
}
