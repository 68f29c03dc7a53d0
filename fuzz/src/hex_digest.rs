//! Printed digests: 64 lowercase hexadecimal characters and no other spelling.

use calybris_kernel::digest::HexDigest;

/// What parses prints as it was written, and nothing else parses.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let canonical =
        text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match HexDigest::parse(text) {
        Ok(digest) => {
            assert!(canonical, "accepted {text:?}");
            assert_eq!(&*digest, text);
            assert_eq!(HexDigest::new(&digest.to_bytes()), digest);
        }
        Err(error) => assert!(!canonical, "refused {text:?}: {error}"),
    }
}
