//! The two storages behave alike.

use std::sync::{Arc, Mutex};

use super::*;

fn exercise(storage: &dyn Storage, directory: &Path) {
    let (path, other) = (directory.join("a"), directory.join("b"));
    assert_eq!(storage.open_read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    let file = storage.open_write(&path).unwrap();
    assert!(file.try_lock().unwrap());
    assert!(!storage.open_write(&path).unwrap().try_lock().unwrap(), "one lock a file");
    file.write_at(b"hello", 0).unwrap();
    file.write_at(b"p!", 3).unwrap();
    file.set_len(7).unwrap();
    file.sync().unwrap();
    storage.sync_directory(directory).unwrap();
    assert_eq!(file.len().unwrap(), 7);
    let mut buffer = [1; 16];
    assert_eq!(storage.open_read(&path).unwrap().read_at(&mut buffer, 2).unwrap(), 5);
    assert_eq!(&buffer[..6], b"lp!\0\0\x01");
    assert_eq!(file.read_at(&mut buffer, 99).unwrap(), 0);
    assert_eq!((file.len_at(&path).unwrap(), file.len_at(&other).unwrap()), (Some(7), None));
    storage.rename(&path, &other).unwrap();
    assert_eq!((file.len_at(&path).unwrap(), file.len_at(&other).unwrap()), (None, Some(7)));
    assert_eq!(storage.list(directory).unwrap(), std::slice::from_ref(&other));
    drop(file);
    assert!(storage.open_write(&other).unwrap().try_lock().unwrap(), "the lock ends with the file");
    storage.remove(&other).unwrap();
    assert_eq!(storage.list(directory).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn real_files() {
    let directory = tempfile::tempdir().unwrap();
    exercise(&Files, directory.path());
}

#[test]
fn memory() {
    exercise(&Memory::default(), Path::new("dir"));
}

/// Watching changes nothing, and what a watcher refuses does not happen.
#[test]
fn watched() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heard);
    let memory = Memory::default();
    let storage = Watched::new(memory.clone(), move |path, change| {
        seen.lock().unwrap().push(format!("{} {change:?}", path.display()));
        Ok(())
    });
    exercise(&storage, Path::new("dir"));
    let changes =
        ["Open", "Write", "SetLen(7)", "Sync", "SyncDirectory", "Rename(\"dir/a\")", "Remove"];
    let heard = heard.lock().unwrap();
    for change in changes {
        assert!(heard.iter().any(|it| it.contains(&format!(" {change}"))), "{change}: {heard:?}");
    }
    let path = Path::new("a");
    memory.write(path, b"kept");
    let open = memory.open_write(path).unwrap();
    let refusing = Watched::new(memory.clone(), |_, change| match change {
        Change::Open => Ok(()),
        _ => Err(io::ErrorKind::StorageFull.into()),
    });
    let file = refusing.open_write(path).unwrap();
    let refused = [
        file.write_at(b"lost", 0),
        file.set_len(0),
        file.sync(),
        refusing.rename(path, Path::new("b")),
        refusing.remove(path),
        refusing.create_directory(path),
        refusing.sync_directory(path),
    ];
    assert!(refused.iter().all(Result::is_err), "{refused:?}");
    assert_eq!(memory.read(path).unwrap(), b"kept");
    assert_eq!(open.len_at(path).unwrap(), Some(4));
}

/// A storage is printed by its files, not by what they hold.
#[test]
fn memory_is_printed_by_names_and_lengths() {
    let memory = Memory::default();
    memory.write(Path::new("log"), &[7; 1_000]);
    let options = crate::WalOptions::new().storage(Arc::new(memory.clone()));
    assert_eq!(format!("{memory:?}"), "{\"log\": 1000}");
    assert!(format!("{options:?}").ends_with("storage: {\"log\": 1000} }"), "{options:?}");
    let open = memory.open_write(Path::new("log")).unwrap();
    assert!(format!("{open:?}").len() < 200, "{open:?}");
}

#[test]
fn names_beside_and_directories() {
    assert_eq!(beside(Path::new("/a/log"), ".head"), Path::new("/a/log.head"));
    assert_eq!(directory_of(Path::new("log")), Path::new("."));
    assert_eq!(directory_of(Path::new("/a/log")), Path::new("/a"));
}
