//! The durable ledger: what comes back after a restart and a fault.

#[cfg(test)]
mod disk;
#[cfg(test)]
mod equals_memory;
#[cfg(test)]
mod every_operation;
#[cfg(test)]
mod extremes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod retirement;
#[cfg(test)]
#[cfg(feature = "async")]
mod tasks;
#[cfg(test)]
mod work;
#[cfg(test)]
mod workload;
