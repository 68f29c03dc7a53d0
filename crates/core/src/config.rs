//! The numbers a deployment chooses once: policy-wide limits, ledger defaults, durability.

use calybris_budget::{BudgetEngine, BudgetError};
use calybris_kernel::{MAX_BPS, MAX_CATALOG_MODELS, MAX_RISK_PENALTY_MULTIPLIER_BPS, PolicyParams};

/// Deployment settings, with defaults that suit an LLM gateway.
///
/// ```
/// use calybris_core::config::EngineConfig;
///
/// let config = EngineConfig::new().hard_risk_limit(9_000).wal_sync_on_append(true);
/// assert!(config.validate().is_ok());
///
/// let error = EngineConfig::new().hard_risk_limit(10_001).validate().unwrap_err();
/// assert_eq!(error.to_string(), "hard_risk_limit_bps is 10001, allowed are 0 to 10000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct EngineConfig {
    /// What a millisecond of latency costs, in microunits. Default 2.
    pub latency_penalty_microunits_per_ms: u64,
    /// Requests at or above this risk are refused, in basis points. Default 9,600.
    pub hard_risk_limit_bps: u16,
    /// Requests below this confidence are refused, in basis points. Default 5,500.
    pub minimum_confidence_bps: u16,
    /// Share of the value at risk that is charged, in basis points. Default 3,500.
    pub risk_penalty_multiplier_bps: u16,
    /// Cap on what a new tenant may have on hold, in microcents; 0 is no cap. Default 0.
    pub default_exposure_cap_microcents: i64,
    /// Whether an append returns only after the log reached the disk. Default false.
    pub wal_sync_on_append: bool,
    /// The most models a policy may hold. Default 1,024.
    pub max_catalog_size: usize,
}

/// A setting outside its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, allowed are {min} to {max}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// Its value.
    pub value: i64,
    /// The lowest allowed value.
    pub min: i64,
    /// The highest allowed value.
    pub max: i64,
}

impl EngineConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            latency_penalty_microunits_per_ms: 2,
            hard_risk_limit_bps: 9_600,
            minimum_confidence_bps: 5_500,
            risk_penalty_multiplier_bps: 3_500,
            default_exposure_cap_microcents: 0,
            wal_sync_on_append: false,
            max_catalog_size: 1_024,
        }
    }

    /// Sets what a millisecond of latency costs, in microunits.
    pub const fn latency_penalty(mut self, microunits_per_ms: u64) -> Self {
        self.latency_penalty_microunits_per_ms = microunits_per_ms;
        self
    }

    /// Sets the risk from which requests are refused, in basis points.
    pub const fn hard_risk_limit(mut self, bps: u16) -> Self {
        self.hard_risk_limit_bps = bps;
        self
    }

    /// Sets the confidence below which requests are refused, in basis points.
    pub const fn minimum_confidence(mut self, bps: u16) -> Self {
        self.minimum_confidence_bps = bps;
        self
    }

    /// Sets the share of the value at risk that is charged, in basis points.
    pub const fn risk_penalty_multiplier(mut self, bps: u16) -> Self {
        self.risk_penalty_multiplier_bps = bps;
        self
    }

    /// Sets the cap on what a new tenant may have on hold, in microcents; 0 is no cap.
    pub const fn default_exposure_cap(mut self, microcents: i64) -> Self {
        self.default_exposure_cap_microcents = microcents;
        self
    }

    /// Sets whether an append returns only after the log reached the disk.
    pub const fn wal_sync_on_append(mut self, sync: bool) -> Self {
        self.wal_sync_on_append = sync;
        self
    }

    /// Sets the most models a policy may hold.
    pub const fn max_catalog_size(mut self, models: usize) -> Self {
        self.max_catalog_size = models;
        self
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting out of bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bps = |field, value: u16, max: u16| (field, i64::from(value), 0, i64::from(max));
        let size = i64::try_from(self.max_catalog_size).unwrap_or(i64::MAX);
        let max_size = i64::try_from(MAX_CATALOG_MODELS).unwrap_or(i64::MAX);
        let settings = [
            bps("hard_risk_limit_bps", self.hard_risk_limit_bps, MAX_BPS),
            bps("minimum_confidence_bps", self.minimum_confidence_bps, MAX_BPS),
            bps(
                "risk_penalty_multiplier_bps",
                self.risk_penalty_multiplier_bps,
                MAX_RISK_PENALTY_MULTIPLIER_BPS,
            ),
            ("default_exposure_cap_microcents", self.default_exposure_cap_microcents, 0, i64::MAX),
            ("max_catalog_size", size, 1, max_size),
        ];
        for (field, value, min, max) in settings {
            if !(min..=max).contains(&value) {
                return Err(ConfigError { field, value, min, max });
            }
        }
        Ok(())
    }

    /// Creates a tenant with this much to spend and the default exposure cap; leaves an existing one as it is.
    ///
    /// ```
    /// use calybris_core::{budget::BudgetEngine, config::EngineConfig};
    ///
    /// let config = EngineConfig::new().default_exposure_cap(300);
    /// let ledger = BudgetEngine::new();
    /// config.ensure_tenant(&ledger, "desk-1", 1_000)?;
    /// assert!(ledger.try_reserve("desk-1", 301).1.is_none());
    ///
    /// let error = config.ensure_tenant(&ledger, "desk-2", -1).unwrap_err();
    /// assert_eq!(error.to_string(), "initial_microcents of tenant \"desk-2\" is -1; it must be at least 0");
    /// # Ok::<(), calybris_core::budget::BudgetError>(())
    /// ```
    ///
    /// # Errors
    /// As [`BudgetEngine::try_ensure_tenant`].
    pub fn ensure_tenant(
        &self,
        engine: &BudgetEngine,
        tenant_id: &str,
        initial_microcents: i64,
    ) -> Result<(), BudgetError> {
        let known = engine.initial_microcents(tenant_id).is_some();
        engine.try_ensure_tenant(tenant_id, initial_microcents)?;
        if known || self.default_exposure_cap_microcents == 0 {
            return Ok(());
        }
        engine.try_set_max_reserved_microcents(tenant_id, self.default_exposure_cap_microcents)
    }

    /// Opens a log that syncs on append, or not, as configured.
    ///
    /// ```
    /// use calybris_core::{config::EngineConfig, wal::WalError};
    ///
    /// let folder = tempfile::tempdir().unwrap();
    /// let path = folder.path().join("log.jsonl");
    /// let log = EngineConfig::new().wal_sync_on_append(true).open_wal::<&str>(&path)?;
    /// log.append("durable when this returns")?;
    /// assert_eq!(log.durable_sequence(), 1);
    ///
    /// let second = EngineConfig::new().open_wal::<&str>(&path);
    /// assert!(matches!(second, Err(WalError::Locked { .. })));
    /// # Ok::<(), WalError>(())
    /// ```
    ///
    /// # Errors
    /// As [`WalWriter::open_with_sync`](calybris_wal::WalWriter::open_with_sync).
    #[cfg(feature = "wal")]
    pub fn open_wal<T>(
        &self,
        path: &std::path::Path,
    ) -> Result<calybris_wal::WalWriter<T>, calybris_wal::WalError> {
        calybris_wal::WalWriter::open_with_sync(path, self.wal_sync_on_append)
    }

    /// The policy-wide numbers under the given epochs.
    #[must_use]
    pub const fn policy_params(&self, policy_epoch: u64, catalog_epoch: u64) -> PolicyParams {
        PolicyParams {
            policy_epoch,
            catalog_epoch,
            hard_risk_limit_bps: self.hard_risk_limit_bps,
            minimum_confidence_bps: self.minimum_confidence_bps,
            risk_penalty_multiplier_bps: self.risk_penalty_multiplier_bps,
            latency_penalty_microunits_per_ms: self.latency_penalty_microunits_per_ms,
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
