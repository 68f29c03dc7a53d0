//! The real command on real files: every subcommand, every exit code, and what is refused.

#[cfg(test)]
mod catalog;
#[cfg(test)]
mod decide;
#[cfg(test)]
mod export;
#[cfg(test)]
mod segments;
#[cfg(test)]
mod support;
#[cfg(test)]
mod verify;
