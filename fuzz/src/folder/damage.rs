//! What is done to the files of a folder.

use std::path::{Path, PathBuf};

use super::{BOOKS, Files};

const SECTOR_BYTES: usize = 512;
/// More of them leave nothing worth opening.
const MAX_EDITS: usize = 12;
/// Names that a file may be given beside those there are.
const NAMES: [&str; 10] = [
    "checkpoint-00000000000000000009.json",
    "checkpoint-18446744073709551615.json",
    "checkpoint-00000000000000000009.json.tmp",
    "ledger.log",
    "ledger.log.head",
    "log/00000000000000000001.log",
    "log/00000000000000000009.log",
    "log/head",
    "log/retired",
    "log/retired.new",
];

/// The bytes of a test, read from the front; zeros follow them.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
    edits: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, edits: 0 }
    }

    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        let (now, rest) = self.rest.split_at(self.rest.len().min(N));
        self.rest = rest;
        let mut taken = [0; N];
        taken[..now.len()].copy_from_slice(now);
        taken
    }

    pub(crate) fn edit(&mut self) -> Option<Edit> {
        if self.rest.is_empty() || self.edits == MAX_EDITS {
            return None;
        }
        self.edits += 1;
        let [kind, file, other, generation, a, b, c, d] = self.take();
        let (at, to) = (u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into());
        Some(Edit {
            kind,
            file: file.into(),
            other: other.into(),
            generation: generation.into(),
            at,
            to,
        })
    }
}

/// One change. Every number counts modulo what there is to choose from.
pub(crate) struct Edit {
    kind: u8,
    file: usize,
    other: usize,
    generation: usize,
    at: usize,
    to: usize,
}

impl Edit {
    pub(crate) fn apply(&self, files: &mut Files, generations: &[Files]) {
        let old = &generations[self.generation % generations.len()];
        let Some(path) = pick(files.keys(), self.file) else { return old.clone_into(files) };
        match self.kind % 17 {
            0 => drop(files.remove(&path)),
            1 => self.rename(files, path, false),
            2 => self.rename(files, path, true),
            3 => match old.get(&path) {
                Some(held) => drop(files.insert(path, held.clone())),
                None => drop(files.remove(&path)),
            },
            4 => {
                let theirs = pick(old.keys(), self.other).unwrap_or(path);
                files.extend(old.get(&theirs).map(|held| (theirs, held.clone())));
            }
            5 => old.clone_into(files),
            6 => {
                let other = pick(files.keys(), self.other).unwrap_or_else(|| path.clone());
                let (held, others) = (files[&path].clone(), files[&other].clone());
                files.extend([(path, others), (other, held)]);
            }
            kind => {
                let stale = old.get(&path).cloned().unwrap_or_default();
                if let Some(held) = files.get_mut(&path) {
                    self.change(kind, held, &stale);
                }
            }
        }
    }

    /// Under another name, or under both.
    fn rename(&self, files: &mut Files, path: PathBuf, keep: bool) {
        let name = match NAMES.get(self.other) {
            Some(name) => Path::new(BOOKS).join(name),
            None => pick(files.keys(), self.other).unwrap_or_else(|| path.clone()),
        };
        let held = if keep { files.get(&path).cloned() } else { files.remove(&path) };
        files.extend(held.map(|held| (name, held)));
    }

    /// Something in a file; `stale` is what another generation has in its place.
    fn change(&self, kind: u8, held: &mut Vec<u8>, stale: &[u8]) {
        let at = self.at % (held.len() + 1);
        match kind {
            7 => held.truncate(at),
            8 => held.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << (self.to % 8)),
            9 => held.get_mut(at).into_iter().for_each(|byte| *byte = self.to.to_le_bytes()[0]),
            10 => sector(held, self.at).fill(0),
            11 => sector(held, self.at).fill(b'\n'),
            12 => held.resize(held.len() + self.to % (4 * SECTOR_BYTES), [0, b'\n'][self.at % 2]),
            13 => {
                let from = sector(held, self.at).to_vec();
                let to = sector(held, self.to);
                to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
            }
            14 => {
                let (from, to) = (sector(held, self.at).to_vec(), sector(held, self.to).to_vec());
                sector(held, self.at).iter_mut().zip(&to).for_each(|(byte, other)| *byte = *other);
                sector(held, self.to)
                    .iter_mut()
                    .zip(&from)
                    .for_each(|(byte, other)| *byte = *other);
            }
            15 => {
                let from = sector(&mut stale.to_vec(), self.at).to_vec();
                sector(held, self.at).iter_mut().zip(from).for_each(|(to, from)| *to = from);
            }
            _ => self.move_line(held),
        }
    }

    /// A line is removed, put in twice, or put elsewhere.
    fn move_line(&self, held: &mut Vec<u8>) {
        let mut lines: Vec<Vec<u8>> =
            held.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return;
        }
        let (at, to) = (self.at % lines.len(), self.to % lines.len());
        match self.other % 3 {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            _ => lines.swap(at, to),
        }
        *held = lines.concat();
    }
}

fn pick<'a>(
    mut paths: impl ExactSizeIterator<Item = &'a PathBuf>,
    number: usize,
) -> Option<PathBuf> {
    let count = paths.len().max(1);
    paths.nth(number % count).cloned()
}

/// A sector of a file, shorter at the file's end.
fn sector(held: &mut [u8], number: usize) -> &mut [u8] {
    let count = held.len().div_ceil(SECTOR_BYTES).max(1);
    held.chunks_mut(SECTOR_BYTES).nth(number % count).unwrap_or_default()
}
