//! The two storages behave alike.

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

#[test]
fn names_beside_and_directories() {
    assert_eq!(beside(Path::new("/a/log"), ".head"), Path::new("/a/log.head"));
    assert_eq!(directory_of(Path::new("log")), Path::new("."));
    assert_eq!(directory_of(Path::new("/a/log")), Path::new("/a"));
}
