//! Crashes a log in ten ways and shows what opening it again says each time:
//! `cargo run --example crash_lab`.
//!
//! Every case starts from the same log: three entries acknowledged as durable, two more only written, and a
//! process that is gone. Then something happens to the file.

use std::error::Error;
use std::fs;
use std::path::Path;

use calybris_core::wal::{WalOptions, WalWriter, inspect};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What happens to a log between two openings.
struct Case {
    name: &'static str,
    happens: fn(&Path) -> Result<()>,
}

const CASES: [Case; 10] = [
    Case { name: "nothing: the process was killed between two writes", happens: |_| Ok(()) },
    Case {
        name: "the process was killed in the middle of a write",
        happens: |log| edit(log, |bytes| bytes.truncate(bytes.len() - 40)),
    },
    Case {
        name: "an editor dropped the last newline",
        happens: |log| edit(log, |bytes| bytes.truncate(bytes.len() - 1)),
    },
    Case {
        name: "the machine stopped: the file grew, the data did not arrive",
        happens: |log| edit(log, |bytes| zero(bytes, 4, usize::MAX)),
    },
    Case {
        name: "the machine stopped: a sector in the middle of the last write is missing",
        happens: |log| edit(log, |bytes| zero(bytes, 3, 512)),
    },
    Case {
        name: "somebody changed an entry that was only written",
        happens: |log| edit(log, |bytes| replace(bytes, "fee 4", "fee 9")),
    },
    Case {
        name: "somebody changed an acknowledged entry",
        happens: |log| edit(log, |bytes| replace(bytes, "fee 2", "fee 0")),
    },
    Case {
        name: "somebody cut off the last two lines and one acknowledged one",
        happens: |log| edit(log, |bytes| bytes.truncate(line_start(bytes, 2))),
    },
    Case {
        name: "somebody removed a line in the middle",
        happens: |log| {
            edit(log, |bytes| drop(bytes.drain(line_start(bytes, 1)..line_start(bytes, 2))))
        },
    },
    Case { name: "the log was emptied, and the file kept", happens: |log| edit(log, Vec::clear) },
];

fn main() -> Result<()> {
    for (number, case) in (1..).zip(CASES) {
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("fees.wal");
        write(&log)?;
        (case.happens)(&log)?;
        println!("{number}. {}\n", case.name);
        for line in inspect(&log, &WalOptions::new())?.to_string().lines() {
            println!("   {}", line.replace(&directory.path().display().to_string(), "…"));
        }
        match WalWriter::<String>::open(&log) {
            Ok(log) => {
                let entry = log.append_durable("after the crash".into())?;
                println!("   opened   and entry {} is durable\n", entry.sequence);
            }
            Err(error) => {
                let text = error.to_string();
                println!("   refused  {}\n", text.rsplit('/').next().unwrap_or(&text));
            }
        }
    }
    Ok(())
}

/// Three entries that are acknowledged and two that are not, each longer than a sector.
fn write(path: &Path) -> Result<()> {
    let log = WalWriter::<String>::open(path)?;
    let entry = |number| format!("fee {number} {}", ".".repeat(900));
    for number in 1..=3 {
        log.append_durable(entry(number))?;
    }
    for number in 4..=5 {
        log.append(entry(number))?;
    }
    Ok(())
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let mut bytes = fs::read(path)?;
    change(&mut bytes);
    Ok(fs::write(path, bytes)?)
}

/// Zeroes up to `most` bytes from the first sector that starts after so many lines.
fn zero(bytes: &mut [u8], lines: usize, most: usize) {
    let start = line_start(bytes, lines).next_multiple_of(512);
    bytes.iter_mut().skip(start).take(most).for_each(|byte| *byte = 0);
}

fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    *bytes = String::from_utf8_lossy(bytes).replace(from, to).into_bytes();
}

/// Where the line after so many others starts.
fn line_start(bytes: &[u8], lines: usize) -> usize {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).nth(lines.wrapping_sub(1)).unwrap_or(0)
}
