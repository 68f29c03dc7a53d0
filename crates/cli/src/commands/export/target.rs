//! Where a table goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure, Result};
use crate::files;
use crate::log::Log;

/// Standard output, or a file: one that has its name only when it is whole.
pub(super) struct Target<'a> {
    path: &'a Path,
    /// What is written until then; none where the name is that of a pipe or a device.
    partial: Option<PathBuf>,
}

impl<'a> Target<'a> {
    pub(super) fn new(path: &'a Path, log: &Log) -> Result<Self> {
        let is_whole_file = path.as_os_str() != "-"
            && fs::metadata(path).map_or(true, |metadata| metadata.is_file());
        files::require_apart(path, log.path())?;
        let partial = is_whole_file.then(|| {
            let mut name = path.as_os_str().to_owned();
            name.push(".partial");
            name.into()
        });
        Ok(Self { path, partial })
    }

    /// Opens it, has it written, and gives it its name when that ended well.
    pub(super) fn fill(
        self,
        write: impl FnOnce(Box<dyn Write + Send>) -> std::result::Result<(), Error>,
    ) -> Result<Exit> {
        let unwritable = |error| Failure::file(self.path, error);
        let out: Box<dyn Write + Send> = match &self.partial {
            _ if self.path.as_os_str() == "-" => Box::new(io::stdout()),
            partial => {
                let path = partial.as_deref().unwrap_or(self.path);
                Box::new(File::create(path).map_err(unwritable)?)
            }
        };
        let done = match (write(out), &self.partial) {
            (Ok(()), Some(partial)) => fs::rename(partial, self.path).map_err(unwritable),
            (Ok(()), None) => Ok(()),
            // Whoever read the output has seen enough.
            (Err(Error::Write(error)), _) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            (Err(Error::Write(error)), _) => Err(unwritable(error)),
            (Err(Error::Read(failure)), _) => Err(failure),
        };
        if let (Err(_), Some(partial)) = (&done, &self.partial) {
            // What is left of a table that failed is of no use, and not worth another failure.
            let _ = fs::remove_file(partial);
        }
        done.map(|()| Exit::Verified)
    }
}

/// Why a table was not written: the log, or where it goes.
pub(super) enum Error {
    Read(Box<Failure>),
    Write(io::Error),
}

impl From<Box<Failure>> for Error {
    fn from(failure: Box<Failure>) -> Self {
        Self::Read(failure)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}
