//! Thresholds such as `changed>2.5%`, in integers.

use std::fmt;
use std::str::FromStr;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Decisions that select another model.
    Changed,
    /// Executed before, refused now.
    Refused,
    /// Refused before, executed now.
    Admitted,
    /// Records that could not be replayed.
    Unreplayable,
    /// The total cost.
    Cost,
}

/// A metric and what it may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) metric: Metric,
    text: String,
    /// A count, or a share in hundredths of a percent.
    value: u64,
    is_share: bool,
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not METRIC>LIMIT, such as changed>2.5% or refused>0");
        let (metric, limit) = text.split_once('>').ok_or_else(wrong)?;
        let metric = match metric.trim() {
            "changed" => Metric::Changed,
            "refused" => Metric::Refused,
            "admitted" => Metric::Admitted,
            "unreplayable" => Metric::Unreplayable,
            "cost" => Metric::Cost,
            other => {
                return Err(format!(
                    "{other:?} is not a metric; there are changed, refused, admitted, unreplayable, cost"
                ));
            }
        };
        let limit = limit.trim();
        let (value, is_share) = match limit.strip_suffix('%') {
            Some(share) => (hundredths(share.trim()).ok_or_else(wrong)?, true),
            None => (limit.parse().map_err(|_| wrong())?, false),
        };
        if metric == Metric::Cost && !is_share {
            return Err("the limit of cost is a rise in percent, such as cost>2%".into());
        }
        Ok(Self { metric, text: text.into(), value, is_share })
    }
}

impl Limit {
    /// Whether `part` of `whole` is more than the limit.
    pub(crate) fn passed_by(&self, part: u64, whole: u64) -> bool {
        if self.is_share {
            u128::from(part) * 10_000 > u128::from(whole) * u128::from(self.value)
        } else {
            part > self.value
        }
    }

    /// Whether the rise from `old` to `new` is more than the limit, in percent of `old`.
    pub(crate) fn passed_by_rise(&self, old: i128, new: i128) -> bool {
        let rise = new.saturating_sub(old);
        rise > 0 && rise.saturating_mul(10_000) > old.saturating_mul(self.value.into())
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A decimal with at most two places, times 100.
fn hundredths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty();
    if !digits(whole) || !digits(fraction) || fraction.len() > 2 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<2}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(100)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Limit {
        text.parse().unwrap()
    }

    #[test]
    fn counts_and_shares_are_exact() {
        assert!(!limit("changed>3").passed_by(3, 10));
        assert!(limit("changed>3").passed_by(4, 10));
        assert!(!limit("refused>2.5%").passed_by(1, 40));
        assert!(limit("refused>2.49%").passed_by(1, 40));
        assert!(limit("admitted>0%").passed_by(1, u64::MAX));
        assert!(!limit("unreplayable>0").passed_by(0, 0));
        assert!(!limit("cost>10%").passed_by_rise(1_000, 1_100));
        assert!(limit("cost>10%").passed_by_rise(1_000, 1_101));
        assert!(limit("cost>10%").passed_by_rise(0, 1));
        assert!(!limit("cost>10%").passed_by_rise(5, 1));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "changed",
            "changed>",
            "changed>-1",
            "size>1",
            "cost>5",
            "changed>1.234%",
            "changed>.5%",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
