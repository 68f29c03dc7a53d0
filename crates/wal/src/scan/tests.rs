//! The parallel scan against the sequential reader, over several chunks, on whole and damaged files.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;
use crate::entry::WalEntry;
use crate::line::MAX_ENTRY_BYTES;
use crate::options::WalOptions;
use crate::storage::{Memory, Storage as _};
use crate::visit::visit_entries;

/// A log of about `bytes` bytes with entries of very different lengths and some blank lines.
fn log(bytes: usize, key: Option<&ChainKey>) -> Vec<u8> {
    let (mut out, mut head) = (Vec::new(), Head::EMPTY);
    while out.len() < bytes {
        let length = usize::try_from(head.sequence * 7_919 % 5_000).unwrap();
        let payload = format!("\"{}\"", "x".repeat(length));
        let hash = calybris_proof::chain::link_hash(&head.hash, payload.as_bytes(), key);
        line::write(&mut out, head.next(), &head.hash, &hash, payload.as_bytes());
        if head.sequence % 97 == 0 {
            out.extend_from_slice(b" \n\n");
        }
        head = Head { sequence: head.next(), hash };
    }
    out
}

/// What both say: the head, or the error's text.
fn both(bytes: &[u8]) -> (String, String) {
    let memory = Memory::default();
    let path = Path::new("log");
    memory.write(path, bytes);
    let file = memory.open_read(path).unwrap();
    let (length, start) = (bytes.len() as u64, Head::EMPTY);
    let scan =
        Scan { path, file: &*file, bytes: length, key: None, start, anchors: &[], visitor: None };
    let parallel = scan.run(None).unwrap();
    let parallel = match parallel.broken {
        Some((place, fault)) => format!("{place}: {fault}"),
        None => {
            let entries = bytes.trim_ascii_end();
            let terminated = entries.len() < bytes.len();
            assert_eq!(parallel.end, (entries.len() + usize::from(terminated)) as u64);
            assert_eq!(parallel.terminated, terminated || entries.is_empty());
            format!("{:?}", parallel.head)
        }
    };
    let options = WalOptions::new().storage(Arc::new(memory.clone()));
    let sequential = visit_entries(path, &options, drop::<WalEntry<IgnoredAny>>);
    let sequential = sequential.map(|(sequence, hash)| format!("{:?}", Head { sequence, hash }));
    (parallel, sequential.unwrap_or_else(|error| error.to_string()))
}

#[test]
fn agrees_on_whole_files_of_every_size_around_a_chunk() {
    let chunk = usize::try_from(CHUNK_BYTES).unwrap();
    for bytes in [0, 1, chunk - 3_000, chunk, 3 * chunk + 5] {
        let whole = log(bytes, None);
        let (parallel, sequential) = both(&whole);
        assert_eq!(parallel, sequential);
        assert!(parallel.starts_with("Head"), "{parallel}");
        let (parallel, sequential) = both(whole.strip_suffix(b"\n").unwrap_or_default());
        assert_eq!(parallel, sequential);
    }
}

#[test]
fn a_line_across_chunks_and_one_over_the_limit_are_placed() {
    let mut bytes = log(1_000, None);
    let good = bytes.len();
    bytes.resize(good + usize::try_from(MAX_ENTRY_BYTES).unwrap() * 2, b'x');
    bytes.extend_from_slice(b"\n");
    bytes.extend(log(3_000_000, None));
    let (parallel, sequential) = both(&bytes);
    assert!(parallel.contains("or more, at most 16777216 are allowed"), "{parallel}");
    assert_eq!(parallel.split(": ").next(), sequential.split(": ").next());
}

/// Chunks that are there, and the most there were at once.
#[derive(Default)]
struct Alive {
    now: Mutex<(usize, usize)>,
    changed: Condvar,
}

/// One of them. The first one is held back until there are more than allowed, or surely will not be.
struct Held<'a>(&'a Alive, usize);

impl<'a> Held<'a> {
    fn new(alive: &'a Alive, allowed: usize) -> Self {
        let mut counts = alive.now.lock().unwrap();
        counts.0 += 1;
        counts.1 = counts.1.max(counts.0);
        alive.changed.notify_all();
        Self(alive, allowed)
    }
}

impl Visit for Held<'_> {
    fn entry(&mut self, entry: &VerifiedEntry<'_>) -> Result<(), Fault> {
        if entry.sequence == 1 {
            let Self(alive, allowed) = self;
            let wait = |counts, seconds, few: &dyn Fn(usize) -> bool| {
                let wait = Duration::from_secs_f32(seconds);
                alive.changed.wait_timeout_while(counts, wait, |(now, _)| few(*now)).unwrap().0
            };
            let counts = wait(alive.now.lock().unwrap(), 60.0, &|now| now < *allowed);
            drop(wait(counts, 0.3, &|now| now == *allowed));
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.now.lock().unwrap().0 -= 1;
    }
}

#[test]
fn a_thread_held_back_lets_the_others_run_ahead_so_far_and_no_farther() {
    let (threads, bytes) = (2, log(12_000_000, None));
    let memory = Memory::default();
    let path = Path::new("log");
    memory.write(path, &bytes);
    let file = memory.open_read(path).unwrap();
    let (alive, allowed) = (Alive::default(), threads * AHEAD);
    let visitor = || {
        let visit: Box<dyn Visit + '_> = Box::new(Held::new(&alive, allowed));
        visit
    };
    let (bytes, start, visitor) = (bytes.len() as u64, Head::EMPTY, Some(&visitor as &Visitor<'_>));
    let scan = Scan { path, file: &*file, bytes, key: None, start, anchors: &[], visitor };
    let (chunks, mut joined) = (bytes.div_ceil(CHUNK_BYTES), Vec::new());
    let mut join = |index, chunk: Chunk<'_>| {
        joined.push(index);
        chunk.broken.is_none()
    };
    scan.run_on(threads, chunks, bytes, &mut join).unwrap();
    assert_eq!(joined, (0..chunks).collect::<Vec<_>>());
    assert_eq!(*alive.now.lock().unwrap(), (0, allowed), "left, and at most at once");
}

#[test]
fn a_panic_of_a_visitor_ends_the_scan() {
    struct Panics;
    impl Visit for Panics {
        fn entry(&mut self, entry: &VerifiedEntry<'_>) -> Result<(), Fault> {
            assert!(entry.sequence < 100, "as asked");
            Ok(())
        }
    }
    let bytes = log(12_000_000, None);
    let memory = Memory::default();
    let path = Path::new("log");
    memory.write(path, &bytes);
    let file = memory.open_read(path).unwrap();
    let visitor = || Box::new(Panics) as Box<dyn Visit>;
    let (bytes, start, visitor) = (bytes.len() as u64, Head::EMPTY, Some(&visitor as &Visitor<'_>));
    let scan = Scan { path, file: &*file, bytes, key: None, start, anchors: &[], visitor };
    let ended = catch_unwind(AssertUnwindSafe(|| {
        scan.run_on(2, bytes.div_ceil(CHUNK_BYTES), bytes, &mut |_, _| true)
    }));
    assert!(ended.is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn agrees_on_damaged_files(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..5u8, any::<u8>()), 1..3),
    ) {
        let mut bytes = log(2_500_000, None);
        for (at, kind, value) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = value,
                1 => bytes[at] ^= 1 << (value % 8),
                2 => bytes.truncate(at + 1),
                3 => drop(bytes.remove(at)),
                _ => {
                    let end = (at + 4_096).min(bytes.len());
                    bytes[at..end].fill(0);
                }
            }
        }
        let (parallel, sequential) = both(&bytes);
        prop_assert_eq!(parallel, sequential);
    }
}
