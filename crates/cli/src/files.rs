//! Reading what is given with the command: secrets from files or the environment, JSON, and output files.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use calybris_core::proof::signature::Signer;
use serde::de::DeserializeOwned;

use crate::exit::{Exit, Failure, Result};

/// The environment variable with the key of a keyed log, in hexadecimal.
pub(crate) const KEY_VARIABLE: &str = "CALYBRIS_KEY";
/// The environment variable with the seed of a signing key, in hexadecimal.
pub(crate) const SIGNING_VARIABLE: &str = "CALYBRIS_SIGNING_KEY";
/// The longest small file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A small text file.
pub(crate) fn text(path: &Path) -> Result<String> {
    let length = fs::metadata(path).map_err(|error| Failure::file(path, error))?.len();
    if length > MAX_FILE_BYTES {
        let bound = format!("it has {length} bytes, at most {MAX_FILE_BYTES} are read");
        return Err(Failure::file(path, bound));
    }
    fs::read_to_string(path).map_err(|error| Failure::file(path, error))
}

/// A JSON file.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&text(path)?).map_err(|error| Failure::file(path, error))
}

/// Refuses to write over the log, or into its folder.
pub(crate) fn require_apart(output: &Path, log: &Path) -> Result<()> {
    let (Ok(there), Ok(log)) = (output.canonicalize(), log.canonicalize()) else { return Ok(()) };
    if there.starts_with(log) {
        return Err(Failure::file(output, "this is the log: it would be overwritten"));
    }
    Ok(())
}

/// Writes a file, or standard output when there is none.
pub(crate) fn write(path: Option<&Path>, contents: &str) -> Result<()> {
    match path {
        Some(path) => fs::write(path, contents).map_err(|error| Failure::file(path, error)),
        None => print(contents),
    }
}

/// Text without control characters but newline and tab: what is in a log cannot steer a terminal.
pub(crate) fn visible(text: &str) -> String {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    text.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Says something to people, on standard error. Who closed it does not want to know.
pub(crate) fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all((visible(text) + "\n").as_bytes());
}

/// Writes to standard output.
pub(crate) fn print(contents: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    written(out.write_all(visible(contents).as_bytes()).and_then(|()| out.flush()))
}

/// Writes a value to standard output as JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Exit::CannotTell, error))?;
    print(&format!("{json}\n"))
}

/// What writing to standard output comes to: whoever closed it has seen enough.
pub(crate) fn written(result: std::io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| {
            Failure::new(Exit::CannotTell, format_args!("standard output: {error}"))
        }),
    }
}

/// The key of a keyed log: from the file, else from the environment, else none.
pub(crate) fn key(path: Option<&Path>) -> Result<Option<Vec<u8>>> {
    let Some(text) = secret(path, KEY_VARIABLE)? else { return Ok(None) };
    let key = unhex(&text).filter(|key| key.len() >= calybris_core::proof::chain::MIN_KEY_BYTES);
    key.map(Some).ok_or_else(|| secret_form(path, KEY_VARIABLE, "at least 64"))
}

/// A signer: its name, and its seed from the file, else from the environment.
pub(crate) fn signer(name: &str, path: Option<&Path>) -> Result<Signer> {
    let Some(text) = secret(path, SIGNING_VARIABLE)? else {
        return Err(Failure::usage(format_args!(
            "a signing key is needed: --signing-key FILE, or {SIGNING_VARIABLE} in the environment"
        )));
    };
    let seed = unhex(&text).and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    let seed = seed.ok_or_else(|| secret_form(path, SIGNING_VARIABLE, "exactly 64"))?;
    Ok(Signer::new(name, &seed)?)
}

fn secret(path: Option<&Path>, variable: &str) -> Result<Option<String>> {
    match path {
        Some(path) => text(path).map(Some),
        None => match std::env::var(variable) {
            Ok(text) => Ok(Some(text)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(error) => Err(Failure::usage(format_args!("{variable}: {error}"))),
        },
    }
}

/// Says what form a secret has, never what it was.
fn secret_form(path: Option<&Path>, variable: &str, digits: &str) -> Box<Failure> {
    let place = path.map_or_else(|| variable.to_owned(), |path| path.display().to_string());
    Failure::usage(format_args!(
        "{place}: {digits} hexadecimal digits are needed, such as `openssl rand -hex 32` writes"
    ))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end().as_bytes();
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}
