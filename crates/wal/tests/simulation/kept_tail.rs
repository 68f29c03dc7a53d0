//! A torn tail, and a crash at every operation of the opening that cuts it: the tail is in the log or in its copy.

use std::path::Path;
use std::sync::Arc;

use calybris_wal::storage::Storage as _;
use calybris_wal::{Verdict, WalOptions, WalWriter};

use crate::disk::{Disk, Fault};

const LOG: &str = "dir/log";
/// Disks that differ in what a crash leaves on them.
const DISKS: u64 = 40;

/// # Panics
/// When a crash leaves the log cut without the copy of what was cut.
pub(crate) fn run() {
    let (mut crashes, mut cut) = (0, 0);
    for seed in 0..DISKS {
        let mut operation = 1;
        while let Some(was_cut) = crash(seed, operation) {
            operation += 1;
            crashes += 1;
            cut += u64::from(was_cut);
        }
    }
    println!(
        "{crashes} crashes while opening a log with a torn tail, {cut} of them after it was cut"
    );
    assert!(cut > DISKS && crashes - cut > DISKS, "one of both never happened");
}

/// Whether the tail was cut when the opening crashed at that operation of it; none where it ended before that.
fn crash(seed: u64, operation: u64) -> Option<bool> {
    let (disk, path) = (Disk::new(seed * 100 + operation), Path::new(LOG));
    let options = WalOptions::new().storage(Arc::new(disk.clone())).room_bytes(1_000);
    let log = WalWriter::<u64>::open_with(path, &options).unwrap();
    log.append_durable(1).unwrap();
    drop(log);
    let whole = disk.read(path).unwrap();
    let tail = &b"{\"sequence\":2,\"previous"[..];
    let file = disk.open_write(path).unwrap();
    file.write_at(tail, whole.len() as u64).unwrap();
    file.sync().unwrap();
    drop(file);

    disk.plan(disk.operations() + operation, Fault::Crash);
    let opened = WalWriter::<u64>::open_with(path, &options);
    if let Ok(log) = opened {
        assert_eq!(log.report().verdict, Verdict::CutTail);
        return None;
    }
    disk.restart();
    let found = disk.read(path).unwrap();
    let (acknowledged, rest) = found.split_at(whole.len());
    assert!(acknowledged == whole, "disk {seed}, operation {operation}: the log is another");
    let copies = disk.list(Path::new("dir")).unwrap();
    let mut copies = copies.iter().filter(|it| it.to_str().unwrap().contains(".torn-"));
    let kept = copies.any(|copy| disk.read(copy).is_some_and(|bytes| bytes == tail));
    assert!(rest == tail || kept, "disk {seed}, operation {operation}: the tail is nowhere");
    Some(rest != tail)
}
